"""What goes into an estimator that takes sites."""

from ..sites import AtomSites


def check_sites(estimator, sites):
    """Refuse what is not sites, or none at all.

    Parameters
    ----------
    estimator : estimator
        Named in the errors.
    sites : object
        What the user gives.

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
