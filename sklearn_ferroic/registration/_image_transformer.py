"""Mixin of the estimators that return images."""

from sklearn.base import TransformerMixin


class ImageTransformerMixin(TransformerMixin, auto_wrap_output_keys=None):
    """Mixin of estimators that make images of images."""

    def set_output(self, *, transform=None):
        """Do nothing: images are not converted.

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
