"""The files of an analysis are whole, or there are none."""

import json

import numpy as np
import pytest

from sklearn_ferroic import Analysis, AtomSites
from sklearn_ferroic.analysis import _saving
from sklearn_ferroic.analysis._images import _read_mask

KEYS = {
    *("n_sites", "n_sublattices", "spacing_px", "pixel_size_nm", "registered"),
    *("variants", "warnings"),
}
VARIANT_KEYS = {
    *("label", "share", "angle_deg", "magnitude", "magnitude_std", "unit"),
}


def test_files_and_keys(folder, analysis):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("report.html", "sites.csv", "sites.csv.json", "sites.h5", "summary.json"),
        *("model.joblib", "analysis.npz", "figures", "domains.csv", "walls.csv"),
    }
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert figures == set(analysis.figure_names)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary.keys() >= KEYS
    assert all(row.keys() >= VARIANT_KEYS for row in summary["variants"])
    assert summary["n_sites"] == len(analysis.sites)
    assert [row["share"] > 0.9 for row in summary["lattices"]] == [True]
    assert summary["lattices"][0]["angle_deg"] == pytest.approx(90, abs=2)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert analysis.quality.lattices.describe(0) in page.replace("−", "-")
    assert not [path for path in folder.parent.iterdir() if ".part" in path.name]


def test_a_stored_analysis_is_the_same(folder, analysis):
    stored = Analysis.load(folder)
    assert stored.sites == analysis.sites
    np.testing.assert_array_equal(stored.labels, analysis.labels)
    np.testing.assert_array_equal(stored.pose, analysis.pose)
    assert stored.walls.equals(analysis.walls)
    assert json.dumps(stored.summary) == json.dumps(analysis.summary)
    assert stored.describe() == analysis.describe()
    labels = stored.pipeline.predict(stored.cells)
    np.testing.assert_array_equal(labels, analysis.clusters)


def test_tables_of_sites_hold_angles_and_groups(folder, analysis):
    sites, extras = AtomSites.from_hdf5(folder / "sites.h5", return_extras=True)
    assert sites == analysis.sites
    angle = np.asarray(extras.features["angle"], dtype=float)
    np.testing.assert_array_equal(angle[analysis.rows], analysis.angle)
    table = AtomSites.from_csv(folder / "sites.csv", return_table=True)[1]
    variant = table["variant"].dropna().astype(int).to_numpy()
    np.testing.assert_array_equal(variant, analysis.groups.variant)


def test_nothing_is_left_of_a_failed_write(analysis, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_saving, "_write_state", fail)
    with pytest.raises(OSError, match="No space"):
        analysis.save(tmp_path / "new" / "folder", figures=False)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept_until_all_is_written(
    analysis, tmp_path, monkeypatch
):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "report.html").write_text("of an earlier result")
    write_state = _saving._write_state
    monkeypatch.setattr(_saving, "_write_state", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        analysis.save(tmp_path, figures=False)
    assert (tmp_path / "summary.json").read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(_saving, "_write_state", write_state)
    analysis.save(tmp_path, figures=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert json.loads((tmp_path / "summary.json").read_text())["n_sites"]
    assert not (tmp_path / "report.html").exists()


def test_a_file_is_no_folder(analysis, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="not a folder"):
        analysis.save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_damaged_folders_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        Analysis.load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="contains no analysis"):
        Analysis.load(tmp_path)
    for name in ("analysis.npz", "sites.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = bytearray((folder / "analysis.npz").read_bytes())
    content[100:200] = bytes(100)
    (tmp_path / "analysis.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        Analysis.load(tmp_path)


def test_only_pixels_above_0_of_a_mask_are_used():
    mask = np.array([[1.0, np.nan, 0.0, -1.0, 0.5]])
    used = _read_mask(mask, mask.shape)
    assert used.tolist() == [[True, False, False, False, True]]


def test_files_of_another_origin_are_not_replaced(analysis, tmp_path):
    (tmp_path / "sites.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"the folder contains sites\.csv"):
        analysis.save(tmp_path, figures=False)
    assert (tmp_path / "sites.csv").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["sites.csv"]
    (tmp_path / "sites.csv").rename(tmp_path / "mine.csv")
    for _ in range(2):
        analysis.save(tmp_path, figures=False)
    assert (tmp_path / "mine.csv").read_text(encoding="utf-8") == "mine"
