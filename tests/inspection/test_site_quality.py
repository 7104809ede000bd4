"""The picture of the quality shows what the numbers say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, AtomSites, SiteFlag
from sklearn_ferroic.inspection import SiteQualityDisplay


@pytest.fixture(scope="module")
def faulty(ferroic_image):
    """Located sites less one column, with a duplicate."""
    sites = AtomLocator().fit_transform(ferroic_image)
    center = np.hypot(*(sites.positions - [96, 104]).T).argmin()
    rest = sites[np.arange(len(sites)) != center]
    copy = rest[[np.hypot(*(rest.positions - [40, 40]).T).argmin()]]
    copy.positions += 2.0
    return AtomSites.concatenate([rest, copy]), sites.positions[center]


def test_markers_are_where_the_faults_are(faulty):
    sites, gone = faulty
    quality = sites.quality()
    display = SiteQualityDisplay.from_sites(sites)
    miss = display.scatters_["suspected_miss"].get_offsets()
    np.testing.assert_allclose(miss, [gone[::-1]], atol=2)
    pair = display.scatters_["short_pair"].get_offsets()
    expected = sites.positions[quality.short_pairs[0], ::-1]
    np.testing.assert_array_equal(np.sort(pair, axis=0), np.sort(expected, axis=0))
    beside = display.scatters_["hole"].get_offsets()
    assert len(beside) == np.count_nonzero(quality.flags & SiteFlag.HOLE)
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts[0] == "suspected miss (1)"
    assert "short pair (2)" in texts
    assert not any("merged" in text for text in texts)
    assert display.residual_ax_ is None


def test_markers_differ_in_shape_and_not_in_colour_alone(ferroic_image):
    sites = AtomSites(
        ferroic_image.image,
        ferroic_image.positions[:20],
        flags=np.r_[
            np.array([int(flag) for flag in SiteFlag]),
            np.zeros(20 - len(SiteFlag), int),
        ],
    )
    display = SiteQualityDisplay(
        sites.images[0],
        sites.positions,
        sites.flags,
        suspected_misses=sites.positions[:1] + 3,
        vacancies=sites.positions[:1] + 9,
    ).plot()
    assert set(display.scatters_) == {
        "suspected_miss",
        "vacancy",
        "ok",
        *(flag.name.lower() for flag in SiteFlag),
    }
    looks = {
        (
            scatter.get_paths()[0].vertices.round(3).tobytes(),
            len(scatter.get_facecolors()) > 0,
            int(scatter.get_sizes()[0]),
        )
        for name, scatter in display.scatters_.items()
        if name != "vacancy"
    }
    assert len(looks) == len(display.scatters_) - 1


def test_residual_is_drawn_beside(faulty):
    sites, gone = faulty
    display = SiteQualityDisplay.from_sites(sites, residual=True)
    residual = display.residual_image_.get_array()
    row, col = np.rint(gone).astype(int)
    low, high = display.residual_image_.get_clim()
    assert low == -high
    assert residual[row, col] > 0.5 * high
    assert display.residual_ax_ is not display.ax_
    _, axes = plt.subplots(1, 2)
    again = SiteQualityDisplay.from_sites(sites, residual=True, ax=axes)
    assert (again.ax_, again.residual_ax_) == tuple(axes)
    with pytest.raises(ValueError, match="ax must be two axes"):
        SiteQualityDisplay.from_sites(sites, residual=True, ax=axes[0])


def test_quality_of_other_sites_is_refused(faulty):
    sites, _ = faulty
    with pytest.raises(ValueError, match=r"give sites\.quality\(\) of these sites"):
        SiteQualityDisplay.from_sites(sites[3:], quality=sites.quality())


def test_markers_show_in_large_images_and_small(faulty):
    sites, _ = faulty
    for size in (1.6, 12.0):
        figure = plt.figure(figsize=(size, size), layout="constrained")
        display = SiteQualityDisplay.from_sites(sites, ax=figure.add_subplot())
        # Diameter in points.
        diameter = np.sqrt(display.scatters_["suspected_miss"].get_sizes()[0])
        assert 3 <= diameter <= 22
