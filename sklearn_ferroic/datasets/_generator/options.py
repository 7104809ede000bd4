"""Options of the generator: materials, presets, checks, conversion to pixels."""

import numpy as np
from sklearn.utils import Bunch

# New streams go to the end: the others keep their seeds.
_STREAMS = (
    "origin",
    "walls",
    "disorder",
    "atoms",
    "tilt",
    "scan",
    "missing",
    "counts",
    "intensity",
    "optics",
    "detector",
)

# HAADF brightness of one column of each material, relative to a Bi column, and
# of the diffuse background between the columns. A and B follow a power of the
# mean atomic number, damped as channelling damps it in foils of some 20 nm.
MATERIALS = ("BiFeO3", "La0.7Sr0.3MnO3", "SrTiO3")
A_BRIGHTNESS = (1.0, 0.58, 0.42)
B_BRIGHTNESS = (0.40, 0.36, 0.24)
BACKGROUND = (0.30, 0.22, 0.15)
# Brightness that an A column loses if all of its Bi is exchanged for Sm.
SM_BRIGHTNESS_DEFICIT = 0.39
# Share of the beam that the detector catches at the peak of a Bi column.
DETECTED_FRACTION = 0.12
# B columns are a little narrower than A columns, where thermal motion is larger.
B_WIDTH_RATIO = 0.92
# Mistilt: depth over which a column is seen, and by how much deeper the B
# columns are seen than the A columns; both project to shifts when tilted.
DEPTH_SEEN_NM = 8.0
DEPTH_DIFFERENCE_NM = 1.0
# Sigma of the tails in sigmas of the column core.
TAIL_WIDTH_RATIO = 2.0
# Scan lines in one period of the interference. A mains period of 20 ms is three to ten
# lines of 800 px at 2.5 to 8 us per pixel.
INTERFERENCE_PERIOD_LINES = (3.0, 10.0)
# Options that the presets share.
_SHARED = {
    "pixel_size": 0.02,
    "lattice_parameter_nm": 0.396,
    "displacement_pm": 40.0,
    "n_variants": 4,
    "wall_width_nm": 0.8,
    "n_atoms": 50,
    "column_width_nm": 0.05,
    "dose": 25e3,
    "mistilt_mrad": 2.0,
    "disorder_pm": 3.0,
    "drift": 3.0,
    "jitter": 0.12,
    "intensity_scatter": (0.05, 0.1),
    "tails": 0.03,
    "astigmatism": 1.05,
    "interference": 0.01,
    "detector_gain": 10.0,
    "detector_offset": 100.0,
    "read_noise": 10.0,
    "n_missing": 0,
    "dislocation": False,
    "dissociation_nm": 0.0,
}
PRESETS = {
    "film": {
        **_SHARED,
        "shape": (800, 820),
        "substrate": 0.15,
        "layers": None,
        "interface_width_nm": 0.5,
        "antipolar": "none",
        "doping": 0.1,
        "thickness_gradient": 0.2,
    },
    "superlattice": {
        **_SHARED,
        "shape": (840, 800),
        "substrate": 0.0,
        "layers": (10, 6),
        "interface_width_nm": 0.6,
        "antipolar": "alternate",
        "doping": 0.0,
        "thickness_gradient": 0.15,
    },
}


def resolve_options(preset, given):
    """Fill what is None from the preset and refuse what does not go together.

    Parameters
    ----------
    preset : str
        Name of the preset.
    given : dict
        Values by the names of `make_ferroic_image`, None for the preset's.

    Returns
    -------
    options : Bunch
        All options; `noisy` is whether electrons are counted, and `dose` is
        finite.
    """
    defaults = PRESETS[preset]
    options = Bunch(**defaults)
    options.update((name, value) for name, value in given.items() if value is not None)
    options.shape = _two_integers(
        options.shape, "shape must be two positive whole numbers of pixels (rows, cols)"
    )
    if options.layers is not None:
        options.layers = _two_integers(
            options.layers,
            "layers must be two positive whole numbers of unit cells, of BiFeO3 and "
            "of La0.7Sr0.3MnO3",
        )
    options.intensity_scatter = _two_scatters(options.intensity_scatter)
    _check_lengths(options)
    options.dislocation = _check_core(options.dislocation, options.shape)
    options.noisy = bool(np.isfinite(options.dose))
    options.dose = options.dose if options.noisy else defaults["dose"]
    return options


def streams_of(random_state):
    """Return one random generator per cause, so that options are independent."""
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(_STREAMS))
    return dict(zip(_STREAMS, map(np.random.RandomState, seeds), strict=True))


def _two_integers(value, expected):
    array = np.asarray(value)
    if array.shape != (2,) or array.dtype.kind not in "iu" or (array < 1).any():
        raise ValueError(f"{expected}; got {value!r}.")
    return tuple(array.tolist())


def _two_scatters(value):
    """Return the intensity scatter of the A and the B columns."""
    array = np.asarray(value)
    numeric = array.dtype.kind in "iuf" and array.shape in ((), (2,))
    if not numeric or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(
            "intensity_scatter must be a number in [0, 1] or two of them, for the A "
            f"and the B columns; got {value!r}."
        )
    return tuple(np.broadcast_to(array, 2).astype(float).tolist())


def _check_lengths(options):
    cell = options.lattice_parameter_nm / options.pixel_size
    if cell < 4:
        raise ValueError(
            f"A unit cell of {options.lattice_parameter_nm:g} nm is {cell:.3g} pixels "
            f"of {options.pixel_size:g} nm; at least 4 are needed to resolve columns. "
            "Choose a smaller pixel_size."
        )
    if min(options.shape) < 3 * cell:
        raise ValueError(
            f"shape {options.shape} contains fewer than three unit cells of {cell:.3g} "
            "pixels along a side. Choose a larger shape or a larger pixel_size."
        )
    if options.displacement_pm > 250 * options.lattice_parameter_nm:
        raise ValueError(
            f"displacement_pm={options.displacement_pm:g} is more than a quarter of "
            f"the lattice parameter of {1e3 * options.lattice_parameter_nm:g} pm."
        )
    if options.drift > 0.2 * options.shape[0]:
        raise ValueError(
            f"drift={options.drift:g} px is more than a fifth of the image's "
            f"{options.shape[0]} rows."
        )


def _check_core(dislocation, shape):
    """Return the core of the dislocation as (row, col), or None without one."""
    if isinstance(dislocation, (bool, np.bool_)):
        return (shape[0] / 2, shape[1] / 2) if dislocation else None
    core = np.asarray(dislocation)
    if core.shape != (2,) or core.dtype.kind not in "iuf":
        raise ValueError(
            "dislocation must be True, False or the (row, col) of its core in pixels; "
            f"got {dislocation!r}."
        )
    if not ((core >= 0) & (core < shape)).all():
        raise ValueError(
            f"The core of the dislocation, {tuple(core.tolist())}, lies outside the "
            f"image of shape {shape}."
        )
    return tuple(core.tolist())
