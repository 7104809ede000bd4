"""Average of frames and correction of the scan, by one call and by the command."""

import json

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import Analysis, analyze
from sklearn_ferroic.__main__ import main
from sklearn_ferroic.analysis._images import read_input
from sklearn_ferroic.analysis._options import AnalysisOptions
from sklearn_ferroic.datasets import make_ferroic_image, make_ferroic_series
from tests.registration._distort import draw_lines, scan


@pytest.fixture(scope="module")
def series():
    return make_ferroic_series(8, shape=(224, 224), dose=3000, random_state=0)


@pytest.fixture(scope="module")
def averaged(series):
    return analyze(series, frame="average", stages="locate")


def test_frames_are_registered_and_averaged(series, averaged):
    frames = averaged.summary["frames"]
    assert frames["rejected"] == series.bad_frames.tolist()
    used = np.setdiff1d(np.arange(8), frames["rejected"])
    error = (np.array(frames["shifts_px"]) - series.shifts)[used]
    assert np.abs(error - error.mean(axis=0)).max() < 0.2
    offset = series.shifts[frames["reference"]] + frames["origin_px"]
    truth = series.positions - offset
    distance, _ = cKDTree(averaged.sites.positions).query(truth)
    inside = ((truth > 6) & (truth < np.array(averaged.sites.images[0].shape) - 7)).all(
        axis=1
    )
    assert (distance[inside] < 1).mean() > 0.99


def test_the_report_says_which_frames_were_rejected(series, averaged, tmp_path):
    bad = series.bad_frames[0]
    remark = averaged.remarks[0]
    assert remark.startswith(f"Average of 7 of 8 registered frames, without {bad};")
    assert any("frames are rejected" in str(doubt) for doubt in averaged.doubts)
    averaged.save(tmp_path / "result")
    page = (tmp_path / "result" / "report.html").read_text(encoding="utf-8")
    assert remark in page
    table = page[page.index("<h2>Frames</h2>") :]
    table = table[: table.index("</section>")]
    assert table.count("<tr>") == 9
    assert table.count("rejected") == 1
    shift = averaged.frames["shifts_px"][0][0]
    assert f"{shift:.2f}".replace("-", "−") in table
    loaded = Analysis.load(tmp_path / "result")
    assert loaded.summary["frames"] == averaged.summary["frames"]


def test_masked_pixels_of_a_stack_carry_no_weight(series):
    mask = np.ones((224, 224))
    mask[:, :30] = 0
    remarks = {}
    for name, given in (("all", None), ("masked", mask)):
        options = AnalysisOptions(frame="average", mask=given)
        with pytest.warns(UserWarning, match="rejected"):
            source = read_input(series.image, options)
        remarks[name] = source.remarks
    assert remarks["masked"][0].endswith("of the pixels are masked.")
    assert "Average of 7" in remarks["masked"][1]


def test_a_single_image_and_wrong_stacks():
    image = make_ferroic_image(shape=(96, 96), random_state=0).image
    options = AnalysisOptions(frame="average")
    np.testing.assert_array_equal(read_input(image, options).image, image)
    with pytest.raises(ValueError, match=r"numpy\.moveaxis"):
        read_input(np.zeros((96, 96, 8)), options)
    with pytest.raises(ValueError, match='registered, with frame="average"'):
        read_input(np.stack([image, image]), AnalysisOptions())


def drifting_image():
    """Return an image of a film with jitter and slow drift, and the displacements."""
    rng = np.random.default_rng(0)
    data = make_ferroic_image(
        shape=(360, 320), dose=np.inf, drift=0, jitter=0, substrate=0.3, random_state=0
    )
    rows = np.arange(360)
    lines = rng.normal(size=360) * 0.4 + np.sin(rows / 50)
    shifted = [
        np.interp(np.arange(320) + step, np.arange(320), line)
        for line, step in zip(data.image, lines, strict=True)
    ]
    shifted = np.array(shifted) - data.image.min()
    return rng.poisson(shifted * 100 / shifted.max()), lines, data


def test_correction_with_a_reference_region(tmp_path):
    image, lines, data = drifting_image()
    substrate = (270, 360, 0, 320)
    plain, jitter, corrected = (
        analyze(image, stages="locate", **options)
        for options in (
            {},
            {"correct_scan": True},
            {"correct_scan": True, "reference": substrate},
        )
    )
    errors = []
    for analysis in (plain, jitter, corrected):
        # Columns are matched where they are without the correction.
        seen = plain.sites.positions.copy()
        seen[:, 1] += np.interp(seen[:, 0], np.arange(360), lines)
        distance, found = cKDTree(data.positions).query(seen)
        good = distance < 3
        error = (analysis.sites.positions[:, 1] - data.positions[found, 1])[good]
        design = np.column_stack([np.ones(good.sum()), data.positions[found][good]])
        error -= design @ np.linalg.lstsq(design, error, rcond=None)[0]
        errors.append(np.sqrt(np.mean(error**2)))
    assert errors[1] < 0.98 * errors[0]
    assert errors[2] < 0.5 * errors[0]
    assert plain.scan is None
    assert "drift is not distinguished from strain" in jitter.remarks[-1]
    assert "columns in the reference region" in corrected.remarks[-1]
    scan = corrected.summary["scan"]
    assert scan["has_reference"]
    assert len(scan["line_shift_px"]) == 360
    corrected.save(tmp_path / "result", figures=False)
    assert Analysis.load(tmp_path / "result").scan == corrected.scan


def test_a_pair_of_scans_is_corrected(tmp_path):
    data = make_ferroic_image(
        shape=(320, 320), dose=np.inf, drift=0, jitter=0, random_state=0
    )
    rng = np.random.default_rng(0)
    lines = [draw_lines(260, rng) for _ in range(2)]
    pair = np.stack(
        [
            scan(data.image - data.image.min(), one, angle, (260, 260), rng, counts=100)
            for one, angle in zip(lines, (0, 90), strict=True)
        ]
    )
    analysis = analyze(pair, frame="pair", stages="locate")
    assert "Mean of two scans at 0° and 90°" in analysis.remarks[0]
    found = np.array(analysis.summary["scan"]["line_shift_px"])
    error = found - lines[0]
    assert np.sqrt(np.mean((error - error.mean(axis=0)) ** 2)) < 0.15
    sites = analysis.sites.positions
    truth = data.positions - 159.5 + 129.5 - lines[0].mean(axis=0)
    distance, near = cKDTree(truth).query(sites)
    inside = (np.abs(sites - 129.5) < 110).all(axis=1)
    offset = np.median((sites - truth[near])[inside], axis=0)
    distance, _ = cKDTree(truth).query(sites - offset)
    assert np.sqrt(np.mean(distance[inside] ** 2)) < 0.25


def test_a_pair_that_is_none():
    image = make_ferroic_image(shape=(96, 96), random_state=0).image
    with pytest.raises(ValueError, match="stack of two images"):
        read_input(np.stack([image] * 3), AnalysisOptions(frame="pair"))
    with pytest.raises(ValueError, match="neither correct_scan"):
        options = AnalysisOptions(frame="pair", correct_scan=True)
        read_input(np.stack([image] * 2), options)


def test_the_command(series, tmp_path, capsys):
    np.save(tmp_path / "stack.npy", series.image)
    folder = tmp_path / "result"
    arguments = ["locate", str(tmp_path / "stack.npy"), "--frame", "average"]
    arguments += ["--correct-scan", "--reference", "150,190,0,190"]
    assert main([*arguments, "--output", str(folder)]) == 0
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["frames"]["rejected"] == series.bad_frames.tolist()
    assert summary["parameters"]["correct_scan"]
    assert summary["scan"]["has_reference"]
    printed = capsys.readouterr().out
    assert "Average of 7 of 8 registered frames" in printed
    assert "Drift and jitter of the scan lines are corrected" in printed
