"""One call from an image to an Analysis."""

import warnings
from contextlib import contextmanager
from numbers import Integral, Real
from os import PathLike

from sklearn.utils._param_validation import Options, StrOptions, validate_params

from .._utils.validation import N_JOBS, Interval
from ._images import read_input
from ._model import (
    LOGGER,
    choose_cells,
    cluster_displacements,
    correct_scan_lines,
    fit_windows,
    locate,
)
from ._options import AnalysisOptions, region_polygon
from ._result import Analysis
from ._summary import collect_versions

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")
_INDEX = Interval(Integral, 0, None, closed="left")


@validate_params(
    {
        "pixel_size": [_POSITIVE, None],
        "dataset": [str, None],
        "signal": [str, _INDEX, None],
        "frame": [_INDEX, StrOptions({"average", "mean", "pair"}), None],
        "crop": ["array-like", None],
        "mask": [str, PathLike, "array-like", None],
        "invert": ["boolean"],
        "spacing": [Interval(Real, 1, None, closed="left"), None],
        "locator": [StrOptions({"peaks", "unet"})],
        "sublattice": [_INDEX, StrOptions({"auto"})],
        "window_size": [
            Interval(Integral, 2, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "n_clusters": [_COUNT, StrOptions({"auto"})],
        "reference": ["array-like", None],
        "correct_scan": ["boolean"],
        "vae": ["boolean"],
        "max_epochs": [_COUNT],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
        "n_jobs": N_JOBS,
        "verbose": ["verbose"],
        "stages": [Options(str, {"all", "locate"})],
    },
    prefer_skip_nested_validation=True,
)
def analyze(
    image,
    *,
    pixel_size=None,
    dataset=None,
    signal=None,
    frame=None,
    crop=None,
    mask=None,
    invert=False,
    spacing=None,
    locator="peaks",
    sublattice="auto",
    window_size="auto",
    n_clusters="auto",
    reference=None,
    correct_scan=False,
    vae=True,
    max_epochs=20,
    random_state=0,
    n_jobs=None,
    verbose=0,
    stages="all",
):
    """Analyse an image: columns, displacements, variants, domains and walls.

    The same as the command ``sklearn-ferroic analyze``. Columns are located, a
    rotational VAE infers angle and latents of the window around every cell, the angles
    are registered to the measured displacements, and cells are grouped by a Gaussian
    mixture whose clusters of one direction are merged.

    Parameters
    ----------
    image : str, path-like, array-like or container
        A file that :func:`~sklearn_ferroic.datasets.load_image` reads, an array, an
        ``(array, pixel_size)`` tuple, an object with `image` and `pixel_size`, or an
        image of HyperSpy, xarray, sidpy or quantem.

    pixel_size : float, default=None
        Pixel size in nm, instead of that of the file.

    dataset : str, default=None
        Name of the dataset in an HDF5 or .npz file.

    signal : str or int, default=None
        Title or number, from 0, of the image in a microscope file.

    frame : int, "average", "mean" or "pair", default=None
        Number, from 0, of the image in a stack; or the average of all frames,
        registered by :class:`FrameAverager`; or their mean as they are; or the mean of
        two scans of one area, the second rotated by 90°, whose drift and jitter
        :class:`ScanDistortionCorrector` corrects.

    crop : sequence of 4 int, default=None
        First row, last row, first column and last column of the part that is analysed,
        px; the last ones are excluded.

    mask : str, path-like or array-like of shape (n_rows, n_cols), default=None
        Pixels that are used have values above 0; an image file or an array, of the
        size of the image before it is cropped.

    invert : bool, default=False
        Whether columns are dark on a bright ground, as in ABF.

    spacing : float, default=None
        Distance of nearest columns, px; estimated by default.

    locator : {"peaks", "unet"}, default="peaks"
        How columns are found: :class:`AtomLocator`, or :class:`UNetAtomLocator` for
        faint columns.

    sublattice : int or "auto", default="auto"
        Sublattice that windows are centred on, 0 = brightest; "auto" is 1, B, or 0 if
        the image shows no other.

    window_size : int or "auto", default="auto"
        Side of the windows, px. "auto" is 2.4 unit cells (see
        :func:`~sklearn_ferroic.feature_extraction.suggest_window_size`), and 3.4 if
        angles of the first cannot be registered.

    n_clusters : int or "auto", default="auto"
        Number of clusters. "auto" is one for each frequent direction and one for
        cells without, at least five, and up to five more while a direction has no
        cluster of its own.

    reference : array-like of shape (4,) or (n_vertices, 2), default=None
        Region that is not polar, such as a substrate: first row, last row, first
        column and last column, or corners ``(row, col)`` of a polygon, px, after
        cropping. Its mean displacement, that of a mistilt, is subtracted from all
        cells, and strain is relative to it.

    correct_scan : bool, default=False
        Whether columns are corrected for drift and jitter of the scan lines by
        :class:`ScanDistortionCorrector`, to which `reference` is a region with a
        perfect lattice. Without `reference` only jitter is corrected.

    vae : bool, default=True
        Whether to train the network; without it, the measured displacements alone are
        clustered.

    max_epochs : int, default=20
        Largest number of passes of the training over the windows.

    random_state : int, default=0
        Seed of the training and of the clustering.

    n_jobs : int, default=None
        Number of tiles of a large image that are located at a time.

    verbose : int, default=0
        Whether a long training shows a progress line on the standard error.

    stages : {"all", "locate"}, default="all"
        Whether to stop when columns are located.

    Returns
    -------
    analysis : Analysis
        The result.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, contains no single image, shows no lattice or too few
        cells, or an option does not fit the image.
    ImportError
        If a package is missing, such as pandas (``pip install
        "sklearn-ferroic[plot,io]"``).

    See Also
    --------
    Analysis : The result.
    AtomLocator : Locates the columns.
    RotationalVAE : Infers angle and latents.

    Notes
    -----
    Warnings of the stages are collected in ``analysis.doubts``, and progress is logged
    as information to the logger ``"sklearn_ferroic.analysis"``.

    Examples
    --------
    >>> from sklearn_ferroic import analyze
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> data = make_ferroic_image("film", shape=(360, 360), random_state=0)
    >>> analysis = analyze(data, max_epochs=8)
    >>> analysis
    <Analysis of array: 658 columns, 334 cells, 4 variants>
    >>> analysis.summary["registered"]
    True
    """
    options = AnalysisOptions(
        pixel_size=pixel_size,
        dataset=dataset,
        signal=signal,
        frame=frame,
        crop=None if crop is None else tuple(crop),
        mask=mask,
        invert=invert,
        spacing=spacing,
        locator=locator,
        sublattice=sublattice,
        window_size=window_size,
        n_clusters=n_clusters,
        reference=reference,
        correct_scan=correct_scan,
        vae=vae,
        max_epochs=max_epochs,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    if reference is not None:
        region_polygon(reference)
    with collecting_warnings([]) as caught:
        source = read_input(image, options)
        LOGGER.info("%s", source.description)
        for remark in source.remarks:
            LOGGER.info("%s", remark)
        sites = locate(source, options)
        if correct_scan:
            sites, source = correct_scan_lines(sites, source, options)
            LOGGER.info("%s", source.remarks[-1])
        return map_sites(sites, source, options, caught, stages)


def map_sites(sites, source, options, caught, stages="all"):
    """Return the analysis of columns that are located.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        All columns.
    source : InputImage
        The image.
    options : AnalysisOptions
        The options.
    caught : list of str
        Warnings of the stages so far; those of the following ones are appended.
    stages : {"all", "locate"}, default="all"
        Whether to stop before the model.

    Returns
    -------
    analysis : Analysis
        The result.
    """
    rows = choose_cells(sites, options, for_model=stages == "all")
    analysis = Analysis(
        sites, rows, None, options, source, caught=caught, versions=collect_versions()
    )
    LOGGER.info(
        "Sites found: %d, of which %d at the centres of cells; spacing %.1f px.",
        len(sites),
        len(rows),
        analysis.quality.spacing[0],
    )
    if stages == "locate":
        analysis.compare(source.truth)
        return analysis
    fit = fit_windows if options.vae else cluster_displacements
    analysis._pose = fit(analysis.cells, options)
    analysis.compare(source.truth)
    LOGGER.info("Finding domains and walls ...")
    analysis._evaluate()
    return analysis


@contextmanager
def collecting_warnings(texts):
    """Collect the texts of warnings for users, each once.

    Parameters
    ----------
    texts : list of str
        Texts so far, to which others are appended.

    Yields
    ------
    texts : list of str
        The same list.
    """

    def collect(message, category, *_, **__):
        text = str(message)
        if issubclass(category, UserWarning) and text not in texts:
            texts.append(text)
            LOGGER.warning("%s", text)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = collect
        yield texts
