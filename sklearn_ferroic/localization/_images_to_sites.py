"""Parameters and methods that all locators share."""

from numbers import Integral, Real

from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import StrOptions

from .._utils.validation import N_JOBS, Interval
from ._assembly import assemble_sites
from ._checks import check_sublattice
from ._fitting.profiles import PROFILES


class ImagesToSitesMixin(TransformerMixin, auto_wrap_output_keys=None):
    """Mixin of estimators that make AtomSites of images."""

    _parameter_constraints: dict = {
        "sublattice": [Interval(Integral, 0, None, closed="left"), "array-like", None],
        "spacing": [Interval(Real, 1, None, closed="left"), None],
        "refine": [StrOptions({"gaussian", "center_of_mass"}), None],
        "shape": [StrOptions(set(PROFILES))],
        "border": [StrOptions({"keep", "drop"})],
        "tile_size": [Interval(Integral, 256, None, closed="left"), None],
        "n_jobs": N_JOBS,
    }

    def set_output(self, *, transform=None):
        """Do nothing: AtomSites are not converted.

        It exists so that ``Pipeline.set_output`` can reach the later steps.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored.

        Returns
        -------
        self : object
            The locator.
        """
        return self

    def _validate_params(self):
        super()._validate_params()
        check_sublattice(self.sublattice)

    def _assemble(self, carried, labeled, scales, probabilities=None):
        return assemble_sites(
            carried,
            labeled,
            scales,
            sublattice=self.sublattice,
            border=self.border,
            probabilities=probabilities,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
