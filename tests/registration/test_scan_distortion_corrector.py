"""ScanDistortionCorrector against the truth of generated and multislice images."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from sklearn_ferroic import (
    AtomLocator,
    AtomSites,
    LatticeStrain,
    ScanDistortionCorrector,
)
from sklearn_ferroic.datasets import load_multislice, make_ferroic_image
from sklearn_ferroic.registration._lines.reference_region import affine_rate
from sklearn_ferroic.sites._fields import SiteField
from tests.registration._distort import draw_lines, scan


def residual(positions, truth, *, affine):
    """Return errors of positions up to a translation, or up to an affine map."""
    distance, found = cKDTree(truth).query(positions)
    assert (distance < 5).all()
    truth = truth[found]
    if not affine:
        error = positions - truth
        return error - np.median(error, axis=0)
    design = np.column_stack([np.ones(len(truth)), truth])
    return positions - design @ np.linalg.lstsq(design, positions, rcond=None)[0]


def rms(error):
    return np.sqrt(np.mean(np.square(error), axis=0))


def scans_of(image, shape, angles, seed, counts=100, **options):
    rng = np.random.default_rng(seed)
    lines = [draw_lines(shape[0], rng, **options) for _ in angles]
    return lines, [
        scan(image, one, angle, shape, rng, counts=counts)
        for one, angle in zip(lines, angles, strict=True)
    ]


@pytest.fixture(scope="module")
def specimen():
    """A film without noise and distortion, and its columns about the centre."""
    data = make_ferroic_image(
        shape=(460, 460), dose=np.inf, drift=0, jitter=0, random_state=0
    )
    return data.image - 100, data.positions - 229.5


@pytest.fixture(scope="module")
def pair(specimen):
    image, truth = specimen
    lines, images = scans_of(image, (340, 340), (0, 90), 0)
    sites = AtomLocator().fit_transform(images)
    corrector = ScanDistortionCorrector(line_time=0.01).fit(images, sites=sites)
    return lines, images, sites, corrector, truth


def test_pair_determines_shear_wave_and_jitter(pair):
    lines, _, sites, corrector, truth = pair
    first = sites[sites.frame == 0]
    corrected = corrector.transform_sites(sites)
    corrected = corrected[corrected.frame == 0]
    before = rms(residual(first.positions - 169.5, truth, affine=False))
    error = residual(
        corrected.positions - 169.5 + lines[0].mean(axis=0), truth, affine=False
    )
    assert before.max() > 1.0
    # What is left is the noise of the fit, by the standard errors with the correction.
    ratio = rms(error / corrected.position_std)
    assert (ratio < 1.25).all()
    assert (ratio > 0.7).all()
    noise = np.median(first.position_std, axis=0)
    assert (rms(error) < 1.4 * noise).all()


def test_values_of_other_positions_do_not_remain(pair):
    class BondedSites(AtomSites):
        fields = (
            *AtomSites.fields,
            SiteField("thickness", "Thickness, nm.", unit="nm"),
            SiteField("bond", "Length of a bond, px.", unit="px", is_geometric=True),
        )

    _, _, sites, corrector, _ = pair
    values = {field.name: getattr(sites, field.name) for field in sites.fields}
    values |= {"thickness": np.arange(len(sites)), "bond": np.ones(len(sites))}
    corrected = corrector.transform_sites(BondedSites(sites.images, **values))
    np.testing.assert_array_equal(corrected.thickness, np.arange(len(sites)))
    assert np.isnan(corrected.bond).all()
    assert np.isfinite(corrected.lattice_vectors).any()


def test_pair_fields(pair):
    lines, _, _, corrector, _ = pair
    for found, std, true in zip(
        corrector.line_shifts_, corrector.line_shifts_std_, lines, strict=True
    ):
        assert found.shape == std.shape == true.shape
        error = found - true
        # Columns alone leave the jitter of single lines, 0.075 and 0.15 px. What is
        # left is their error by the counts of the pixels.
        assert (rms(error - error.mean(axis=0)) < [0.1, 0.12]).all()
        ratio = rms((error - error.mean(axis=0)) / std)
        assert (ratio > 0.7).all()
        assert (ratio < 1.3).all()
    rows = np.arange(340)
    expected = np.polyfit(rows, lines[0], 1)[0]
    np.testing.assert_allclose(corrector.drift_, expected, atol=5e-4)
    np.testing.assert_allclose(corrector.drift_rate_, corrector.drift_ / 0.01)
    assert corrector.n_matched_ > 400


def test_single_lines_are_measured_by_their_pixels(pair):
    lines, _, sites, corrector, _ = pair
    for number, true in enumerate(lines):
        own = sites.frame == number
        rows = sites.positions[own, 0]
        moved = corrector.transform_sites(sites).positions[own] - sites.positions[own]
        # The correction of the columns is the mean over lines, without their scatter.
        of_columns = np.stack(
            [
                np.interp(rows, np.arange(340), part)
                for part in corrector.line_shifts_[number].T
            ],
            axis=1,
        )
        assert np.abs(moved - of_columns).mean() > 0.02
        error = corrector.line_shifts_[number] - true
        fast = (error - error.mean(axis=0))[5:-5, 1]
        smooth = gaussian_filter1d(true[:, 1], 4)[5:-5]
        assert fast.std() < 0.8 * (true[5:-5, 1] - smooth).std()


def test_position_std_grows(pair):
    _, _, sites, corrector, _ = pair
    corrected = corrector.transform_sites(sites)
    assert (corrected.position_std > sites.position_std).all()
    # the part that a refit of the corrected columns does not show
    np.testing.assert_allclose(
        corrected.position_std, np.hypot(sites.position_std, corrected.distortion_std)
    )
    again = corrector.transform_sites(corrected)
    assert (again.distortion_std > corrected.distortion_std).all()
    assert len(corrected) == len(sites)
    np.testing.assert_array_equal(corrected.sublattice, sites.sublattice)


def test_pair_is_resampled_to_one_image(pair):
    lines, images, _, corrector, truth = pair
    result = corrector.transform([(image, 0.02) for image in images])
    assert result.pixel_size == 0.02
    assert result.image.shape == (340, 340)
    located = AtomLocator().fit_transform(result)
    inner = (np.abs(located.positions - 169.5) < 140).all(axis=1)
    places = located.positions[inner] - 169.5 + lines[0].mean(axis=0)
    assert rms(residual(places, truth, affine=False)).max() < 0.25


def test_three_rotations(specimen):
    image, truth = specimen
    angles = (0, 60, 120)
    lines, images = scans_of(image, (280, 280), angles, 1)
    corrector = ScanDistortionCorrector(rotation=angles).fit(images)
    sites = corrector.transform_sites(corrector.sites_)
    sites = sites[sites.frame == 0]
    error = residual(
        sites.positions - 139.5 + lines[0].mean(axis=0), truth, affine=False
    )
    assert rms(error).max() < 0.25


@pytest.mark.filterwarnings("ignore:Outside the reference region")
def test_multislice_with_its_substrate_as_reference():
    data = load_multislice()
    rng = np.random.default_rng(0)
    lines = draw_lines(625, rng, shear=0.01, wave=1.2, jitter=0.2)
    image = scan(data.image, lines, 0, (625, 652), rng)
    sites = AtomLocator().fit_transform(image)
    substrate = sites.positions[:, 0] > 440
    corrector = ScanDistortionCorrector().fit(image, sites=sites, reference=substrate)
    corrected = corrector.transform_sites(sites)
    inner = (np.abs(sites.positions - 312) < 280).all(axis=1)
    undistorted = AtomLocator().fit_transform(data.image)
    own = (np.abs(undistorted.positions - 312) < 280).all(axis=1)
    best = rms(residual(undistorted.positions[own], data.positions, affine=True))
    seen = [
        rms(match_affine(part.positions[inner], sites.positions[inner], data, lines))
        for part in (sites, corrected)
    ]
    # The fast component is corrected to what fits of the undistorted image have.
    assert seen[1][1] < 0.5 * seen[0][1]
    assert seen[1][1] < 1.5 * best[1]
    # The slow component follows from the even spacing of the rows of each domain.
    assert seen[1][0] < 0.7 * seen[0][0]
    assert np.hypot(*seen[1]) < 0.5 * np.hypot(*seen[0])


@pytest.mark.parametrize("first_row", [440, 500, 550])
def test_undistorted_multislice_is_not_changed_by_more_than_its_errors(first_row):
    image = load_multislice().image
    sites = AtomLocator().fit_transform(image)
    substrate = sites.positions[:, 0] > first_row
    corrector = ScanDistortionCorrector().fit(image, sites=sites, reference=substrate)
    moved = corrector.transform_sites(sites).positions
    design = np.column_stack([np.ones(len(sites)), sites.positions])
    change = moved - design @ np.linalg.lstsq(design, moved, rcond=None)[0]
    # Films of two domains on a substrate of another spacing, with walls between them.
    assert (rms(change) < 0.7 * np.nanmedian(sites.position_std, axis=0)).all()


def film_on_substrate(seed, *, drift, relaxed=0.0, noise=0.1):
    """Columns of a film of two domains on its substrate, and where they are seen."""
    rng = np.random.default_rng(seed)
    row, col = (part.ravel() for part in np.indices((23, 20)))
    # The spacing of the film is 27.5 px, or relaxes to that; that of the substrate 26.
    steps = np.full(23, 27.5)
    steps[:15] -= relaxed * np.exp(-np.arange(15)[::-1] / 5)
    steps[15:] = 26.0
    places = np.concatenate([[0], np.cumsum(steps)])[:23]
    truth = np.column_stack([places[row], 26.0 * col]) + [14, 14]
    # A domain whose lattice is turned fills a corner.
    inside = np.maximum(0, 8 - row - col)
    truth[:, 0] += 1.4 * inside
    truth[:, 1] += 1.4 * inside
    lines = drift * draw_lines(625, rng, shear=0, wave=0.9, jitter=0.1)
    lines -= lines.mean(axis=0)
    seen = truth.copy()
    for _ in range(4):
        step = np.stack([np.interp(seen[:, 0], np.arange(625), one) for one in lines.T])
        seen = truth - step.T
    seen = seen + rng.normal(size=seen.shape) * noise
    image = rng.normal(size=(625, 540)).astype(np.float32)
    sites = AtomSites(
        [image],
        seen,
        sublattice=np.zeros(len(seen), int),
        position_std=np.full(seen.shape, noise),
        converged=np.ones(len(seen), bool),
    )
    return image, sites, truth, row > 15


def correct_film(*arguments, **options):
    """Return errors up to an affine map before and after, and the corrector."""
    image, sites, truth, substrate = film_on_substrate(*arguments, **options)
    corrector = ScanDistortionCorrector().fit(image, sites=sites, reference=substrate)
    moved = corrector.transform_sites(sites).positions
    design = np.column_stack([np.ones(len(truth)), truth])
    before, after = (
        rms(part - design @ np.linalg.lstsq(design, part, rcond=None)[0])
        for part in (sites.positions, moved)
    )
    return before, after, rms(moved - sites.positions)


@pytest.mark.filterwarnings("ignore:Outside the reference region")
@pytest.mark.parametrize("seed", range(4))
def test_both_components_of_the_drift_of_a_film(seed):
    before, after, _ = correct_film(seed, drift=1.0)
    assert np.hypot(*after) < 0.5 * np.hypot(*before)
    assert after[0] < 0.8 * before[0]


@pytest.mark.parametrize("relaxed", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_strain_of_a_film_is_not_taken_for_drift(seed, relaxed):
    _, _, change = correct_film(seed, drift=0.0, relaxed=relaxed)
    assert (change < 0.1).all()  # of 0.1 px noise


@pytest.mark.parametrize("seed", range(3))
def test_relaxation_that_may_be_taken_for_drift_is_reported(seed):
    message = "rows are taken to be evenly spaced"
    with pytest.warns(UserWarning, match=message):
        before, after, _ = correct_film(seed, drift=1.0, relaxed=1.0)
    assert after[0] > 0.9 * before[0]  # not improved, and nothing else shows it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        correct_film(seed, drift=0.0, relaxed=1.0)
    image, sites, _, substrate = film_on_substrate(seed, drift=1.0, relaxed=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        corrector = ScanDistortionCorrector(coherent=False)
        corrector.fit(image, sites=sites, reference=substrate)
    assert corrector.even_row_shift_ == 0


def match_affine(positions, raw, data, lines):
    """Return errors up to an affine map, columns being matched by the true lines."""
    step = [np.interp(raw[:, 0], np.arange(len(lines)), part) for part in lines.T]
    distance, found = cKDTree(data.positions).query(raw + np.stack(step, axis=1))
    assert np.mean(distance < 3) > 0.99
    truth = data.positions[found]
    design = np.column_stack([np.ones(len(truth)), truth])
    return positions - design @ np.linalg.lstsq(design, positions, rcond=None)[0]


def test_square_lattice_determines_the_steady_drift(specimen):
    image, _ = specimen
    rng = np.random.default_rng(3)
    lines = draw_lines(400, rng, shear=0.02, wave=0.0, jitter=0.0)
    seen = scan(image, lines, 0, (400, 400), rng, counts=200)
    sites = AtomLocator().fit_transform(seen)
    reference = np.zeros((400, 400), dtype=bool)
    reference[350:] = True
    corrector = ScanDistortionCorrector(lattice="square")
    corrector.fit(seen, sites=sites, reference=reference)
    expected = np.polyfit(np.arange(400), lines, 1)[0]
    np.testing.assert_allclose(corrector.drift_, expected, atol=3e-3)


@pytest.mark.parametrize("lattice", ["square", "hexagonal", (1.2, 85.0)])
def test_affine_rate(lattice):
    ratio, angle = {"square": (1, 90), "hexagonal": (1, 120)}.get(
        lattice if isinstance(lattice, str) else "", lattice
    )
    angle = np.radians(angle)
    a = np.array([0.5, 20.0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    vectors = np.array([a, ratio * turn @ a])
    rate = np.array([0.01, -0.02])
    # Seen positions p fulfil p + rate * p_row = truth.
    seen = vectors - np.outer(vectors[:, 0] / (1 + rate[0]), rate)
    np.testing.assert_allclose(affine_rate(seen, lattice), rate, atol=1e-9)


def test_strain_noise_of_jitter_is_reduced(specimen):
    image, _ = specimen
    rng = np.random.default_rng(5)
    lines = rng.normal(size=(400, 2)) * [0.2, 0.4]
    seen = scan(image, lines, 0, (400, 400), rng, counts=200)
    sites = AtomLocator().fit_transform(seen)
    corrector = ScanDistortionCorrector().fit(seen, sites=sites)
    strains = []
    for part in (sites, corrector.transform_sites(sites)):
        part = part[part.sublattice == 0]
        strain = LatticeStrain().fit_transform(part)
        names = list(LatticeStrain().fit(part).get_feature_names_out())
        strains.append(np.nanstd(strain[:, names.index("strain_xy")]))
    assert strains[1] < 0.8 * strains[0]


def test_image_without_distortion_is_left(specimen):
    image, truth = specimen
    rng = np.random.default_rng(6)
    still = scan(image, np.zeros((300, 2)), 0, (300, 300), rng, counts=200)
    corrector = ScanDistortionCorrector().fit(still)
    assert rms(corrector.line_shift_).max() < 0.05
    before, after = (
        rms(residual(part.positions - 149.5, truth, affine=False))
        for part in (corrector.sites_, corrector.transform_sites(corrector.sites_))
    )
    assert (after < 1.1 * before).all()


def test_mirrored_images_are_noticed(specimen):
    image, _ = specimen
    _, images = scans_of(image, (300, 300), (0, 90), 2, wave=0, shear=0)
    with pytest.warns(UserWarning, match="not correlated"):
        ScanDistortionCorrector().fit([images[0], images[1][::-1].copy()])


def test_masked_pixels_and_pixel_size(specimen):
    image, _ = specimen
    still = np.ma.masked_array(image[:200, :200], np.zeros((200, 200), dtype=bool))
    still[:20] = np.ma.masked
    corrector = ScanDistortionCorrector()
    result = corrector.fit((still, 0.02)).transform((still, 0.02))
    assert result.pixel_size == 0.02
    assert np.ma.getmaskarray(result.image)[:18].all()


def test_wrong_calls_are_explained(specimen):
    image = specimen[0][:200, :200]
    sites = AtomLocator().fit_transform(image)
    corrector = ScanDistortionCorrector()
    with pytest.raises(ValueError, match="use FrameAverager"):
        corrector.fit([image, image, image])
    with pytest.raises(ValueError, match="differ by at least 10 degrees"):
        ScanDistortionCorrector(rotation=(0, 180)).fit([image, image])
    with pytest.raises(ValueError, match="at least 12 are needed"):
        corrector.fit(image, sites=sites, reference=np.arange(len(sites)) < 5)
    with pytest.raises(TypeError, match="truth values"):
        corrector.fit(image, sites=sites, reference=np.arange(len(sites)))
    with pytest.raises(ValueError, match="reference must have the shape"):
        corrector.fit(image, sites=sites, reference=np.ones(3, dtype=bool))
    with pytest.raises(TypeError, match="must be AtomSites"):
        corrector.fit(image, sites=sites.positions)
    with pytest.raises(ValueError, match="sites have images of shapes"):
        corrector.fit(image[:150], sites=sites)
    with pytest.raises(ValueError, match="lattice must be"):
        ScanDistortionCorrector(lattice=(0, 90)).fit(image)
    corrector.fit(image, sites=sites)
    with pytest.raises(ValueError, match="measured for"):
        corrector.transform(image[:150])
    with pytest.raises(TypeError, match="must be AtomSites"):
        corrector.transform_sites(image)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_an_image_without_distortion_is_not_sheared(seed):
    # a short reference region: its slope would be extrapolated to five times its rows
    film = make_ferroic_image(shape=(330, 300), drift=0, jitter=0, random_state=seed)
    sites = AtomLocator().fit_transform(film)
    corrector = ScanDistortionCorrector()
    corrector.fit(film, sites=sites, reference=sites.positions[:, 0] > 285)
    change = corrector.transform_sites(sites).positions - sites.positions
    centered = sites.positions - sites.positions.mean(axis=0)
    slope = np.linalg.lstsq(centered, change - change.mean(axis=0), rcond=None)[0]
    assert np.abs(slope).max() < 5e-4
    assert np.sqrt(np.mean(np.square(change - change.mean(axis=0)))) < 0.05
