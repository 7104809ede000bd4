"""Reports say why a result is doubtful, and nothing where it is not."""

import numpy as np
import pytest

from sklearn_ferroic import analyze
from sklearn_ferroic.analysis._doubts import in_terms_of_options
from sklearn_ferroic.analysis._report.page import verdict
from sklearn_ferroic.datasets import make_ferroic_image


def keys(analysis):
    return {doubt.key for doubt in analysis.doubts}


def with_fewest_doubts(film, **options):
    return analyze(film, stages="locate", **options)


def test_a_good_image_has_no_doubts():
    film = make_ferroic_image("film", shape=(420, 420), random_state=0)
    analysis = analyze(film, max_epochs=8)
    assert keys(analysis) == set()
    assert analysis.summary["warnings"] == []
    assert verdict(analysis).count("Four variants of displaced cells") == 1


@pytest.mark.parametrize(
    ("pixel_size", "is_doubtful"), [(0.02, False), (0.2, True), (0.002, True)]
)
def test_implausible_calibration(film, pixel_size, is_doubtful):
    analysis = with_fewest_doubts(film, pixel_size=pixel_size)
    assert ("calibration" in keys(analysis)) == is_doubtful
    texts = [text for text in analysis.summary["warnings"] if "nm apart" in text]
    assert len(texts) == is_doubtful


def test_image_of_8_bits_without_a_pixel_size(film):
    image = film.image / film.image.max()
    analysis = with_fewest_doubts(np.uint8(255 * image))
    assert {"eight_bit", "no_pixel_size"} <= keys(analysis)
    clipped = with_fewest_doubts(np.uint8(np.clip(400 * image, 0, 255)))
    assert "saturated" in keys(clipped)
    assert not {"eight_bit", "saturated", "no_pixel_size"} & keys(
        with_fewest_doubts(film)
    )


def test_noise_and_few_cells(film):
    rng = np.random.default_rng(0)
    noise = 0.35 * np.ptp(film.image) * rng.normal(size=film.image.shape)
    noisy = with_fewest_doubts((film.image + noise, film.pixel_size))
    assert "low_dose" in keys(noisy)
    assert "low_dose" not in keys(with_fewest_doubts(film))
    few = with_fewest_doubts((film.image[:200, :200], film.pixel_size))
    assert "few_cells" in keys(few)


def test_a_displacement_of_all_cells_may_be_mistilt():
    film = make_ferroic_image(
        "film", shape=(360, 360), displacement_pm=0, random_state=0
    )
    pixel = np.indices(film.image.shape).transpose(1, 2, 0)
    image = np.random.default_rng(0).poisson(40.0, film.image.shape).astype(float)
    # B columns are displaced against A by 0.6 px everywhere
    for center, label in zip(film.positions, film.sublattice, strict=True):
        center = center + [0.0, 0.6 * label]
        near = tuple(slice(max(0, int(part) - 12), int(part) + 13) for part in center)
        square = ((pixel[near] - center) ** 2).sum(axis=2)
        image[near] += (900, 450)[label] * np.exp(-square / 2 / 2.6**2)
    tilted = analyze((image, 0.02), max_epochs=5)
    assert "mistilt" in keys(tilted)
    assert "All cells have the same displacement, 1" in verdict(tilted)
    assert "does not prove a polar material" in verdict(tilted)
    # a group with a displacement, but no variant, domain or wall
    assert tilted.summary["variants"] == []
    group = tilted.summary["other_groups"][0]
    assert group["is_significant"]
    assert group["name"] == "group 0"
    assert tilted.domains is None
    assert tilted.caveat == "one displacement for all, as mistilt makes too"
    (text,) = [t for t in tilted.summary["warnings"] if t.startswith("Mistilt")]
    length = float(text.split("is ")[1].split(" pm")[0])
    assert length == pytest.approx(12, abs=1.5)
    straight = analyze((image, 0.02), max_epochs=5, reference=(0, 360, 0, 360))
    assert "mistilt" not in keys(straight)
    assert straight.reference_shift[1] == pytest.approx(0.6, abs=0.08)


def test_nothing_displaced_is_not_significant():
    film = make_ferroic_image(
        "film", shape=(320, 320), displacement_pm=0, random_state=0
    )
    analysis = analyze(film, max_epochs=5)
    assert "not_significant" in keys(analysis)
    assert analysis.summary["variants"] == []
    assert "No displacement differs from zero" in verdict(analysis)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Give spacing= in px.", "Give --spacing in px."),
        ("frame=3 is out of range", "--frame 3 is out of range"),
        ("Choose one with dataset=.", "Choose one with --dataset."),
        ('n_clusters=2, locator="unet"', "--clusters 2, --locator unet"),
        ("Try UNetAtomLocator", "Try --locator unet"),
    ],
)
def test_messages_name_the_options_of_the_command(text, expected):
    assert in_terms_of_options(text) == expected


def test_scan_lines_that_displace_their_columns_together():
    film = make_ferroic_image("film", shape=(400, 400), jitter=0.3, random_state=10)
    analysis = with_fewest_doubts(film)
    (doubt,) = [one for one in analysis.doubts if one.key == "scan_distortion"]
    assert "pm (standard deviation)" in doubt.text
    for remedy in ("--correct-scan", "ScanDistortionCorrector", "FrameAverager"):
        assert remedy in doubt.text
    # Once corrected, the report lists the correction instead.
    corrected = with_fewest_doubts(film, correct_scan=True)
    assert "scan_distortion" not in keys(corrected)
    assert corrected.summary["scan"]["jitter_px"][1] > 0.05
