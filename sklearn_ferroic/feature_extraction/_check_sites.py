"""Check of the input of estimators that accept AtomSites."""

from ..sites import AtomSites


def check_sites(estimator, sites):
    """Check that the input is a non-empty set of AtomSites.

    Parameters
    ----------
    estimator : estimator
        Named in the errors.
    sites : object
        Input of the estimator.

    Raises
    ------
    TypeError
        If it is not an AtomSites.
    ValueError
        If there are no sites.
    """
    if not isinstance(sites, AtomSites):
        raise TypeError(
            f"{type(estimator).__name__} takes AtomSites, the output of AtomLocator, "
            f"got {type(sites).__name__}. Put an AtomLocator before it, or build "
            "AtomSites(images, positions, sublattice=...) from known positions."
        )
    if len(sites) == 0:
        raise ValueError(
            "Found no sites (0 samples). Was a sublattice chosen that the image does "
            "not show?"
        )
