"""Measure the size of the code and the number of modules that a call enters.

    python benchmarks/code_measures.py

Prints the tables of ``docs/development.md``: modules and lines per folder, lengths of
modules, constants of the localization, and what four calls enter: functions, modules
and moves. A move is the first call of a function by a function of another module.
Calls run in one thread on a small generated image.
"""

import ast
import sys
import warnings
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline

import sklearn_ferroic
from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.metrics import spatial_coherence_scorer

PACKAGE = Path(sklearn_ferroic.__file__).parent


def count_lines(path):
    return path.read_text(encoding="utf-8").count("\n")


def print_folders():
    """Print the modules and lines of each folder, without initialisation modules."""
    print("| folder | modules | lines |\n|---|---:|---:|")
    for folder in sorted(path for path in PACKAGE.iterdir() if path.is_dir()):
        paths = [path for path in folder.rglob("*.py") if path.name != "__init__.py"]
        if paths:
            lines = sum(map(count_lines, paths))
            print(f"| `{folder.name}/` | {len(paths)} | {lines:,} |")


def print_lengths():
    """Print the number and the median and maximum length of modules."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    lengths = [count_lines(path) for path in paths]
    short = sum(length < 150 for length in lengths)
    print(
        f"modules {len(lengths)}, median {median(lengths):.0f} lines, longest "
        f"{max(lengths)}, shorter than 150 lines {short}"
    )


def is_number(node):
    """Return whether an expression is a number or consists of numbers."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(map(is_number, node.elts))
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    return (
        isinstance(node, ast.BinOp) and is_number(node.left) and is_number(node.right)
    )


def print_constants():
    """Print the numerical constants of localization, with those of pixels."""
    n_module = n_settings = n_groups = n_stages = 0
    folders = [PACKAGE / "_image", PACKAGE / "localization"]
    for path in [path for folder in folders for path in folder.rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and is_number(node.value):
                for target in node.targets:
                    names = getattr(target, "elts", [target])
                    n_module += sum(name.id.strip("_").isupper() for name in names)
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                numbers = [
                    isinstance(part, ast.AnnAssign) and is_number(part.value)
                    for part in node.body
                ]
                n_settings += sum(numbers)
                n_groups += any(numbers)
                # A stage holds the groups of its modules.
                n_stages += not any(numbers)
    print(
        f"constants of localization: {n_module} at module level, {n_settings} in "
        f"{n_groups} groups of settings, gathered in {n_stages} objects"
    )


class CallTracer:
    """Record the functions of the package that are entered within this context."""

    def __init__(self):
        self.functions, self.moves = {}, {}

    def _module(self, code):
        path = Path(code.co_filename)
        return path if path.is_relative_to(PACKAGE) else None

    def _enter(self, frame, event, argument):
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<"):
            return
        module = self._module(code)
        if module is None:
            return
        self.functions[code] = module
        caller = frame.f_back
        while caller is not None and self._module(caller.f_code) is None:
            caller = caller.f_back
        if caller is not None and self._module(caller.f_code) != module:
            self.moves[caller.f_code, code] = module

    def __enter__(self):
        sys.setprofile(self._enter)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)


def print_calls():
    """Print the functions, modules and moves of four calls."""
    warnings.simplefilter("ignore")
    data = make_ferroic_image(shape=(256, 256), random_state=0)
    locator = AtomLocator()
    sites = locator.fit_transform(data.image)
    sites = sites[sites.sublattice == 1]
    extractor = PatchExtractor(window_size=24)
    patches = extractor.fit_transform(sites)
    vae = RotationalVAE(max_epochs=2, random_state=0, device="cpu")
    clusters = make_pipeline(extractor, KMeans(4, random_state=0)).fit(sites)
    calls = {
        "AtomLocator.fit(X)": lambda: AtomLocator().fit(data.image),
        "AtomLocator.transform(X)": lambda: locator.transform(data.image),
        "RotationalVAE.fit(X)": lambda: vae.fit(patches),
        "spatial_coherence_scorer": lambda: spatial_coherence_scorer(clusters, sites),
    }
    print("| call | functions | modules | moves |\n|---|---:|---:|---:|")
    for name, call in calls.items():
        call()
        with CallTracer() as tracer:
            call()
        n_modules = len(set(tracer.functions.values()))
        print(f"| `{name}` | {len(tracer.functions)} | {n_modules} | ", end="")
        print(f"{len(tracer.moves)} |")


if __name__ == "__main__":
    np.seterr(all="ignore")
    print_folders()
    print_lengths()
    print_constants()
    print_calls()
