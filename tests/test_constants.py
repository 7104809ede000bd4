"""Tuned constants have a unit in their names and a reason next to them."""

import ast
from pathlib import Path
from string import ascii_uppercase

import pytest

import sklearn_ferroic

PACKAGE = Path(sklearn_ferroic.__file__).parent
# The constants of localization are in settings objects.
EXEMPT = {"localization", "__main__.py", "__init__.py"}
# Still to be renamed.
EXEMPT |= {"_windows", "sublattices.py", "sublattice_evidence.py", "neighbor_graph.py"}
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not set(path.relative_to(PACKAGE).parts) & EXEMPT
]
# Codes, constants of mathematics and numbers that keep quotients finite.
OTHERS = {
    "_DONE",
    "_FAILED",
    "_WRONG_ARGUMENTS",
    "_TERMINATED",
    "_DOTTED",
    "_ROOT_2",
    "TINY",
    "_TINY",
    "ABSENT",
}
OTHERS |= {"PRESENT", "MISSED", "VACANT", "OUT_OF_VIEW"}
UNITS = """
Lengths, angles, time, and sizes on paper and on disk:
px px2 nm pm cm2 rad deg s bytes in inches pt pt2 dpi characters
Lengths and sizes relative to others of the image or figure:
cell cells spacings vectors radii heights sigma
Numbers without a dimension:
share fraction ratio ratios factor percent percentile percentiles quantile std errors
deviations scatters medians nats log probability level correlation cos cosine sine
resultant skewness moment kurtosis vote opacity exponent brightness background
variance significance order worst rgb kappa freedom weight gain square ridge
Numbers of objects:
n bins bonds candidates charges classes clusters columns components crystals entries
evaluations examples fields folds frames groups images guards items lags layers
lattices lengths levels lines loops matches neighbors offsets parts passes patches
pixels points rounds rows samples sectors sites steps sublattices terms variants votes
windows attempts blocks count counts fewest iter version
"""
UNITS = {
    word
    for line in UNITS.strip().split("\n")
    if not line.endswith(":")
    for word in line.split()
}


def is_number(node):
    """Return whether an expression consists of numbers only."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(map(is_number, node.elts))
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return (
        isinstance(node, ast.Call)
        and bool(node.args)
        and all(map(is_number, node.args))
    )


def constants(path):
    """Yield the names of numerical constants with the line of their assignment."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and is_number(node.value):
            for target in node.targets:
                for name in getattr(target, "elts", [target]):
                    yield name.id, node.lineno


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


def test_exempt_folders_and_modules_exist():
    parts = {part for path in PACKAGE.rglob("*.py") for part in path.parts}
    assert EXEMPT - parts == set()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_of_constants_have_a_unit(path):
    without = [
        name
        for name, _ in constants(path)
        if name not in OTHERS and not UNITS & set(name.lower().strip("_").split("_"))
    ]
    assert without == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_constants_have_a_comment(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    without = []
    for name, number in constants(path):
        above = number - 2
        # Constants on successive lines share a comment.
        while lines[above].startswith(("_", *ascii_uppercase, *" )}]")):
            above -= 1
        if name != "_TINY" and not lines[above].startswith("#"):
            without.append(name)
    assert without == []
