"""Judge domains, walls, strain, topology and profiles against known fields.

    python benchmarks/bench_domains.py                                # all of it
    python benchmarks/bench_domains.py --only walls strain
    python benchmarks/bench_domains.py --multislice FOLDER --real FOLDER

Each line has a figure and what is asked of it. Columns are found by AtomLocator, labels
by the displacements themselves, smoothed twice over the neighbours, unless stated
otherwise. FOLDER holds the multislice simulations (``*_dose2e4.npz``) and real images;
without them only the image of the package is used.
"""

import argparse
import gc
import time
import tracemalloc
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites, LatticeStrain, PolarizationVector
from sklearn_ferroic.datasets import load_image, load_multislice, make_ferroic_image
from sklearn_ferroic.domains import (
    antipolar_order,
    burgers_vector,
    cell_table,
    find_domains,
    find_vortices,
    find_walls,
    label_smoothing,
    layer_profile,
    profile_across,
    to_xarray,
    vector_topology,
)
from sklearn_ferroic.domains._topology import smooth_vectors
from sklearn_ferroic.feature_extraction import measure_lattice, pool_polarization

# Measured displacement of a B column over that of its cation in the multislice images
# (the O in the column): slopes of AtomLocator's displacements over all domains, which
# `means` prints, and their uncertainty. All are determined on the images that are
# judged: the agreement of errors with `total_std` is no independent test.
COLUMN_FACTOR = {"pto_sto": 1.13, "bto_carbon": 0.57, "bfo_dev": 0.92}
FACTOR_STD = 0.03
# Displacement of A against B columns by mistilt, which `means` prints, too.
MISTILT_PM_PER_MRAD = 1.3
# Codes of the domains of the multislice files, as angles.
CODES = {1: 45.0, 2: 135.0, 7: 0.0, 8: 90.0, 9: 180.0, 10: -90.0}
LONG_CELLS = 5
# Slopes of walls end within this distance.
WALL_CELLS = 1.5


def report(name, value, wanted):
    print(f"{name:<58} {value:>24}   {wanted}", flush=True)


def angles_of(vectors):
    return np.degrees(np.arctan2(vectors[:, 0], vectors[:, 1]))


def nearest_variant(vectors, variants, share=0.35):
    """Variant angle nearest to each vector, NaN where the vector is short."""
    length = np.hypot(*vectors.T)
    gap = np.abs((angles_of(vectors)[:, None] - variants + 180) % 360 - 180)
    labels = np.asarray(variants, dtype=float)[np.nan_to_num(gap).argmin(axis=1)]
    labels[~(length > share * np.nanpercentile(length, 75))] = np.nan
    return labels


def measured_labels(sites, vectors, variants):
    smooth = smooth_vectors(sites, vectors, 2)
    return nearest_variant(smooth, variants)


class Film:
    """Located B columns of an image with the truth next to them."""

    def __init__(
        self, name, image, pixel_size, positions, truth, labels, factor=1.0, tilt=0.0
    ):
        self.name, self.pixel_size = name, pixel_size
        self.tilt_mrad = tilt
        self.variants = np.unique(labels[np.isfinite(labels)])
        self.truth = AtomSites(
            image, positions, pixel_size=pixel_size, polarization=truth
        )
        self.truth_labels = labels
        located = AtomLocator().fit_transform((np.asarray(image, float), pixel_size))
        self.sites = located[located.sublattice == 1]
        distance, nearest = cKDTree(positions).query(self.sites.positions)
        self.match = np.where(distance < 4, nearest, -1)
        self.factor = factor

    def matched(self, values):
        result = values[self.match].astype(float)
        result[self.match < 0] = np.nan
        return result


def generated(seed, **options):
    data = make_ferroic_image("film", random_state=seed, **options)
    b = data.sublattice == 1
    labels = np.where(data.variant >= 0, (45 + 90 * data.variant + 180) % 360 - 180, 0)
    labels = np.where(data.variant >= 0, labels, np.nan).astype(float)[b]
    return Film(
        f"generated {seed}",
        data.image,
        data.pixel_size,
        data.positions[b],
        data.polarization[b],
        labels,
    )


def multislice(path):
    stored = np.load(path, allow_pickle=True)
    name = path.stem.rsplit("_", 1)[0]
    b = stored["site"] == "B"
    nm = float(stored["pixel_size_angstrom"]) / 10
    surface = np.column_stack([stored["y_surf_px"], stored["x_surf_px"]])[b]
    truth = np.column_stack([stored["dy_pm"], stored["dx_pm"]])[b] / (1000 * nm)
    labels = np.array([CODES.get(int(code), np.nan) for code in stored["domain"][b]])
    image = stored["image"].astype(np.float32)
    tilt = np.hypot(stored["tilt_x_mrad"][b], stored["tilt_y_mrad"][b]).mean()
    return Film(name, image, nm, surface, truth, labels, COLUMN_FACTOR[name], tilt)


def shipped():
    data = load_multislice()
    b = data.sublattice == 1
    labels = np.where(data.variant >= 0, (90 * data.variant + 180) % 360 - 180, 0)
    labels = np.where(data.variant >= 0, labels, np.nan).astype(float)[b]
    return Film(
        "pto_sto",
        data.image,
        data.pixel_size,
        data.positions[b],
        data.polarization[b],
        labels,
        COLUMN_FACTOR["pto_sto"],
        0.94,
    )


def films(folder):
    cases = [generated(seed) for seed in range(3)]
    if folder is None:
        return [*cases, shipped()]
    names = ("pto_sto", "bto_carbon", "bfo_dev")
    return cases + [multislice(Path(folder) / f"{name}_dose2e4.npz") for name in names]


def fit_reference(film):
    """Fit the common displacement; None where no cells show it.

    Nonpolar cells do, and cells of all variants.
    """
    labels = film.matched(film.truth_labels)
    sharp = film.match >= 0
    walls = find_walls(film.truth, film.truth_labels).attrs["wall"]
    sharp &= walls[film.match] < 0
    if np.isnan(labels[sharp]).sum() > 20 or len(film.variants) == 4:
        model = PolarizationVector(reference="mean")
        return model.fit(film.sites[sharp], variants=labels[sharp])
    return None


def reference_free(film):
    """Displacements less the common one, if there are cells that show it."""
    model = fit_reference(film)
    if model is None:
        return film.sites.polarization
    return model.transform(film.sites)


def bench_means(folder):
    print("\nMean displacement per domain (labels of the truth, cells away from walls)")
    # Mistilt that varies over the image is no error of the mean.
    cases = [generated(seed, mistilt_mrad=0) for seed in range(3)]
    judge_means(cases, "generated", systematic_std=0.0)
    judge_means(films(folder)[3:], "multislice", relative_std=FACTOR_STD)


def judge_means(cases, kind, **errors):
    """Compare means of domains with the truth, and the errors with those stated."""
    scores = {name: [] for name in ("stated", "statistical", "measured", "within")}
    for film in cases:
        model = None if kind == "generated" else fit_reference(film)
        if kind == "multislice":
            # Without a reference the mistilt is an error of the mean.
            shift = MISTILT_PM_PER_MRAD * film.tilt_mrad / 1000 / film.pixel_size
            errors["systematic_std"] = None if model else shift / np.sqrt(2)
        raw = film.sites.polarization
        vectors = raw if model is None else model.transform(film.sites)
        truth = film.truth.polarization[film.match] * film.factor
        truth[film.match < 0] = np.nan
        number, inside = cells_away_from_walls(film, vectors)
        inside &= np.isfinite(truth).all(axis=1)
        if kind == "multislice":
            report_mistilt(film, inside, number, truth)
        groups = np.where(inside, number, -1)
        given = {"reference": model} if model else {"vectors": raw}
        pooled = pool_polarization(film.sites, groups, **given, **errors)
        # The scatter of the errors alone, without that of the displacements.
        errors_only = pool_polarization(
            film.sites, groups, vectors=vectors - truth, systematic_std=0
        )
        for k, label in enumerate(pooled.labels):
            if label < 0 or pooled.n_sites[k] < 15:
                continue
            true = truth[inside & (number == label)].mean(axis=0)
            error, size = pooled.mean[k] - true, np.hypot(*true)
            covariance = pooled.total_covariance[k]
            scores["stated"].extend(error / pooled.total_std[k])
            scores["statistical"].extend(error / pooled.std[k])
            noise = errors_only.covariance[k]
            own = covariance - pooled.covariance[k] + noise
            if model:
                own += model.reference_covariance(
                    film.sites[inside & (number == label)]
                )
            scores["measured"].extend(errors_only.mean[k] / np.sqrt(np.diagonal(own)))
            length_error = abs(np.hypot(*pooled.mean[k]) - size)
            length_std = np.sqrt(true @ covariance @ true) / size
            scores["within"].append(length_error < max(0.02 * size, length_std))
            report(
                f"{film.name}: domain {label} ({pooled.n_sites[k]} cells)",
                f"{np.hypot(*error) / size:.1%}, length {length_error / size:.1%} ± "
                f"{length_std / size:.1%}",
                "2 % or 1 std",
            )
    report(
        f"{kind}: length within 2 % or 1 std",
        f"{sum(scores['within'])}/{len(scores['within'])}",
        "68 % or more",
    )
    for name, text in (
        ("stated", "error / total_std"),
        ("statistical", "error / std"),
        ("measured", "error / total_std without the scatter of the truth"),
    ):
        report(
            f"   {text}", f"{np.sqrt(np.mean(np.square(scores[name]))):.2f}", "0.9-1.1"
        )


def cells_away_from_walls(film, vectors):
    """Return the domain of each cell, and which are off the slopes of walls."""
    labels = film.matched(film.truth_labels)
    number = find_domains(film.sites, labels, vectors=vectors).attrs["domain"]
    lines = find_walls(film.sites, labels, vectors).attrs["polylines"]
    distance = cKDTree(np.concatenate(list(lines.values()))).query(film.sites.positions)
    far = distance[0] > WALL_CELLS * 0.39 / film.pixel_size
    return number, (number >= 0) & far


def report_mistilt(film, inside, number, truth):
    """Print the column factor and the common displacement of a multislice image."""
    rows = np.flatnonzero(inside & np.isfinite(film.sites.polarization).all(axis=1))
    domain = np.unique(number[rows], return_inverse=True)[1]
    member = np.eye(domain.max() + 1)[domain]
    # Every domain counts equally.
    measured, true = (
        member.T @ values[rows] / member.sum(axis=0)[:, None]
        for values in (film.sites.polarization, truth / film.factor)
    )
    design = np.column_stack([np.tile(np.eye(2), (len(true), 1)), true.ravel()])
    *common, factor = np.linalg.lstsq(design, measured.ravel(), rcond=None)[0]
    pm = 1000 * film.pixel_size * np.hypot(*common)
    report(
        f"{film.name}: column factor; displacement by mistilt",
        f"{factor:.2f}; {pm / film.tilt_mrad:.1f} pm/mrad",
        "",
    )


def bench_calibration(_):
    print("\nStandard error of single cells and of means on generated sites")
    single, means = [], []
    for seed in range(20):
        sites, truth = synthetic_film(seed)
        measured = measure_lattice(sites)
        b = sites.sublattice == 1
        vector, std = PolarizationVector().fit(measured).transform_with_std(measured)
        error = vector[b] - truth[b]
        single.append(error / std[b])
        pooled = pool_polarization(measured[b], vectors=vector[b])
        means.append((pooled.mean[0] - np.nanmean(truth[b], axis=0)) / pooled.std[0])
    report("cells: error / std", f"{np.nanstd(np.concatenate(single)):.3f}", "0.9-1.1")
    report("means of 400 cells: error / std", f"{np.std(means):.3f}", "0.9-1.1")


def synthetic_film(seed, n=20, size=0.8, noise=0.15):
    """Sites of a perovskite with a uniform displacement and noise of known size."""
    rng = np.random.default_rng(seed)
    corner = 20.0 * np.indices((n + 1, n + 1)).reshape(2, -1).T + 10
    angle = rng.uniform(0, 2 * np.pi)
    shift = size * np.array([np.sin(angle), np.cos(angle)])
    center = 20.0 * np.indices((n, n)).reshape(2, -1).T + 20 + shift
    positions = np.concatenate([corner, center])
    std = np.repeat([0.6 * noise, noise], [len(corner), len(center)])
    std = np.column_stack([std, std])
    moved = positions + rng.normal(0, std)
    sublattice = np.repeat([0, 1], [len(corner), len(center)])
    image = np.zeros((20 * (n + 2), 20 * (n + 2)), np.float32)
    sites = AtomSites(
        image, moved, sublattice=sublattice, position_std=std, pixel_size=0.02
    )
    return sites, np.broadcast_to(shift, positions.shape)


def bench_order(folder, real=None):
    print("\nSignificance")
    found = 0
    for seed in range(20):
        sites, _ = synthetic_film(seed, n=18, size=0.1, noise=0.15)
        cells = measure_lattice(sites)[sites.sublattice == 1]
        found += pool_polarization(cells).verdict[0] == "ordered"
    report("0.1 px in 324 cells, noise 0.15 px: ordered", f"{found}/20", "20/20")
    found = 0
    for seed in range(20):
        sites, _ = synthetic_film(seed, n=18, size=0.0, noise=0.15)
        cells = measure_lattice(sites)[sites.sublattice == 1]
        found += pool_polarization(cells).verdict[0] == "ordered"
    report("no displacement: ordered", f"{found}/20", "about 0/20")
    found = 0
    for seed in range(10):
        data = make_ferroic_image(
            "film", substrate=0.95, shape=(400, 400), mistilt_mrad=0, random_state=seed
        )
        sites = AtomLocator().fit_transform(data)
        cells = sites[(sites.sublattice == 1) & (sites.positions[:, 0] > 80)]
        found += pool_polarization(cells).verdict[0] == "ordered"
    report("generated SrTiO3, no mistilt: ordered", f"{found}/10", "about 0/10")
    film = shipped()
    labels = film.matched(film.truth_labels)
    inside = (film.match >= 0) & np.isnan(labels) & (film.sites.positions[:, 0] > 480)
    left = film.sites.positions[:, 1] < 326
    model = PolarizationVector(reference="mean").fit(film.sites[inside & left])
    pooled = pool_polarization(
        film.sites[inside & ~left], vectors=model.transform(film.sites)[inside & ~left]
    )
    report(
        "multislice SrTiO3, one half, reference the other half",
        f"p = {pooled.p_value[0]:.2g}",
        "not below 0.01",
    )
    pooled = pool_polarization(film.sites[inside])
    report(
        "multislice SrTiO3, no reference",
        f"p = {pooled.p_value[0]:.2g}",
        "not below 0.01",
    )
    if real is None:
        return
    sites = AtomLocator().fit_transform(load_image(Path(real) / "sto_16_1.ser"))
    cells = sites[sites.sublattice == 1]
    left = cells.positions[:, 1] < np.median(cells.positions[:, 1])
    model = PolarizationVector(reference="mean").fit(cells[left])
    pooled = pool_polarization(cells[~left], vectors=model.transform(cells)[~left])
    report(
        "real SrTiO3 (tilted), one half, reference the other half",
        f"p = {pooled.p_value[0]:.2g}",
        "not below 0.01",
    )


def compare_walls(found, true, pixel_size, cell):
    """Match walls of two tables; offset in cells, right type, right charge."""
    lines = found.attrs["polylines"]
    rows = []
    for index, wall in true.iterrows():
        if wall.n_cells <= LONG_CELLS:
            continue
        line = true.attrs["polylines"][index]
        best, offset = None, np.inf
        for other, candidate in found.iterrows():
            pair = {wall.label_a, wall.label_b} == {
                candidate.label_a,
                candidate.label_b,
            }
            if not pair:
                continue
            distance = cKDTree(line).query(lines[other])[0]
            middle = np.median(distance)
            if middle < offset and middle < 3 * cell:
                best, offset = candidate, middle
        if best is None:
            rows.append((wall, None, np.nan, False, False))
            continue
        kind = best.wall_type == wall.wall_type
        rows.append((wall, best, offset / cell, kind, best.charge == wall.charge))
    return rows


def bench_walls(folder, real=None):
    if real is not None:
        bench_real_walls(real)
    print("\nWalls (measured labels)")
    for film in films(folder):
        vectors = reference_free(film)
        labels = measured_labels(film.sites, vectors, film.variants)
        true = find_walls(film.truth, film.truth_labels)
        found = find_walls(film.sites, labels, vectors)
        cell = 0.39 / film.pixel_size
        rows = compare_walls(found, true, film.pixel_size, cell)
        offsets = [offset for _, best, offset, _, _ in rows if best is not None]
        report(
            f"{film.name}: walls longer than {LONG_CELLS} cells found",
            f"{sum(row[1] is not None for row in rows)}/{len(rows)}",
            "all",
        )
        report("   median offset of each, cells", f"max {np.max(offsets):.2f}", "< 0.5")
        report("   type right", f"{sum(row[3] for row in rows)}/{len(rows)}", "all")
        report("   charge right", f"{sum(row[4] for row in rows)}/{len(rows)}", "all")
        false = 0
        for other, line in found.attrs["polylines"].items():
            near = [
                np.median(cKDTree(known).query(line)[0]) < 2 * cell
                for known in true.attrs["polylines"].values()
            ]
            false += not any(near) and found.n_cells[other] > LONG_CELLS
        report("   walls where there is none", f"{false}", "0")
    print("\nWidth of a tanh wall of 2 cells, 30 cells long, S/N per cell 5 and 2")
    for noise in (0.2, 0.5):
        ratio, pull, offset = [], [], []
        for seed in range(100):
            sites, labels = tanh_wall(seed, width=2.0, noise=noise)
            walls = find_walls(sites, labels)
            ratio.append(walls.width_px[0] / 20 / 2.0)
            pull.append((walls.width_px[0] - 40) / walls.width_std_px[0])
            offset.append(
                np.sqrt(np.mean((walls.attrs["polylines"][0][:, 1] - 303) ** 2)) / 20
            )
        report(
            f"noise {noise}: width / truth (mean, scatter)",
            f"{np.mean(ratio):.2f} ± {np.std(ratio):.2f}",
            "1 ± 0.2 or error",
        )
        report("   error / std of the width", f"{np.std(pull):.2f}", "0.9-1.1")
        report("   rms offset of the line, cells", f"{np.mean(offset):.2f}", "< 0.5")
    print("\nUniform domain, labels by GaussianMixture of the displacements")
    from sklearn.mixture import GaussianMixture

    n_walls = 0
    for seed in range(10):
        sites, _ = synthetic_film(seed, n=30, size=0.5, noise=0.25)
        cells = measure_lattice(sites)[sites.sublattice == 1]
        known = np.isfinite(cells.polarization).all(axis=1)
        labels = np.full(len(cells), -1)
        labels[known] = GaussianMixture(2 + seed % 3, random_state=seed).fit_predict(
            cells.polarization[known]
        )
        n_walls += len(find_walls(cells, labels))
    report("walls on ten seeds", f"{n_walls}", "0")


def bench_real_walls(real):
    """Judge the wall of a real antiferroelectric, and a crystal without walls."""
    print("\nWalls on real images")
    sites = AtomLocator().fit_transform(load_image(Path(real) / "pzo.dm3"))
    cells = sites[sites.sublattice == 0]
    vectors = PolarizationVector(reference="mean").fit(cells).transform(cells)
    # The sign of the product of the components distinguishes the diagonals.
    axis = smooth_vectors(cells, vectors[:, :1] * vectors[:, 1:] * [1, 1], 3)[:, 0]
    labels = np.where(np.isfinite(axis), axis > 0, -1)
    walls = find_walls(cells, labels, vectors, axial=True)
    kinds = ", ".join(
        f"{wall.n_cells} cells, {wall.angle_deg:.1f} ± {wall.angle_std_deg:.1f}°"
        for wall in walls.itertuples()
    )
    report("pzo.dm3: walls", kinds, "one, 90°")
    sites = AtomLocator().fit_transform(load_image(Path(real) / "sto_16_1.ser"))
    cells = sites[sites.sublattice == 1]
    vectors = PolarizationVector(reference="mean").fit(cells).transform(cells)
    labels = measured_labels(cells, vectors, np.array([-135.0, -45.0, 45.0, 135.0]))
    walls = find_walls(cells, labels, vectors)
    long = (walls.n_cells > LONG_CELLS).sum()
    report("sto_16_1.ser: walls longer than 5 cells", f"{long}", "0")


def tanh_wall(seed, width, noise, shape=(30, 30)):
    rng = np.random.default_rng(seed)
    positions = 20.0 * np.indices(shape).reshape(2, -1).T + 10
    x = (positions[:, 1] - 303) / 20
    polarization = rng.normal(0, noise, (len(positions), 2))
    polarization[:, 0] += np.tanh(2 * x / width)
    polarization[:, 1] += 0.3
    image = np.zeros((20 * shape[0], 20 * shape[1]), np.float32)
    sites = AtomSites(image, positions, polarization=polarization)
    labels = smooth_vectors(sites, polarization, 2)[:, 0] > 0
    return sites, labels


def strained_sites(seed, strain=0.01, rotation_deg=2.0, noise=0.1, n=50):
    """Half of a lattice strained along col and rotated, the other half as it was."""
    rng = np.random.default_rng(seed)
    index = np.indices((n, n)).reshape(2, -1).T.astype(float)
    turn = np.radians(rotation_deg)
    # In (x, y): F = R U.
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    gradient = rotation @ np.diag([1 + strain, 1.0])
    flat = 20.0 * index[:, ::-1]
    second = flat @ gradient.T + [0.0, 1200.0]
    positions = np.concatenate([flat, second])[:, ::-1] + 100
    std = np.full(positions.shape, noise)
    sites = AtomSites(
        np.zeros((2600, 1300), np.float32),
        positions + rng.normal(0, noise, positions.shape),
        position_std=std,
    )
    return measure_lattice(sites), np.repeat([False, True], n * n)


def bench_strain(_):
    print("\nStrain: 1 % along col and 2 degrees, noise 0.1 px of 20 px")
    sites, strained = strained_sites(0)
    model = LatticeStrain().fit(sites[~strained])
    values, std = model.transform_with_std(sites[strained])
    names = model.get_feature_names_out()
    truth = np.array([0.01, 0, 0, np.radians(2), 1 / 1.01, 404.0])
    for k, name in enumerate(names):
        error = values[:, k] - truth[k]
        scale, unit, wanted = 100, "%", "< 0.1 %"
        if name == "rotation":
            scale, unit, wanted = np.degrees(1), "°", "< 0.05°"
        if name == "cell_area":
            scale, unit, wanted = 1, "px²", ""
        report(
            f"{name}: mean error, error / std",
            f"{scale * np.nanmean(error):.4f} {unit}, "
            f"{np.nanstd(error / std[:, k]):.3f}",
            wanted,
        )
    data = make_ferroic_image("film", dislocation=True, random_state=0)
    located = AtomLocator().fit_transform(data)
    for kind in (0, 1):
        cells = located[located.sublattice == kind]
        b = burgers_vector(cells, [400, 410]).indices
        other = burgers_vector(cells, [250, 250]).indices
        report(
            f"Burgers vector, sublattice {kind}; away from the core",
            f"{b.tolist()}; {other.tolist()}",
            "[-1, 0]; [0, 0]",
        )


def vortex_array(seed, n=60, period=20, noise=0.0):
    rng = np.random.default_rng(seed)
    positions = 10.0 * np.indices((n, n)).reshape(2, -1).T + 5
    row, col = positions.T * 2 * np.pi / (10 * period)
    vectors = np.column_stack([np.sin(col), np.sin(row)])
    vectors += rng.normal(0, noise, vectors.shape)
    sites = AtomSites(np.zeros((10 * n, 10 * n), np.float32), positions)
    step = 10 * period / 2
    grid = step * np.indices((2 * n // period + 1,) * 2).reshape(2, -1).T
    # Those on the border may be seen or not.
    inside = ((grid > 5) & (grid < 10 * n - 5)).all(axis=1)
    return sites, vectors, grid, inside


def bench_topology(_):
    print("\nVortex array of 60 x 60 cells, period 20 cells")
    for noise, smoothing in ((0.0, 0), (0.3, 2), (0.5, 3)):
        missed, invented, farthest = 0, 0, 0.0
        for seed in range(5):
            sites, vectors, cores, inside = vortex_array(seed, noise=noise)
            found = find_vortices(sites, vectors, smoothing=smoothing)
            distance, nearest = cKDTree(cores).query(found[["row", "col"]].to_numpy())
            near = distance < 20
            missed += len(set(np.flatnonzero(inside)) - set(nearest[near]))
            invented += len(found) - len(np.unique(nearest[near]))
            judged = near & inside[nearest]
            farthest = max(farthest, distance[judged].max() / 10)
        report(
            f"noise {noise}, smoothing {smoothing}: missed, invented, farthest",
            f"{missed}, {invented}, {farthest:.2f} cells",
            "0, 0, < 1 cell",
        )

    bench_vortices_at_walls()


def bench_vortices_at_walls():
    print(
        "\n180 degree walls of 40 cells, sharp and tanh, noise 5 to 40 % of the vectors"
    )
    positions = 10.0 * np.indices((40, 40)).reshape(2, -1).T + 5
    sites = AtomSites(np.zeros((400, 400), np.float32), positions)
    x = positions[:, 1:] / 10 - 20
    profiles = (np.sign(x), np.tanh(x), np.tanh(x - 0.5), np.tanh((x - 0.2) / 2))
    n_found, n_images, highest = 0, 0, 0.0
    for noise in (0.05, 0.1, 0.2, 0.4):
        for profile in profiles:
            for seed in range(20):
                rng = np.random.default_rng(seed)
                vectors = profile * [1, 0] + rng.normal(0, noise, (1600, 2))
                for smoothing in (0, 2):
                    found = find_vortices(
                        sites, vectors, smoothing=smoothing, min_significance=0
                    )
                    n_images += 1
                    n_found += (found.significance >= 3).sum()
                    highest = max(highest, found.significance.max())
    report(f"vortices in {n_images} images", f"{n_found}", "0")
    report("highest significance of a winding number", f"{highest:.2f}", "< 3")


def bench_lattices(_):
    print("\nA wall of 29 cells on rectangular lattices with vacancies, six seeds each")
    index = np.indices((30, 30)).reshape(2, -1).T
    right = index[:, 1] > 14
    for missing in (0.0, 0.05, 0.1, 0.15):
        whole, n_cases, area = 0, 0, []
        for ratio in (1.0, 1.2, np.sqrt(2), 2.0):
            positions = index * [10 * ratio, 10.0] + 5
            shape = int(300 * ratio) + 1, 300
            for seed in range(6):
                rng = np.random.default_rng(seed)
                kept = rng.random(900) >= missing
                sites = AtomSites(np.zeros(shape, np.float32), positions[kept])
                vectors = np.where(right, 1.0, -1.0)[:, None] * [1, 0]
                vectors = (vectors + rng.normal(0, 0.1, (900, 2)))[kept]
                walls = find_walls(sites, right[kept], vectors)
                domains = find_domains(sites, right[kept], vectors=vectors)
                whole += walls.n_cells.tolist() == [29]
                n_cases += 1
                area.append(domains.area_px2.sum() / (90_000 * ratio))
        report(
            f"{missing:.0%} missing: one wall of 29 cells; area / truth",
            f"{whole}/{n_cases}; {np.mean(area):.3f}",
            "all; 1",
        )


def bench_antipolar(real):
    print("\nAntipolar period")
    index = np.indices((40, 40)).reshape(2, -1).T
    for seed in range(3):
        rng = np.random.default_rng(seed)
        phase = np.where(index[:, 0] < 20, index.sum(axis=1), index[:, 0] - index[:, 1])
        sign = np.array([1, 1, -1, -1])[phase % 4]
        vectors = rng.normal(0, 1.0, (len(index), 2)) + sign[:, None] * [0.7, -0.7]
        sites = AtomSites(np.zeros((800, 800), np.float32), 20.0 * index + 10)
        order = antipolar_order(sites, vectors)
        report(
            f"PbZrO3-like, noise 1, seed {seed}",
            f"{order.period:.2f} at {order.wave_vector.round(2).tolist()}",
            "4 rows",
        )
    data = make_ferroic_image("superlattice", antipolar="all", random_state=0)
    sites = AtomLocator().fit_transform(data)
    order = antipolar_order(sites[sites.sublattice == 1])
    report("generated superlattice, antipolar", f"{order.period:.2f}", "2 rows")
    data = make_ferroic_image("film", random_state=0)
    sites = AtomLocator().fit_transform(data)
    order = antipolar_order(sites[sites.sublattice == 1])
    report("generated film, not antipolar", f"{order.period}", "nan")
    if real is None:
        return
    for name, wanted in (("pzo.dm3", "4 rows"), ("sto_16_1.ser", "nan")):
        sites = AtomLocator().fit_transform(load_image(Path(real) / name))
        for kind in (0, 1):
            order = antipolar_order(sites[sites.sublattice == kind])
            report(
                f"{name}, sublattice {kind}",
                f"{order.period:.2f} ({order.significance:.0f} std)",
                wanted,
            )


def large_map(n):
    """Return sites of n x n cells with four domains, labels with errors, and labels."""
    positions = 10.0 * np.indices((n, n)).reshape(2, -1).T + 5
    rng = np.random.default_rng(0)
    labels = (np.sin(positions[:, 0] / 200) > 0) + 2 * (
        np.sin(positions[:, 1] / 200) > 0
    )
    angle = np.radians(45 + 90 * labels)
    vectors = np.column_stack([np.sin(angle), np.cos(angle)])
    vectors += rng.normal(0, 0.3, vectors.shape)
    sites = AtomSites(
        np.zeros((10 * n, 10 * n), np.float32),
        positions + rng.normal(0, 0.1, positions.shape),
        polarization=vectors,
        position_std=np.full(positions.shape, 0.1),
    )
    sites = measure_lattice(sites)
    sites.polarization = vectors
    wrong = np.where(rng.random(n * n) < 0.05, rng.integers(0, 4, n * n), labels)
    return sites, wrong, labels


def calls_of(n):
    """Return a call of each function on a map of n x n cells."""
    sites, wrong, labels = large_map(n)
    values = sites.polarization[:, 0]
    line = [[0, 5 * n], [10 * n, 5 * n]]
    plane = PolarizationVector(reference="plane")
    return {
        "find_domains": lambda: find_domains(sites, wrong),
        "find_walls": lambda: find_walls(sites, wrong),
        "label_smoothing": lambda: label_smoothing(sites, wrong),
        "vector_topology": lambda: vector_topology(sites),
        "find_vortices": lambda: find_vortices(sites, smoothing=2),
        "antipolar_order": lambda: antipolar_order(sites),
        "layer_profile": lambda: layer_profile(sites, values),
        "profile_across": lambda: profile_across(sites, values, line),
        "LatticeStrain with std": lambda: (
            LatticeStrain().fit(sites).transform_with_std(sites)
        ),
        "PolarizationVector with std": lambda: plane.fit(sites).transform_with_std(
            sites
        ),
        "pool_polarization by domain": lambda: pool_polarization(
            sites, labels, reference=plane.fit(sites)
        ),
        "cell_table, to_xarray": lambda: to_xarray(
            sites, cell_table(sites, vectors=sites.polarization)
        ),
    }


def bench_speed(_):
    print("\n100,000 sites, one core")
    for name, call in calls_of(317).items():
        # Of the processor: other programs may use the cores, too.
        start = time.process_time()
        call()
        report(name, f"{time.process_time() - start:.2f} s", "< 5 s")


def bench_memory(_):
    print("\nHighest memory of arrays in a call, bytes a site (constant: linear)")
    sides = (158, 224, 317, 448)
    peaks = {}
    for n in sides:
        for name, call in calls_of(n).items():
            gc.collect()
            tracemalloc.start()
            call()
            peaks.setdefault(name, []).append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    counts = np.array([n**2 for n in sides])
    report("number of sites", ", ".join(f"{count:,}" for count in counts), "")
    for name, peak in peaks.items():
        per_site = np.array(peak) / counts
        growth = np.polyfit(np.log(counts), np.log(peak), 1)[0]
        report(
            name,
            f"{', '.join(f'{value:.0f}' for value in per_site)}; "
            f"power {growth:.2f}; {peak[2] / 2**20:.0f} MiB at 100,000",
            "power 1",
        )


BENCHES = {
    "means": bench_means,
    "calibration": bench_calibration,
    "order": bench_order,
    "walls": bench_walls,
    "strain": bench_strain,
    "topology": bench_topology,
    "lattices": bench_lattices,
    "antipolar": bench_antipolar,
    "speed": bench_speed,
    "memory": bench_memory,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--multislice", help="folder of the simulations")
    parser.add_argument("--real", help="folder of real images")
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHES), default=[])
    options = parser.parse_args()
    for name, bench in BENCHES.items():
        if not options.only or name in options.only:
            if name in ("order", "walls"):
                bench(options.multislice, options.real)
            else:
                bench(options.real if name == "antipolar" else options.multislice)


if __name__ == "__main__":
    main()
