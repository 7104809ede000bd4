"""Check what a wheel and an sdist contain: all modules and data, nothing else."""

import argparse
import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "sklearn_ferroic"
# Data files without which a part of the package does not work.
DATA = {
    f"{PACKAGE}/datasets/data/multislice_pto_sto.npz",
    f"{PACKAGE}/localization/_unet/unet_1.safetensors",
}
# Top-level entries of an sdist.
SDIST = {
    PACKAGE,
    "tests",
    "examples",
    "benchmarks",
    "docs",
    "CITATION.cff",
    "LICENSE",
    "Makefile",
    "PKG-INFO",
    "constraints-oldest.txt",
    "constraints.txt",
    "pyproject.toml",
    ".gitignore",
}
MAX_WHEEL_BYTES = 10_000_000


def source_files():
    """Return the files of the package in the checkout, relative to its root."""
    paths = (ROOT / PACKAGE).rglob("*")
    return {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def wheel_problems(path):
    """Yield what is wrong with the content of a wheel."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    own = {name for name in names if name.startswith(f"{PACKAGE}/")}
    info = {name for name in names if ".dist-info/" in name}
    for name in sorted(source_files() - own):
        yield f"{path.name} lacks {name}"
    for name in sorted(DATA - names):
        yield f"{path.name} lacks the data file {name}"
    for name in sorted((own - source_files()) | (names - own - info)):
        yield f"{path.name} should not contain {name}"
    if not any("licenses/LICENSE" in name for name in info):
        yield f"{path.name} lacks the licence"
    if path.stat().st_size > MAX_WHEEL_BYTES:
        yield f"{path.name} has {path.stat().st_size} bytes"


def sdist_problems(path):
    """Yield what is wrong with the content of an sdist."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in sorted(source_files() - names):
        yield f"{path.name} lacks {name}"
    top = {name.partition("/")[0] for name in names} - {""}
    for name in sorted(top - SDIST):
        if not name.endswith(".md"):
            yield f"{path.name} should not contain {name}"


def version_problems(path, version):
    """Yield what is wrong with the version of a distribution."""
    found = re.search(rf"{PACKAGE}-(.+?)(-py3|\.tar)", path.name)[1]
    if found != version:
        yield f"{path.name} has the version {found}, the tag {version}"


def main():
    """Check the distributions in a folder; return the number of problems."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", help="the version that the files must have")
    options = parser.parse_args()
    wheels = sorted(options.folder.glob("*.whl"))
    sdists = sorted(options.folder.glob("*.tar.gz"))
    problems = []
    if len(wheels) != 1 or len(sdists) != 1:
        problems.append(f"expected one wheel and one sdist, got {wheels} and {sdists}")
    for path in wheels:
        problems += wheel_problems(path)
    for path in sdists:
        problems += sdist_problems(path)
    if options.version:
        for path in wheels + sdists:
            problems += version_problems(path, options.version)
    for problem in problems:
        print(problem)
    return len(problems)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
