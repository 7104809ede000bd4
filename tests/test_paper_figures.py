"""Every panel of the paper's figures is in the table and drawn by a script."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Letters of the panels of figures 1 to 7: 34 panels.
LETTERS = {1: "abcde", 2: "abcde", 3: "abcd", 4: "abcde", 5: "abcdef", 6: "abcdef"}
LETTERS[7] = "abc"
PANELS = [
    f"{figure}{letter}" for figure, letters in LETTERS.items() for letter in letters
]
VERDICTS = {"holds", "fails", "depends"}


def table_rows():
    """Return panel, cell texts and linked scripts of each row of the table."""
    page = (ROOT / "docs" / "paper_figures.md").read_text(encoding="utf-8")
    for line in page.splitlines():
        match = re.match(r"\| (\d[a-f]) \|", line)
        if match:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            scripts = re.findall(r"auto_examples/(\w+)\.rst", line)
            yield match[1], cells, scripts


ROWS = list(table_rows())


def panels_in(script):
    """Return the panels that begin a text in a script, the titles of its axes."""
    source = (ROOT / "examples" / f"{script}.py").read_text(encoding="utf-8")
    texts = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    found = [re.match(r"(\d[a-f])(?:$|\s)", text) for text in texts]
    return {match[1] for match in found if match}


def panels_drawn_by(script):
    """Return the panels that the table assigns to a script."""
    return {panel for panel, _, scripts in ROWS if scripts[0] == script}


def test_the_table_has_every_panel_once():
    assert len(PANELS) == 34
    assert [panel for panel, _, _ in ROWS] == PANELS


@pytest.mark.parametrize(("panel", "cells", "scripts"), ROWS, ids=PANELS)
def test_a_row_has_a_verdict_and_a_script_that_draws_it(panel, cells, scripts):
    assert len(cells) == 5
    assert cells[3].split(",")[0] in VERDICTS
    assert scripts
    assert panel in panels_in(scripts[0])


def test_the_checklist_has_every_figure():
    page = (ROOT / "docs" / "figure_checklist.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+\.py)\]", page, re.MULTILINE)
    scripts = sorted(path.name for path in (ROOT / "examples").glob("plot_*.py"))
    assert sorted(set(rows)) == scripts


# The paper's network ------------------------------------------------------------------

RUNS = sorted((ROOT / "benchmarks" / "paper_network").glob("*.jsonl"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_the_page_has_the_last_record_of_each_training(path):
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    image, window, encoder, seed = path.stem.split("_")
    row = (
        f"| {image} | {window[:-2]} px | {encoder} | {seed} | {last['epoch']} | "
        f"{last['share']:.1%} | {last['median']:.1f}° | {last['resultant']:.3f} |"
    )
    page = (ROOT / "docs" / "paper_model.md").read_text(encoding="utf-8")
    assert row.replace("%", " %") in page


def test_the_pictures_of_the_network_are_small():
    paths = list((ROOT / "docs" / "images").glob("paper_network_*.png"))
    assert len(paths) == 9
    assert max(path.stat().st_size for path in paths) < 400_000
