"""Measure which layers and variants of a superlattice the latents describe.

    python benchmarks/layers.py                         # images 0 to 4

Layers are of three kinds: LSMO, BiFeO3 of two variants, and antipolar BiFeO3. For each
image, the adjusted Rand index compares them with a mixture of three components, in
cells at least 30 px from a layer of the other material, started by k-means++ and by
k-means. Then one model is fitted to all images, and a classifier that was trained on
the latents of the other images predicts the variants of each. Within an image, the
latents depend on the position, because the thickness of the foil changes, and the
variants are at different positions. Between images, position and variant are unrelated.
"""

import argparse
import sys

import numpy as np
from _data_rvae import judge, make_patches
from scipy.ndimage import label
from scipy.spatial import cKDTree
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from sklearn_ferroic import AngleAwareScaler, RotationalVAE

FAR = 30  # px


def find_layers(patches):
    """Number of each cell's BiFeO3 layer, 0 in LSMO, and whether it is far inside."""
    rows, ferroic = patches.sites.positions[:, 0], patches.composition > 0.5
    bins = (rows / 10).astype(int)
    share = np.bincount(bins, ferroic) / np.maximum(np.bincount(bins), 1)
    counted = np.interp(np.arange(len(share)), np.unique(bins), share[np.unique(bins)])
    layer = np.where(ferroic, label(counted > 0.5)[0][bins], 0)
    places = patches.sites.positions
    distance = np.empty(len(places))
    for side in (ferroic, ~ferroic):
        distance[side] = cKDTree(places[~side]).query(places[side])[0]
    return layer, distance >= FAR


def run(seed):
    patches = make_patches("superlattice", seed)
    layer, is_far = find_layers(patches)
    found = RotationalVAE(random_state=seed).fit_transform(patches.X)
    kind = np.minimum(layer, 1)
    for number in np.unique(layer[layer > 0]):
        inside = layer == number
        kind[inside] += patches.antipolar[inside].mean() > 0.5
    scaled = AngleAwareScaler(angle="drop").fit_transform(found)
    rand = {}
    for starts in ("k-means++", "kmeans"):
        mixture = GaussianMixture(3, n_init=10, init_params=starts, random_state=0)
        labels = mixture.fit_predict(scaled)
        rand[starts] = round(adjusted_rand_score(kind[is_far], labels[is_far]), 3)
    say(f"image {seed}: Rand index {rand}")
    antipolar = judge(found[:, 0], patches, patches.antipolar)
    say(f"  antipolar cells within 45 degrees: {antipolar['share']:.1%}")
    return patches, (layer > 0) & is_far & (patches.variant >= 0)


def read_variants(images, chosen):
    """Read the variants of each image by what the others' latents have taught."""
    found = RotationalVAE(random_state=0).fit_transform(
        np.concatenate([image.X for image in images])
    )
    latents = AngleAwareScaler(angle="drop").fit_transform(found)
    variant, antipolar = (
        np.concatenate([image[name] for image in images])
        for name in ("variant", "antipolar")
    )
    number = np.repeat(np.arange(len(images)), [len(image.X) for image in images])
    chosen = np.concatenate(chosen)
    # an antipolar layer has two opposite variants, another in another image
    for kind, cells, truth in (
        ("polar cells: one of four variants", chosen & ~antipolar, variant),
        ("antipolar cells: one of two opposites", chosen & antipolar, variant // 2),
    ):
        read = cross_val_predict(
            RandomForestClassifier(200, class_weight="balanced", random_state=0),
            latents[cells],
            truth[cells],
            groups=number[cells],
            cv=LeaveOneGroupOut(),
        )
        right = balanced_accuracy_score(truth[cells], read)
        say(
            f"{kind} read {right:.1%}, by chance {1 / len(np.unique(truth[cells])):.0%}"
        )


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    read_variants(*zip(*map(run, parser.parse_args().seeds), strict=True))


if __name__ == "__main__":
    main()
