"""What the latents of a superlattice tell: the layers, and what of the variants.

    python benchmarks/layers.py                         # images 0, 1, 2

Layers are of three kinds: LSMO, BiFeO3 of two variants in alternation, and antipolar
BiFeO3. A line a run gives the adjusted Rand index of a mixture of three with these, in
cells at least 30 px from a layer of the other material, with starts drawn by k-means++
and by k-means, which are all alike. The next say how often a cross-validated
classifier, within a layer and with as many cells of the one variant as of the other,
reads the variant from the latents; 50 % is by chance.
"""

import argparse
import sys

import numpy as np
from _data_rvae import judge, make_patches
from scipy.ndimage import label
from scipy.spatial import cKDTree
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import StratifiedKFold, cross_val_score

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
    rng = np.random.default_rng(0)
    for number in np.unique(layer[layer > 0]):
        chosen = (layer == number) & is_far & (patches.variant >= 0)
        variants, counts = np.unique(patches.variant[chosen], return_counts=True)
        pair = variants[np.argsort(counts)[-2:]]
        drawn = [np.flatnonzero(chosen & (patches.variant == one)) for one in pair]
        size = min(map(len, drawn))
        cells = np.concatenate([rng.permutation(part)[:size] for part in drawn])
        accuracy = cross_val_score(
            RandomForestClassifier(200, random_state=0),
            scaled[cells],
            patches.variant[cells],
            cv=StratifiedKFold(5, shuffle=True, random_state=0),
        ).mean()
        say(f"  layer {number}, variants {pair}: read from the latents {accuracy:.1%}")


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for seed in parser.parse_args().seeds:
        run(seed)


if __name__ == "__main__":
    main()
