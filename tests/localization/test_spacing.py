"""The spacing of columns, from images that mislead an autocorrelation."""

import warnings

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.spacing import estimate_spacing


def lattice(a, b, shape, origin=(3.0, 4.0), margin=40):
    """Points of a lattice on or near an image."""
    index = np.stack(np.meshgrid(*[np.arange(-150, 151)] * 2), axis=-1).reshape(-1, 2)
    points = index @ np.array([a, b], dtype=float) + origin
    return points[((points > -margin) & (points < np.add(shape, margin))).all(axis=1)]


def draw(shape, points, sigma, height=1.0, stretch=1.0, tails=0.0):
    """Columns that may be longer along the diagonal, with tails twice as wide."""
    image = np.zeros(shape)
    reach = int(8 * sigma)
    for (row, col), high in zip(
        points, np.broadcast_to(height, len(points)), strict=True
    ):
        rows = np.arange(max(0, int(row) - reach), min(shape[0], int(row) + reach))
        cols = np.arange(max(0, int(col) - reach), min(shape[1], int(col) + reach))
        if not len(rows) or not len(cols):
            continue
        down, along = (rows - row)[:, None], cols - col
        long, short = (down + along) / np.sqrt(2), (along - down) / np.sqrt(2)
        square = ((long / stretch) ** 2 + short**2) / (2 * sigma**2)
        profile = (1 - tails) * np.exp(-square) + tails * np.exp(-square / 4)
        image[rows[:, None], cols] += high * profile
    return image


def perovskite(cell, sigmas, ratio, shape=(380, 400), angle=0.0, **options):
    """A columns at the corners of cells, B columns in the middle."""
    cos, sin = np.cos(angle), np.sin(angle)
    basis = cell * np.array([[cos, sin], [-sin, cos]])
    corner = lattice(*basis, shape)
    middle = lattice(*basis, shape, origin=np.array([3, 4]) + basis.sum(axis=0) / 2)
    image = draw(shape, corner, sigmas[0], **options)
    return image + draw(shape, middle, sigmas[1], height=ratio, **options)


def noisy(image, std, seed=0):
    noise = np.random.default_rng(seed).normal(0, std, image.shape)
    return np.float32(image + noise)


@pytest.mark.parametrize("ratio", [0.25, 0.35])
@pytest.mark.parametrize("stretch", [1.2, 1.35])
def test_stretched_columns(ratio, stretch):
    image = perovskite(13.13, (2.45, 2.45), ratio, (300, 300), stretch=stretch)
    found = estimate_spacing(noisy(0.5 + image, 0.02))
    assert found == pytest.approx(13.13 / np.sqrt(2), rel=0.06)


@pytest.mark.parametrize("ratio", [0.12, 0.18, 0.25, 0.35])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_faint_columns_between_broad_ones(ratio, angle):
    image = perovskite(26.0, (4.9, 3.9), ratio, angle=angle)
    found = estimate_spacing(noisy(0.2 + image, 0.03))
    assert found == pytest.approx(26 / np.sqrt(2), rel=0.04)


@pytest.mark.parametrize("ratio", [0.12, 0.2])
def test_faint_columns_between_tails(ratio):
    image = perovskite(40.0, (5.5, 5.0), ratio, (560, 560), angle=0.2, tails=0.2)
    found = estimate_spacing(noisy(image, 0.03))
    assert found == pytest.approx(40 / np.sqrt(2), rel=0.04)


@pytest.mark.parametrize("tails", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("sigma", [0.14, 0.2, 0.26])
@pytest.mark.parametrize(
    "second", [(0.0, 1.0), (0.5, 0.866), (0.25, 1.05), (0.0, 1.35)], ids=str
)
def test_nothing_between_columns_of_one_kind(tails, sigma, second):
    spacing = 22.0
    basis = spacing * np.array([[1.0, 0.0], second])
    for seed, angle in enumerate((0.0, 0.3)):
        turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        points = lattice(*(basis @ turn), (380, 400))
        rng = np.random.default_rng(seed)
        height = 1 + 0.08 * rng.normal(size=len(points))
        points = points + rng.normal(0, 0.2, points.shape)
        image = draw((380, 400), points, sigma * spacing, height, tails=tails)
        found = estimate_spacing(noisy(image, 0.05, seed))
        assert found == pytest.approx(spacing, rel=0.06)


def test_saturated_columns_of_one_kind():
    points = lattice((26.0, 0.0), (0.0, 26.0), (400, 400))
    image = np.clip(1.5 * draw((400, 400), points, 4.8), 0, 1)
    found = estimate_spacing(noisy(image, 0.05))
    assert found == pytest.approx(26.0, rel=0.02)


@pytest.mark.parametrize("amplitude", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("period", [2.7, 4.08, 7.3])
def test_interference(amplitude, period):
    image = 1 + perovskite(29.7, (5.0, 5.0), 0.6, (512, 512), angle=0.2)
    wave = amplitude * np.sin(2 * np.pi * np.arange(512) / period)
    wave += 0.1 * amplitude * np.sin(4 * np.pi * np.arange(512) / period)
    for hum in (wave, wave[:, None], wave + np.roll(wave, 7)[:, None]):
        found = estimate_spacing(noisy(image + hum, 0.1))
        assert found == pytest.approx(29.7 / np.sqrt(2), rel=0.02)


def test_interference_with_frequency_that_drifts():
    image = 1 + perovskite(29.7, (5.0, 5.0), 0.6, (512, 512), angle=0.2)
    row, col = np.mgrid[:512, :512]
    phase = 2 * np.pi * (col + 0.31 * row) / 5 + 2 * np.sin(row / 150)
    found = estimate_spacing(noisy(image + 0.1 * np.sin(phase), 0.1))
    assert found == pytest.approx(29.7 / np.sqrt(2), rel=0.02)


def test_interference_alone_is_no_lattice():
    for seed in range(4):
        wave = np.sin(2 * np.pi * np.arange(400) / (3 + 2.3 * seed))
        assert np.isnan(estimate_spacing(noisy(np.tile(wave, (400, 1)), 2.0, seed)))
    with pytest.raises(ValueError, match="No columns found"):
        AtomLocator().fit(noisy(np.tile(wave, (400, 1)), 2.0))


def test_superlattice_has_the_spacing_of_its_columns():
    points = lattice((14.0, 0.0), (0.0, 14.0), (380, 380))
    even = np.rint((points - [3, 4]).sum(axis=1) / 14).astype(int) % 2 == 0
    for dim in (0.4, 0.6, 0.8):
        image = draw((380, 380), points, 2.6, np.where(even, 1.0, dim))
        found = estimate_spacing(noisy(image, 0.05))
        assert found == pytest.approx(14.0, rel=0.02)


@pytest.mark.parametrize("tails", [0.0, 0.2])
def test_resolved_pairs_have_their_own_distance(tails):
    """Of dumbbells that are resolved, the spacing is that within them."""
    middle = lattice((0.0, 51.0), (36.0, 25.5), (500, 500))
    half = np.array([0.0, 8.0])
    image = draw((500, 500), middle - half, 3.0, tails=tails)
    image += draw((500, 500), middle + half, 3.0, 0.8, tails=tails)
    found = estimate_spacing(noisy(image, 0.05))
    assert found == pytest.approx(16.0, rel=0.12)


def test_unresolved_pairs_are_columns():
    middle = lattice((0.0, 51.0), (36.0, 25.5), (500, 500))
    half = np.array([0.0, 5.5])
    image = draw((500, 500), middle - half, 5.5) + draw((500, 500), middle + half, 5.5)
    found = estimate_spacing(noisy(image, 0.05))
    assert found == pytest.approx(np.hypot(36, 25.5), rel=0.05)


def test_eight_bits_and_vacuum():
    image = perovskite(30.0, (5.2, 4.4), 0.2, (460, 460), angle=0.3)
    row, col = np.mgrid[:460, :460]
    image *= 1 / (1 + np.exp((row + 0.4 * col - 420) / 4))
    image = noisy(image, 0.04)
    image = np.rint(255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    for whole in (image, image + 0.3, image * 7.0 + 1000):
        found = estimate_spacing(np.float32(whole))
        assert found == pytest.approx(30 / np.sqrt(2), rel=0.04)


def test_drift_and_shear():
    image = perovskite(24.0, (4.4, 3.8), 0.25, (420, 420), angle=0.25)
    row = np.arange(420)
    shift = 2.0 * np.sin(row / 60) + 0.03 * row
    cols = np.arange(420) + shift[:, None]
    image = np.stack(
        [np.interp(c, np.arange(420), r) for c, r in zip(cols, image, strict=True)]
    )
    found = estimate_spacing(noisy(image, 0.04))
    assert found == pytest.approx(24 / np.sqrt(2), rel=0.04)


def test_a_spacing_that_misses_columns_is_said_once():
    image = perovskite(26.0, (3.4, 3.0), 0.6)
    # told the distance of next-nearest columns, and that nothing faint is wanted
    locator = AtomLocator(spacing=11.0, threshold=0.9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        locator.fit_transform([noisy(0.2 + image, 0.03)] * 2)
    (message,) = [str(warning.message) for warning in caught]
    assert "image 0" in message.lower()
    assert "1 more image" in message
    assert "spacing=" in message
