"""What the README shows runs as it stands."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_python_blocks_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = README.read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, str(README), "exec"), names)
    plt.close("all")
    assert (tmp_path / "domains.png").stat().st_size > 10_000
    assert names["window_size"] == 48
    assert names["n_clusters"] == 5
    assert names["registration"].is_determined_
    assert len(np.unique(names["labels"])) == 5
    assert len(names["labels"]) == len(names["sites"])
    assert np.isfinite(names["search"].cv_results_["mean_test_score"]).all()


def test_files_it_links_to_exist():
    text = README.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert links
    assert not [link for link in links if not (README.parent / link).exists()]
