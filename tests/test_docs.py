"""Pages are whole: names, links, citation; the notebook runs."""

import ast
import re
from importlib import import_module
from pathlib import Path

import nbclient
import nbformat
import pytest

import sklearn_ferroic

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md")) + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES = [page for page in PAGES if "_build" not in page.parts]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def public_names():
    """Give the public objects by their names in the API reference."""
    names = {
        f"sklearn_ferroic.{name}" for name in ("AtomSites", "SiteFlag", "SiteQuality")
    }
    for module_name in sklearn_ferroic.__all__:
        module = getattr(sklearn_ferroic, module_name)
        for name in getattr(module, "__all__", ()):
            top_level = name in sklearn_ferroic.__all__
            path = name if top_level else f"{module_name}.{name}"
            names.add(f"sklearn_ferroic.{path}")
    return names


def test_every_public_name_is_in_the_api_reference():
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   (sklearn_ferroic\S+)$", text, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == public_names()


def anchors(page):
    """Give the anchors that a page's headings have."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def target_of(page, path):
    """Give the file that a link is about; the gallery's pages come from scripts."""
    target = (page.parent / path).resolve()
    if target.parent == DOCS / "auto_examples":
        if target.stem == "index":
            return ROOT / "examples" / "GALLERY_HEADER.rst"
        return ROOT / "examples" / f"{target.stem}.py"
    return target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_internal_links_resolve(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = target_of(page, path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_parse_and_import_what_exists(page):
    blocks = re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
    )
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            own = isinstance(node, ast.ImportFrom) and "sklearn_ferroic" in node.module
            for alias in node.names if own else ():
                assert hasattr(import_module(node.module), alias.name)


def test_getting_started_shows_what_the_readme_runs():
    first = [
        re.search(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)[1]
        for page in (ROOT / "README.md", DOCS / "getting_started.md")
    ]
    assert first[0] == first[1]


def test_every_page_is_in_the_contents():
    listed = set()
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```{toctree}\n(.*?)^```", text, re.M | re.S):
            entries = [line for line in block.split("\n") if line[:1] not in ("", ":")]
            for entry in entries:
                target = (page.parent / entry).resolve()
                listed.update(target.parent.glob(f"{target.name}.*"))
    pages = {page for page in PAGES if DOCS in page.parents}
    assert pages - listed == {DOCS / "index.md"}


def test_every_figure_of_the_paper_is_linked_from_a_page():
    linked = {
        target_of(page, path)
        for page in PAGES
        for path in LINK.findall(page.read_text(encoding="utf-8"))
        if "auto_examples/" in path
    }
    figures = set((ROOT / "examples").glob("plot_paper_*.py"))
    assert figures
    assert figures <= linked


def test_citation_page_says_what_the_citation_file_says():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    page = (DOCS / "citing.md").read_text(encoding="utf-8")
    families = re.findall(r"family-names: (\S+)", citation)
    assert len(families) == 9
    assert [name for name in families if page.count(name) < 2] == []
    version = re.search(r"^version: (\S+)", citation, re.MULTILINE)[1]
    assert version == sklearn_ferroic.__version__
    assert page.count(f"version {version}") == 1
    assert page.count(f"{{{version}}}") == 1


def test_notebook_holds_no_outputs():
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    kinds = [cell.cell_type for cell in notebook.cells]
    # sentences before every cell of code
    assert all(kinds[i - 1] == "markdown" for i, k in enumerate(kinds) if k == "code")


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning:jupyter_client")
@pytest.mark.filterwarnings("default::DeprecationWarning:zmq")
def test_notebook_runs(tmp_path, monkeypatch):
    # pictures go into the notebook, whatever draws the other tests'
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    # the package from this checkout, installed or not, and warnings as errors
    setup = f"import sys, warnings; sys.path.insert(0, {str(ROOT)!r})\n"
    setup += "warnings.simplefilter('error', UserWarning)"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(setup))
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    last = notebook.cells[-2]
    table = last.outputs[-1]["data"]["text/plain"]
    # four variants at odd multiples of 45°, by the medians of the five clusters
    medians = [float(line.split()[6]) for line in table.split("\n")[2:]]
    assert len(medians) == 5
    for variant in (-135, -45, 45, 135):
        assert min(abs(median - variant) for median in medians) < 5
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 5
