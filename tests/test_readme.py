"""What the README shows runs as it stands."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic.__main__ import main
from sklearn_ferroic.datasets import make_ferroic_image

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GETTING_STARTED = ROOT / "docs" / "getting_started.md"
PAGES = [README, GETTING_STARTED]


def blocks(path, language):
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(path):
    """Return the arguments of each command of the package in a page."""
    lines = "".join(blocks(path, "sh")).splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == ["sklearn-ferroic"]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the image that the commands name."""
    tifffile = pytest.importorskip("tifffile")
    monkeypatch.chdir(tmp_path)
    film = make_ferroic_image("film", shape=(360, 360), random_state=0)
    tifffile.imwrite("image.tif", film.image)
    yield tmp_path
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_one_after_the_other(folder, page):
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    assert (folder / "domains.png").stat().st_size > 10_000
    pose, labels, sites = names["pose"], names["labels"], names["sites"]
    assert len(labels) == len(sites) == len(pose)
    truth = names["image"]
    gaps, nearest = find_nearest(sites.positions, truth.positions)
    variant = np.where(gaps < 4, truth.variant[nearest], -1)
    inside = (variant >= 0) & ~truth.wall[nearest]
    expected = np.arctan2(*truth.polarization[nearest].T)
    error = np.angle(np.exp(1j * (pose[:, 0] - expected)))
    assert np.median(np.abs(error[inside])) < np.radians(1.5)
    assert (names["polar"] == (variant >= 0))[~truth.wall[nearest]].mean() > 0.95
    # each variant is one cluster, and the substrate is another
    clusters = [np.bincount(labels[inside & (variant == n)]) for n in range(4)]
    assert all(count.max() > 0.97 * count.sum() for count in clusters)
    assert len({count.argmax() for count in clusters}) == 4


def find_nearest(positions, known):
    return cKDTree(known).query(positions)


def test_the_pages_name_the_same_two_commands():
    assert commands(README) == commands(GETTING_STARTED)
    assert len(commands(README)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_commands_end_with_a_report(folder, number, capsys):
    command = commands(README)[number]
    assert main(command) == 0
    output = Path(command[command.index("--output") + 1])
    assert (output / "report.html").stat().st_size > 300_000
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    assert summary["registered"]
    assert len(summary["variants"]) == 4
    assert summary["pixel_size_nm"] == pytest.approx(0.02)


def test_the_extras_to_install_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = set(project["project"]["optional-dependencies"])
    for page in PAGES:
        text = "".join(blocks(page, "sh"))
        (extras,) = re.findall(r'pip install "\.\[(.*?)\]"', text)
        assert set(extras.split(",")) <= known


def test_it_is_one_screen_and_a_half():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    code = [line for line in blocks(README, "python")[0].splitlines() if line.strip()]
    assert len(code) <= 22


def test_files_it_links_to_exist():
    text = README.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert links
    assert not [link for link in links if not (README.parent / link).exists()]
