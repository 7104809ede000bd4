"""The report is one whole file, and its viewer works in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from sklearn_ferroic import analyze
from sklearn_ferroic.analysis._report.page import _cell, _minus
from sklearn_ferroic.datasets import make_ferroic_image

VOID = {"meta", "link", "img", "br"}
# An SVG of the viewer is written by its script, which the parser does not enter.


class Page(HTMLParser):
    """Elements, links and text of a page; every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.references, self.ids, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.references += [attrs[name] for name in ("src", "href") if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack[-1:] not in (["script"], ["style"]):
            self.text += data


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def viewer_data(text):
    pattern = r'<script type="application/json" id="viewer-data">(.*?)</script>'
    return json.loads(re.search(pattern, text, re.DOTALL)[1])


def test_it_is_one_whole_file(text, folder):
    page = Page(text)
    links = [link for link in page.references if not link.startswith("data:")]
    assert links
    for link in links:
        # the log is written by the command
        assert (folder / link).exists() or link == "analysis.log"
    assert "http" not in re.sub(r"data:[^\"]*", "", text)
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < 2_000_000


def test_it_shows_variants_figures_parameters_and_versions(text, analysis):
    page = Page(text)
    for name in analysis.figure_names:
        assert (f"figure-{name}" in page.ids) == (name != "overview")
    for row in analysis.summary["variants"]:
        assert row["name"] in page.text
        assert f"{row['magnitude']:.1f} ± {row['magnitude_std']:.1f}" in page.text
    for word in ("random_state", "window_size used", "scikit-learn", "Walls"):
        assert word in page.text
    for doubt in analysis.doubts:
        assert doubt.text in page.text


def test_the_viewer_holds_every_column(text, analysis):
    data = viewer_data(text)
    np.testing.assert_allclose(
        data["sites"]["row"], analysis.sites.positions[:, 0], atol=0.006
    )
    assert data["cells"]["site"] == analysis.rows.tolist()
    assert data["cells"]["group"] == analysis.labels.tolist()
    assert len(data["walls"]) == len(analysis.walls)
    # cells have the shape of the lattice, to a twenty-fifth of a cell
    vectors = np.array(data["shapes"])[data["sites"]["shape"]].reshape(-1, 2, 2)
    known = np.isfinite(analysis.sites.lattice_vectors).all(axis=(1, 2))
    error = vectors[known] - analysis.sites.lattice_vectors[known]
    assert np.abs(error).max() < 0.025 * analysis.cell_size
    lengths = np.hypot(*(1e3 * 0.02 * analysis.cells.polarization.T))
    shown = np.array(
        [
            np.nan if row is None else np.hypot(row, col)
            for row, col in zip(
                data["cells"]["dRow"], data["cells"]["dCol"], strict=True
            )
        ]
    )
    np.testing.assert_allclose(shown, lengths, atol=0.15)


def test_names_of_files_are_escaped(film, tmp_path):
    path = tmp_path / "a&b<i>.npy"
    np.save(path, film.image[:200, :200])
    analysis = analyze(path, stages="locate")
    analysis.report(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Report on a&b<i>.npy" in page.text


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOVER = """
<script>
addEventListener("error", (event) => { document.title = "error " + event.message; });
const timer = setInterval(() => {
  const canvas = document.getElementById("viewer-canvas");
  if (!canvas.dataset.ready) return;
  clearInterval(timer);
  const {sites, toScreen} = canvas.viewer, rect = canvas.getBoundingClientRect();
  const [x, y] = toScreen(sites.row[SITE], sites.col[SITE]);
  const at = {clientX: rect.left + x, clientY: rect.top + y, bubbles: true};
  for (const button of document.querySelectorAll("#viewer-layers button")) {
    button.click();
  }
  canvas.dispatchEvent(new PointerEvent("pointermove", at));
  document.body.dataset.layers = canvas.viewer.layers.map((l) => l.name).join("|");
  document.querySelector("#viewer-layers button").click();
  document.getElementById("viewer-out").click();
  // frames may not be requested when the virtual time ends: draw at once
  canvas.viewer.draw();
  document.body.dataset.outside = countOutside(canvas);
}, 50);
// Pixels beside the image, above the scale bar, that differ from the background.
function countOutside(canvas) {
  const [x0, y0] = canvas.viewer.toScreen(-1.5, -1.5);
  const [x1, y1] = canvas.viewer.toScreen(HEIGHT + 0.5, WIDTH + 0.5);
  const {width, height, data} = canvas.getContext("2d").getImageData(
    0, 0, canvas.width, Math.floor(0.8 * canvas.height));
  let count = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = x > x0 && x < x1 && y > y0 && y < y1;
      count += !inside && data[4 * (y * width + x)] !== 232;
    }
  }
  return count;
}
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_tooltips_in_a_browser(text, analysis, tmp_path):
    cell = len(analysis.rows) // 2
    site = int(analysis.rows[cell])
    height, width = analysis.sites.images[0].shape
    script = HOVER.replace("SITE", str(site))
    script = script.replace("HEIGHT", str(height)).replace("WIDTH", str(width))
    page = text.replace("</body>", script)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--virtual-time-budget=8000", "--enable-logging=stderr"),
            f"--user-data-dir={tmp_path / 'profile'}",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr
    tip = re.search(r'<div id="viewer-tip"[^>]*>(.*?)</div>', done.stdout)[1]
    assert f"column {site}" in tip
    displacement = np.hypot(*analysis.cells.polarization[cell]) * 20
    if np.isfinite(displacement):
        shown = float(re.search(r"displacement ([\d.]+)", tip)[1])
        assert shown == pytest.approx(displacement, abs=0.15)
    layers = re.search(r'data-layers="([^"]*)"', done.stdout)[1].split("|")
    assert layers[:2] == ["Domains and walls", "Displacements"]
    # cells end at the border of the image
    assert re.search(r'data-outside="(\d+)"', done.stdout)[1] == "0"


@pytest.mark.slow
def test_ten_thousand_cells_fit_into_5_mb(tmp_path):
    film = make_ferroic_image("film", shape=(2020, 2020), random_state=0)
    analysis = analyze(film, vae=False)
    assert len(analysis.cells) > 9_900
    analysis.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


@pytest.mark.parametrize(
    ("value", "std", "text"),
    [
        (39.8271, 0.4986, "39.8 ± 0.5"),
        (-135.43, 1.16, "−135.4 ± 1.2"),
        (36.02, 3.372, "36 ± 3"),
        (0.8425, 0.07604, "0.84 ± 0.08"),
        (48.0, None, "48.0"),
        (152.4, np.nan, "152"),
        (np.nan, 1.0, ""),
        ("neutral", None, "neutral"),
    ],
)
def test_values_are_rounded_by_their_errors(value, std, text):
    assert _cell(value, std) == text


def test_zeros_have_no_sign():
    assert _minus("-0.0 pm, -0.04 pm, -10") == "0.0 pm, −0.04 pm, −10"
