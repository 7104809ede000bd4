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
from sklearn_ferroic.metrics import angle_registration, angular_error, circular_mean

# A cell whose angle is known worse than this has no direction to speak of.
NON_POLAR = np.radians(30)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--image", type=Path, help="image file; generated if left out")
    parser.add_argument("--dataset", help="name of the HDF5 dataset that is the image")
    parser.add_argument("--pixel-size", type=float, help="nm per pixel")
    parser.add_argument("--preset", choices=["film", "superlattice"], default="film")
    parser.add_argument("--window-size", type=int, help="px; about 2.4 unit cells")
    parser.add_argument("--components", type=int, default=5, help="groups of cells")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--output-dir", type=Path, default=Path("demo_output"))
    return parser.parse_args()


def say(*words):
    print(*words, flush=True)


def get_data(arguments):
    if arguments.image is None:
        say(f"Generating the image '{arguments.preset}' ...")
        return make_ferroic_image(arguments.preset, random_state=arguments.random_state)
    say(f"Reading {arguments.image} ...")
    return load_image(
        arguments.image, dataset=arguments.dataset, pixel_size=arguments.pixel_size
    )


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
        AngleAwareScaler(),
        GaussianMixture(
            arguments.components, n_init=10, random_state=arguments.random_state
        ),
    )


def register(angle, sites, certain):
    """Turn the angles, known up to one rotation, onto the measured displacements."""
    trusted = certain & sites.converged & np.isfinite(sites.polarization).all(axis=1)
    if trusted.sum() < 10:
        return angle
    row, col = sites.polarization[trusted].T
    rotation = angle_registration(np.arctan2(row, col), angle[trusted])
    return np.angle(np.exp(1j * (angle + rotation)))


def merge_groups(angle, width, labels):
    """Variant of each cell: groups of one direction are one variant, -1 has none."""
    variant = np.full(len(labels), -1)
    directions = []
    for label in np.unique(labels):
        group = labels == label
        direction = circular_mean(angle[group])
        spread = np.median(
            np.abs(angular_error(np.full(group.sum(), direction), angle[group]))
        )
        if np.median(width[group]) > NON_POLAR or spread > NON_POLAR:
            continue
        near = [
            k
            for k, known in enumerate(directions)
            if abs(angular_error([known], [direction])[0]) < NON_POLAR
        ]
        if not near:
            directions.append(direction)
        variant[group] = near[0] if near else len(directions) - 1
    return variant, directions


def draw(all_sites, sites, angle, certainty, labels, variant, vae, path):
    figure = plt.figure(figsize=(19, 9), layout="constrained")
    panels = figure.subplot_mosaic("abee\ncdee", width_ratios=[1, 1, 1, 1])
    image = all_sites.images[0]
    panels["a"].imshow(image, cmap="gray", vmax=np.percentile(image, 99.9))
    panels["a"].set(xticks=[], yticks=[])
    SitesDisplay.from_sites(
        sites, values=labels, values_name="group", ax=panels["b"], ticks=None
    )
    AngleHistogramDisplay.from_predictions(angle[certainty > 0.5], ax=panels["c"])
    panels["c"].set_xticks(range(-180, 181, 90))
    LatentManifoldDisplay.from_estimator(vae, n=7, ax=panels["d"])
    DomainMapDisplay.from_sites(
        sites,
        angle,
        magnitude=certainty,
        magnitude_name="certainty",
        percentiles=(0, 100),
        labels=variant,
        ax=panels["e"],
    )
    titles = {
        "a": "Image",
        "b": "Columns by mixture component",
        "c": "Angle of polar cells",
        "d": "Decoded latents",
        "e": "Polarization variants",
    }
    for name, title in titles.items():
        panels[name].set_title(title)
        panels[name].set_title(name, loc="left", weight="bold")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_table(all_sites, centered, pose, names, labels, path):
    """One row a column; what only the window centres have is empty elsewhere."""
    table = all_sites.to_frame()
    rows = np.flatnonzero(centered)
    for name, values in zip(names, pose.T, strict=True):
        table.loc[rows, name] = values
    table["label"] = table.index.map(dict(zip(rows, labels, strict=True)))
    table["label"] = table["label"].astype("Int64")
    table.to_csv(path, index=False)
    return len(table)


def describe(angle, variant, directions):
    """Say in words which variants there are."""
    say(f"Variants found: {len(directions)}.")
    for number, direction in enumerate(directions):
        cells = variant == number
        spread = angular_error(np.full(cells.sum(), direction), angle[cells])
        say(
            f"  variant {number}, towards {np.degrees(direction):+.0f}° "
            f"(± {np.degrees(np.median(np.abs(spread))):.1f}°): "
            f"{cells.mean():.1%} of the cells ({cells.sum()})"
        )
    cells = variant < 0
    if cells.any():
        say(f"  without direction: {cells.mean():.1%} of the cells ({cells.sum()})")


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
        f"walls have the right variant; median angular error {np.median(error):.1f}°."
    )


def main():
    started = time.perf_counter()
    arguments = parse_arguments()
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
    labels = tail.fit_predict(sites)
    vae = tail["rotationalvae"]
    pose, widths = vae.transform_with_std(tail["patchextractor"].transform(sites))
    width = widths[:, 0]
    pose[:, 0] = register(pose[:, 0], sites, width < NON_POLAR)
    angle = pose[:, 0]

    figure_path = arguments.output_dir / "domains.png"
    table_path = arguments.output_dir / "sites.csv"
    certainty = np.exp(-(width**2) / 2)
    variant, directions = merge_groups(angle, width, labels)
    draw(all_sites, sites, angle, certainty, labels, variant, vae, figure_path)
    names = vae.get_feature_names_out()
    write_table(all_sites, centered, pose, names, labels, table_path)

    say("\nResult")
    describe(angle, variant, directions)
    if "variant" in data:
        compare_with_truth(data, sites, angle)
    say(f"Figure: {figure_path}\nTable:  {table_path}")
    say(f"Time:   {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
