"""The tools that `bench_localization.py` compares, each used as its documents say.

A tool is a function of an image and of what is `known` of it, which returns a
`Located`. Packages are imported inside, for every tool runs in a process of its own.
All that a tool asks for (spacing, widths, background, thresholds, unit cell) it gets
right: it is read off the truth. AtomLocator is given the image and nothing else.

Tools that look for maxima of the bare image get it smoothed for that by a Gaussian of
half the columns' width, as their users do; they fit the image itself.
"""

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from _known import Located
from scipy.ndimage import gaussian_filter

# Side of the fitting window, px; tools for which another one did better have that.
WINDOW = 11


def sklearn_ferroic(image, known):
    from sklearn_ferroic import AtomLocator

    start = time.process_time()
    sites = AtomLocator().fit_transform(image)
    whole = time.process_time() - start
    start = time.process_time()
    AtomLocator(refine=None).fit_transform(image)
    # The fit is what remains of the whole job without it.
    fit = whole - (time.process_time() - start)
    return Located(sites.positions, whole, fit, sites.position_std)


def naive(image, known):
    from scipy.optimize import curve_fit

    half = WINDOW // 2
    row, col = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1)

    def gaussian(_, height, d_row, d_col, sigma, level):
        squared = (row - d_row) ** 2 + (col - d_col) ** 2
        return level + height * np.exp(-squared / (2 * sigma**2))

    start = time.process_time()
    peaks = _maxima(image, known)
    found = time.process_time()
    peaks = _with_whole_window(peaks, image.shape)
    positions = np.full(peaks.shape, np.nan)
    for number, (r, c) in enumerate(peaks):
        window = image[r - half : r + half + 1, c - half : c + half + 1].ravel()
        guess = (np.ptp(window), 0, 0, known.sigma, window.min())
        with contextlib.suppress(RuntimeError):  # no convergence: a miss
            best, _ = curve_fit(gaussian, None, window, p0=guess)
            positions[number] = peaks[number] + best[1:3]
    end = time.process_time()
    return Located(_finite(positions), end - start, end - found)


def kemstem(image, known):
    import kemstem

    start = time.process_time()
    smooth = _smooth(image, known)
    share = (_threshold(known) - smooth.min()) / np.ptp(smooth)
    columns = kemstem.atomic.find_columns(smooth, _min_distance(known), share)
    found = time.process_time()
    with _quiet():
        positions, *_ = kemstem.atomic.refine_columns(
            image, _with_whole_window(columns, image.shape), _window(known)
        )
    end = time.process_time()
    return Located(positions, end - start, end - found)


def trackpy(image, known):
    import trackpy

    trackpy.quiet()
    options = {
        "diameter": WINDOW if known.ratio else WINDOW + 2,
        "separation": _min_distance(known) + 1,
    }
    # Columns that the border cuts are the fainter tenth.
    mass = np.percentile(trackpy.locate(known.expected, **options)["mass"], 10) / 2
    start = time.process_time()
    table = trackpy.locate(image, minmass=mass, **options)
    seconds = time.process_time() - start
    std = table["ep"].to_numpy()
    std = np.where(std > 0, std, np.nan)
    positions = table[["y", "x"]].to_numpy()
    return Located(positions, seconds, None, np.column_stack([std, std]))


def photutils(image, known):
    from photutils.detection import find_peaks
    from photutils.psf import fit_2dgaussian

    data = image - known.background
    fwhm = known.sigma * np.sqrt(8 * np.log(2))
    start = time.process_time()
    box = 2 * _min_distance(known) + 1
    peaks = find_peaks(_smooth(image, known), _threshold(known), box_size=box)
    found = time.process_time()
    with _quiet():
        fit = fit_2dgaussian(
            data,
            xypos=np.column_stack([peaks["x_peak"], peaks["y_peak"]]),
            fwhm=fwhm,
            fix_fwhm=False,
            fit_shape=_window(known),
        ).results
    end = time.process_time()
    positions = np.column_stack([fit["y_fit"], fit["x_fit"]])
    std = np.column_stack([fit["y_err"], fit["x_err"]])
    return Located(positions, end - start, end - found, std)


def atomap(image, known):
    import atomap.api as am

    start = time.process_time()
    positions = _atomap_find(am, image, known, _min_distance(known))
    found = time.process_time()
    # Half the distance to the nearest neighbour; the default of 0.4 does worse.
    sublattice = _atomap_refine(am, positions, image, 0.5)
    end = time.process_time()
    return Located(_row_col(sublattice), end - start, end - found)


def atomap_a_then_b(image, known):
    import atomap.api as am
    from atomap.tools import remove_atoms_from_image_using_2d_gaussian

    start = time.process_time()
    # Wider than the distance of nearest neighbours, so that only A is found.
    positions = _atomap_find(am, image, known, 0.75 * np.sqrt(2) * known.spacing)
    found = time.process_time()
    a = _atomap_refine(am, positions, image, 0.4)
    fit = time.process_time() - found
    a.construct_zone_axes()
    # The third shortest vector between A columns is the diagonal of the cell.
    b_positions = a.find_missing_atoms_from_zone_vector(
        a.zones_axis_average_distances[2]
    )
    rest = remove_atoms_from_image_using_2d_gaussian(a.image, a, show_progressbar=False)
    found = time.process_time()
    b = _atomap_refine(am, b_positions, rest, 0.4)
    end = time.process_time()
    positions = np.concatenate([_row_col(a), _row_col(b)])
    return Located(positions, end - start, fit + end - found)


def _atomap_find(am, image, known, separation):
    import hyperspy.api as hs

    smooth = hs.signals.Signal2D(_smooth(image, known))
    share = _threshold(known) / smooth.data.max()
    return am.get_atom_positions(smooth, separation=separation, threshold_rel=share)


def _atomap_refine(am, positions, image, percent_to_nn):
    sublattice = am.Sublattice(positions, image=image)
    sublattice.find_nearest_neighbors()
    sublattice.refine_atom_positions_using_center_of_mass(show_progressbar=False)
    sublattice.refine_atom_positions_using_2d_gaussian(
        percent_to_nn=percent_to_nn, show_progressbar=False
    )
    return sublattice


def _row_col(sublattice):
    return np.column_stack([sublattice.y_position, sublattice.x_position])


CIF = """\
data_perovskite
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
A1 Bi 0.0 0.0 0.0 1.0
"""
CIF_B = "B1 Fe 0.5 0.5 0.5 1.0\n"


def single_origin(image, known):
    with _quiet():
        import SingleOrigin
        from SingleOrigin.hrimage import find_atom_columns as module
        from SingleOrigin.utils import peakfit

        # 3.0.1 commented its own `moments(x, y, z, order)` out and calls those of
        # scikit-image in their place, which take an image.
        peakfit.moments = _moments
        peakfit.moments_central = _central_moments
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cell.cif"
            path.write_text(CIF + CIF_B * bool(known.ratio))
            cell = SingleOrigin.UnitCell(str(path))
        cell.project_zone_axis([0, 0, 1], [1, 0, 0], [0, 1, 0])
        # The user clicks on an A column: here on the one that is known.
        module.pick_points = partial(_pick, known.origin[::-1])
        start = time.process_time()
        lattice = SingleOrigin.HRImage(image).add_lattice("perovskite", cell)
        lattice.specify_basis_vectors(*known.basis[:, ::-1])
        lattice.select_lattice_origin()
        lattice.make_reference_lattice()
        found = time.process_time()
        # Where columns overlap, round ones and regions down to the background do
        # better than the defaults.
        lattice.fit_atom_columns(
            parallelize=False,
            use_circ_gauss=bool(known.ratio),
            bkgd_thresh_factor=0.0 if known.ratio else 0.95,
        )
        end = time.process_time()
    columns = lattice.at_cols
    positions = columns[["y_fit", "x_fit"]].to_numpy(dtype=float)
    return Located(positions, end - start, end - found)


def _moments(x, y, z, order):
    powers = np.arange(order + 1)[:, None]
    return (x**powers * z) @ (y**powers).T


def _central_moments(x, y, z, order):
    mean = _moments(x, y, z, 1)
    return _moments(x - mean[1, 0] / mean[0, 0], y - mean[0, 1] / mean[0, 0], z, order)


def _pick(wanted, *, xy_peaks, **_):
    from matplotlib.pyplot import subplots

    nearest = np.linalg.norm(xy_peaks - wanted, axis=1).argmin()
    return (xy_peaks[[nearest]], *subplots())


def _window(known):
    # Where columns overlap, the wider one loses some to their neighbours.
    return WINDOW - 2 if known.ratio else WINDOW


def _min_distance(known):
    # The maxima of faint columns must not drown in the flanks of bright ones.
    return int(known.spacing / 3)


def _threshold(known):
    """Half-way from the background to the lowest maximum of the smoothed image."""
    from skimage.feature import peak_local_max

    smooth = _smooth(known.expected, known)
    row, col = peak_local_max(smooth, min_distance=_min_distance(known)).T
    return (known.background + smooth[row, col].min()) / 2


def _smooth(image, known):
    return gaussian_filter(image, known.sigma / 2)


def _maxima(image, known):
    from skimage.feature import peak_local_max

    return peak_local_max(
        _smooth(image, known),
        min_distance=_min_distance(known),
        threshold_abs=_threshold(known),
    )


def _with_whole_window(peaks, shape):
    half = WINDOW // 2
    return peaks[((peaks >= half) & (peaks < np.array(shape) - half)).all(axis=1)]


def _finite(positions):
    return positions[np.isfinite(positions).all(axis=1)]


@contextlib.contextmanager
def _quiet():
    """Swallow what a tool prints."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Tool:
    """A tool and how to speak of it.

    Parameters
    ----------
    locate : callable
        Function of the image and of what is known.
    label : str
        For the tables.
    packages : tuple of str
        Whose versions are named.
    max_seeds : int
        Slow tools see fewer of the noise seeds.
    needs_b : bool
        Whether it is for images of two sublattices only.
    slow, too_slow : bool
        Whether a large image is cropped for it, or it is not timed there at all.
    """

    locate: Callable
    label: str
    packages: tuple = ()
    max_seeds: int = 1000
    needs_b: bool = False
    slow: bool = False
    too_slow: bool = False


TOOLS = {
    "ours": Tool(sklearn_ferroic, "AtomLocator", ("sklearn-ferroic",)),
    "naive": Tool(naive, "peak_local_max + curve_fit", ("scikit-image", "scipy"), 5),
    "trackpy": Tool(trackpy, "trackpy, centroid", ("trackpy", "numba")),
    "photutils": Tool(
        photutils, "photutils fit_2dgaussian", ("photutils",), 2, slow=True
    ),
    "kemstem": Tool(kemstem, "kemstem", ("kemstem",), 2, slow=True),
    "single-origin": Tool(
        single_origin, "SingleOrigin", ("SingleOrigin",), 1, too_slow=True
    ),
    "atomap": Tool(atomap, "atomap, one pass", ("atomap", "hyperspy"), 1, slow=True),
    "atomap-a-b": Tool(
        atomap_a_then_b, "atomap, A, then B", ("atomap",), 1, True, too_slow=True
    ),
}
