"""Optional dependencies, imported where they are used."""

from importlib import import_module


def import_optional(module, extra):
    """Import an optional package; name the extra that installs it if it is missing.

    Parameters
    ----------
    module : str
        Dotted name of the module to import.
    extra : str
        The extra of this distribution that installs it.

    Returns
    -------
    module : module
        The imported module.

    Raises
    ------
    ImportError
        If the module is missing; the message names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{package} is needed here and is not installed. Install it with "
            f'pip install "sklearn-ferroic[{extra}]".'
        ) from error
