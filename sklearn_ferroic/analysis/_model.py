"""The stages of an analysis: columns, windows, angle and latents, clusters."""

import logging
import warnings
from dataclasses import dataclass, replace

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

from .._utils.angles import angle_peaks
from .._utils.metadata import plain_metadata, rounded
from ..decomposition import RotationalVAE
from ..feature_extraction import PatchExtractor, PolarizationVector, suggest_window_size
from ..localization import AtomLocator, UNetAtomLocator
from ..preprocessing import AngleAwareScaler, AngleRegistration
from ..registration import ScanDistortionCorrector
from ._options import region_polygon
from ._variants import NON_POLAR_RAD, least_share_of_directions

LOGGER = logging.getLogger("sklearn_ferroic.analysis")

# Window sizes in unit cells that are tried one after the other. A pattern that repeats
# after four cells, such as that of an antiferroelectric, needs the larger one.
WINDOW_CELLS = (2.4, 3.4)
# Fewest cells that the network and the mixture can be trained on.
FEWEST_CELLS = 30
# Four variants and a substrate; clusters of one direction are merged afterwards, so
# that too many do no harm and too few do.
_FEWEST_CLUSTERS = 5
_CELLS_PER_CLUSTER = 10
# Clusters are added, up to this number, until this share of the cells of each direction
# is in a cluster of that direction.
_MAX_ADDED_CLUSTERS = 5
_MIN_SHARE_OF_DIRECTION = 0.5
# Variance that is added to each feature of the mixture. With the smaller value, some
# components of angle and latents contain a few cells in walls. Share of all polar cells
# in the group of their variant with 0.01 and 0.3: films 0.88 and 0.98, 0.97 and 0.98,
# superlattice 0.85 and 0.96, multislice 0.85 and 0.86; the groups of a PbZrO3 image are
# equal. Displacements are not scaled, and clusters of their components are joined by
# more than 0.05 of their variance: 0.57 to 0.68 of the polar cells of films instead of
# 0.90 to 0.93.
_VARIANCE_OF_FEATURES = 0.3
_VARIANCE_RATIO_OF_DISPLACEMENTS = 0.01
# Images of crystals have lattice vectors at more of their sites, also where half of
# the image is a grain in another orientation.
_MIN_SHARE_ON_LATTICE = 0.3
# Windows are decoded on a grid of this number of latents along each axis, which
# reaches this number of standard deviations of their prior.
N_DECODED_LATENTS = 5
DECODED_EXTENT_STD = 2.0
# Cells of a reference region whose mean displacement has a meaning.
_MIN_REFERENCE_CELLS = 5


@dataclass(eq=False)
class Pose:
    """Angle and latents of the cells, and their clusters.

    Parameters
    ----------
    values : ndarray of shape (n_cells, n_features)
        Angle, offsets and latents; the measured angle alone without a network.
    names : list of str
        Names of the columns.
    angle_std : ndarray of shape (n_cells,)
        Standard deviation of the angle, radians; NaN where there is no angle.
    clusters : ndarray of int of shape (n_cells,)
        Cluster of each cell, -1 for none.
    pipeline : Pipeline
        The fitted steps.
    window_size : int or None
        Side of the windows, px.
    is_registered : bool
        Whether the angles are those of the measured displacements.
    registration : dict
        offset_deg, offset_std_deg, n_sites and is_pooled of the registration.
    decoded : ndarray of shape (n, n, side, side) or None
        Windows that the network decodes on a grid of the first two latents.
    """

    values: np.ndarray
    names: list
    angle_std: np.ndarray
    clusters: np.ndarray
    pipeline: object
    window_size: int | None
    is_registered: bool
    registration: dict
    decoded: np.ndarray | None = None

    @property
    def angle(self):
        """Angle of each cell, radians."""
        return self.values[:, self.names.index("angle")]


def locate(source, options):
    """Locate the columns of an image.

    Parameters
    ----------
    source : InputImage
        The image.
    options : AnalysisOptions
        Locator, spacing and number of jobs.

    Returns
    -------
    sites : AtomSites
        All columns.
    """
    LOGGER.info("Locating the columns ...")
    if options.locator == "unet":
        locator = UNetAtomLocator(
            weights="pretrained", spacing=options.spacing, n_jobs=options.n_jobs
        )
    else:
        locator = AtomLocator(spacing=options.spacing, n_jobs=options.n_jobs)
    image = Bunch(
        image=source.image,
        pixel_size=source.pixel_size,
        displacement_std=source.displacement_std,
    )
    sites = locator.fit_transform(image)
    sites.metadata = [{"file": source.name} | plain_metadata(source.metadata)]
    on_lattice = np.isfinite(sites.lattice_vectors).all(axis=(1, 2)).mean()
    if on_lattice < _MIN_SHARE_ON_LATTICE:
        raise ValueError(
            f"{len(sites)} spots were found, and only {on_lattice:.0%} of them lie on "
            "a lattice. The image does not seem to show a crystal at atomic "
            "resolution. Dark columns need invert=True, and spacing= sets the distance "
            "of nearest columns in px."
        )
    return sites


def correct_scan_lines(sites, source, options):
    """Correct the columns for the displacements of the scan lines.

    Parameters
    ----------
    sites : AtomSites
        All columns.
    source : InputImage
        The image.
    options : AnalysisOptions
        `reference`, whose lattice is taken for perfect.

    Returns
    -------
    sites : AtomSites
        The columns at their corrected positions, in the resampled image.
    source : InputImage
        The same with the result of the correction.
    """
    corrector = ScanDistortionCorrector()
    reference = None
    if options.reference is not None:
        reference = sites.in_polygon(region_polygon(options.reference))
    corrector.fit(source.image, sites=sites, reference=reference)
    corrected = corrector.transform_sites(sites)
    moved = np.sqrt(np.mean((corrected.positions - sites.positions) ** 2, axis=0))
    if reference is None:
        text = (
            "Jitter of the scan lines is corrected. Without a reference region, drift "
            "is not distinguished from strain and is left"
        )
    else:
        text = (
            "Drift and jitter of the scan lines are corrected by the lattice of "
            f"{np.count_nonzero(reference)} columns in the reference region"
        )
    error = np.median(corrector.line_shift_std_, axis=0)
    remark = (
        f"{text}: positions moved by {moved[0]:.2f} px (rows) and {moved[1]:.2f} px "
        f"(columns), root mean square; errors of the correction {error[0]:.2f} and "
        f"{error[1]:.2f} px."
    )
    scan = {
        "has_reference": reference is not None,
        "moved_px": rounded(moved),
        "error_px": rounded(error),
        "jitter_px": rounded(corrector.jitter_),
        "drift_px_per_line": corrector.drift_.tolist(),
        "line_shift_px": rounded(corrector.line_shift_),
    }
    return corrected, replace(source, remarks=[*source.remarks, remark], scan=scan)


def choose_cells(sites, options, for_model=True):
    """Return the rows of the columns that windows are centred on.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        All columns.
    options : AnalysisOptions
        Sublattice and number of clusters.
    for_model : bool, default=True
        Whether there must be enough of them to train on.

    Returns
    -------
    rows : ndarray of int of shape (n_cells,)
        Rows of the B columns, or of A where the image shows no other.
    """
    label = options.sublattice
    if label == "auto":
        label = 1 if (sites.sublattice == 1).any() else 0
    rows = np.flatnonzero(sites.sublattice == label)
    if not len(rows):
        known = ", ".join(map(str, np.unique(sites.sublattice)))
        raise ValueError(
            f"The image shows no sublattice {label}, only {known}. Choose one with "
            "sublattice=."
        )
    n_clusters = 0 if options.n_clusters == "auto" else options.n_clusters
    needed = max(FEWEST_CELLS, 2 * n_clusters)
    if for_model and FEWEST_CELLS <= len(rows) < needed:
        raise ValueError(
            f"n_clusters={n_clusters} is too large for the {len(rows)} cells found: "
            f"choose at most {len(rows) // 2}, or 'auto'."
        )
    if for_model and len(rows) < needed:
        raise ValueError(
            f"{len(sites)} columns were found, of which {len(rows)} at the centre of a "
            f"cell; at least {needed} cells are needed. Does the image show a crystal "
            "at atomic resolution, several pixels per column? Dark columns need "
            'invert=True, faint ones locator="unet", and spacing= sets the distance of '
            "nearest columns."
        )
    return rows


def subtract_reference(cells, region):
    """Return cells whose displacement is relative to the mean of a region.

    Parameters
    ----------
    cells : AtomSites of length n_cells
        The cells.
    region : sequence of 4 numbers or array-like of shape (n_vertices, 2)
        Region that is not polar.

    Returns
    -------
    relative : AtomSites of length n_cells
        The cells with the displacement of the region subtracted.
    shift : ndarray of shape (2,)
        What was subtracted ``(row, col)``, px.
    """
    inside = cells.in_polygon(region_polygon(region))
    measured = inside & np.isfinite(cells.polarization).all(axis=1)
    if measured.sum() < _MIN_REFERENCE_CELLS:
        raise ValueError(
            f"The reference region contains {measured.sum()} cells with a measured "
            f"displacement; {_MIN_REFERENCE_CELLS} are needed. It is first row, last "
            "row, first column and last column, px, of the image after cropping."
        )
    vector = PolarizationVector(reference="mean").fit(cells[measured])
    relative = cells[:]
    relative.polarization = vector.transform(cells)
    shift = np.nanmedian(cells.polarization - relative.polarization, axis=0)
    return relative, shift


def window_sizes(cells, options):
    """Return the window sizes to try, px.

    Parameters
    ----------
    cells : AtomSites
        The columns at the centres of the windows.
    options : AnalysisOptions
        Options; `window_size` is used.

    Returns
    -------
    sizes : list of int
        The sizes, in the order in which they are tried.
    """
    side = min(cells.images[0].shape)
    if options.window_size == "auto":
        sizes = [suggest_window_size(cells, n_cells) for n_cells in WINDOW_CELLS]
        sizes = [size for size in sizes if size <= side / 2] or sizes[:1]
    else:
        sizes = [options.window_size]
    if sizes[0] > side / 2:
        shape = " x ".join(map(str, cells.images[0].shape))
        raise ValueError(
            f"A window of {sizes[0]} px is larger than half the image of {shape} px. "
            "Pass a smaller window_size=, or a larger image."
        )
    cell = suggest_window_size(cells, 1.0)
    if sizes[0] < cell:
        raise ValueError(
            f"A window of {sizes[0]} px is smaller than the unit cell of {cell} px. "
            'Pass a larger window_size=, or window_size="auto".'
        )
    return sizes


def fit_windows(cells, options):
    """Train the rotational VAE on windows around the cells, and cluster the result.

    The first window size whose angles can be registered to the displacements is used,
    and the first one of all if none can be.

    Parameters
    ----------
    cells : AtomSites of length n_cells
        The columns at the centres of the windows.
    options : AnalysisOptions
        Window size, number of clusters, epochs and seed.

    Returns
    -------
    pose : Pose
        Angle, latents and clusters.
    """
    is_measured = np.isfinite(cells.polarization).any()
    chosen = None
    for size in window_sizes(cells, options):
        LOGGER.info("Training the rotational VAE on windows of %d px ...", size)
        extractor = PatchExtractor(window_size=size)
        vae = RotationalVAE(
            latent_dim=2,
            max_epochs=options.max_epochs,
            verbose=options.verbose,
            random_state=options.random_state,
        )
        registration = AngleRegistration()
        patches = extractor.fit_transform(cells)
        values, widths = vae.fit(patches).transform_with_std(patches)
        with warnings.catch_warnings():  # reported in words by the caller
            warnings.filterwarnings("ignore", "The angle's offset is undetermined")
            values = registration.fit_transform(values, cells)
        fitted = extractor, vae, registration, values, widths[:, 0]
        if chosen is None or registration.is_determined_:
            chosen = fitted
        if registration.is_determined_ or not is_measured:
            break
        LOGGER.info(
            "The angles of windows of %d px do not follow the displacements.", size
        )
    extractor, vae, registration, values, angle_std = chosen
    mixture = _mixture(options, _VARIANCE_OF_FEATURES)
    pipeline = make_pipeline(extractor, vae, registration, AngleAwareScaler(), mixture)
    clusters = _fit_clusters(pipeline[3:], values, values[:, 0], angle_std, options)
    return Pose(
        values,
        list(vae.get_feature_names_out()),
        angle_std,
        clusters,
        pipeline,
        extractor.window_size,
        bool(registration.is_determined_),
        {
            "offset_deg": float(np.degrees(registration.offset_)),
            "offset_std_deg": float(np.degrees(registration.offset_std_)),
            "n_sites": int(registration.n_sites_),
            "is_pooled": bool(registration.is_pooled_),
        },
        vae.latent_grid(n=N_DECODED_LATENTS, extent=DECODED_EXTENT_STD)[1],
    )


def cluster_displacements(cells, options):
    """Cluster the measured displacements, without a network.

    Parameters
    ----------
    cells : AtomSites of length n_cells
        The cells.
    options : AnalysisOptions
        Number of clusters and seed.

    Returns
    -------
    pose : Pose
        Measured angle with its standard error, and clusters.
    """
    measure = PolarizationVector()
    vectors, std = measure.fit(cells).transform_with_std(cells)
    known = np.isfinite(vectors).all(axis=1)
    n_clusters = max(_FEWEST_CLUSTERS, 2)
    needed = max(FEWEST_CELLS, 2 * n_clusters)
    if known.sum() < needed:
        raise ValueError(
            f"The displacement of {known.sum()} of {len(cells)} cells could be "
            f"measured; without a network at least {needed} are needed. A cell needs a "
            "complete cage of columns of the other sublattice, as along a cube axis."
        )
    angle = np.where(known, np.arctan2(*vectors.T), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt((std**2).mean(axis=1)) / np.hypot(*vectors.T)
    angle_std = np.where(known, error, np.nan)
    added_variance = _VARIANCE_RATIO_OF_DISPLACEMENTS * float(np.nanvar(vectors))
    pipeline = make_pipeline(measure, _mixture(options, added_variance))
    clusters = np.full(len(cells), -1)
    clusters[known] = _fit_clusters(
        pipeline[1:], vectors[known], angle[known], angle_std[known], options
    )
    return Pose(
        angle[:, None],
        ["angle"],
        angle_std,
        clusters,
        pipeline,
        None,
        True,
        {},
    )


def _fit_clusters(steps, values, angle, angle_std, options):
    """Fit the mixture that ends a pipeline, and return the cluster of each cell.

    If the number of clusters is "auto", it is one for each direction and one for cells
    without, and more while a cluster joins a direction with others or with cells
    without: cells of one direction may differ in their latents.
    """
    if options.n_clusters != "auto":
        steps[-1].set_params(n_components=options.n_clusters)
        return steps.fit_predict(values)
    certain = angle[np.isfinite(angle_std) & (angle_std < NON_POLAR_RAD)]
    directions = angle_peaks(certain) if len(certain) else certain
    most = max(1, len(angle) // _CELLS_PER_CLUSTER)
    first = min(max(_FEWEST_CLUSTERS, len(directions) + 1), most)
    for n_clusters in range(first, min(first + _MAX_ADDED_CLUSTERS, most) + 1):
        steps[-1].set_params(n_components=n_clusters)
        clusters = steps.fit_predict(values)
        share = least_share_of_directions(angle, angle_std, clusters, directions)
        if share >= _MIN_SHARE_OF_DIRECTION:
            break
    return clusters


def _mixture(options, added_variance):
    """Return a mixture whose components are not those of few cells in walls."""
    return GaussianMixture(
        n_init=10,
        reg_covar=added_variance,
        random_state=options.random_state,
    )
