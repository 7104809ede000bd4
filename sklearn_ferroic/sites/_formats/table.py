"""Sites as a pandas table."""

from ..._utils.optional import import_optional


def to_frame(sites):
    """Return the sites as a pandas table, see :meth:`AtomSites.to_frame`.

    Parameters
    ----------
    sites : AtomSites
        The sites.

    Returns
    -------
    table : pandas.DataFrame
        One row per site.
    """
    pandas = import_optional("pandas", "io")
    columns = {}
    for field in sites.fields:
        columns |= field.table_columns(sites)
    return pandas.DataFrame(columns)
