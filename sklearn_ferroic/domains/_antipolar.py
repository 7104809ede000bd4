"""Antipolar order and its period, from correlations of the vectors on the lattice."""

from numbers import Integral, Real

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.optimize import minimize
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from .._utils.validation import Interval, check_vectors
from ._cell_graph import check_one_sublattice
from ._lattice_steps import cell_vectors, lattice_neighbors

# Steps of the grid of wave vectors, per lattice vector, before the peak is refined.
_GRID_STEP_PER_CELL = 0.02
# A modulation must carry this share of the strongest component: more than the third
# harmonic of stripes.
_MIN_SHARE = 0.15
# Half a wave vector of the zone boundary, where both signs are the same wave.
_ZONE_BOUNDARY_MARGIN_PER_CELL = 0.02


@validate_params(
    {
        "max_period": [Interval(Real, 2, 64, closed="both")],
        "max_lag": [Interval(Integral, 2, 64, closed="both"), None],
        "min_significance": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def antipolar_order(
    sites, vectors=None, *, max_period=8.0, max_lag=None, min_significance=15.0
):
    """Find a periodic modulation of the vectors, as in an antiferroelectric.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Sites of one sublattice, such as ``sites[sites.sublattice == 1]``.
    vectors : array-like of shape (n_sites, 2), default=None
        Vectors ``(row, col)``, NaN where unknown; ``sites.polarization`` by default.
    max_period : float, default=8.0
        Longest period, in rows of the lattice. Longer modulations are domains.
    max_lag : int, default=None
        Largest distance at which vectors are correlated, lattice vectors along a and
        b; `max_period`, rounded up, by default.
    min_significance : float, default=15.0
        Minimum significance of a modulation. Errors of the scan, which neighbouring
        cells share, reach 11 on images of cubic SrTiO3. Use 5 to 8 for a weak or a
        small region of antipolar order if there are no such errors, as in simulated
        images or averages of registered frames.

    Returns
    -------
    order : :class:`~sklearn.utils.Bunch`
        Dictionary-like object:

        period : float
            Period in rows of the lattice, along the lattice vector, a or b, along which
            it is the shorter; NaN without a significant modulation. 4 in PbZrO3, 2
            where the vectors alternate.
        wave_vector : ndarray of shape (2,)
            Periods per lattice vector along (a, b), in [0, 0.5] × [-0.5, 0.5]: (1/4,
            1/4) or (1/4, -1/4) in PbZrO3 along [001]; NaN without a modulation.
        period_px : float
            Distance of equal phases, px, NaN without a modulation.
        significance : float
            Height of the peak of the spectrum over the standard deviation that
            independent vectors would give, also where it is below
            `min_significance`.
        antipolar_share, polar_share : float
            Shares of the mean square of the vectors that the modulation and the
            uniform part of the surroundings have; the rest is noise, walls and other
            periods.
        antipolar, polar : ndarray of shape (n_sites,)
            Root mean square of the modulation around each site, and length of the mean
            vector around it, both over a Gaussian of the width of half a period or one
            cell at least, in the unit of the vectors. NaN without a modulation.
        correlation : ndarray of shape (max_lag + 1, 2 * max_lag + 1)
            Mean product of the vectors at a distance of i a + (j - max_lag) b over
            the mean square; NaN where there are no such pairs.
        spectrum : ndarray
            Fourier transform of `correlation` without its centre.
        wave_vectors_a, wave_vectors_b : ndarray
            The rows and columns of `spectrum`, in periods per lattice vector.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit, there are no vectors, or the sites are of several
        sublattices.

    See Also
    --------
    find_domains : Domains that are wider than the period.

    Notes
    -----
    The correlation C(L) = <v(r)·v(r + L)> / <v·v> is summed over all pairs of cells at
    the lattice distance L, found from neighbour to neighbour, so that bending of the
    lattice and several images do no harm. It does not depend on the phase of the
    modulation, which may differ between domains. Its transform, with a Hann window
    and without L = 0, where noise correlates with itself, has a peak at the wave vector
    of the modulation.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import antipolar_order
    >>> index = np.indices((24, 24)).reshape(2, -1).T
    >>> sites = AtomSites(np.zeros((240, 240)), 10.0 * index + 5)
    >>> sign = np.array([1, 1, -1, -1])[index.sum(axis=1) % 4]
    >>> vectors = np.random.default_rng(0).normal(0, 0.5, (576, 2))
    >>> vectors += sign[:, None] * [0.7, -0.7]
    >>> order = antipolar_order(sites, vectors)
    >>> round(order.period, 1), order.wave_vector.round(2)
    (4.0, array([0.25, 0.25]))
    """
    check_one_sublattice(sites)
    vectors = check_vectors(sites, vectors)
    known = np.isfinite(vectors).all(axis=1)
    if not known.any():
        raise ValueError("No site has a vector: all are NaN.")
    lag = int(np.ceil(max_period)) if max_lag is None else int(max_lag)
    cells = cell_vectors(sites)
    neighbors = lattice_neighbors(sites, cells)
    correlation, n_pairs = _correlate(
        neighbors, np.where(known[:, None], vectors, 0), known, lag
    )
    spectrum = _Spectrum(correlation, n_pairs, lag)
    nyquist = np.arange(0, 0.5 + _GRID_STEP_PER_CELL / 2, _GRID_STEP_PER_CELL)
    qa, qb = nyquist, np.concatenate([-nyquist[:0:-1], nyquist])
    values = spectrum.on_grid(qa, qb)
    long = np.maximum(np.abs(qa)[:, None], np.abs(qb)) < 1 / max_period - 1e-9
    # The shoulder of a peak of a longer period is not a peak.
    is_peak = (values >= maximum_filter(values, 3, mode="nearest")) & ~long
    candidates = np.where(is_peak, values, -np.inf if is_peak.any() else values)
    place = np.unravel_index(np.argmax(candidates), values.shape)
    peak = spectrum.refine(np.array([qa[place[0]], qb[place[1]]]), 1 / max_period)
    height = spectrum.at(peak)
    significance = height / spectrum.noise
    polar_share = max(0.0, spectrum.at(np.zeros(2)) / spectrum.gain(np.zeros(2)))
    antipolar_share = max(0.0, height / spectrum.gain(peak))
    strongest = max(values.max() / spectrum.gain(peak), polar_share)
    found = (
        is_peak.any()
        and significance > min_significance
        and antipolar_share > _MIN_SHARE * strongest
    )
    result = Bunch(
        period=np.nan,
        wave_vector=np.full(2, np.nan),
        period_px=np.nan,
        significance=float(significance),
        antipolar_share=float(min(antipolar_share, 1.0)),
        polar_share=float(min(polar_share, 1.0)),
        antipolar=np.full(len(sites), np.nan),
        polar=np.full(len(sites), np.nan),
        correlation=correlation,
        spectrum=values,
        wave_vectors_a=qa,
        wave_vectors_b=qb,
    )
    if not found:
        return result
    cell = np.median(cells[np.isfinite(cells).all(axis=(1, 2))], axis=0)
    # The wave vector in the plane: k·a = q_a and k·b = q_b.
    k = np.linalg.solve(cell, peak)
    result.update(
        period=float(1 / np.abs(peak).max()),
        wave_vector=peak,
        period_px=float(1 / np.hypot(*k)),
    )
    result.antipolar, result.polar = _local_order(neighbors, vectors, known, peak)
    return result


class _Spectrum:
    """Transform of a correlation function on one half of the lattice of lags."""

    def __init__(self, correlation, n_pairs, lag):
        i, j = np.indices(correlation.shape)
        j = j - lag
        # Each pair of opposite lags once; not lag 0.
        used = np.isfinite(correlation) & ((i > 0) | (j > 0))
        self.lags = np.column_stack([i[used], j[used]])
        hann = np.cos(0.5 * np.pi * self.lags / (lag + 1)) ** 2
        self.weight = hann.prod(axis=1)
        self.values = self.weight * correlation[used]
        # The mean product of two independent vectors has a standard deviation of
        # 1 / sqrt(2 n) if both components are equally large, 1 / sqrt(n) at most.
        variance = self.weight**2 / np.maximum(n_pairs[used], 1)
        self.noise = float(np.sqrt((variance).sum() / 2)) or 1.0

    def at(self, q):
        return float(self.values @ np.cos(2 * np.pi * self.lags @ q))

    def gain(self, q):
        """Return the height of a peak of a modulation that is all of the vectors."""
        return float(self.weight @ np.cos(2 * np.pi * self.lags @ q) ** 2) or 1.0

    def on_grid(self, qa, qb):
        phase_a = np.exp(2j * np.pi * np.outer(qa, self.lags[:, 0]))
        phase_b = np.exp(2j * np.pi * np.outer(self.lags[:, 1], qb))
        return ((phase_a * self.values) @ phase_b).real

    def refine(self, start, smallest):
        found = minimize(
            lambda q: -self.at(q),
            start,
            method="Nelder-Mead",
            options={
                "xatol": 1e-4,
                "initial_simplex": start + 0.01 * np.array([[0, 0], [1, 0], [0, 1]]),
            },
        ).x
        # Wave vectors are periodic, and opposite ones are the same.
        found = found - np.rint(found)
        if found[0] < -1e-3 or (abs(found[0]) <= 1e-3 and found[1] < 0):
            found = -found
        found[0] = max(found[0], 0.0)
        return found if np.abs(found).max() >= smallest - 1e-9 else start


def _correlate(neighbors, vectors, known, lag):
    """Return the correlation at each lag, and the number of pairs it is of."""
    n = len(known)
    correlation = np.full((lag + 1, 2 * lag + 1), np.nan)
    n_pairs = np.zeros((lag + 1, 2 * lag + 1), dtype=int)
    square = (vectors**2).sum() / known.sum()
    if square == 0:
        return correlation, n_pairs
    padded = np.concatenate([vectors, np.zeros((1, 2))])
    is_known = np.concatenate([known, [False]])
    step = np.concatenate([neighbors, np.full((1, 4), n)])
    along_a = np.arange(n + 1)
    for i in range(lag + 1):
        for direction, sign in ((1, 1), (3, -1)):
            target = along_a
            for j in range(lag + 1):
                both = is_known & is_known[target]
                count = int(both.sum())
                if count:
                    product = (padded * padded[target]).sum() / count
                    correlation[i, lag + sign * j] = product / square
                    n_pairs[i, lag + sign * j] = count
                target = step[target, direction]
        along_a = step[along_a, 0]
    return correlation, n_pairs


def _local_order(neighbors, vectors, known, q):
    """Return the modulation and the mean vector around each site."""
    n = len(known)
    width = max(1.0, 0.5 / np.abs(q).max())
    reach = int(np.ceil(2 * width))
    padded = np.concatenate([np.where(known[:, None], vectors, 0), np.zeros((1, 2))])
    weight_of = np.concatenate([known.astype(float), [0.0]])
    step = np.concatenate([neighbors, np.full((1, 4), n)])
    wave = np.zeros((n + 1, 2), dtype=complex)
    mean, total = np.zeros((n + 1, 2)), np.zeros(n + 1)
    for sign_a, direction_a in ((1, 0), (-1, 2)):
        along_a = np.arange(n + 1)
        for i in range(reach + 1):
            for sign_b, direction_b in ((1, 1), (-1, 3)):
                target = along_a
                for j in range(reach + 1):
                    # Lags on an axis belong to both of their quadrants.
                    share = (1 if i else 0.5) * (1 if j else 0.5)
                    weight = share * np.exp(-(i**2 + j**2) / (2 * width**2))
                    phase = np.exp(
                        -2j * np.pi * (q[0] * sign_a * i + q[1] * sign_b * j)
                    )
                    wave += weight * phase * padded[target]
                    mean += weight * padded[target]
                    total += weight * weight_of[target]
                    target = step[target, direction_b]
            along_a = step[along_a, direction_a]
    with np.errstate(invalid="ignore", divide="ignore"):
        wave, mean = (part[:n] / total[:n, None] for part in (wave, mean))
    boundary = np.abs(np.abs(q) - 0.5) < _ZONE_BOUNDARY_MARGIN_PER_CELL
    single = (boundary | (np.abs(q) < _ZONE_BOUNDARY_MARGIN_PER_CELL)).all()
    factor = 1.0 if single else np.sqrt(2)
    antipolar = factor * np.sqrt((np.abs(wave) ** 2).sum(axis=1))
    return antipolar, np.hypot(mean[:, 0], mean[:, 1])
