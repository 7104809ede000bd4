"""The package is a stack of layers: imports point downwards, and folders stay small."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sklearn_ferroic

PACKAGE = Path(sklearn_ferroic.__file__).parent
# From the bottom to the top: each may import what is before it.
LAYERS = [
    "_utils",
    "_lattice",
    "sites",
    "_torch",
    "datasets",
    "_image",
    "localization",
    "registration",
    "feature_extraction",
    "decomposition",
    "preprocessing",
    "domains",
    "model_selection",
    "metrics",
    "inspection",
    "analysis",
]
# Upward imports that are still to be removed: (importing module, imported layer).
UPWARD = set()
# Private modules of a lower layer that a module imports, with the reason. A stage
# should use the public objects of another, or a shared layer such as _lattice.
PRIVATE_IMPORTS = {
    # Containers of other packages name their axes as files do.
    ("_image.input", "datasets._containers"),
    # Only the command reads a mask from a file.
    ("analysis._images", "datasets._load_image"),
    # The report warns of what registration corrects.
    ("analysis._doubts", "registration._lines.row_bands"),
    # The figures and the viewer of the report have the colours of the displays.
    ("analysis._figures", "inspection._drawing.colors"),
    ("analysis._report.viewer_data", "inspection._drawing.colors"),
    # Flags have the same text in tables and in the viewer.
    ("analysis._report.viewer_data", "sites._flags"),
    # Fitted sites are recognized by their images, as in files and caches of sites.
    ("feature_extraction._input", "sites._shared_images"),
    # The display also draws estimators that decode latents without `latent_grid`.
    ("inspection._plot.latents.latent_manifold", "decomposition._generation"),
    # Sites are checked against their image once, when they are located.
    ("localization._assembly", "sites._quality.checks"),
    ("localization._assembly", "sites._quality.residual"),
}
MAX_LAYERS = 16
MAX_CHILDREN = 12
# Folders that are still to be divided.
LARGE_FOLDERS = set()
MAX_LINES = 700


def modules():
    """Return the modules of the package by their dotted names below the root."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "__main__.py":
            continue  # imports the command and is imported by nothing
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


MODULES = modules()


def lazy_attributes(name):
    """Return the modules of the attributes that a package imports lazily."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "submod_attrs":
            table = ast.literal_eval(node.value)
            return {
                attr: f"{name}.{module}" for module in table for attr in table[module]
            }
    return {}


def imports_of(name):
    """Return the modules of the package that a module imports, anywhere in it."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.ImportFrom) and node.level):
            continue
        base = package[: len(package) - node.level + 1]
        base = ".".join([*base, *((node.module or "").split("."))]).strip(".")
        lazy = lazy_attributes(base) if base in MODULES else {}
        for alias in node.names:
            target = f"{base}.{alias.name}".strip(".")
            found.add(target if target in MODULES else lazy.get(alias.name, base))
    # The root package itself only has the version.
    return found - {""}


IMPORTS = {name: imports_of(name) for name in MODULES if name}


# The same within a layer: columns, then their detection.
INNER_LAYERS = ["localization._fitting", "localization._detection"]


def layer_of(name):
    return name.split(".")[0]


def test_every_module_is_in_a_layer():
    assert {layer_of(name) for name in IMPORTS} <= set(LAYERS)
    assert len(LAYERS) <= MAX_LAYERS


@pytest.mark.parametrize("name", IMPORTS)
def test_imports_point_downwards(name):
    own = LAYERS.index(layer_of(name))
    upward = {
        imported
        for imported in IMPORTS[name]
        if LAYERS.index(layer_of(imported)) > own
        and (name, layer_of(imported)) not in UPWARD
    }
    assert upward == set()


@pytest.mark.parametrize("number", range(len(INNER_LAYERS) - 1))
def test_imports_within_localization_point_downwards(number):
    own, above = INNER_LAYERS[number], INNER_LAYERS[number + 1 :]
    upward = {
        (name, imported)
        for name in IMPORTS
        for imported in IMPORTS[name]
        if name.startswith(f"{own}.") and imported.startswith(tuple(above))
    }
    assert upward == set()


def private_imports(name):
    """Return the private modules of other layers that a module imports by their path.

    Shared layers, whose names begin with an underscore, are free for all.
    """
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base = [*base, *(node.module or "").split(".")]
            is_shared = base[0].startswith("_") or base[0] == layer_of(name)
            if not is_shared and any(part.startswith("_") for part in base):
                yield ".".join(base)


def test_stages_use_few_private_modules_of_others():
    found = {(name, other) for name in IMPORTS for other in private_imports(name)}
    assert found == PRIVATE_IMPORTS


def test_allowed_upward_imports_exist():
    upward = {(name, layer_of(other)) for name in IMPORTS for other in IMPORTS[name]}
    assert upward >= UPWARD


def test_no_module_imports_itself_through_others():
    graph = {
        name: {other for other in imported if (name, layer_of(other)) not in UPWARD}
        for name, imported in IMPORTS.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"cycle: {' -> '.join(error.args[1])}")
    assert len(order) == len(graph)


FOLDERS = sorted(
    path.parent.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("__init__.py")
    if path.parent != PACKAGE
)


def children_of(folder):
    """Return the modules and folders in a folder, without its own __init__."""
    return [
        path
        for path in (PACKAGE / folder).iterdir()
        if path.name not in ("__init__.py", "__pycache__")
        and (path.suffix == ".py" or path.is_dir())
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_has_few_children(folder):
    if folder not in LARGE_FOLDERS:
        assert len(children_of(folder)) <= MAX_CHILDREN
    else:
        assert len(children_of(folder)) > MAX_CHILDREN, "remove it from LARGE_FOLDERS"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_of_readable_length(name):
    lines = MODULES[name].read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES
