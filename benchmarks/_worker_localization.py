"""Run one tool in a process of its own: its imports, one thread, its peak memory.

    python _worker_localization.py TOOL FOLDER NUMBER ...

The folder holds ``jobs.joblib``, a list of jobs of which the first one is small and
warms the tool up, and receives ``TOOL.joblib``.
"""

import ctypes
import gc
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib
import numpy as np
from _known import Known, Located
from _peers_localization import TOOLS
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Job:
    """An image, where it lies, and what is known of it."""

    image: str
    known: Known


@dataclass(frozen=True)
class Outcome:
    """What became of a job: located, or the reason why not; and the peak in MB."""

    located: Located | None
    failure: str
    peak_memory: float


def run_job(tool, job):
    image = np.load(job.image)
    before = _restart_peak()
    located, failure = None, ""
    try:
        located = tool.locate(image, job.known)
    except Exception as error:
        # A tool that fails on an image is a result.
        failure = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Outcome(located, failure, _peak() - before)


def _restart_peak():
    """Forget the peak so far; return the memory that is held now, MB."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        return np.nan
    return _memory("VmRSS")


def _peak():
    return _memory("VmHWM") if Path("/proc/self/status").exists() else np.nan


def _memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = next(line.split() for line in lines if line.startswith(name))
    return int(fields[1]) / 1024


def package_version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def main():
    name, folder, *numbers = sys.argv[1:]
    tool = TOOLS[name]
    jobs = joblib.load(Path(folder) / "jobs.joblib")
    with threadpool_limits(1):
        run_job(tool, jobs[0])
        outcomes = {int(number): run_job(tool, jobs[int(number)]) for number in numbers}
    versions = {package: package_version(package) for package in tool.packages}
    joblib.dump((outcomes, versions), Path(folder) / f"{name}.joblib")


if __name__ == "__main__":
    main()
