"""
From a microscope image to a map of ferroic variants
====================================================

Locates the atomic columns of an image, reads angle and latents of every B-centred
window with the rotational VAE, groups the cells with a Gaussian mixture, and writes
``domains.png`` and ``sites.csv``. Without ``--image`` it does so on a generated
image, whose truth the result is then held against.
"""

import argparse
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import load_image, make_ferroic_image
from sklearn_ferroic.inspection import (
    AngleHistogramDisplay,
    DomainMapDisplay,
    LatentManifoldDisplay,
    SitesDisplay,
)
from sklearn_ferroic.metrics import angular_error, circular_mean

# A cell whose angle is known worse than this has no direction to speak of.
NON_POLAR = np.radians(30)
# Mean displacement of a variant over the scatter across it; disorder alone gives 2.
SIGNIFICANT = 3
# Fewer cells than these make no variant.
FEWEST = 5
# Why displacements do not bear out the angles: on the picture, and in the terminal.
NONE_MEASURED = "no displacement measured"
NONE_CERTAIN = "no displacement beyond its error"
NONE_FOLLOW = "displacements do not follow"
EXPLAINED = {
    NONE_MEASURED: "No column stands in a whole cage of the other sublattice: no "
    "displacement\nwas measured that the angles could be checked against.",
    NONE_CERTAIN: "Too few of the measured displacements exceed their errors for a "
    "check of the angles.",
    NONE_FOLLOW: "The displacements measured do not follow the angles.",
}


def _count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add("--image", type=Path, help="image file (one is generated)")
    add("--dataset", help="name of the HDF5 dataset that is the image (the only one)")
    add("--pixel-size", type=float, help="nm per pixel (as the file says)")
    add(
        "--preset",
        choices=["film", "superlattice"],
        default="film",
        help="what is generated (%(default)s)",
    )
    add("--window-size", type=_count, help="px (about 2.4 unit cells)")
    add(
        "--components",
        type=_count,
        default=5,
        help="groups of cells, of which those of one direction are made one variant: "
        "no fewer than variants and non-polar materials (%(default)s)",
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


def get_data(arguments):
    if arguments.image is None:
        if arguments.pixel_size is not None or arguments.dataset is not None:
            raise ValueError("--pixel-size and --dataset belong to an --image.")
        say(f"Generating the image '{arguments.preset}' ...")
        return make_ferroic_image(arguments.preset, random_state=arguments.random_state)
    say(f"Reading {arguments.image} ...")
    data = load_image(
        arguments.image, dataset=arguments.dataset, pixel_size=arguments.pixel_size
    )
    if data.image.ndim == 3:
        raise ValueError(
            f"{arguments.image} holds {len(data.image)} images; the demo takes one. "
            "Save the one that you want as a file of its own."
        )
    say(data.description)
    if data.pixel_size is None:
        say(
            "Lengths are in px; --pixel-size, in nm per pixel, gives them in pm and nm."
        )
    return data


def make_tail(arguments, spacing):
    """From sites to labels; the unit cell is √2 nearest-neighbour spacings wide."""
    window_size = arguments.window_size or 2 * round(1.2 * np.sqrt(2) * spacing)
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
            arguments.components, n_init=10, random_state=arguments.random_state
        ),
    )


def find_variants(angle, width, labels, sites, measured):
    """Variant of each cell: groups of one direction are one variant, -1 has none.

    A group has a direction if its angles are certain and agree. A variant is kept if,
    where the columns' displacements were measured, their mean stands out from their
    scatter.
    """
    candidate = np.full(len(labels), -1)
    directions = []
    for label in np.unique(labels):
        group = labels == label
        direction = circular_mean(angle[group])
        spread = np.abs(angular_error(np.full(group.sum(), direction), angle[group]))
        if max(np.median(width[group]), np.median(spread)) > NON_POLAR:
            continue
        gaps = [abs(angular_error([known], [direction])[0]) for known in directions]
        near = [number for number, gap in enumerate(gaps) if gap < NON_POLAR]
        if not near:
            directions.append(direction)
        # a cell that is uncertain in a certain group has no direction either
        certain = group & (width < NON_POLAR)
        candidate[certain] = near[0] if near else len(directions) - 1
    variant = np.full(len(labels), -1)
    kept = []
    for number, direction in enumerate(directions):
        cells = candidate == number
        along, aside = displacement(sites[cells], direction)
        if cells.sum() >= FEWEST and (not measured or along > SIGNIFICANT * aside):
            variant[cells] = len(kept)
            kept.append(direction)
    return variant, kept


def displacement(sites, direction):
    """Mean displacement along a direction and robust scatter across it, px."""
    vectors = sites.polarization[np.isfinite(sites.polarization).all(axis=1)]
    if not len(vectors):
        return np.nan, np.nan
    along = vectors @ [np.sin(direction), np.cos(direction)]
    aside = vectors @ [np.cos(direction), -np.sin(direction)]
    return np.median(along), 1.48 * np.median(np.abs(aside))


def draw(all_sites, sites, angle, variant, vae, doubt, path):
    """Draw the stages; what is known against the angles stands in the picture."""
    figure = plt.figure(figsize=(18.5, 8.8), layout="constrained")
    figure.get_layout_engine().set(wspace=0.03)
    panels = figure.subplot_mosaic("abee\ncdee", width_ratios=[1, 1, 1.25, 1.25])
    bare = SitesDisplay.from_sites(all_sites, ax=panels["a"])
    bare.scatter_.remove()
    bare.legend_.remove()
    low, high = np.percentile(bare.image, [0.1, 99.9])
    bare.image_.set_clim(low, high)
    columns = SitesDisplay.from_sites(sites, values=variant, ax=panels["b"])
    polar = variant >= 0
    if polar.any():
        AngleHistogramDisplay.from_predictions(angle[polar], ax=panels["c"])
    panels["c"].set_xticks(range(-180, 181, 90))
    LatentManifoldDisplay.from_estimator(vae, n=7, ax=panels["d"])
    domains = DomainMapDisplay.from_sites(
        sites, angle, polar=polar, labels=variant, ax=panels["e"]
    )
    # columns in the colours of their cells, which the wheel explains
    columns.scatter_.set_facecolor(domains.cells_.get_facecolor())
    columns.legend_.remove()
    site = "AB"[sites.sublattice[0]]
    kind = "Orientation" if doubt else "Variant"
    plural = "" if variant.max() == 0 else "s"
    grey = "" if polar.all() else "grey: no certain direction"
    caveat = f"not checked: {doubt}" if doubt else ""
    if not doubt and variant.max() == 0:
        caveat = "one direction, as mistilt makes too"
    remarks = "; ".join(filter(None, [caveat, grey]))
    titles = {
        "a": "Image",
        "b": f"{site} columns in the colours of e",
        "c": "Angle of the cells in colour",
        "d": "Decoded latents",
        "e": f"{kind}{plural}" + (f" ({remarks})" if remarks else ""),
    }
    for name, title in titles.items():
        panels[name].set_title(title)
        panels[name].set_title(name, loc="left", weight="bold")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_table(all_sites, centered, columns, parameters, path):
    """One row a column; what only the window centres have is empty elsewhere."""
    features = {}
    for name, values in columns.items():
        if np.issubdtype(values.dtype, np.integer):
            values = values.astype(str)  # there is no whole NaN
        empty = "" if values.dtype.kind == "U" else np.nan
        features[name] = np.full(len(all_sites), empty, dtype=values.dtype)
        features[name][centered] = values
    all_sites.to_csv(path, features=features, parameters=parameters)


def find_doubt(registration, sites):
    """Say why the measured displacements do not bear out the angles; "" if they do."""
    if registration.is_determined_:
        return ""
    if not np.isfinite(sites.polarization).any():
        return NONE_MEASURED
    return NONE_CERTAIN if registration.n_sites_ < FEWEST else NONE_FOLLOW


def describe(angle, variant, variants, sites, registration, doubt):
    """Say in words which variants there are."""
    unit = sites.pixel_size[0]
    registered = not doubt
    if registered:
        say(
            f"Angles turned by {np.degrees(registration.offset_):+.1f}° "
            f"(± {np.degrees(registration.offset_std_):.1f}°) onto the displacements "
            f"of {registration.n_sites_} columns."
        )
    say(f"{'Variants' if registered else 'Orientations'} found: {len(variants)}.")
    for number, direction in enumerate(variants):
        cells = variant == number
        spread = np.median(
            np.abs(angular_error(np.full(cells.sum(), direction), angle[cells]))
        )
        along, _ = displacement(sites[cells], direction)
        length = f"{along:.2f} px" if unit is None else f"{1000 * unit * along:.0f} pm"
        size = f", displaced by {length}" if registered else ""
        say(
            f"  variant {number}: {cells.mean():.1%} of the cells ({cells.sum()}), at "
            f"{np.degrees(direction):+.0f}° (± {np.degrees(spread):.1f}°){size}"
        )
    without = (variant < 0).sum()
    say(
        f"  no certain direction: {without / len(variant):.1%} of the cells ({without})"
    )
    if not registered:
        say(EXPLAINED[doubt])
        say("The orientations may not be polar, and their angles count from an")
        say("arbitrary zero.")
    elif len(variants) == 1:
        say("A displacement that all cells share can also come from mistilt.")


def compare_with_truth(data, sites, angle):
    """Match columns with the truth, and the angles after one rotation."""
    is_b = data.sublattice == 1
    truth = data.positions[is_b]
    distance = np.linalg.norm(sites.positions[:, None] - truth, axis=2)
    nearest = distance.argmin(axis=1)
    matched = distance.min(axis=1) < 2
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


def main():
    try:
        run(parse_arguments())
    except (OSError, TypeError, ValueError) as error:
        return f"error: {error}"


def run(arguments):
    started = time.perf_counter()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    data = get_data(arguments)

    say("Locating the columns ...")
    locator = AtomLocator()
    all_sites = locator.fit_transform(data)
    # windows are centred on B columns; on A where the image shows no other
    centered = all_sites.sublattice == min(1, locator.n_sublattices_ - 1)
    sites = all_sites[centered]
    say(
        f"Sites found: {len(all_sites)}, of which {len(sites)} on the sublattice that "
        f"windows are centred on; spacing {locator.spacing_:.1f} px."
    )

    tail = make_tail(arguments, locator.spacing_)
    say(f"Training the rotational VAE on windows of {tail[0].window_size} px ...")
    # the second time for their displacements, which the angles are turned onto
    labels = tail.fit_predict(sites, sites)
    vae, registration = tail["rotationalvae"], tail["angleregistration"]
    pose, widths = vae.transform_with_std(tail["patchextractor"].transform(sites))
    pose, width = registration.transform(pose), widths[:, 0]
    angle = pose[:, 0]
    measured = registration.n_sites_ >= FEWEST
    variant, variants = find_variants(angle, width, labels, sites, measured)

    figure_path = arguments.output_dir / "domains.png"
    table_path = arguments.output_dir / "sites.csv"
    doubt = find_doubt(registration, sites)
    columns = dict(zip(vae.get_feature_names_out(), pose.T, strict=True))
    columns |= {"angle_std": width, "label": labels, "variant": variant}
    write_table(all_sites, centered, columns, tail, table_path)
    draw(all_sites, sites, angle, variant, vae, doubt, figure_path)

    say("\nResult")
    describe(angle, variant, variants, sites, registration, doubt)
    if "variant" in data:
        compare_with_truth(data, sites, angle)
    say(f"Figure: {figure_path}\nTable:  {table_path}")
    say(f"Time:   {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
