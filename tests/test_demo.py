"""The demo reports measured displacements and ends in one figure."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_ferroic import Analysis
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


def run_demo(monkeypatch, *arguments):
    """Run the demo and return the exit code."""
    monkeypatch.setattr(sys, "argv", ["demo.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(DEMO), run_name="__main__")
    return ended.value.code


def test_figure_and_text_say_that_no_displacement_was_measured(
    tmp_path, monkeypatch, capsys
):
    write_rows_of_columns(tmp_path / "rows.npy")
    options = [tmp_path / "rows.npy", "--output", tmp_path, "--epochs", 1]
    assert run_demo(monkeypatch, *options) == 0
    text = capsys.readouterr().out
    assert "rows.npy: 190 x 210 px of float32; no pixel size in the file." in text
    assert "--pixel-size, in nm per pixel" in text
    assert "no displacement could be measured" in text
    assert "do not follow" not in text
    figure = Analysis.load(tmp_path).figure("overview")
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert len(panels) == 7
    assert all(ax.has_data() or ax.texts for ax in panels)
    titles = [ax.get_title() for ax in panels]
    assert [title for title in titles if "no displacement measured" in title]
    assert [title for title in titles if "not registered" in title]
    table = pd.read_csv(tmp_path / "sites.csv", comment="#")
    assert np.isnan(table["polarization_row"]).all()
    centered = table["sublattice"] == 1
    assert 70 < centered.sum() < 100
    for name in ("angle", "angle_std", "label", "variant"):
        np.testing.assert_array_equal(table[name].notna(), centered)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tif"], "no file 'missing.tif'"),
        (["."], "is a folder"),
        (["line.npy"], "shape (100,); an image"),
        (["constant.npy"], "no contrast"),
        (["noise.npy"], "No columns found"),
        (["stack.npy"], "choose one with --frame, from 0 to 2"),
        (["stack.npy", "--frame", 3], "--frame 3 is out of range"),
        (["two.npz"], "Choose one with --dataset."),
        (["constant.npy", "--example", "film"], "without an image file"),
        (["rows.npy", "--window-size", 150], "larger than half the image"),
        (["few.npy"], "at least 30 cells are needed"),
        (["rows.npy", "--output", "line.npy"], "Cannot write into the folder"),
    ],
)
def test_every_mistake_is_answered_by_a_sentence(
    tmp_path, monkeypatch, capsys, arguments, message
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
    # contradictory arguments end with 2, like invalid ones
    code = 2 if "--example" in arguments else 1
    assert run_demo(monkeypatch, *arguments) == code
    answer = capsys.readouterr().err
    assert answer.startswith("error: ")
    assert message in answer
    assert answer.count("\n") == 1


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
    options = [tmp_path / "dark.npy", "--frame", 1, "--invert"]
    options += ["--pixel-size", data.pixel_size, "--output", tmp_path]
    assert run_demo(monkeypatch, *options) == 0
    text = capsys.readouterr().out
    assert "Angles registered" in text
    assert "not significant" not in text.split("variant 0")[1].splitlines()[0]
    directions = re.findall(r"variant \d+:.* pm at ([+-]\d+)° ± \d+°", text)
    assert len(directions) >= 2
    off = (np.array(directions, float) - 45) % 90
    assert np.minimum(off, 90 - off).max() < 12


def test_nothing_displaced_is_not_significant(tmp_path, monkeypatch, capsys):
    data = write_film(tmp_path / "film.npy", 0)
    options = [tmp_path / "film.npy", "--pixel-size", data.pixel_size]
    options += ["--output", tmp_path, "--epochs", 5]
    assert run_demo(monkeypatch, *options) == 0
    text = capsys.readouterr().out
    assert "No significant displacement" in text
    assert not re.search(r"variant \d", text)
