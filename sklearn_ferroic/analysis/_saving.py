"""Files of an analysis: written into a new folder, which then takes its name."""

import errno
import io
import json
import os
import secrets
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np

from .._utils.writing import write_whole
from ..sites import AtomSites
from ._figures import FIGURE_NAMES
from ._images import InputImage
from ._model import LOGGER, Pose
from ._options import AnalysisOptions

# Resolution of the figures for print, dots per inch.
_FIGURE_DPI = 300
# Version of analysis.npz.
_FORMAT_VERSION = 1
SITES_FILE = "sites.h5"
STATE_FILE = "analysis.npz"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
MODEL_FILE = "model.joblib"
# Files that only some results have.
_OPTIONAL_FILES = (
    *(MODEL_FILE, "domains.csv", "walls.csv", REPORT_FILE),
    *(f"figures/{name}.png" for name in FIGURE_NAMES),
)


def save(analysis, folder, *, figures=True):
    """Write all files of an analysis into a folder.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    folder : path-like
        The folder.
    figures : bool, default=True
        Whether to draw the figures and the report.
    """
    with new_folder(folder) as partial:
        write_files(analysis, partial, figures=figures)


@contextmanager
def new_folder(folder):
    """Make a folder that takes its name once the context has ended without an error.

    Parameters
    ----------
    folder : path-like
        The folder. In that of an earlier analysis, files are replaced one by one.

    Yields
    ------
    partial : pathlib.Path
        A folder to write into; it is removed after an error.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR, "it is a file, and not a folder", str(folder)
        )
    folder = folder.resolve()
    _refuse_foreign(folder)
    made = _make_parents(folder.parent)
    # Within an existing folder, which may be another file system than its parent.
    place = folder if folder.exists() else folder.parent
    partial = place / f".{folder.name[:60]}.{secrets.token_hex(4)}.part"
    partial.mkdir()
    try:
        yield partial
        with _uninterrupted():
            _move(partial, folder)
        made = []
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _refuse_foreign(folder):
    """Raise FileExistsError if files not written by this package would be replaced."""
    if any((folder / name).exists() for name in (STATE_FILE, SUMMARY_FILE)):
        return
    names = (SITES_FILE, "sites.csv", *_OPTIONAL_FILES)
    taken = [name for name in names if (folder / name).exists()]
    if taken:
        raise FileExistsError(
            errno.EEXIST,
            f"the folder contains {', '.join(taken)}, but no earlier analysis that may "
            "be replaced; choose another folder",
            str(folder),
        )


def _make_parents(folder):
    """Make a folder and its parents; return those that did not exist, inner first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for parent in missing[::-1]:
        parent.mkdir()
    return missing


def _move(partial, folder):
    """Rename a complete folder, or move its files into the existing one."""
    if not folder.exists():
        os.replace(partial, folder)
        return
    written = {path.relative_to(partial) for path in partial.rglob("*")}
    for path in sorted(partial.rglob("*")):
        target = folder / path.relative_to(partial)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            os.replace(path, target)
    if Path(SUMMARY_FILE) in written:
        # Files of an earlier result that this one does not have.
        for name in _OPTIONAL_FILES:
            if Path(name) not in written:
                (folder / name).unlink(missing_ok=True)


@contextmanager
def _uninterrupted():
    """Delay an interrupt of the user until the context has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(signal.SIGINT, None)


def write_files(analysis, folder, *, figures=True):
    """Write all files of an analysis into an empty folder.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    folder : pathlib.Path
        The folder, which exists.
    figures : bool, default=True
        Whether to draw the figures and the report.
    """
    LOGGER.info("Writing tables and model ...")
    features = analysis.site_features()
    analysis.sites.to_csv(
        folder / "sites.csv", features=features, parameters=analysis.parameters
    )
    analysis.sites.to_hdf5(
        folder / SITES_FILE, features=features, parameters=analysis.parameters
    )
    for name in ("domains", "walls"):
        table = getattr(analysis, name)
        if table is not None and len(table):
            data = table.to_csv(index=False).encode("utf-8")
            write_whole(
                folder / f"{name}.csv", lambda file, data=data: file.write(data)
            )
    if analysis.pipeline is not None:
        write_whole(
            folder / MODEL_FILE, lambda file: joblib.dump(analysis.pipeline, file)
        )
    write_whole(folder / STATE_FILE, lambda file: _write_state(analysis, file))
    text = json.dumps(analysis.summary, indent=1, ensure_ascii=False) + "\n"
    write_whole(folder / SUMMARY_FILE, lambda file: file.write(text.encode("utf-8")))
    if figures:
        LOGGER.info("Drawing the figures ...")
        draw_files(analysis, folder)


def draw_files(analysis, folder):
    """Write the figures and the report of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    folder : pathlib.Path
        The folder, which exists.
    """
    from ._report.page import write_report

    (folder / "figures").mkdir(exist_ok=True)
    for name in analysis.figure_names:
        figure = analysis.figure(name)
        dpi = _FIGURE_DPI if name != "overview" else 120
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=dpi, bbox_inches="tight")
        write_whole(
            folder / "figures" / f"{name}.png",
            lambda file, data=data: file.write(data.getvalue()),
        )
    LOGGER.info("Writing the report ...")
    write_report(analysis, folder / REPORT_FILE)


def _write_state(analysis, file):
    """Write what is not in the table of sites."""
    source, pose = analysis._source, analysis._pose
    state = {
        "format": _FORMAT_VERSION,
        "parameters": analysis.parameters,
        "versions": analysis.versions,
        "truth": analysis.truth,
        "caught": list(analysis._caught),
        "source": {
            "name": source.name,
            "description": source.description,
            "metadata": analysis.metadata_entries,
            "is_8_bit": source.is_8_bit,
            "saturated_share": source.saturated_share,
            "remarks": list(source.remarks),
            "frames": source.frames,
            "scan": source.scan,
        },
    }
    arrays = {"rows": analysis.rows}
    if pose is not None:
        state["pose"] = {
            "names": pose.names,
            "window_size": pose.window_size,
            "is_registered": pose.is_registered,
            "registration": pose.registration,
        }
        arrays |= {
            "values": pose.values,
            "angle_std": pose.angle_std,
            "clusters": pose.clusters,
        }
        if pose.decoded is not None:
            arrays["decoded"] = pose.decoded
    text = json.dumps(state, ensure_ascii=False)
    np.savez_compressed(file, state=np.array(text), **arrays)


def read_files(folder):
    """Read the files of an analysis.

    Parameters
    ----------
    folder : path-like
        The folder.

    Returns
    -------
    parts : dict
        Arguments of `Analysis`, by name.
    """
    folder = Path(folder).expanduser()
    state, arrays = _read_state(folder)
    sites, source, options, caught = _located(folder, state)
    rows = arrays["rows"]
    if len(rows) and not (0 <= rows.min() and rows.max() < len(sites)):
        raise ValueError(
            f"{str(folder / STATE_FILE)!r} does not belong to {SITES_FILE}. If columns "
            "were added or removed, find the variants again: sklearn-ferroic map."
        )
    pose = None
    if "pose" in state:
        if {len(arrays[name]) for name in _OF_CELLS} != {len(rows)}:
            raise ValueError(f"{str(folder / STATE_FILE)!r} is damaged.")
        pose = Pose(
            values=arrays["values"],
            angle_std=arrays["angle_std"],
            clusters=arrays["clusters"],
            pipeline=_Unread(folder / MODEL_FILE),
            decoded=arrays.get("decoded"),
            **state["pose"],
        )
    return {
        "sites": sites,
        "rows": rows,
        "pose": pose,
        "options": options,
        "source": source,
        "caught": caught,
        "truth": state["truth"],
        "versions": state["versions"],
    }


def load_located(folder):
    """Read the columns of an analysis and the properties of their image.

    Parameters
    ----------
    folder : path-like
        The folder.

    Returns
    -------
    sites : AtomSites
        All columns.
    source : InputImage
        Description of the image, without pixels.
    options : AnalysisOptions
        Options of the analysis.
    caught : list of str
        Warnings of the analysis.
    """
    folder = Path(folder).expanduser()
    state, _ = _read_state(folder)
    return _located(folder, state)


def _located(folder, state):
    """Return columns, description of the image, options and warnings."""
    sites = AtomSites.from_hdf5(folder / SITES_FILE)
    source = InputImage(None, sites.pixel_size[0], **state["source"])
    known = AnalysisOptions.__dataclass_fields__
    options = AnalysisOptions(
        **{name: value for name, value in state["parameters"].items() if name in known}
    )
    return sites, source, options, list(state["caught"])


_OF_CELLS = ("values", "angle_std", "clusters")


class _Unread:
    """A fitted pipeline that is read when it is called.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    """

    def __init__(self, path):
        self.path = path

    def __call__(self):
        """Return the fitted pipeline."""
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no file {str(self.path)!r}.")
        return joblib.load(self.path)


def _read_state(folder):
    """Return the state and the arrays of an analysis."""
    path = folder / STATE_FILE
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r}.")
    if not path.is_file():
        raise FileNotFoundError(
            f"{str(folder)!r} contains no analysis: there is no file {STATE_FILE}."
        )
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        state = json.loads(str(arrays.pop("state")))
        version = state["format"]
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} is damaged. Run the analysis again."
        ) from error
    if version != _FORMAT_VERSION:
        raise ValueError(
            f"{str(path)!r} has format {version}, and this version of sklearn-ferroic "
            f"reads format {_FORMAT_VERSION}. Run the analysis again."
        )
    return state, arrays
