"""Walls: position, type, charge, width, and none that noise makes."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from sklearn.mixture import GaussianMixture

from sklearn_ferroic import AtomSites
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.domains import find_walls
from sklearn_ferroic.feature_extraction import measure_lattice
from tests.domains._scenes import grid, perovskite, tanh_wall

COLUMNS = {
    "label_a",
    "label_b",
    "angle_deg",
    "charge",
    "length_nm",
    "width_nm",
    "width_std_nm",
    "n_cells",
}


def test_columns_have_the_unit_that_is_known():
    sites, labels = tanh_wall(0)
    walls = find_walls(sites, labels)
    assert isinstance(walls, pd.DataFrame)
    assert {name.replace("_nm", "_px") for name in COLUMNS} <= set(walls.columns)
    assert not any(name.endswith("_nm") for name in walls.columns)
    calibrated = AtomSites(
        sites.images, sites.positions, polarization=sites.polarization, pixel_size=0.02
    )
    in_nm = find_walls(calibrated, labels)
    assert set(in_nm.columns) >= COLUMNS
    assert in_nm.width_nm[0] == pytest.approx(0.02 * walls.width_px[0])
    assert in_nm.length_nm[0] == pytest.approx(0.02 * walls.length_px[0])


def test_table_without_walls_has_the_columns():
    walls = find_walls(grid((10, 10), polarization=np.ones((100, 2))), np.zeros(100))
    assert len(walls) == 0
    assert "charge" in walls
    assert walls.attrs["polylines"] == walls.attrs["polylines"]
    assert (walls.attrs["wall"] == -1).all()


def test_width_and_position_of_a_tanh_wall():
    ratio, pull, offset = [], [], []
    for seed in range(12):
        sites, labels = tanh_wall(seed, width=2.0, noise=0.2)
        walls = find_walls(sites, labels)
        assert len(walls) == 1
        ratio.append(walls.width_px[0] / 40)
        pull.append((walls.width_px[0] - 40) / walls.width_std_px[0])
        offset.append(np.abs(walls.attrs["polylines"][0][:, 1] - 303).max() / 20)
        assert walls.n_cells[0] in (28, 29, 30)
    assert np.abs(np.array(ratio) - 1).max() < 0.2
    assert np.mean(ratio) == pytest.approx(1, abs=0.04)
    assert 0.5 < np.std(pull) < 1.6
    assert max(offset) < 0.5


@pytest.mark.parametrize(
    ("left", "right", "angle", "kind", "charge", "net"),
    [
        ((1, 0), (-1, 0), 180, "180", "neutral", 0),
        ((0, 1), (0, -1), 180, "180", "head-to-head", 1),
        ((0, -1), (0, 1), 180, "180", "tail-to-tail", -1),
        ((1, 1), (-1, 1), 90, "90", "neutral", 0),
        ((1, 1), (1, -1), 90, "90", "head-to-head", 1),
        ((1, 0), (0, -1), 90, "90", "head-to-head", 0.707),
    ],
)
def test_type_and_charge(left, right, angle, kind, charge, net):
    sites, labels = tanh_wall(1, vector=(left, right), noise=0.2)
    for swap in (labels, 1 - labels):
        walls = find_walls(sites, swap)
        assert walls.angle_deg[0] == pytest.approx(angle, abs=6)
        assert abs(walls.angle_deg[0] - angle) < 4 * walls.angle_std_deg[0] + 2
        assert walls.wall_type[0] == kind
        assert walls.charge[0] == charge
        assert walls.net_normal[0] == pytest.approx(net, abs=0.1)
        assert abs(walls.orientation_deg[0]) == pytest.approx(90, abs=3)


def test_negative_vectors_exchange_head_and_tail():
    sites, labels = tanh_wall(1, vector=((0, 1), (0, -1)))
    walls = find_walls(sites, labels, -sites.polarization)
    assert walls.charge[0] == "tail-to-tail"


def test_a_wall_with_a_corner_is_two_walls():
    sites = grid((30, 30))
    row, col = sites.positions.T
    inside = (row > 300) & (col < 300)
    rng = np.random.default_rng(0)
    sites.polarization = rng.normal(0, 0.2, (900, 2))
    sites.polarization[:, 0] += 1
    sites.polarization[:, 1] += np.where(inside, 1, -1)
    walls = find_walls(sites, inside)
    by_charge = walls.set_index("charge")
    assert sorted(walls.charge) == ["head-to-head", "neutral"]
    assert abs(by_charge.orientation_deg["neutral"]) < 5
    assert by_charge.n_cells.between(12, 16).all()


def test_no_wall_in_a_uniform_domain():
    for seed in range(10):
        sites = measure_lattice(perovskite(seed, n=24, shift=(0.3, 0.4), noise=0.25))
        cells = sites[sites.sublattice == 1]
        known = np.isfinite(cells.polarization).all(axis=1)
        labels = np.full(len(cells), -1)
        labels[known] = GaussianMixture(2 + seed % 3, random_state=seed).fit_predict(
            cells.polarization[known]
        )
        assert len(find_walls(cells, labels)) == 0


def test_wrong_labels_in_a_domain_make_no_wall():
    sites, labels = tanh_wall(0)
    wrong = np.random.default_rng(0).random(len(labels)) < 0.1
    walls = find_walls(sites, np.where(wrong, 1 - labels, labels))
    assert len(walls) == 1
    assert np.abs(walls.attrs["polylines"][0][:, 1] - 303).max() < 10


def test_unlabelled_cells_in_the_wall_are_bridged():
    sites, labels = tanh_wall(0)
    in_wall = np.abs(sites.positions[:, 1] - 303) < 20
    assert len(np.unique(sites.positions[in_wall, 1])) == 2
    walls = find_walls(sites, np.where(in_wall, -1, labels))
    assert len(walls) == 1
    assert walls.width_px[0] == pytest.approx(40, rel=0.2)
    # A layer that is wider is no wall.
    layer = np.abs(sites.positions[:, 1] - 303) < 60
    assert len(find_walls(sites, np.where(layer, -1, labels))) == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_walls_of_the_generated_film(seed):
    data = make_ferroic_image("film", mistilt_mrad=0, random_state=seed)
    b = data.sublattice == 1
    truth = AtomSites(
        data.image,
        data.positions[b],
        polarization=data.polarization[b],
        pixel_size=data.pixel_size,
    )
    true = find_walls(truth, data.variant[b])
    noisy = AtomSites(
        data.image,
        data.positions[b],
        polarization=data.polarization[b]
        + np.random.default_rng(seed).normal(0, 0.3, (b.sum(), 2)),
        pixel_size=data.pixel_size,
    )
    found = find_walls(noisy, data.variant[b])
    assert len(found) == len(true) == 7
    # Vertical walls are neutral, the inclined one is not; the width is 0.8 nm.
    vertical = np.abs(np.abs(found.orientation_deg) - 90) < 8
    assert vertical.sum() == 4
    assert (found.charge[vertical] == "neutral").all()
    assert found.charge[~vertical].isin(["head-to-head", "tail-to-tail"]).all()
    assert (found.wall_type == "90").all()
    pull = (found.width_nm - 0.8) / found.width_std_nm
    assert np.abs(pull).max() < 3.5
    for index in found.index:
        line = found.attrs["polylines"][index]
        distance = min(
            np.median(cKDTree(other).query(line)[0])
            for other in true.attrs["polylines"].values()
        )
        assert distance < 0.5 * 19.8


def test_closed_wall_around_an_island():
    sites = grid((40, 40))
    inside = np.hypot(*(sites.positions - 400).T) < 220
    rng = np.random.default_rng(0)
    sites.polarization = rng.normal(0, 0.2, (1600, 2))
    sites.polarization[:, 0] += np.where(inside, 1, -1)
    walls = find_walls(sites, inside)
    assert walls.closed.tolist() == [True]
    assert walls.length_px[0] == pytest.approx(2 * np.pi * 220, rel=0.05)
    line = walls.attrs["polylines"][0]
    np.testing.assert_array_equal(line[0], line[-1])
    assert np.abs(np.hypot(*(line - 400).T) - 220).max() < 10


def test_narrow_domains_have_the_angle_of_their_middle():
    # A stripe of four cells: the slope of its walls reaches into all of its cells.
    sites = grid((24, 24))
    x = sites.positions[:, 1] / 20
    share = 0.5 * (np.tanh(x - 10) - np.tanh(x - 14))
    angles = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sites.polarization = rng.normal(0, 0.2, (len(x), 2))
        sites.polarization += np.column_stack([1 - 2 * share, np.ones(len(x))])
        walls = find_walls(sites, share > 0.5)
        assert walls.charge.tolist() == ["neutral", "neutral"]
        angles.extend(walls.angle_deg)
    assert np.mean(angles) == pytest.approx(90, abs=3)


def test_labels_without_a_step_of_the_vectors_have_no_wall():
    sites, labels = tanh_wall(0, vector=((1, 0.2), (0.6, 0.1)))
    assert len(find_walls(sites, labels)) == 0
    assert len(find_walls(sites, labels, min_angle=0)) == 1


def test_interface_with_a_nonpolar_material_has_no_angle():
    sites, labels = tanh_wall(0, vector=((0, 1), (0, 0)))
    walls = find_walls(sites, labels)
    assert walls.wall_type.tolist() == ["undetermined"]
    assert np.isnan(walls.angle_deg[0])
    # The bound charge of the step is known all the same.
    assert walls.charge.tolist() == ["head-to-head"]
    assert walls.normal_step[0] == pytest.approx(1, abs=0.1)


def test_walls_without_vectors_have_no_charge():
    sites, labels = tanh_wall(0)
    bare = AtomSites(sites.images, sites.positions)
    walls = find_walls(bare, labels)
    assert walls.charge.tolist() == ["undetermined"]
    assert walls.wall_type.tolist() == ["undetermined"]
    assert np.isnan(walls.angle_deg[0])
    assert np.isnan(walls.width_px[0])


def test_two_images_are_apart():
    first, labels = tanh_wall(0)
    second, _ = tanh_wall(1)
    both = AtomSites.concatenate(
        [
            first,
            AtomSites(
                np.ones((600, 600)), second.positions, polarization=second.polarization
            ),
        ]
    )
    walls = find_walls(both, np.tile(labels, 2))
    assert sorted(walls.frame) == [0, 1]


def test_attributes_follow_a_sorted_table():
    sites, labels = tanh_wall(0)
    walls = find_walls(sites, labels)
    sorted_walls = pd.concat([walls, walls]).sort_values("length_px")
    assert sorted_walls.attrs["polylines"] is walls.attrs["polylines"]
    on_wall = walls.attrs["wall"] == 0
    assert 30 <= on_wall.sum() <= 60
    assert np.abs(sites.positions[on_wall, 1] - 303).max() < 20


def test_bad_input_is_refused():
    sites, labels = tanh_wall(0)
    with pytest.raises(TypeError, match="AtomSites"):
        find_walls(sites.positions, labels)
    with pytest.raises(ValueError, match="one entry per site"):
        find_walls(sites, labels[:-1])
    with pytest.raises(ValueError, match="shape \\(900, 2\\)"):
        find_walls(sites, labels, np.zeros((900, 3)))
    with pytest.raises(ValueError, match="not continuous values"):
        find_walls(sites, np.linspace(0, 1, 900))
    with pytest.raises(ValueError, match="one sublattice"):
        find_walls(perovskite(0), np.zeros(841))


@pytest.mark.parametrize("scale", [1e6, 1e-3, 1e-6, 1e-9])
def test_width_and_errors_do_not_depend_on_the_unit(scale):
    sites, labels = tanh_wall(0)
    walls = find_walls(sites, labels)
    scaled = find_walls(sites, labels, scale * sites.polarization)
    lengths = ["width_px", "width_std_px", "net_normal", "net_normal_std", "angle_deg"]
    np.testing.assert_allclose(scaled[lengths], walls[lengths], rtol=1e-6)
    np.testing.assert_allclose(scaled.normal_step, scale * walls.normal_step)
    one, other = walls.attrs["profiles"][0], scaled.attrs["profiles"][0]
    unit = np.array([scale, scale, 1])
    np.testing.assert_allclose(other.parameters, one.parameters * unit, rtol=1e-6)
    np.testing.assert_allclose(
        other.covariance, one.covariance * np.outer(unit, unit), rtol=1e-5
    )
    np.testing.assert_allclose(other.offset_std, one.offset_std, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wall_types", ()),
        ("wall_types", 180),
        ("wall_types", (900,)),
        ("min_cells", "a"),
        ("min_cells", -3),
        ("significance", 2),
        ("min_length", np.nan),
        ("min_angle", -1),
        ("profile_cells", 0),
        ("side_cells", 5.0),
    ],
)
def test_parameters_are_checked(name, value):
    sites, labels = tanh_wall(0)
    with pytest.raises(ValueError, match=name):
        find_walls(sites, labels, **{name: value})


def test_profile_cells_reach_beyond_a_wide_wall():
    sites, labels = tanh_wall(0, width=14.0, shape=(30, 40))
    narrow, wide = (
        find_walls(sites, labels, profile_cells=reach).iloc[0] for reach in (6, 12)
    )
    true_angle = 180 - 2 * np.degrees(np.arctan(0.3))
    assert abs(narrow.angle_deg - true_angle) > 20
    assert wide.angle_deg == pytest.approx(true_angle, abs=6)
    assert wide.width_px / 20 == pytest.approx(14, abs=2)
    assert wide.width_std_px < 0.4 * narrow.width_std_px


def test_side_cells_are_those_whose_vectors_are_averaged():
    # The polarization rotates by 10 degrees a cell on either side of a sharp wall.
    sites = grid((30, 30))
    x = (sites.positions[:, 1] - 300) / 20
    angle = np.radians(45 * np.sign(x) + 10 * x)
    vectors = np.column_stack([np.sin(angle), np.cos(angle)])
    vectors += np.random.default_rng(0).normal(0, 0.05, vectors.shape)

    def step(side_cells):
        walls = find_walls(sites, x > 0, vectors, side_cells=side_cells)
        return walls.iloc[0].angle_deg

    assert step((1, 3)) == pytest.approx(90 + 2 * 20, abs=3)
    assert step((3, 5)) == pytest.approx(90 + 2 * 40, abs=3)
    for limits in ((4, 2), (-1, 3), (1, 2, 3), ("near", "far")):
        with pytest.raises(ValueError, match="side_cells must be two distances"):
            step(limits)


@pytest.mark.parametrize("noise", [0.2, 0.5])
def test_standard_error_of_the_width_is_its_scatter(noise):
    width, std = [], []
    for seed in range(80):
        walls = find_walls(*tanh_wall(seed, width=2.0, noise=noise))
        width.append(walls.width_px[0])
        std.append(walls.width_std_px[0])
    assert np.std(width) == pytest.approx(np.median(std), rel=0.15)
    assert np.mean(width) == pytest.approx(40, rel=0.1)


def test_memory_is_linear_in_the_number_of_cells():
    peaks = []
    for side in (40, 80):
        sites, labels = tanh_wall(0, shape=(side, side))
        tracemalloc.start()
        try:
            find_walls(sites, labels)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 4.4 * peaks[0]


@pytest.mark.parametrize("noise", [0.2, 0.7])
def test_walls_between_axes_of_antipolar_domains(noise):
    index = np.indices((40, 40)).reshape(2, -1).T
    rng = np.random.default_rng(0)
    lower = index[:, 0] >= 18
    phase = np.where(lower, index[:, 0] - index[:, 1], index.sum(axis=1))
    sign = np.array([1, 1, -1, -1])[phase % 4]
    direction = np.where(lower[:, None], [0.7, 0.7], [0.7, -0.7])
    vectors = sign[:, None] * direction + rng.normal(0, noise, (1600, 2))
    sites = AtomSites(
        np.zeros((800, 800), np.float32), 20.0 * index + 10, pixel_size=0.02
    )
    # Opposite vectors cancel: both sides have no mean vector.
    assert len(find_walls(sites, lower, vectors)) == 0
    walls = find_walls(sites, lower, vectors, axial=True)
    assert walls.n_cells.tolist() == [39]
    assert walls.wall_type.tolist() == ["90"]
    assert abs(walls.angle_deg[0] - 90) < 2 * walls.angle_std_deg[0] + 1
    assert walls.charge.tolist() == ["undetermined"]
    assert walls[["net_normal", "normal_step"]].isna().all(axis=None)
    line = walls.attrs["polylines"][0]
    # Anywhere between the rows of cells, as the wall has no width.
    assert np.median(np.abs(line[:, 0] / 20 - 18)) < 0.5
