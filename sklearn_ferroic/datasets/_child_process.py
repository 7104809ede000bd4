"""Loading an image in a process of its own, which may hang or crash without harm."""

import json
import subprocess
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np

# Errors that the child passes on; of others it names the type.
_ERRORS = {"ValueError": ValueError, "TypeError": TypeError, "ImportError": ImportError}


def load_in_child(path, options, time_limit):
    """Load an image in another process.

    Parameters
    ----------
    path : path-like
        The file.
    options : dict
        As :func:`load_image` takes them.
    time_limit : float
        Seconds after which the process is ended.

    Returns
    -------
    data : dict
        What `load_image` returns; values of the metadata are plain, arrays are lists
        and types that JSON lacks are text.
    """
    with tempfile.TemporaryDirectory() as folder:
        order = json.dumps([str(path), str(folder), sys.path, options])
        command = [sys.executable, "-c", f"import sys; {_START}", order]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=time_limit
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(
                f"{str(path)!r} could not be read within time_limit={time_limit:g} s. "
                "Is it damaged? Otherwise allow more time."
            ) from error
        answer = Path(folder) / "answer.json"
        if not answer.exists():
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ValueError(
                f"{str(path)!r} could not be read: the process that read it ended with "
                f"code {done.returncode} ({last[0]}). Is it damaged?"
            )
        data = json.loads(answer.read_text("utf-8"))
        if "error" in data:
            kind, message = data["error"]
            raise _ERRORS.get(kind, ValueError)(message)
        for message in data.pop("warnings"):
            warnings.warn(message, UserWarning, stacklevel=3)
        data["image"] = np.load(Path(folder) / "image.npy", allow_pickle=False)
        return data


# sys.path first: the package may lie where only this process looks for it.
_START = (
    "import json; order = json.loads(sys.argv[1]); sys.path[:] = order[2]; "
    "from sklearn_ferroic.datasets._child_process import answer; answer(*order)"
)


def answer(path, folder, _, options):
    """Load an image and write it to a folder, in the child."""
    load_image = import_module("sklearn_ferroic.datasets").load_image
    folder = Path(folder)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            data = dict(load_image(path, **options))
    except Exception as error:
        data = {"error": [type(error).__name__, str(error)]}
    else:
        np.save(folder / "image.npy", data.pop("image"), allow_pickle=False)
        data["warnings"] = [
            str(one.message) for one in caught if one.category is UserWarning
        ]
    text = json.dumps(data, default=_plain, skipkeys=True)
    partial = folder / "answer.part"
    partial.write_text(text, "utf-8")
    partial.rename(folder / "answer.json")


def _plain(value):
    """Return the JSON-serializable part of a value."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist() if value.dtype.kind in "biufU" else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return dict(value) if hasattr(value, "keys") else str(value)
