"""HAADF-STEM-like images of ferroelectric perovskites, with ground truth."""

from numbers import Integral, Real

from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import StrOptions, validate_params

from .._utils.validation import Interval
from ._generator.columns import lay_out, make_columns
from ._generator.image import take_image
from ._generator.options import PRESETS, resolve_options, streams_of

# Options that a preset has a value for.
POSITIVE = [Interval(Real, 0, None, closed="neither"), None]
NOT_NEGATIVE = [Interval(Real, 0, None, closed="left"), None]


@validate_params(
    {
        "preset": [StrOptions(set(PRESETS))],
        "shape": ["array-like", None],
        "pixel_size": POSITIVE,
        "lattice_parameter_nm": POSITIVE,
        "displacement_pm": NOT_NEGATIVE,
        "n_variants": [Interval(Integral, 1, 4, closed="both"), None],
        "wall_width_nm": NOT_NEGATIVE,
        "substrate": [Interval(Real, 0, 1, closed="left"), None],
        "layers": ["array-like", None],
        "interface_width_nm": NOT_NEGATIVE,
        "antipolar": [StrOptions({"none", "alternate", "all"}), None],
        "doping": [Interval(Real, 0, 1, closed="both"), None],
        "n_atoms": [Interval(Integral, 1, None, closed="left"), None],
        "column_width_nm": POSITIVE,
        "dose": [Interval(Real, 0, None, closed="right"), None],
        "thickness_gradient": [Interval(Real, 0, 1, closed="both"), None],
        "mistilt_mrad": NOT_NEGATIVE,
        "disorder_pm": NOT_NEGATIVE,
        "drift": NOT_NEGATIVE,
        "jitter": NOT_NEGATIVE,
        "intensity_scatter": [Interval(Real, 0, 1, closed="both"), "array-like", None],
        "tails": [Interval(Real, 0, 0.5, closed="both"), None],
        "astigmatism": [Interval(Real, 1, 3, closed="both"), None],
        "interference": [Interval(Real, 0, 1, closed="both"), None],
        "detector_gain": POSITIVE,
        "detector_offset": NOT_NEGATIVE,
        "read_noise": NOT_NEGATIVE,
        "n_missing": [Interval(Integral, 0, None, closed="left"), None],
        "dislocation": ["boolean", "array-like", None],
        "dissociation_nm": NOT_NEGATIVE,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_ferroic_image(
    preset="film",
    *,
    shape=None,
    pixel_size=None,
    lattice_parameter_nm=None,
    displacement_pm=None,
    n_variants=None,
    wall_width_nm=None,
    substrate=None,
    layers=None,
    interface_width_nm=None,
    antipolar=None,
    doping=None,
    n_atoms=None,
    column_width_nm=None,
    dose=None,
    thickness_gradient=None,
    mistilt_mrad=None,
    disorder_pm=None,
    drift=None,
    jitter=None,
    intensity_scatter=None,
    tails=None,
    astigmatism=None,
    interference=None,
    detector_gain=None,
    detector_offset=None,
    read_noise=None,
    n_missing=None,
    dislocation=None,
    dissociation_nm=None,
    random_state=None,
):
    """Generate an atomically resolved image of a ferroelectric with ground truth.

    The image resembles a HAADF-STEM image of a perovskite ABO3 along a cube
    axis: bright A columns on a square lattice and darker B columns in the
    middle of the cells; oxygen is not visible. In the ferroelectric the B columns
    are displaced along the diagonals, in up to four variants 90° apart. Parameters
    other than `preset` and `random_state` have the value of the preset if they are
    None.

    Parameters
    ----------
    preset : {"film", "superlattice"}, default="film"
        The material. "film": Sm-doped BiFeO3 with four variants on a SrTiO3
        substrate, which fills the bottom rows. "superlattice": layers of
        BiFeO3 alternating with non-polar La0.7Sr0.3MnO3, every second BiFeO3
        layer antipolar.

    shape : tuple of int (n_rows, n_cols), default=None
        Size of the image, px; (800, 820) or (840, 800) by preset.

    pixel_size : float, default=None
        Size of a pixel, nm; preset 0.02, which makes 19.8 px per unit cell.
        A unit cell must be at least 4 px.

    lattice_parameter_nm : float, default=None
        Side of the unit cell, nm; preset 0.396, for all materials: the layers
        are coherent.

    displacement_pm : float, default=None
        Length of the displacement of a B column from the centroid of its four
        A columns deep inside a domain, pm; preset 40.

    n_variants : int, default=None
        Number of variants, 1 to 4; preset 4. Variants 0, ..., n_variants - 1
        occur.

    wall_width_nm : float, default=None
        Full width 2ξ of the domain walls, nm; preset 0.8. Across a wall one
        component of the polarization follows tanh(x / ξ).

    substrate : float, default=None
        Share of the image's rows that the SrTiO3 substrate fills, in [0, 1);
        preset 0.15 in the film, 0 in the superlattice.

    layers : tuple of int (n_bifeo3, n_manganite), default=None
        Thickness of the layers in unit cells; preset (10, 6) in the
        superlattice. The film has BiFeO3 only.

    interface_width_nm : float, default=None
        Full width of the interfaces between materials, nm; preset 0.5 in the
        film, 0.6 in the superlattice. The composition follows a tanh profile.

    antipolar : {"none", "alternate", "all"}, default=None
        Which BiFeO3 layers are antipolar instead of polar; "alternate" selects
        every second one, beginning with the second. In antipolar layers the
        displacement changes its sign from cell to cell along a row of the
        image, so that there are lamellae with a period of two cells.

    doping : float, default=None
        Share of Sm on the A site of BiFeO3, in [0, 1]; preset 0.1 in the film,
        0 in the superlattice.

    n_atoms : int, default=None
        Atoms in a column through the foil's thickness; preset 50. Composition
        and doping of each column are drawn from as many atoms, so that fewer
        atoms make them noisier.

    column_width_nm : float, default=None
        Standard deviation of an A column's image, nm; preset 0.05. B columns
        are narrower by 8 %.

    dose : float, default=None
        Electrons per square ångström; preset 25,000. The detector catches 12 %
        of the beam at the peak of a Bi column, which makes about 120 electrons
        over a background of 36 at the presets' pixel size. ``np.inf`` removes
        the counting noise, the read noise and the rounding: the image is
        then the expectation at the preset's dose, in ADU.

    thickness_gradient : float, default=None
        Increase of the brightness from the darkest to the brightest corner,
        relative to the centre, in [0, 1]; preset 0.2 in the film, 0.15
        in the superlattice. The direction is random.

    mistilt_mrad : float, default=None
        Largest tilt of the crystal from the zone axis, mrad; preset 2. The
        tilt varies slowly over the image as in a bent foil. It shifts the B
        columns against the A columns by 1 pm for each mrad and elongates all
        columns.

    disorder_pm : float, default=None
        Standard deviation of static random displacements of each column, pm in
        each direction; preset 3.

    drift : float, default=None
        Length of the specimen's drift over the frame, px; preset 3. A steady
        drift, which shears and stretches the image, and a slow wave of 15 %.

    jitter : float, default=None
        Standard deviation of the random displacement of each scan line along
        the fast scan direction, px; preset 0.12. Across it is half as much. See
        `positions` and `scan_shift` for its effect on the truth.

    intensity_scatter : float or array-like of shape (2,), default=None
        Relative standard deviation of the brightness of the A and of the B
        columns at the same composition, in [0, 1]; preset (0.05, 0.1). Static
        disorder, surfaces and channelling cause it. The factors are log-normal.

    tails : float, default=None
        Share of the height of a column that belongs to a second Gaussian of
        twice the width, in [0, 0.5]; preset 0.03, which is 11 % of the
        column's integrated intensity. 0 makes columns Gaussian.

    astigmatism : float, default=None
        Long axis over short axis of every column's image, in [1, 3]; preset
        1.05. The direction is random, the area is constant.

    interference : float, default=None
        Amplitude of a sinusoid in time that is added to the signal, in units of
        the height of a Bi column at the centre, in [0, 1]; preset 0.01. Its
        period of 3 to 10 scan lines and its phase are random.

    detector_gain : float, default=None
        Analogue-to-digital units (ADU) per electron; preset 10.

    detector_offset : float, default=None
        ADU without any electron; preset 100.

    read_noise : float, default=None
        Standard deviation of the detector's additive noise, ADU; preset 10.

    n_missing : int, default=None
        Number of columns that are removed at random; preset 0.

    dislocation : bool or array-like of shape (2,), default=None
        Whether there is an edge dislocation, or the ``(row, col)`` of its
        core, px; preset False. True puts it at the centre. Its Burgers vector
        is one cell along the column axis and its extra half plane, of one A
        and one B plane, lies above the core, at the smaller rows.

    dissociation_nm : float, default=None
        Distance of the two partial dislocations into which the dislocation is
        dissociated, nm, rounded to an odd number of half cells; preset 0, a
        perfect dislocation. Their Burgers vectors are half a cell along both axes.
        They lie above each other, and between them two planes of A columns
        are neighbours, displaced by half a cell along the rows, as in a
        Ruddlesden-Popper fault.

    random_state : int, RandomState instance or None, default=None
        Determines the lattice's origin, the walls and all noise. Each cause
        has its own stream of random numbers: changing `dose`, for example, does not
        move the columns.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, n columns having their centre inside the image.

        image : ndarray of shape (n_rows, n_cols), float32
            Output of the detector: whole ADU, not less than 0. With
            ``detector_gain=1, detector_offset=0, read_noise=0,
            interference=0`` these are counted electrons.
        positions : ndarray of shape (n, 2)
            Apparent column centres ``(row, col)``, px: with all
            displacements, tilt and drift, without jitter, which is noise.
        scan_shift : ndarray of shape (n, 2)
            Shift of a least-squares fit of the column by the jitter of the lines
            that cross it, px, to first order. ``positions + scan_shift`` is the
            expectation of a fit; errors relative to it are comparable to
            standard errors that follow from the noise of the pixels.
        sublattice : ndarray of shape (n,), int
            0 for A, 1 for B.
        variant : ndarray of shape (n,), int
            Variant k of the cell, whose polarization points to the angle
            45° + 90° k by ``arctan2(d_row, d_col)``, wrapped; −1 where the
            material is not polar. In antipolar layers it is that of the cell's
            own displacement, an A column belonging to the cell of the B column
            next to it at larger rows and columns.
        polarization : ndarray of shape (n, 2)
            For B columns the ferroelectric displacement ``(d_row, d_col)``
            from the centroid of the four A columns, px, in the crystal as it
            is without tilt, disorder, dislocation and drift; NaN for A.
        composition : ndarray of shape (n,)
            Share of BiFeO3 in the column, in [0, 1].
        wall : ndarray of shape (n,), bool
            True where the variant or the material is not well defined: within
            ξ and half a cell of a domain wall's centre, and where more than
            10 % of each of two materials meet.
        amplitude : ndarray of shape (n,)
            Height of the column over the background, tails included, ADU.
        sigma : ndarray of shape (n,)
            Standard deviation of the column's core, px (geometric mean of the
            two axes).
        background : ndarray of shape (n,)
            Level under the column without its own and its neighbours' tails and
            without the interference, ADU; the detector's offset included.
        pixel_size : float
            nm per pixel.
        sublattice_names : tuple of str
            ``("A", "B")``.
        description : str
            Description of the image.

    Raises
    ------
    ValueError
        If an option is out of its range, a cell is less than 4 px, the image
        contains fewer than three cells along a side, or options contradict each
        other.

    See Also
    --------
    load_image : Read an image from a file.
    load_multislice : Load an image simulated from atoms, with ground truth.

    Notes
    -----
    Columns are sums of two concentric Gaussians, sampled at the exact position of
    the probe: a STEM does not average over the pixel. Brightness follows the mean
    atomic number of the column's atoms, scatters by `intensity_scatter`, and is the
    same whether neighbours are displaced or not: channelling, and with it the
    crosstalk between columns, is neglected, as are oxygen and octahedral tilts.
    :func:`load_multislice` returns an image of simulated scattering instead.

    With m the expected value of a pixel in ADU, the variance of the noise is
    ``read_noise**2 + detector_gain * (m - detector_offset)``, plus 1/12 for
    rounding.

    The straight walls are vertical and reverse the row component of the
    polarization, so that they carry no charge; the inclined one reverses the
    column component. Where two cross, the polarization passes through zero.

    The dislocation's displacement field is that of isotropic elasticity with a
    Poisson ratio of 0.3 [2]_.

    References
    ----------
    .. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants
       from atomically resolved STEM images", 2020.
    .. [2] J. P. Hirth and J. Lothe, "Theory of Dislocations", 2nd ed., 1982,
       chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> data = make_ferroic_image(random_state=0)
    >>> data.image.shape, data.pixel_size
    ((800, 820), 0.02)
    >>> b_site = data.sublattice == 1
    >>> np.unique(data.variant[b_site]).tolist()
    [-1, 0, 1, 2, 3]
    >>> inside = b_site & (data.variant == 0) & ~data.wall
    >>> d_row, d_col = np.median(data.polarization[inside], axis=0)
    >>> print(f"{np.degrees(np.arctan2(d_row, d_col)):.0f} degrees")
    45 degrees
    """
    given = {
        "shape": shape,
        "pixel_size": pixel_size,
        "lattice_parameter_nm": lattice_parameter_nm,
        "displacement_pm": displacement_pm,
        "n_variants": n_variants,
        "wall_width_nm": wall_width_nm,
        "substrate": substrate,
        "layers": layers,
        "interface_width_nm": interface_width_nm,
        "antipolar": antipolar,
        "doping": doping,
        "n_atoms": n_atoms,
        "column_width_nm": column_width_nm,
        "dose": dose,
        "thickness_gradient": thickness_gradient,
        "mistilt_mrad": mistilt_mrad,
        "disorder_pm": disorder_pm,
        "drift": drift,
        "jitter": jitter,
        "intensity_scatter": intensity_scatter,
        "tails": tails,
        "astigmatism": astigmatism,
        "interference": interference,
        "detector_gain": detector_gain,
        "detector_offset": detector_offset,
        "read_noise": read_noise,
        "n_missing": n_missing,
        "dislocation": dislocation,
        "dissociation_nm": dissociation_nm,
    }
    options = resolve_options(preset, given)
    streams = streams_of(check_random_state(random_state))
    crystal = lay_out(options, streams)
    columns = make_columns(options, crystal, streams)
    image, truth = take_image(columns, options, crystal, streams)
    return Bunch(
        image=image,
        **truth,
        pixel_size=float(options.pixel_size),
        sublattice_names=("A", "B"),
        description=_describe(preset, options, truth),
    )


def _describe(preset, options, truth):
    """Return a description of the image in plain words."""
    parts = [f"Simulated HAADF-STEM image of a BiFeO3 {preset}"]
    if options.layers is not None:
        n_ferroic, n_manganite = options.layers
        parts[0] += f", {n_ferroic} cells BiFeO3 and {n_manganite} La0.7Sr0.3MnO3"
    if options.substrate:
        parts[0] += f", SrTiO3 substrate in the bottom {options.substrate:.0%}"
    antipolar = {
        "none": "",
        "alternate": ", every second layer antipolar",
        "all": ", antipolar throughout",
    }[options.antipolar]
    n_a = int((truth["sublattice"] == 0).sum())
    n_b = len(truth["sublattice"]) - n_a
    cell = options.lattice_parameter_nm / options.pixel_size
    noise = f"{options.dose:g} electrons per square angstrom"
    parts += [
        f"{n_a} A and {n_b} B columns, {cell:.1f} px per unit cell of "
        f"{options.lattice_parameter_nm:g} nm",
        f"B columns displaced by {options.displacement_pm:g} pm in "
        f"{options.n_variants} variant(s), walls {options.wall_width_nm:g} nm wide"
        + antipolar,
        f"{noise}{'' if options.noisy else ', without counting noise'}; mistilt up to "
        f"{options.mistilt_mrad:g} mrad, disorder {options.disorder_pm:g} pm, drift "
        f"{options.drift:g} px, jitter {options.jitter:g} px",
        _describe_imaging(options),
    ]
    if options.n_missing:
        parts.append(f"{options.n_missing} column(s) missing")
    if options.dislocation is not None:
        row, col = options.dislocation
        partials = (
            f", dissociated by {options.dissociation_nm:g} nm"
            if options.dissociation_nm
            else ""
        )
        parts.append(f"Edge dislocation near row {row:.0f}, column {col:.0f}{partials}")
    return ". ".join(parts) + "."


def _describe_imaging(options):
    """Return the shape and the scatter of the columns and the detector in words."""
    scatter_a, scatter_b = options.intensity_scatter
    return (
        f"Brightness scatters by {scatter_a:.0%} (A) and {scatter_b:.0%} (B), tails "
        f"of {options.tails:.0%}, astigmatism {options.astigmatism:g}, interference "
        f"{options.interference:.0%}; {options.detector_gain:g} ADU per electron, "
        f"offset {options.detector_offset:g}, read noise {options.read_noise:g} ADU"
    )
