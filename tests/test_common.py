"""What scikit-learn and this package ask of every estimator."""

import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.utils.estimator_checks import (
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

import sklearn_ferroic
from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AngularMoments,
    AtomLocator,
    FrameAverager,
    GridSampler,
    LatticeStrain,
    Motif,
    MotifAssigner,
    MultiReferenceAlignment,
    NeighborhoodDescriptor,
    PatchExtractor,
    PolarizationVector,
    RotationalVAE,
    RotationalVAEEnsemble,
    ScanDistortionCorrector,
    SlidingFFT,
    UNetAtomLocator,
)
from sklearn_ferroic.datasets import make_ferroic_series
from tests._common_checks import COMMON_CHECKS, IMAGE_CHECKS, SITES_CHECKS

# The B columns of a perovskite alone.
SQUARE = Motif.from_table([("Ti", 0, 0)], lengths=(0.4, 0.4), name="square")
# Estimator, the kind of X it takes, and the arguments to check it with.
TABLE = [
    (AngleAwareScaler, "table", {}),
    (AngleAwareScaler, "table", {"offsets": "scale", "n_fold": 4}),
    (AngleAwareScaler, "table", {"translation": False, "angle_weight": 2.0}),
    (AngleRegistration, "table", {}),
    (RotationalVAE, "table", {"max_epochs": 2, "random_state": 0}),
    (
        RotationalVAE,
        "table",
        {"max_epochs": 2, "latent_dim": 1, "translation": False, "random_state": 0},
    ),
    (
        RotationalVAE,
        "table",
        {
            "encoder": "dense",
            "decoder": "coordinate",
            "rotation_prior": 0.1,
            "max_epochs": 2,
            "n_hidden": 16,
            "random_state": 0,
        },
    ),
    (
        RotationalVAE,
        "table",
        {
            "encoder": "convolutional",
            "translation": False,
            "noise_std": 1.0,
            "kl_capacity": 10.0,
            "max_epochs": 2,
            "n_hidden": 16,
            "random_state": 0,
        },
    ),
    (
        RotationalVAE,
        "table",
        {
            "decoder": "coordinate",
            "max_epochs": 2,
            "n_hidden": 16,
            "random_state": 0,
        },
    ),
    (
        RotationalVAE,
        "table",
        {
            "n_classes": 8,
            "n_conditions": 1,
            "latent_dim": 1,
            "max_epochs": 2,
            "n_hidden": 16,
            "random_state": 0,
        },
    ),
    (
        RotationalVAEEnsemble,
        "table",
        {
            "n_estimators": 2,
            "random_state": 0,
        },
    ),
    (AngularMoments, "table", {}),
    (
        AngularMoments,
        "table",
        {"latent_dim": 1, "translation": False, "moment": (4, 2)},
    ),
    (MultiReferenceAlignment, "table", {"random_state": 0}),
    (
        MultiReferenceAlignment,
        "table",
        {"latent_dim": 1, "translation": False, "n_init": 1, "random_state": 0},
    ),
    (AtomLocator, "image", {}),
    (AtomLocator, "image", {"sublattice": 1}),
    (UNetAtomLocator, "image", {"weights": "pretrained", "n_views": 1}),
    (
        UNetAtomLocator,
        "image",
        {
            "threshold": 0.3,
            "refine": None,
            "n_views": 1,
            "n_filters": 4,
            "crop_size": 32,
            "n_scales": 1,
            "max_epochs": 3,
            "batch_size": 1,
            "learning_rate": 0.01,
            "random_state": 0,
        },
    ),
    (FrameAverager, "frames", {}),
    (FrameAverager, "frames", {"method": "lines", "area": "mask"}),
    (ScanDistortionCorrector, "scan", {}),
    (ScanDistortionCorrector, "scan", {"lattice": "square", "line_time": 0.01}),
    (PatchExtractor, "sites", {"window_size": 24}),
    (
        PatchExtractor,
        "sites",
        {"window_size": 21, "center": "lattice", "normalize": "patch"},
    ),
    (PolarizationVector, "sites", {}),
    (
        PolarizationVector,
        "sites",
        {"reference": "plane", "unit": "uC/cm2", "material": "BiFeO3"},
    ),
    (PolarizationVector, "sites", {"reference": "layer", "output": "polar"}),
    (PolarizationVector, "sites", {"shell": SQUARE, "reference": "mean"}),
    (MotifAssigner, "sites", {"motif": SQUARE}),
    (MotifAssigner, "sites", {"motif": [SQUARE, "tungsten_bronze_001"]}),
    (MotifAssigner, "sites", {"motif": SQUARE, "mirror": False, "sublattice": "keep"}),
    (GridSampler, "image", {}),
    (GridSampler, "image", {"step": 7.5, "margin": 4}),
    (SlidingFFT, "sites", {"window_size": 24}),
    (SlidingFFT, "sites", {"window_size": 21, "phase": "keep", "high": 0.2}),
    (NeighborhoodDescriptor, "sites", {"n_neighbors": 4}),
    (NeighborhoodDescriptor, "sites", {"rotation": "remove", "neighbors": "same"}),
    (LatticeStrain, "sites", {}),
    (LatticeStrain, "sites", {"axes": "lattice"}),
]
INSTANCES = [(kind, cls(**arguments)) for cls, kind, arguments in TABLE]
TABULAR = [estimator for kind, estimator in INSTANCES if kind == "table"]


def _each(checks, kinds):
    return [
        pytest.param(check, kind, estimator, id=f"{estimator!r}-{check.__name__}")
        for kind, estimator in INSTANCES
        if kind in kinds
        for check in checks
    ]


@pytest.fixture(scope="module")
def inputs(ferroic_image, ferroic_sites):
    """A small X of each kind; the sites are the true B columns."""
    windows, _ = make_blobs(n_samples=40, n_features=36, random_state=0)
    return {
        "table": windows,
        "image": np.asarray(ferroic_image.image, dtype=np.float32),
        "scan": np.asarray(ferroic_image.image, dtype=np.float32),
        "frames": make_ferroic_series(
            3, shape=(96, 96), n_bad=0, n_jumps=0, drift=3, random_state=0
        ).image,
        "sites": ferroic_sites[ferroic_sites.sublattice == 1],
    }


def test_table_is_complete():
    public = {getattr(sklearn_ferroic, name) for name in sklearn_ferroic.__all__}
    estimators = {
        item for item in public if inspect.isclass(item) if hasattr(item, "fit")
    }
    assert estimators == {cls for cls, _, _ in TABLE}


# The random targets of scikit-learn determine no rotation, and its random angles are of
# the size of degrees.
@pytest.mark.filterwarnings("ignore:The classes are uncertain")
@pytest.mark.filterwarnings("ignore:The angle's offset is undetermined")
@pytest.mark.filterwarnings("ignore:The angle in X has values up to")
@parametrize_with_checks(TABULAR)
def test_scikit_learn(estimator, check):
    check(estimator)


# Some of these checks fit on a table and transform an array, or the other way round.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names, but")
@pytest.mark.filterwarnings("ignore:The classes are uncertain")
@pytest.mark.filterwarnings("ignore:The angle's offset is undetermined")
@pytest.mark.parametrize("estimator", TABULAR, ids=repr)
@pytest.mark.parametrize(
    "check",
    [
        check_get_feature_names_out_error,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_set_output_transform_polars,
        check_global_output_transform_pandas,
        check_global_set_output_transform_polars,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learn_output(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    "estimator", [estimator for _, estimator in INSTANCES], ids=repr
)
def test_scikit_learn_param_validation(estimator):
    check_param_validation(type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    ("check", "kind", "estimator"),
    [
        *_each(COMMON_CHECKS, {"table", "sites", "image", "frames", "scan"}),
        *_each(SITES_CHECKS, {"sites"}),
        *_each(IMAGE_CHECKS, {"image"}),
    ],
)
def test_common(check, kind, estimator, inputs, tmp_path):
    folder = (
        {"folder": tmp_path} if "folder" in inspect.signature(check).parameters else {}
    )
    check(type(estimator).__name__, clone(estimator), inputs[kind], **folder)
