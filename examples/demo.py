"""
From a microscope image to a map of ferroic variants
====================================================

Locates the atomic columns of an image, infers angle and latents of every B-centred
window with the rotational VAE, groups the cells with a Gaussian mixture, and writes
``domains.png`` and ``sites.csv``. The angles are registered to the measured
displacements of the columns, which are also averaged over every group of cells and
tested against zero. Without ``--image`` it uses a generated image, and compares the
result with the truth.
"""

import argparse
import re
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from scipy.spatial import cKDTree
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
    UNetAtomLocator,
)
from sklearn_ferroic.datasets import load_image, make_ferroic_image
from sklearn_ferroic.feature_extraction import pool_polarization
from sklearn_ferroic.inspection import (
    AngleHistogramDisplay,
    DomainMapDisplay,
    LatentManifoldDisplay,
    PolarizationMapDisplay,
    SitesDisplay,
)
from sklearn_ferroic.metrics import angular_error, circular_mean

# A cell whose angle is less certain than this has no direction.
NON_POLAR = np.radians(30)
# Clusters whose directions differ by less are one variant.
SAME_DIRECTION = np.radians(30)
# Probability of a mean displacement as large by chance, for all groups together.
SIGNIFICANCE_LEVEL = 1e-3
# Window sizes in unit cells. A pattern that repeats after four cells, such as that of
# an antiferroelectric, needs the larger one.
WINDOW_CELLS = (2.4, 3.4)
# Side, in unit cells, of the squares over which displacements are averaged.
REGION_CELLS = 6
# Fewest cells that the network and the mixture can be trained on.
FEWEST_CELLS = 30
# Variants of opposite direction that alternate from row to row share far more of their
# neighbours than two domains at their one wall.
ALTERNATING_SHARE = 0.15
WASHED_OUT = 0.3
IMAGE_OPTIONS = ("pixel_size", "dataset", "signal", "frame", "invert")


def _count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _positive(text):
    number = float(text)
    if not 0 < number < np.inf:
        raise argparse.ArgumentTypeError("must be a positive number")
    return number


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add("--image", type=Path, help="image file (default: an image is generated)")
    add("--dataset", help="name of the image's dataset in an HDF5 or .npz file")
    add("--signal", help="title or number, from 0, of the image in a microscope file")
    add("--frame", type=int, help="number, from 0, of the image in a stack")
    add("--invert", action="store_true", help="dark columns on bright ground (ABF)")
    add("--pixel-size", type=_positive, help="nm per pixel (default: from the file)")
    add(
        "--preset",
        choices=["film", "superlattice"],
        help="which image is generated (default: film)",
    )
    add(
        "--locator",
        choices=["peaks", "unet"],
        default="peaks",
        help="how columns are found; unet finds faint columns (%(default)s)",
    )
    add("--spacing", type=_positive, help="px between nearest columns (estimated)")
    add(
        "--window-size",
        type=_count,
        help="px (default: 2.4 unit cells, and 3.4 if that gives no registered angle)",
    )
    add(
        "--components",
        type=_count,
        default=5,
        help="number of clusters, at least variants plus non-polar materials; clusters "
        "of one direction are merged into one variant (%(default)s)",
    )
    add("--epochs", type=_count, default=20, help="of the training (%(default)s)")
    add("--random-state", type=int, default=0, help="seed (%(default)s)")
    add(
        "--output-dir",
        type=Path,
        default=Path("demo_output"),
        help="folder for figure and table (%(default)s)",
    )
    return parser.parse_args()


def say(*words):
    print(*words, flush=True)


# Input --------------------------------------------------------------------------------


def get_data(arguments):
    if arguments.image is None:
        given = [name for name in IMAGE_OPTIONS if getattr(arguments, name)]
        given += ["frame"] if arguments.frame == 0 else []
        if given:
            option = given[0].replace("_", "-")
            raise ValueError(f"--{option} applies to a file; use it with --image.")
        preset = arguments.preset or "film"
        say(f"Generating the image '{preset}' ...")
        return make_ferroic_image(preset, random_state=arguments.random_state)
    if arguments.preset is not None:
        raise ValueError("--preset chooses a generated image; use it without --image.")
    say(f"Reading {arguments.image} ...")
    signal = arguments.signal
    data = load_image(
        arguments.image,
        dataset=arguments.dataset,
        signal=int(signal) if signal is not None and signal.isdigit() else signal,
        pixel_size=arguments.pixel_size,
    )
    say(data.description)
    data.image = choose_frame(data.image, arguments.frame)
    if min(data.image.shape) < 2 or np.ptp(data.image[np.isfinite(data.image)]) == 0:
        raise ValueError(
            "The image has no contrast: all pixels are equal, or it is a single line."
        )
    if arguments.invert:
        data.image = np.nanmax(data.image) - data.image
    if data.pixel_size is None:
        say(
            "Lengths are in px; --pixel-size, in nm per pixel, gives them in pm and nm."
        )
    return data


def choose_frame(image, frame):
    """Return one image of a stack."""
    if image.ndim == 2:
        if frame not in (None, 0):
            raise ValueError(f"--frame {frame}: the file holds one image, frame 0.")
        return image
    if frame is None and len(image) > 1:
        raise ValueError(
            f"The file holds {len(image)} images; choose one with --frame, from 0 to "
            f"{len(image) - 1}."
        )
    frame = frame or 0
    if not 0 <= frame < len(image):
        raise ValueError(
            f"--frame {frame} is out of range: the file holds {len(image)} images, "
            f"from 0 to {len(image) - 1}."
        )
    return image[frame]


def locate(data, arguments):
    """Return all sites and the mask of those that windows are centred on."""
    say("Locating the columns ...")
    if arguments.locator == "unet":
        locator = UNetAtomLocator(weights="pretrained", spacing=arguments.spacing)
    else:
        locator = AtomLocator(spacing=arguments.spacing)
    sites = locator.fit_transform(data)
    # windows are centred on B columns; on A where the image shows no other
    centered = sites.sublattice == (1 if (sites.sublattice == 1).any() else 0)
    if centered.sum() < max(FEWEST_CELLS, 2 * arguments.components):
        raise ValueError(
            f"{len(sites)} columns were found, of which {centered.sum()} at the centre "
            f"of a cell; at least {max(FEWEST_CELLS, 2 * arguments.components)} cells "
            "are needed. Does the image show a crystal at atomic resolution, several "
            "pixels per column? Dark columns need --invert, faint ones --locator unet, "
            "and --spacing sets the distance of nearest columns."
        )
    spacing = nearest_distance(sites.positions)
    say(
        f"Sites found: {len(sites)}, of which {centered.sum()} on the sublattice that "
        f"windows are centred on; spacing {spacing:.1f} px."
    )
    return sites, centered


def nearest_distance(positions):
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


# Model --------------------------------------------------------------------------------


def window_sizes(arguments, sites, image):
    """Return the window sizes to try, px."""
    if arguments.window_size is not None:
        sizes = [arguments.window_size]
    else:
        cell = nearest_distance(sites.positions)
        sizes = [2 * round(cells * cell / 2) for cells in WINDOW_CELLS]
        sizes = [size for size in sizes if size <= min(image.shape) / 2] or sizes[:1]
    if sizes[0] > min(image.shape) / 2:
        raise ValueError(
            f"A window of {sizes[0]} px is larger than half the image of "
            f"{' x '.join(map(str, image.shape))} px. Give a smaller --window-size."
        )
    return sizes


def make_model(window_size, arguments):
    return make_pipeline(
        PatchExtractor(window_size=window_size),
        RotationalVAE(
            latent_dim=2,
            max_epochs=arguments.epochs,
            verbose=1,
            random_state=arguments.random_state,
        ),
        AngleRegistration(),
        AngleAwareScaler(),
        GaussianMixture(
            arguments.components,
            n_init=10,
            reg_covar=0.01,
            random_state=arguments.random_state,
        ),
    )


def fit_model(sites, sizes, arguments):
    """Fit at the first window size whose angles can be registered, else at the first.

    Returns the fitted pipeline, pose of the cells and standard deviation of the angle.
    """
    measured = np.isfinite(sites.polarization).any()
    first = None
    for size in sizes:
        model = make_model(size, arguments)
        say(f"Training the rotational VAE on windows of {size} px ...")
        patches = model[0].fit_transform(sites)
        pose, widths = model[1].fit(patches).transform_with_std(patches)
        with warnings.catch_warnings():  # the result is described in words below
            warnings.filterwarnings("ignore", "The angle's offset is undetermined")
            pose = model[2].fit_transform(pose, sites)
        first = first or (model, pose, widths[:, 0])
        if model[2].is_determined_:
            return model, pose, widths[:, 0]
        if not measured:
            break
        say(f"The angles of windows of {size} px do not follow the displacements.")
    return first


class Groups(NamedTuple):
    """Groups of cells with their mean displacement."""

    number: np.ndarray  # of the group of each cell
    pooled: object  # result of pool_polarization
    names: list
    significant: np.ndarray
    has_angle: np.ndarray


def find_groups(angle, width, labels, sites):
    """Merge clusters of one direction, and test the mean displacement of each group.

    A cluster has a direction if its angles are certain and agree. The others stay
    groups of their own, and uncertain cells of a merged cluster join none (-1).
    """
    number = np.full(len(labels), -1)
    directions, undirected = [], []
    for label in np.unique(labels):
        cluster = labels == label
        direction = circular_mean(angle[cluster])
        spread = np.abs(
            angular_error(np.full(cluster.sum(), direction), angle[cluster])
        )
        if max(np.median(width[cluster]), np.median(spread)) > NON_POLAR:
            undirected.append(cluster)
            continue
        gaps = [abs(angular_error([known], [direction])[0]) for known in directions]
        near = [n for n, gap in enumerate(gaps) if gap < SAME_DIRECTION]
        if not near:
            directions.append(direction)
        number[cluster & (width < NON_POLAR)] = near[0] if near else len(directions) - 1
    n_directions = len(directions)
    for merged in range(len(directions)):
        for part in split_by_displacement(number == merged, labels, sites)[1:]:
            number[part] = n_directions
            n_directions += 1
    for extra, cluster in enumerate(undirected):
        number[cluster] = n_directions + extra
    # number the groups by size
    order = np.argsort(-np.bincount(number[number >= 0]), kind="stable")
    rank = np.argsort(order)
    has_angle = (np.arange(len(order)) < n_directions)[order]
    number = np.where(number >= 0, rank[number], -1)
    pooled = pool_polarization(sites[number >= 0], number[number >= 0])
    p_value = np.fmax(pooled.p_value, pooled.p_value_far)
    significant = p_value * len(order) < SIGNIFICANCE_LEVEL
    return Groups(number, pooled, [], significant, has_angle)


def split_by_displacement(cells, labels, sites):
    """Return the clusters among cells of one angle that are displaced differently.

    The angle of a window follows the lattice where displacements are small, so that a
    polar film and its substrate can have the same. Clusters are kept apart if their
    mean displacements differ significantly, and by half of the common mean at least.
    """
    common = pool_polarization(sites[cells]).mean[0]
    if not np.isfinite(common).all():
        return [cells]
    pooled = pool_polarization(sites[cells], labels[cells], reference="mean")
    p_value = np.fmax(pooled.p_value, pooled.p_value_far) * len(pooled.labels)
    differs = p_value < SIGNIFICANCE_LEVEL
    differs &= np.hypot(*pooled.mean.T) > np.hypot(*common) / 2
    apart = pooled.labels[differs]
    parts = [cells & ~np.isin(labels, apart)]
    parts += [cells & (labels == label) for label in apart]
    return [part for part in parts if part.any()]


def find_alternating(groups, variants, sites):
    """Return pairs of opposite variants that alternate from row to row."""
    neighbors = cKDTree(sites.positions).query(sites.positions, k=5)[1][:, 1:]
    pairs = []
    for i, first in enumerate(variants):
        for second in variants[i + 1 :]:
            one, two = groups.pooled.mean[[first, second]]
            cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            around = groups.number[neighbors[groups.number == first]]
            share = (around == second).mean()
            if cosine < np.cos(np.radians(150)) and share > ALTERNATING_SHARE:
                pairs.append((first, second))
    return pairs


def test_regions(sites):
    """Return number of square regions, and of those with a significant displacement."""
    side = REGION_CELLS * nearest_distance(sites.positions)
    place = (sites.positions // side).astype(int)
    region = place[:, 0] * (place[:, 1].max() + 1) + place[:, 1]
    pooled = pool_polarization(sites, region)
    tested = np.isfinite(pooled.p_value)
    certain = pooled.p_value[tested] * tested.sum() < SIGNIFICANCE_LEVEL
    return tested.sum(), certain.sum()


# Report -------------------------------------------------------------------------------


def in_unit(length, sites):
    """Return a length in px as text in pm, or in px if the pixel size is unknown."""
    unit = sites.pixel_size[0]
    return f"{length:.2f} px" if unit is None else f"{1000 * unit * length:.1f} pm"


def describe_mean(pooled, number, sites, significant):
    """Return a mean vector with its standard error in words."""
    mean, covariance = pooled.mean[number], pooled.covariance[number]
    if not np.isfinite(covariance).all():
        return f"no mean ({pooled.n_sites[number]} measured)"
    length = np.linalg.norm(mean)
    along = mean / length if length else np.array([0.0, 1.0])
    error = np.sqrt(along @ covariance @ along)
    text = f"{in_unit(length, sites)} ± {in_unit(error, sites)}"
    if not significant:
        return f"{text}, not significant"
    aside = np.array([along[1], -along[0]])
    direction = np.degrees(np.arctan2(*mean))
    width = np.degrees(np.sqrt(aside @ covariance @ aside) / length)
    return f"{text} at {direction:+.0f}° ± {width:.0f}°"


def describe(registration, groups, variants, angle, sites):
    """Print variants and measured displacements; return a caveat for the figure."""
    determined = registration.is_determined_
    if determined:
        kind = "together" if registration.is_pooled_ else "one by one"
        say(
            f"Angles registered to the displacements of {registration.n_sites_} "
            f"columns ({kind}): offset {np.degrees(registration.offset_):+.1f}° ± "
            f"{np.degrees(registration.offset_std_):.1f}°."
        )
    n_measured = np.isfinite(sites.polarization).all(axis=1).sum()
    if not n_measured:
        say(
            "No displacement could be measured: no column lies in a complete cage of "
            "the other\nsublattice, as in a projection other than along a cube axis. "
            "Angles are not registered:\ntheir zero is arbitrary, and the directions "
            "need not be polar."
        )
        return "no displacement measured"
    whole = pool_polarization(sites)
    common = whole.p_value[0] < SIGNIFICANCE_LEVEL
    say(
        "Measured displacements (mean ± standard error; angles from +x, down positive):"
    )
    say(f"  all {n_measured} cells: {describe_mean(whole, 0, sites, common)}")
    for n, label in enumerate(groups.pooled.labels):
        cells = groups.number == label
        text = describe_mean(groups.pooled, n, sites, groups.significant[n])
        spread = ""
        if determined and n in variants:
            direction = circular_mean(angle[cells])
            spread = f"; angle {np.degrees(direction):+.0f}°"
        say(
            f"  {groups.names[n]}: {cells.sum()} cells ({cells.mean():.1%}), "
            f"{text}{spread}"
        )
    without = (groups.number < 0).sum()
    if without:
        say(f"  no certain angle: {without} cells ({without / len(sites):.1%})")
    phases = [np.exp(1j * circular_mean(angle[groups.number == n])) for n in variants]
    gaps = np.abs(np.angle(np.outer(phases, np.conj(phases))))
    if (
        determined
        and (gaps[np.triu_indices(len(phases), 1)] < SAME_DIRECTION / 2).any()
    ):
        say(
            "Some variants have one angle and different displacements: there the "
            "colours of the map\nshow the lattice, and the arrows the displacement."
        )
    n_regions, n_certain = test_regions(sites)
    if n_regions:
        say(
            f"  squares of {REGION_CELLS} cells: {n_certain} of {n_regions} are "
            "displaced significantly"
        )
    for first, second in find_alternating(groups, variants, sites):
        say(
            f"{groups.names[first].capitalize()} and {groups.names[second]} point in "
            "opposite directions and alternate from row to row:\nantipolar order."
        )
    return judge(registration, groups, common, n_certain, sites)


def judge(registration, groups, common, n_certain, sites):
    """Print what the displacements prove; return a caveat for the figure."""
    polar = groups.significant.any()
    if not (polar or common or n_certain):
        say(
            "The displacement is not significant, neither in the mean over any group "
            "nor in any\nregion. The map shows what the model finds, which need not be "
            "polar."
        )
        return "displacement not significant"
    number = groups.number[groups.number >= 0]
    relative = pool_polarization(sites[groups.number >= 0], number, reference="mean")
    p_value = np.fmax(relative.p_value, relative.p_value_far) * len(relative.labels)
    differs = (p_value < SIGNIFICANCE_LEVEL).any()
    caveat = []
    if not registration.is_determined_:
        where = "" if polar or common else " in some regions"
        say(
            f"The displacements are significant{where}, but the angles of the model do "
            "not follow them:\ntrust the arrows and the means, not the colours of the "
            "map."
        )
        caveat.append("angles do not follow displacements")
    if common and not differs:
        say(
            "All groups are displaced alike. Mistilt or coma displaces A against B "
            "columns in all cells\nalike, too: this alone does not prove a polar "
            "material."
        )
        caveat.append("one displacement for all, as mistilt makes too")
    elif common:
        say(
            "The mean over all cells is not zero. Mistilt and coma add such a vector; "
            "subtract that of\na non-polar region before you interpret lengths."
        )
    return "; ".join(caveat)


def compare_with_truth(data, sites, angle):
    """Match columns with the truth, and the angles after one rotation."""
    is_b = data.sublattice == 1
    truth = data.positions[is_b]
    distance, nearest = cKDTree(truth).query(sites.positions)
    matched = distance < 2
    say(
        f"Truth: {matched.sum()} of {len(truth)} B columns found, "
        f"{(~matched).sum()} invented."
    )
    variant = data.variant[is_b][nearest]
    counted = matched & (variant >= 0) & ~data.wall[is_b][nearest]
    true = np.pi / 4 + np.pi / 2 * variant[counted]
    error = np.degrees(np.abs(angular_error(true, angle[counted], register=True)))
    say(
        f"Truth: {(error < 45).mean():.1%} of the {counted.sum()} polar cells outside "
        "walls and interfaces have the right variant; median angular error "
        f"{np.median(error):.1f}°."
    )


# Output -------------------------------------------------------------------------------


def draw(sites, pose, groups, variants, model, width, caveat, path):
    """Draw all stages in one figure."""
    angle, registered = pose[:, 0], model[2].is_determined_
    figure = plt.figure(figsize=(24, 8.6), layout="constrained")
    panels = figure.subplot_mosaic(
        "acde\nacde\nacdf\nbcdf\nbcdg\nbcdg", width_ratios=[1, 2, 2, 0.8]
    )
    titles = {"a": "Image", "b": "Latent 0", "e": "Decoded latents"}
    bare = SitesDisplay.from_sites(sites, ax=panels["a"])
    bare.scatter_.remove()
    bare.legend_.remove()
    bare.image_.set_clim(*np.nanpercentile(bare.image, [0.1, 99.9]))
    SitesDisplay.from_sites(
        sites,
        values=pose[:, -2],
        values_name="latent 0",
        ax=panels["b"],
        scale_bar=False,
    )
    if np.isfinite(sites.polarization).all(axis=1).any():
        PolarizationMapDisplay.from_sites(sites, ax=panels["c"])
        titles["c"] = f"Measured displacement of {'AB'[sites.sublattice[0]]} columns"
    else:
        SitesDisplay.from_sites(sites, ax=panels["c"])
        titles["c"] = "Located columns; their displacement cannot be measured"
    LatentManifoldDisplay.from_estimator(model[1], n=5, ax=panels["e"])
    certain = width < NON_POLAR
    AngleHistogramDisplay.from_predictions(
        angle[certain] if certain.any() else angle, ax=panels["f"]
    )
    panels["f"].set_xticks(range(-180, 181, 90))
    titles["f"] = "Certain angles" if certain.any() else "Angles (none is certain)"
    shown = np.isin(groups.number, variants) if registered else certain
    cells = DomainMapDisplay.from_sites(
        sites,
        angle,
        polar=shown,
        labels=groups.number if registered else None,
        ax=panels["d"],
    ).cells_
    if registered:
        titles["d"] = f"{len(variants)} variant{'' if len(variants) == 1 else 's'}"
    else:
        colors = cells.get_facecolor()
        colors[:, :3] = 1 - WASHED_OUT * (1 - colors[:, :3])
        cells.set_facecolor(colors)
        titles["d"] = "Angles of the model, not registered (zero arbitrary)"
    grey = "grey: no certain direction" if not shown.all() else ""
    remarks = "; ".join(filter(None, [caveat, grey]))
    titles["d"] += f"\n({remarks})" if remarks else ""
    draw_means(
        groups, sites, cells.get_facecolor() if registered else None, panels["g"]
    )
    titles["g"] = "Means, 95 % regions"
    for name, title in titles.items():
        panels[name].set_title(title)
        panels[name].set_title(name, loc="left", weight="bold")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_means(groups, sites, colors, ax):
    """Draw the mean displacement of every group with its region of 95 % confidence."""
    unit = sites.pixel_size[0]
    scale, name = (1, "px") if unit is None else (1000 * unit, "pm")
    pooled = groups.pooled
    known = np.flatnonzero(np.isfinite(pooled.covariance).all(axis=(1, 2)))
    ax.axhline(0, color="0.8", linewidth=0.8)
    ax.axvline(0, color="0.8", linewidth=0.8)
    reach = 0.0
    for n in known:
        row, col = scale * pooled.mean[n]
        values, axes = np.linalg.eigh(scale**2 * pooled.covariance[n])
        # 5.99 is the 95 % quantile of chi-square with two degrees of freedom
        long, short = 2 * np.sqrt(5.99 * np.maximum(values[::-1], 0))
        color = "0.6"
        if groups.significant[n]:
            cells = groups.number == pooled.labels[n]
            color = "black" if colors is None else np.median(colors[cells], axis=0)
        tilt = np.degrees(np.arctan2(*axes[:, 1]))
        ax.add_patch(
            Ellipse(
                (col, row),
                long,
                short,
                angle=tilt,
                facecolor=color,
                edgecolor="black",
                alpha=0.5,
            )
        )
        ax.annotate(
            "", (col, row), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color}
        )
        ax.text(col, row, f" {n}", weight="bold")
        reach = max(reach, np.hypot(row, col) + long / 2)
    if not len(known):
        ax.text(0, 0, "none measured", ha="center", va="center")
    reach = 1.15 * reach or 1.0
    ax.set(
        xlim=(-reach, reach),
        ylim=(reach, -reach),
        aspect="equal",
        xlabel=f"to the right ({name})",
        ylabel=f"downwards ({name})",
    )


def write_table(all_sites, centered, columns, parameters, path):
    """Write one row a column; values of window centres are empty elsewhere."""
    features = {}
    for name, values in columns.items():
        if np.issubdtype(values.dtype, np.integer):
            values = values.astype(str)  # integers have no NaN
        empty = "" if values.dtype.kind == "U" else np.nan
        features[name] = np.full(len(all_sites), empty, dtype=values.dtype)
        features[name][centered] = values
    all_sites.to_csv(path, features=features, parameters=parameters)


def check_output(folder):
    """Create the folder and check that files can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write_test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"Cannot write into the folder {str(folder)!r} ({error.strerror}). Choose "
            "another with --output-dir."
        ) from error


def main():
    arguments = parse_arguments()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(f"Note: {message}")
        try:
            run(arguments)
        except MemoryError:
            return "error: The image is too large for the memory of this computer."
        except (ImportError, OSError, TypeError, ValueError) as error:
            # messages of the package name Python parameters
            text = re.sub(r"\b(dataset|signal)=(?=[\w'.])", r"--\1 ", str(error))
            return f"error: {text.replace('--dataset .', '--dataset.')}"


def run(arguments):
    started = time.perf_counter()
    check_output(arguments.output_dir)
    data = get_data(arguments)
    all_sites, centered = locate(data, arguments)
    sites = all_sites[centered]
    sizes = window_sizes(arguments, sites, data.image)
    model, pose, width = fit_model(sites, sizes, arguments)
    labels = model[3:].fit_predict(pose)
    angle, registration = pose[:, 0], model[2]

    groups = find_groups(angle, width, labels, sites)
    is_variant = groups.has_angle & groups.significant
    if not registration.is_determined_:
        is_variant = groups.significant
    variants = np.flatnonzero(is_variant)
    for n in range(len(is_variant)):
        registered = registration.is_determined_ and is_variant[n]
        groups.names.append(f"{'variant' if registered else 'group'} {n}")

    figure_path = arguments.output_dir / "domains.png"
    table_path = arguments.output_dir / "sites.csv"
    columns = dict(zip(model[1].get_feature_names_out(), pose.T, strict=True))
    variant = np.where(np.isin(groups.number, variants), groups.number, -1)
    columns |= {"angle_std": width, "label": labels, "variant": variant}
    write_table(all_sites, centered, columns, model, table_path)

    say("\nResult")
    caveat = describe(registration, groups, variants, angle, sites)
    draw(sites, pose, groups, variants, model, width, caveat, figure_path)
    if "variant" in data:
        compare_with_truth(data, sites, angle)
    say(f"Figure: {figure_path}\nTable:  {table_path}")
    say(f"Time:   {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
