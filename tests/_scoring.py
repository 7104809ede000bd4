"""Pipelines to score, and what scores may be."""

import numpy as np
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.decomposition import NMF, PCA
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ferroic import (
    AngleAwareScaler,
    MultiReferenceAlignment,
    PatchExtractor,
    PolarizationVector,
    RotationalVAE,
)

RANGES = {
    "angle_coherence": (-1, 1),
    "circular_correlation": (-1, 1),
    "completed_likelihood": (-1e6, np.inf),
    "evidence": (-1e6, np.inf),
    "mixture_evidence": (-1e6, np.inf),
    "neg_angular_error": (-np.pi, 0),
    "neg_latent_leakage": (-1, 0),
    "reconstruction": (-1, 1),
    "rotation_equivariance": (-1, 1),
    "spatial_coherence": (-1, 1),
    "variant_accuracy": (0, 1),
    "wall_continuity": (0, 1),
    "wall_straightness": (0, 1),
}
NEED_ANGLES = {"circular_correlation", "neg_angular_error"}


def patches(**parameters):
    return PatchExtractor(**{"window_size": 24} | parameters)


def vae(**parameters):
    return RotationalVAE(**{"max_epochs": 2, "random_state": 0} | parameters)


def mixture(n_components=4):
    return GaussianMixture(n_components, reg_covar=1e-3, random_state=0)


def k_means(n_clusters=4):
    return KMeans(n_clusters, random_state=0)


PIPELINES = {
    "mixture": lambda: make_pipeline(patches(), vae(), AngleAwareScaler(), mixture()),
    "k-means": lambda: make_pipeline(patches(), vae(), AngleAwareScaler(), k_means()),
    "VAE": lambda: make_pipeline(patches(), vae()),
    "scaler": lambda: make_pipeline(patches(), vae(), AngleAwareScaler()),
    "nested": lambda: make_pipeline(patches(), make_pipeline(vae(), "passthrough")),
    "alignment": lambda: make_pipeline(patches(), MultiReferenceAlignment()),
    "PCA, k-means": lambda: make_pipeline(
        patches(), StandardScaler(), PCA(4), k_means()
    ),
    "PCA": lambda: make_pipeline(patches(), PCA(4)),
    "NMF, agglomerative": lambda: make_pipeline(
        patches(), NMF(3, init="nndsvda", tol=0.01), AgglomerativeClustering(4)
    ),
    "raw k-means": lambda: make_pipeline(patches(), k_means()),
    "raw mixture": lambda: make_pipeline(
        patches(window_size=20), GaussianMixture(3, reg_covar=1e-2, random_state=0)
    ),
    "all noise": lambda: make_pipeline(patches(), PCA(2), DBSCAN(1e-9)),
    "t-SNE": lambda: make_pipeline(patches(), TSNE(perplexity=5, max_iter=250)),
    "displacement": lambda: make_pipeline(PolarizationVector(), k_means()),
}
