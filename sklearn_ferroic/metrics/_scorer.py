"""The scorers by name."""

from sklearn.utils._param_validation import StrOptions, validate_params

from ._domain_scorers import (
    angle_coherence_scorer,
    spatial_coherence_scorer,
    variant_accuracy_scorer,
    wall_continuity_scorer,
    wall_straightness_scorer,
)
from ._mixture_scorers import (
    completed_likelihood_scorer,
    mixture_evidence_scorer,
)
from ._representation_scorers import (
    circular_correlation_scorer,
    evidence_scorer,
    neg_angular_error_scorer,
    neg_latent_leakage_scorer,
    reconstruction_scorer,
    rotation_equivariance_scorer,
)

_SCORERS = {
    "angle_coherence": angle_coherence_scorer,
    "circular_correlation": circular_correlation_scorer,
    "completed_likelihood": completed_likelihood_scorer,
    "evidence": evidence_scorer,
    "mixture_evidence": mixture_evidence_scorer,
    "neg_angular_error": neg_angular_error_scorer,
    "neg_latent_leakage": neg_latent_leakage_scorer,
    "reconstruction": reconstruction_scorer,
    "rotation_equivariance": rotation_equivariance_scorer,
    "spatial_coherence": spatial_coherence_scorer,
    "variant_accuracy": variant_accuracy_scorer,
    "wall_continuity": wall_continuity_scorer,
    "wall_straightness": wall_straightness_scorer,
}


def get_scorer_names():
    """List the names of the scorers.

    Returns
    -------
    names : list of str
        Names that :func:`get_scorer` accepts, sorted.

    See Also
    --------
    get_scorer : A scorer by name.
    sklearn.metrics.get_scorer_names : Those of scikit-learn.

    Examples
    --------
    >>> from sklearn_ferroic.metrics import get_scorer_names
    >>> get_scorer_names()[-3:]
    ['variant_accuracy', 'wall_continuity', 'wall_straightness']
    """
    return sorted(_SCORERS)


@validate_params(
    {"scoring": [StrOptions(set(_SCORERS)), callable]},
    prefer_skip_nested_validation=True,
)
def get_scorer(scoring):
    """Get a scorer by name.

    Parameters
    ----------
    scoring : str or callable
        One of :func:`get_scorer_names`; a callable is returned unchanged.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y=None)``; higher is better.

    Raises
    ------
    ValueError
        If there is no scorer of that name.

    See Also
    --------
    get_scorer_names : The names.
    sklearn.metrics.get_scorer : Those of scikit-learn.

    Notes
    -----
    ``"variant_accuracy"``, ``"circular_correlation"`` and ``"neg_angular_error"`` need
    a ground truth as `y`, the others do not. All accept a whole pipeline, score only
    the samples in `X`, and return a finite worst value where there is nothing to score.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ferroic import AtomSites, PatchExtractor
    >>> from sklearn_ferroic.metrics import get_scorer
    >>> from sklearn_ferroic.model_selection import SpatialBlockKFold
    >>> image = np.random.default_rng(0).normal(0, 0.5, (176, 176))
    >>> image += np.cos(np.arange(176) / 25)  # broad stripes
    >>> sites = AtomSites(image, 8.0 + 8 * np.argwhere(np.ones((20, 20))))
    >>> pipeline = make_pipeline(
    ...     PatchExtractor(), PCA(2, random_state=0), KMeans(2, random_state=0)
    ... )
    >>> search = GridSearchCV(
    ...     pipeline,
    ...     {"patchextractor__window_size": [2, 8]},
    ...     scoring=get_scorer("spatial_coherence"),
    ...     cv=SpatialBlockKFold(2, block_size=88, random_state=0),
    ... )
    >>> search.fit(sites).best_params_
    {'patchextractor__window_size': 8}
    """
    return scoring if callable(scoring) else _SCORERS[scoring]
