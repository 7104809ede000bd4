"""Mixins of transformers whose output is not a table, and the steps of pipelines."""

from sklearn.base import TransformerMixin
from sklearn.pipeline import Pipeline


class PlainOutputMixin(TransformerMixin, auto_wrap_output_keys=None):
    """Mixin of transformers whose output is not converted to a table."""

    def set_output(self, *, transform=None):
        """Do nothing: the output is not a table.

        It exists so that ``Pipeline.set_output`` can reach the later steps.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored.

        Returns
        -------
        self : object
            The estimator.
        """
        return self


class ImageInputMixin(PlainOutputMixin, auto_wrap_output_keys=None):
    """Mixin of transformers of images whose output is not a table."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


class ImagesToSitesMixin(ImageInputMixin, auto_wrap_output_keys=None):
    """Mixin of estimators that make AtomSites of images."""


def list_steps(estimator):
    """List the fitted steps of an estimator; for a search, of its best estimator."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    return [part for step in steps for part in list_steps(step)]


def transform_through(steps, X):
    """Return the output of the last of several fitted steps.

    Parameters
    ----------
    steps : list of estimator
        Fitted transformers, as from `list_steps`.
    X : AtomSites, images or array-like
        Input of the first step.

    Returns
    -------
    output : object
        Output of the last step; `X` without steps.
    """
    for step in steps:
        X = step.transform(X)
    return X


def feature_names(*steps):
    """List the names of the last step's output, none if they are unknown."""
    names = []
    for step in steps:
        try:
            # Some steps derive the names of their output from those of their input.
            names = list(map(str, step.get_feature_names_out(names or None)))
        except (AttributeError, ValueError):
            names = []
    return names
