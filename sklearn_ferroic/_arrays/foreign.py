"""Arrays of other libraries, and what to do where NumPy cannot take them."""

import numpy as np


class ForeignArrayError(TypeError):
    """An array of another library that NumPy cannot take."""


def to_numpy(values, name):
    """Return values as an array, or say how to make one of them.

    Parameters
    ----------
    values : array-like
        The values; arrays and masked arrays are returned as they are.
    name : str
        What they are, for the message.

    Returns
    -------
    array : ndarray
        The same values.

    Raises
    ------
    TypeError
        If another library does not hand out its array as it is.
    """
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.asarray(values)
    except (RuntimeError, TypeError) as error:
        library = type(values).__module__.partition(".")[0]
        if library not in _REMEDIES:
            raise
        raise ForeignArrayError(
            f"{name} is an array of {library} that NumPy cannot take as it is "
            f"({error}). Give {name}{_REMEDIES[library]}."
        ) from error


_REMEDIES = {
    "torch": ".detach().cpu().float().numpy()",
    "cupy": ".get()",
    "jax": ".astype('float32')",
}


def refuse_mask(values, name):
    """Raise ValueError if values are a masked array with masked entries."""
    if np.ma.isMA(values) and np.ma.getmaskarray(values).any():
        n_masked = np.count_nonzero(np.ma.getmaskarray(values))
        raise ValueError(
            f"{name} is a masked array with {n_masked} masked value(s), which cannot "
            f"be left out. Fill them, {name}.filled(value), or drop their rows."
        )
