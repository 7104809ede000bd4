"""Settings of pixels and localization: units in names, none unused, few constants."""

import ast
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from sklearn_ferroic import _image, localization
from sklearn_ferroic._image.settings import IMAGE
from sklearn_ferroic.localization import _batch, _checks, _quality_warning
from sklearn_ferroic.localization._detection.settings import DETECTION
from sklearn_ferroic.localization._fitting.settings import FITTING
from sklearn_ferroic.localization._unet.settings import UNET

SOURCES = {
    path: path.read_text(encoding="utf-8")
    for package in (_image, localization)
    for path in Path(package.__file__).parent.rglob("*.py")
}
STAGES = {"IMAGE": IMAGE, "FITTING": FITTING, "DETECTION": DETECTION, "UNET": UNET}
UNITS = set(
    "px spacings sigma std share ratio ratios log variances periods samples ranges "
    "distances reaches bins cells weights coefficients probability quantile sine "
    "cosine concentration skewness".split()
)


def groups():
    """Generate the names in the code and the settings of each group."""
    for stage, settings in STAGES.items():
        for group in fields(settings):
            yield f"{stage}.{group.name}", getattr(settings, group.name)
    for module in (_batch, _checks, _quality_warning):
        yield module.__name__.split(".")[-1], module._SETTINGS


def module_constants():
    """Return the names of the numbers at the top level of the modules."""

    def is_number(node):
        if isinstance(node, ast.Tuple | ast.List):
            return bool(node.elts) and all(map(is_number, node.elts))
        if isinstance(node, ast.UnaryOp):
            return is_number(node.operand)
        if isinstance(node, ast.BinOp):
            return is_number(node.left) and is_number(node.right)
        return isinstance(node, ast.Constant) and type(node.value) in (int, float)

    return [
        name.id
        for path, source in SOURCES.items()
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and is_number(node.value)
        for target in node.targets
        for name in getattr(target, "elts", [target])
    ]


@pytest.mark.parametrize("name, group", list(groups()))
def test_names_of_settings_hold_their_units(name, group):
    assert is_dataclass(group)
    for setting in fields(group):
        words = setting.name.split("_")
        assert "n" in words or UNITS.intersection(words), f"{name}.{setting.name}"


@pytest.mark.parametrize("name, group", list(groups()))
def test_settings_are_used(name, group):
    used = set()
    for path, source in SOURCES.items():
        alias = re.search(rf"^(\w+) = {re.escape(name)}$", source, re.MULTILINE)
        prefixes = [re.escape(name)] + ([alias[1]] if alias else [])
        if path.stem == name:
            prefixes.append("_SETTINGS")
        for prefix in prefixes:
            used.update(re.findall(rf"\b{prefix}\.(\w+)", source))
    assert not {setting.name for setting in fields(group)} - used


def test_few_constants_are_at_module_level_and_their_names_hold_their_units():
    constants = module_constants()
    assert len(constants) <= 60
    # Places of parameters in an array, and orders, have none.
    for name in set(constants) - {"AMPLITUDE", "SIGMA", "_MOMENT_ORDERS"}:
        assert UNITS.union({"n"}).intersection(name.lower().split("_")), name
