"""The demo reports measured displacements, and answers mistakes in sentences."""

import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sklearn_ferroic.datasets import make_ferroic_image

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
    assert demo["main"]() is None
    panels = [ax for ax in plt.gcf().axes if ax.get_title()]
    assert len(panels) == 7
    assert all(ax.has_data() or ax.texts for ax in panels)
    titles = [ax.get_title() for ax in panels]
    monkeypatch.undo()
    plt.close("all")
    table = pd.read_csv(tmp_path / "sites.csv", comment="#")
    return capsys.readouterr().out, titles, table


def test_figure_and_text_say_that_no_displacement_was_measured(outcome):
    text, titles, table = outcome
    assert "rows.npy: 190 x 210 px of float32; no pixel size in the file." in text
    assert "--pixel-size, in nm per pixel" in text
    assert "No displacement could be measured" in text
    assert "do not follow" not in text
    assert [title for title in titles if "no displacement measured" in title]
    assert [title for title in titles if "not registered" in title]
    assert np.isnan(table["polarization_row"]).all()
    centered = table["sublattice"] == 1
    assert 70 < centered.sum() < 100
    for name in ("angle", "angle_std", "label", "variant"):
        np.testing.assert_array_equal(table[name].notna(), centered)


def run_demo(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["demo.py", *map(str, arguments)])
    return runpy.run_path(str(DEMO))["main"]()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "missing.tif"], "no file 'missing.tif'"),
        (["--image", "."], "is a folder"),
        (["--image", "line.npy"], "shape (100,); an image"),
        (["--image", "constant.npy"], "no contrast"),
        (["--image", "noise.npy"], "No columns found"),
        (["--image", "stack.npy"], "choose one with --frame, from 0 to 2"),
        (["--image", "stack.npy", "--frame", 3], "--frame 3 is out of range"),
        (["--image", "two.npz"], "Choose one with --dataset."),
        (["--image", "constant.npy", "--preset", "film"], "without --image"),
        (["--frame", 0], "--frame applies to a file"),
        (["--invert"], "--invert applies to a file"),
        (["--image", "rows.npy", "--window-size", 150], "larger than half the image"),
        (["--image", "few.npy"], "at least 30 cells are needed"),
        (["--output-dir", "line.npy"], "Cannot write into the folder"),
    ],
)
def test_every_mistake_is_answered_by_a_sentence(
    tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    write_rows_of_columns("rows.npy")
    np.save("few.npy", np.load("rows.npy")[:90, :90])
    np.save("line.npy", np.arange(100.0))
    np.save("constant.npy", np.ones((100, 100)))
    noise = np.random.default_rng(0).normal(size=(3, 100, 100))
    np.save("noise.npy", noise[0])
    np.save("stack.npy", noise)
    np.savez("two.npz", a=noise[0], b=noise[1])
    answer = run_demo(monkeypatch, *arguments)
    assert answer.startswith("error: ")
    assert message in answer
    assert "\n" not in answer


def write_film(path, displacement_pm, seed=0):
    data = make_ferroic_image(
        "film", shape=(320, 320), displacement_pm=displacement_pm, random_state=seed
    )
    np.save(path, data.image)
    return data


def test_dark_columns_of_a_frame_give_the_variants_with_their_errors(
    tmp_path, monkeypatch, capsys
):
    data = write_film(tmp_path / "film.npy", 40)
    np.save(tmp_path / "dark.npy", np.stack([np.zeros((320, 320)), -data.image]))
    options = ["--image", tmp_path / "dark.npy", "--frame", 1, "--invert"]
    options += ["--pixel-size", data.pixel_size, "--output-dir", tmp_path]
    assert run_demo(monkeypatch, *options) is None
    text = capsys.readouterr().out
    assert "Angles registered" in text
    assert "not significant" not in text.split("variant 0")[1].splitlines()[0]
    directions = re.findall(r"variant \d+:.* pm at ([+-]\d+)° ± \d+°", text)
    assert len(directions) >= 2
    off = (np.array(directions, float) - 45) % 90
    assert np.minimum(off, 90 - off).max() < 12


def test_nothing_displaced_is_not_significant(tmp_path, monkeypatch, capsys):
    data = write_film(tmp_path / "film.npy", 0)
    options = ["--image", tmp_path / "film.npy", "--pixel-size", data.pixel_size]
    options += ["--output-dir", tmp_path, "--epochs", 5]
    assert run_demo(monkeypatch, *options) is None
    text = capsys.readouterr().out
    assert "The displacement is not significant" in text
    assert "variant" not in text.split("Result")[1].split("Figure")[0].replace("\n", "")
