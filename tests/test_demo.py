"""The demo takes an image of one's own and says what it did not find."""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def write_rows_of_columns(path):
    """Write an image in which B lies between two A, as in [110] of a perovskite."""
    pixel = np.indices((190, 210)).transpose(1, 2, 0)
    image = np.full(pixel.shape[:2], 100.0)
    for row in np.arange(8, 190, 18):
        for step, col in enumerate(np.arange(8, 210, 13)):
            squared = ((pixel - [row, col]) ** 2).sum(axis=2)
            image += (1000, 500)[step % 2] * np.exp(-squared / 2 / 2.5**2)
    noise = np.random.default_rng(0).normal(scale=5, size=image.shape)
    np.save(path, (image + noise).astype(np.float32))


@pytest.fixture
def outcome(tmp_path, monkeypatch, capsys):
    """Run the demo for one epoch; give printed text, titles and table."""
    write_rows_of_columns(tmp_path / "rows.npy")
    command = f"demo.py --image {tmp_path}/rows.npy --output-dir {tmp_path} --epochs 1"
    monkeypatch.setattr(sys, "argv", command.split())
    monkeypatch.setattr(plt, "close", lambda figure: None)
    demo = runpy.run_path(str(DEMO))
    with pytest.warns(UserWarning, match="offset is undetermined"):
        assert demo["main"]() is None
    titles = [ax.get_title() for ax in plt.gcf().axes]
    monkeypatch.undo()
    plt.close("all")
    table = pd.read_csv(tmp_path / "sites.csv", comment="#")
    return capsys.readouterr().out, titles, table


def test_picture_and_text_tell_that_no_displacement_was_measured(outcome):
    text, titles, table = outcome
    assert "rows.npy: 190 x 210 px of float32; no pixel size in the file." in text
    assert "--pixel-size, in nm per pixel" in text
    assert "No column stands in a whole cage" in text
    assert "do not follow" not in text
    assert [title for title in titles if "not checked: no displacement" in title]
    assert np.isnan(table["polarization_row"]).all()
    centered = table["sublattice"] == 1
    assert 70 < centered.sum() < 100
    for name in ("angle", "angle_std", "label", "variant"):
        np.testing.assert_array_equal(table[name].notna(), centered)
