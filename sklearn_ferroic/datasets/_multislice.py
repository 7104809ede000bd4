"""Multislice image that is shipped with the package."""

from importlib.resources import files

import numpy as np
from sklearn.utils import Bunch

_FILE = "multislice_pto_sto.npz"


def load_multislice():
    """Load an image simulated from atoms by the multislice method, with its truth.

    PbTiO3 on SrTiO3 as a HAADF-STEM shows it along a cube axis. Unlike
    :func:`make_ferroic_image` it makes no assumption about the shape and brightness of
    columns: these follow from the scattering of the electrons, with thermal motion,
    mistilt and thickness. Use it to check what works on generated images.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, of n = 1150 columns.

        image : ndarray of shape (625, 652), float32
            Detected electrons per pixel, whole numbers.
        positions : ndarray of shape (n, 2)
            Column centres ``(row, col)`` at the entrance surface, px. The signal comes
            from near it, so this is where fits find a tilted column.
        mean_positions : ndarray of shape (n, 2)
            Mean ``(row, col)`` of the atoms of the column through the foil, px. With
            the mistilt of 0.9 mrad it is 10 pm from `positions`.
        sublattice : ndarray of shape (n,), int
            0 for A (Pb, Sr), 1 for B (Ti).
        variant : ndarray of shape (n,), int
            Variant k of the cell, whose polarization points to the angle 90° k by
            ``arctan2(d_row, d_col)``, wrapped: 1 down, 2 left, 3 up; −1 in SrTiO3,
            which is not polar. There is no variant 0.
        polarization : ndarray of shape (n, 2)
            For B columns the ferroelectric displacement ``(d_row, d_col)`` of Ti from
            the centroid of the four A columns, px; NaN for A and at the border. 16 pm
            in PbTiO3; see the notes.
        composition : ndarray of shape (n,)
            Share of PbTiO3, in [0, 1]: of Pb in an A column, and for B the mean of
            the four nearest A columns.
        wall : ndarray of shape (n,), bool
            True within about one cell of a domain wall or of the interface, where
            `variant` is not well defined.
        thickness_nm : ndarray of shape (n,)
            Local thickness, nm.
        mistilt_mrad : ndarray of shape (n, 2)
            Local tilt from the zone axis, mrad along (row, col).
        pixel_size : float
            0.015 nm per pixel.
        dose : float
            20,000 electrons per square ångström.
        sublattice_names : tuple of str
            ``("A", "B")``.
        description : str
            How the image was made, and its limits.

    See Also
    --------
    make_ferroic_image : Generate images of Gaussian columns with their truth.
    load_image : Read an image that a microscope has taken.

    Notes
    -----
    The B columns have a tenth of the integrated intensity of the A columns in PbTiO3,
    and half of it in SrTiO3. They also contain O, which is displaced further in the
    same direction: the displacement that a fit measures in PbTiO3 is about 1.1 times
    `polarization`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.datasets import load_multislice
    >>> data = load_multislice()
    >>> data.image.shape, data.pixel_size
    ((625, 652), 0.015)
    >>> down = (data.variant == 1) & (data.sublattice == 1) & ~data.wall
    >>> d_row, d_col = np.nanmedian(data.polarization[down], axis=0)
    >>> print(f"{np.degrees(np.arctan2(d_row, d_col)):.0f} degrees")
    91 degrees
    """
    folder = files(__package__) / "data"
    with (folder / _FILE).open("rb") as file, np.load(file) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    pixel_size = round(float(stored["pixel_size_nm"]), 9)
    displacement = stored["displacement_pm"].astype(np.float64)
    return Bunch(
        image=stored["image"].astype(np.float32),
        positions=stored["surface_positions"].astype(np.float64),
        mean_positions=stored["mean_positions"].astype(np.float64),
        sublattice=stored["sublattice"].astype(int),
        variant=stored["variant"].astype(int),
        polarization=displacement / (1e3 * pixel_size),
        composition=stored["composition"].astype(np.float64),
        wall=stored["wall"],
        thickness_nm=stored["thickness_nm"].astype(np.float64),
        mistilt_mrad=stored["mistilt_mrad"].astype(np.float64),
        pixel_size=pixel_size,
        dose=float(stored["dose"]),
        sublattice_names=("A", "B"),
        description=(folder / "README.md").read_text(encoding="utf-8"),
    )
