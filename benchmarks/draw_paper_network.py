"""Draw the paper's figures from its network, next to those of the default model.

    python benchmarks/draw_paper_network.py

reads the results that `train_paper_network.py` has left in ``--runs``, fits the default
model to windows at the same places, and writes the figures into ``docs/images``. The
numbers of the documentation are printed.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from _data_rvae import is_antipolar
from PIL import Image
from scipy.spatial import cKDTree
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch
from train_paper_network import make_windows, read_records, score

from sklearn_ferroic import AngleAwareScaler, PatchExtractor, RotationalVAE
from sklearn_ferroic.inspection import (
    AngleHistogramDisplay,
    CellMapDisplay,
    ClusterMeansDisplay,
    DomainMapDisplay,
    LatentDistributionDisplay,
    LatentManifoldDisplay,
)
from sklearn_ferroic.metrics import angle_registration

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
# Wider posteriors are left out of histograms, as in the examples of the figures.
WIDEST_ANGLE_DEG = 30
DOTS_PER_INCH = 160
STYLES = ("C0o-", "C1s--", "C2^:", "C3v-.", "C4P-")


def load(path, image, window_px):
    """Return the windows, and the results of the default and of the paper's model."""
    windows = make_windows(image, window_px)
    with np.load(path) as stored:
        paper = Bunch(**{name: stored[name] for name in stored.files})
    patches = PatchExtractor(window_size=window_px).transform(windows.sites)
    vae = RotationalVAE(random_state=0).fit(patches)
    pose, width = vae.transform_with_std(patches)
    default = Bunch(pose=pose, width=width, decoded=vae.latent_grid(n=7)[1])
    default.epochs, paper.epochs = vae.n_iter_, len(paper.loss)
    results = {"default": default, "paper": paper}
    for result in results.values():
        result.scores = score(result.pose[:, 0].astype(float), windows)
        result.pose = register(result, windows)
        result.certain = result.width[:, 0] < np.radians(WIDEST_ANGLE_DEG)
        # a model without translation has no offsets
        result.latents = result.pose[:, -2:]
    windows.patches = patches
    return windows, results


def register(result, windows):
    """Return the pose with the sense and the origin of the true direction."""
    pose = result.pose.copy()
    angle = result.scores["sense"] * pose[:, 0]
    judged = windows.judged
    angle += angle_registration(windows.direction[judged], angle[judged])
    pose[:, 0] = np.angle(np.exp(1j * angle))
    return pose


def describe(name, windows, results):
    """Print the numbers of each model."""
    variant = windows.data.variant[windows.near][windows.judged]
    for model, result in results.items():
        scores = result.scores
        labels = classify(result, 4, angle="drop")[windows.judged]
        print(
            f"{name}, {model}: {result.epochs} epochs, {scores['share']:.1%} within "
            f"45° (a constant angle: {scores['chance']:.1%}), median error "
            f"{scores['median']:.1f}°, R {scores['resultant']:.3f}, sense "
            f"{scores['sense']:+d}; mutual information of four classes of the latents "
            f"with the variants {normalized_mutual_info_score(variant, labels):.2f}; "
            "posterior width of the angle "
            f"{np.degrees(np.median(result.width[windows.judged, 0])):.1f}°"
        )


def draw_manifold(images, ax):
    """Draw decoded images on a grid of latents from -2 to 2."""
    values = np.linspace(-2, 2, images.shape[1])
    LatentManifoldDisplay(images, values, values).plot(ax=ax)
    for axis in (ax.xaxis, ax.yaxis):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        axis.set_ticks(axis.get_ticklocs()[::3], labels[::3])


def draw_histogram(result, ax):
    """Draw the histogram of the angles with a narrow posterior."""
    AngleHistogramDisplay.from_predictions(
        result.pose[result.certain, 0], n_peaks=0, ax=ax
    )
    ax.set_xticks(range(-180, 181, 90))


def draw_density(result, ax):
    """Draw the density of the latents."""
    LatentDistributionDisplay.from_predictions(result.latents, kind="density", ax=ax)


def draw_angle_map(windows, result, ax, *, latent=None, wheel=False, bar=False):
    """Draw the angle of each cell as its colour, and a latent as the saturation."""
    saturation = {}
    if latent is not None:
        saturation["magnitude"] = result.latents[:, latent]
        saturation["magnitude_name"] = f"latent{latent}"
    DomainMapDisplay.from_sites(
        windows.sites,
        result.pose[:, 0],
        polar=None if latent is not None else result.certain,
        color_wheel=wheel,
        scale_bar=bar,
        ax=ax,
        **saturation,
    )


def classify(result, n_classes, angle="encode"):
    """Cluster angle and latents by a Gaussian mixture, the sharpest class first."""
    scaler = AngleAwareScaler(angle=angle)
    mixture = GaussianMixture(n_classes, n_init=10, random_state=0)
    labels = make_pipeline(scaler, mixture).fit_predict(result.pose)
    unit = np.exp(1j * result.pose[:, 0])
    resultant = [np.abs(unit[labels == k].mean()) for k in range(n_classes)]
    return np.argsort(np.argsort(-np.array(resultant)))[labels]


def save(figure, name):
    """Write a figure as a PNG of 256 colours."""
    path = IMAGES / f"paper_network_{name}.png"
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)
    with Image.open(path) as picture:
        colors = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colors.save(path, optimize=True)
    print(path.name, path.stat().st_size // 1000, "kB")


def grid(n_columns, height, **options):
    """Return a figure with a row of axes for each of both models."""
    return plt.subplots(
        2, n_columns, figsize=(7.1, height), layout="constrained", **options
    )


def draw_film(windows, results):
    """Draw the panels of figures 1 and 2."""
    figure, axes = grid(2, 5.6, width_ratios=[1.25, 1])
    for row, (name, result) in zip(axes, results.items(), strict=True):
        draw_histogram(result, row[0])
        draw_manifold(result.decoded, row[1])
        row[0].set_title(f"1d  angle, {name}")
        row[1].set_title(f"1e  decoded latents, {name}")
    save(figure, "figure_1")
    figure, axes = grid(3, 5.6)
    for row, (name, result) in zip(axes, results.items(), strict=True):
        draw_density(result, row[0])
        draw_angle_map(windows, result, row[1], latent=0, wheel="below", bar=True)
        draw_angle_map(windows, result, row[2], latent=1, wheel="below")
        titles = ("2a  latents", "2b  with latent0", "2c  with latent1")
        for ax, title in zip(row, titles, strict=True):
            ax.set_title(f"{title}, {name}")
    save(figure, "figure_2_latents")
    figure, axes = grid(2, 5.6, width_ratios=[1.1, 1])
    for row, (name, result) in zip(axes, results.items(), strict=True):
        labels = classify(result, 5)
        describe_classes(name, windows, labels)
        LatentDistributionDisplay.from_predictions(
            np.column_stack([np.degrees(result.pose[:, 0]), result.latents[:, 0]]),
            labels=labels,
            names=("angle (degrees)", "latent0"),
            ax=row[0],
        )
        row[0].get_legend().remove()
        row[0].set(xticks=range(-180, 181, 90), xlim=(-190, 190))
        CellMapDisplay.from_sites(windows.sites, labels, values_name="class", ax=row[1])
        row[0].set_title(f"2d  latent0 against angle, {name}")
        row[1].set_title(f"2e  classes, {name}")
    save(figure, "figure_2_classes")


def describe_classes(name, windows, labels):
    """Print what the cells of each class are."""
    variant = windows.data.variant[windows.near]
    wall = windows.data.wall[windows.near]
    for label in np.unique(labels):
        own = labels == label
        share = np.bincount(variant[own], minlength=4) / own.sum()
        print(
            f"  {name}, class {label}: {own.sum()} cells, variants "
            f"{' '.join(f'{s:.0%}' for s in share)}, walls {wall[own].mean():.0%}"
        )


def draw_superlattice(windows, results, window_px, panels):
    """Draw the panels of figures 5 to 7 for one size of the windows."""
    figure, axes = grid(3, 4.9, width_ratios=[1, 1.15, 1.1])
    for row, (name, result) in zip(axes, results.items(), strict=True):
        draw_manifold(result.decoded, row[0])
        draw_histogram(result, row[1])
        draw_density(result, row[2])
        titles = ("decoded latents", "angle", "latents")
        for ax, panel, title in zip(row, panels[5], titles, strict=True):
            ax.set_title(f"{panel}  {title}, {name}")
    save(figure, f"figure_5_{window_px}px")
    figure, axes = grid(3, 4.9)
    for row, (name, result) in zip(axes, results.items(), strict=True):
        for number in (0, 1):
            CellMapDisplay.from_sites(
                windows.sites,
                result.latents[:, number],
                values_name=f"latent{number}",
                scale_bar=number == 0,
                ax=row[number],
            )
        draw_angle_map(windows, result, row[2])
        titles = ("latent0", "latent1", "angle")
        for ax, panel, title in zip(row, panels[6], titles, strict=True):
            ax.set_title(f"{panel}  {title}, {name}")
    save(figure, f"figure_6_{window_px}px")
    if 7 in panels:
        draw_chemistry(windows, results)


def draw_chemistry(windows, results):
    """Draw the panels of figure 7, classes of the latents alone."""
    figure, axes = grid(3, 5.2, width_ratios=[1, 0.8, 1.05])
    for row, (name, result) in zip(axes, results.items(), strict=True):
        labels = classify(result, 4, angle="drop")
        brightness = [windows.patches[labels == k].mean() for k in range(4)]
        labels = np.argsort(np.argsort(brightness))[labels]
        ClusterMeansDisplay.from_predictions(
            windows.patches, labels, n_cols=2, ax=row[0]
        )
        row[0].set_title(f"7a  class means, {name}", pad=14)
        CellMapDisplay.from_sites(windows.sites, labels, colorbar=False, ax=row[1])
        row[1].set_title(f"7b  classes, {name}")
        LatentDistributionDisplay.from_predictions(
            result.latents, labels=labels, ax=row[2]
        )
        row[2].set_title(f"7c  latents, {name}")
    save(figure, "figure_7")


def describe_layers(name, windows, results):
    """Print how well the latents tell the materials and the antipolar order."""
    data, near = windows.data, windows.near
    composition = data.composition[near]
    pure = (composition < 0.1) | (composition > 0.9)
    antipolar = is_antipolar(data)[near]
    for model, result in results.items():
        two = classify(result, 2, angle="drop")
        index = adjusted_rand_score(composition[pure] > 0.5, two[pure])
        neighbors = cKDTree(result.latents).query(result.latents, k=6)[1][:, 1:]
        alike = antipolar[neighbors] == antipolar[:, None]
        share = antipolar[windows.judged].mean()
        largest = max(abs(spearmanr(z, composition)[0]) for z in result.latents.T)
        not_polar = result.width[data.variant[near] < 0, 0]
        print(
            f"{name}, {model}: two classes and the two materials, adjusted Rand index "
            f"{index:.2f}; neighbours in the latents of the same order "
            f"{alike[windows.judged].mean():.0%} (by chance "
            f"{share**2 + (1 - share) ** 2:.0%}); rank correlation of the latents with "
            f"the composition {largest:.2f}; width of the angle of cells that are not "
            f"polar {np.degrees(np.median(not_polar)):.1f}°"
        )


def draw_learning(runs):
    """Draw loss, share, median error and resultant length against the epoch."""
    figure, axes = plt.subplots(2, 2, figsize=(7.1, 4.6), layout="constrained")
    names = ("loss", "share", "median", "resultant")
    labels = (
        "loss (nats per pixel)",
        "within 45° (%)",
        "median error (degrees)",
        "resultant length of the errors",
    )
    styles = STYLES[: len(runs)]
    for ax, name, label in zip(axes.flat, names, labels, strict=True):
        for (title, records), style in zip(runs.items(), styles, strict=True):
            values = np.array([record[name] for record in records])
            epochs = [record["epoch"] for record in records]
            scale = 100 if name == "share" else 1
            ax.plot(epochs, scale * values, style, markersize=3, label=title)
        ax.set(xlabel="epoch", ylabel=label)
    axes[0, 0].set_ylim(0)
    axes[0, 1].set_ylim(0, 105)
    axes[1, 0].set_ylim(0)
    axes[1, 1].set_ylim(0, 1.05)
    axes[1, 1].legend(frameon=False)
    save(figure, "learning")


# Panels of each window of the superlattice: 54 px in the first row of the paper's
# figures, 36 px in the second.
PANELS = {
    54: {5: ("5a", "5b", "5c"), 6: ("6a", "6b", "6c")},
    36: {
        5: ("5d", "5e", "5f"),
        6: ("6d", "6e", "6f"),
        7: ("7a", "7b", "7c"),
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=HERE / "paper_network")
    folder = parser.parse_args().runs
    plt.rcParams.update(
        {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
    )
    runs = {}
    for path in sorted(folder.glob("*.jsonl")):
        image, size, encoder, _ = path.stem.split("_")
        runs[f"{image}, {size[:-2]} px, {encoder}"] = read_records(path)
    draw_learning(runs)
    for path in sorted(folder.glob("*.npz")):
        image, size, encoder, _ = path.stem.split("_")
        windows, results = load(path, image, int(size[:-2]))
        describe(f"{image}, {size}, {encoder}", windows, results)
        if image == "superlattice":
            describe_layers(path.stem, windows, results)
            draw_superlattice(windows, results, int(size[:-2]), PANELS[int(size[:-2])])
        elif encoder == "convolutional":
            draw_film(windows, results)


if __name__ == "__main__":
    main()
