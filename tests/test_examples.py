"""The examples run as they stand and end in a picture."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.test_paper_figures import panels_drawn_by

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))


def test_they_have_a_title_and_blocks():
    assert len(EXAMPLES) == 30
    for path in EXAMPLES:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == '"""'
        assert lines[2] == "=" * len(lines[1])
        assert lines.count("# %%") >= 3


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_they_run(path, capsys):
    plt.close("all")
    runpy.run_path(str(path))
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    for figure in figures:
        figure.canvas.draw()
        # more than one blank sheet
        assert np.asarray(figure.canvas.buffer_rgba())[..., :3].std() > 10
    titles = {ax.get_title(loc="left")[:2] for fig in figures for ax in fig.axes}
    assert panels_drawn_by(path.stem) <= titles
    plt.close("all")
    printed = capsys.readouterr().out
    assert printed
    assert "nan" not in printed
