"""Mixins of transformers whose output is not a table."""

from sklearn.base import TransformerMixin


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
