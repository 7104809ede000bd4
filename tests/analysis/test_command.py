"""The command ends with files and 0, or with a sentence and another code."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sklearn_ferroic import Analysis
from sklearn_ferroic.__main__ import main
from sklearn_ferroic.analysis._cli.arguments import make_parser

ROOT = Path(__file__).parents[2]
QUICK = ["--no-vae", "--quiet"]


@pytest.fixture
def image(film, tmp_path, monkeypatch):
    """A file with the film, in the current folder."""
    monkeypatch.chdir(tmp_path)
    np.save("film.npy", film.image)
    return "film.npy"


def test_stages_one_after_the_other(image, film, capsys):
    size = str(film.pixel_size)
    assert main(["locate", image, "--pixel-size", size, "-o", "out", "--quiet"]) == 0
    located = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert located["variants"] == []
    assert main(["map", "out", "--no-vae", "--reference", "310,360,0,360"]) == 0
    text = capsys.readouterr().out
    assert "Measured displacements" in text
    assert " pm at " in text
    mapped = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert mapped["n_sites"] == located["n_sites"]
    assert len(mapped["variants"]) >= 3
    assert mapped["parameters"]["reference"] == [310, 360, 0, 360]
    assert mapped["parameters"]["pixel_size"] == film.pixel_size
    log = Path("out/analysis.log").read_text(encoding="utf-8").splitlines()
    assert sum("Sites found" in line for line in log) == 2
    Path("out/report.html").unlink()
    assert main(["report", "out", "--quiet"]) == 0
    assert Path("out/report.html").stat().st_size > 100_000
    assert repr(Analysis.load("out")).startswith("<Analysis of film.npy")


def test_several_images(image, capsys):
    Path("damaged.npy").write_bytes(b"nothing")
    assert main(["locate", image, "damaged.npy", "-o", "all", "--quiet"]) == 1
    assert sorted(path.name for path in Path("all").iterdir()) == ["film"]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: 'damaged.npy'")
    assert main(["locate", image, f"./{image}", "-o", "all"]) == 2
    assert "Two images are named 'film'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tif"], "no file 'missing.tif'"),
        (["."], "is a folder"),
        (["spectrum.npy"], "shape (100,); an image"),
        (["damaged.npy"], "Is it damaged, or of another kind"),
        (["stack.npy"], "its 5 images along the last axis"),
        (["noise.npy"], "need --invert, faint ones --locator unet"),
        (["noise.npy", "--crop", "0,9,0,500"], "--crop 0,9,0,500 does not fit"),
        (["noise.npy", "--mask", "film.npy"], "They must be equal"),
        (["film.npy", "--window-size", "350"], "Pass a smaller --window-size"),
        (["film.npy", "--window-size", "9"], "smaller than the unit cell"),
        (["film.npy", "--sublattice", "4"], "Choose one with --sublattice."),
        (["film.npy", "--reference", "0,2,0,2"], "reference region contains 0 cells"),
        (["film.npy", "--output", "noise.npy"], "Cannot write into the folder"),
        (["film.npy", "--clusters", "5000"], "--clusters 5000 is too large for the"),
    ],
)
def test_every_error_is_a_sentence(image, capsys, arguments, message):
    np.save("spectrum.npy", np.arange(100.0))
    np.save("stack.npy", np.zeros((60, 60, 5)))
    content = Path("spectrum.npy").read_bytes()
    Path("damaged.npy").write_bytes(content[: len(content) // 2])
    np.save("noise.npy", np.random.default_rng(0).normal(size=(100, 100)))
    before = set(Path().rglob("*"))
    assert main(["analyze", *arguments, "--quiet"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert set(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No image is given"),
        (["film.npy", "--example", "film"], "without an image file"),
        (["--example", "film", "--frame", "0"], "--frame applies to a file"),
    ],
)
def test_arguments_that_contradict_end_with_2(capsys, arguments, message):
    assert main(["analyze", *arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--crop", "1,2", "four whole numbers"),
        ("--crop", "50,10,0,20", "in this order"),
        ("--crop", "0,10,20,20", "in this order"),
        ("--crop", "0,10,a,20", "four whole numbers"),
        ("--clusters", "0", "a whole number of at least 1 or auto, got '0'"),
        ("--window-size", "1", "a whole number of at least 2 or auto, got '1'"),
        ("--sublattice", "-1", "a whole number of at least 0 or auto, got '-1'"),
        ("--epochs", "0", "a whole number of at least 1, got '0'"),
        ("--jobs", "1.5", "a whole number of at least 1, got '1.5'"),
        ("--seed", "-1", "a whole number from 0 to 4294967295, got '-1'"),
        ("--seed", "4294967296", "a whole number from 0 to 4294967295"),
        ("--pixel-size", "-1", "a positive number, got '-1'"),
        ("--pixel-size", "nan", "a positive number, got 'nan'"),
        ("--pixel-size", "wide", "a positive number, got 'wide'"),
        ("--spacing", "0.5", "a number of at least 1, got '0.5'"),
        ("--spacing", "inf", "a number of at least 1, got 'inf'"),
        ("--frame", "x", "at least 0, average, mean or pair, got 'x'"),
        ("--frame", "-1", "at least 0, average, mean or pair, got '-1'"),
        ("--reference", "9,2,0,5", "in this order"),
        ("--reference", "0,nan,0,5", "finite numbers"),
        ("--reference", "1,2,3,4,5", "three or more corners"),
        ("--reference", "1,2,3,4,inf,5", "finite numbers"),
        ("--output", "", "must be a name, got ''"),
        ("--mask", " ", "must be a name, got ' '"),
        ("--dataset", "", "must be a name, got ''"),
        ("--signal", "", "must be a name, got ''"),
    ],
)
def test_wrong_arguments_end_with_2_and_a_sentence(option, value, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["analyze", "film.npy", option, value])
    usage, _, error = capsys.readouterr().err.partition("error: ")
    assert "usage: sklearn-ferroic analyze" in usage
    assert re.match(rf"argument (-o/)?{option}: must be ", error)
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_wait_passively_unless_the_user_decides(given, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert os.environ["OMP_WAIT_POLICY"] == (given or "PASSIVE")


@pytest.mark.parametrize("arguments", [["analyze", ""], ["map", ""], ["report", ""]])
def test_an_empty_path_is_not_the_current_folder(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "must be a name, got ''" in capsys.readouterr().err


def test_right_arguments_are_read():
    read = make_parser().parse_args
    options = read(
        "analyze a.tif --crop 0,9,3,8 --frame pair --spacing 1 --seed 4294967295 "
        "--window-size auto --reference 0,0.5,9,9,4,2 --signal 2".split()
    )
    assert options.images == ["a.tif"]
    assert options.crop == (0, 9, 3, 8)
    assert (options.frame, options.spacing, options.signal) == ("pair", 1.0, 2)
    assert (options.random_state, options.window_size) == (2**32 - 1, "auto")
    assert options.reference == (0, 0.5, 9, 9, 4, 2)
    assert read(["analyze", "a.tif", "--signal", "HAADF"]).signal == "HAADF"
    assert read(["analyze", "a.tif", "--frame", "3"]).frame == 3


@pytest.mark.parametrize("page", ["README.md", "docs/guide/analyze.md"])
def test_documented_commands_and_options_exist(page, capsys):
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = re.findall(r"^sklearn-ferroic (.*?)(?:  #.*)?$", text, re.MULTILINE)
    assert commands
    for command in commands:
        make_parser().parse_args(shlex.split(command))
    with pytest.raises(SystemExit):
        make_parser().parse_args(["analyze", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    if page.startswith("docs"):  # README has options of other commands, too
        assert set(re.findall(r"`(--[a-z-]+)", text)) <= known


def run(arguments, cwd, **options):
    """Start the command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "sklearn_ferroic", *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("blocks_of_kb", [30, 400, 1000])
def test_a_full_disk_leaves_nothing(image, tmp_path, blocks_of_kb):
    resource = pytest.importorskip("resource")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * blocks_of_kb,) * 2)

    before = set(tmp_path.iterdir())
    process = run(["analyze", image, *QUICK], tmp_path, preexec_fn=limit)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1
    assert error == (
        "error: Cannot write into the folder 'film_analysis' (File too large). Nothing "
        "was written. Choose another with --output.\n"
    )
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_interrupts_leave_nothing(image, tmp_path, number, code):
    before = set(tmp_path.iterdir())
    process = run(["analyze", image, "--output", "new/out"], tmp_path)
    line = ""
    while "Training" not in line:
        line = process.stdout.readline()
        assert line, process.stderr.read()
    time.sleep(1)
    process.send_signal(signal.Signals(number))
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.splitlines()[-1].endswith("Nothing was written.")
    assert "Traceback" not in error
    assert set(tmp_path.iterdir()) == before
