"""Fourier coefficients of the windows around sites."""

from numbers import Integral, Real

import numpy as np
from scipy.signal import get_window
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions

from ..._utils.validation import Interval
from .._input import check_sites
from .._patches import check_windows, cut_patches, warn_of_window_size

# Windows transformed at a time: bounds the scratch memory to some 100 MB.
_CHUNK_PIXELS = 2**22


class SlidingFFT(TransformerMixin, BaseEstimator):
    """Compute windowed Fourier coefficients of the image around every site.

    Each window is multiplied by a window function and transformed. Without their phase,
    the coefficients do not change when the lattice is translated within the window:
    they describe periods, directions and strengths of the order there [1]_. A matrix
    factorization of them, such as :class:`sklearn.decomposition.NMF`, separates phases
    and orientations.

    The estimator is stateless.

    Parameters
    ----------
    window_size : int, default=64
        Side of the window, px. Three to five unit cells: the resolution of frequencies
        is about ``2 / window_size``.

    window : str, float or tuple, default="hann"
        Window function along each axis, as :func:`scipy.signal.get_window` takes it;
        ``"boxcar"`` for none.

    phase : {"drop", "keep"}, default="drop"
        "drop": magnitudes. "keep": real and imaginary parts, with the phase relative to
        the centre of the window.

    low, high : float, default=0.0, None
        Band of spatial frequencies, ``low <= |k| <= high``, in 1/px. None means no
        upper limit. The mean of each window, weighted by the window function, is
        subtracted first, so that the coefficient at zero is zero.

    boundary : {"periodic", "reflect", "nearest"}, default="periodic"
        Values of a window's pixels beyond the image, as for :class:`PatchExtractor`.

    normalize : {"image", "patch", None}, default="image"
        Scale of the pixels, as for :class:`PatchExtractor`.

    See Also
    --------
    GridSampler : Places on a grid, at which no columns need to be located.
    PatchExtractor : The windows themselves.
    AngularMoments : Coefficients that transform simply under rotation.

    Notes
    -----
    The image is real, so that one of each pair of opposite frequencies is returned.
    Magnitudes are non-negative, as NMF needs. They are proportional to the contrast,
    which varies with the thickness: ``Normalizer("l1")`` after this step leaves the
    distribution over the frequencies.

    References
    ----------
    .. [1] R. K. Vasudevan, M. Ziatdinov, S. Jesse and S. V. Kalinin, "Phases and
       interfaces from real space atomically resolved data: physics-based deep data
       image analysis", Nano Letters 16 (2016) 5574-5581.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.feature_extraction import SlidingFFT
    >>> stripes = np.tile(np.cos(2 * np.pi * np.arange(64) / 8), (64, 1))
    >>> fft = SlidingFFT(window_size=32, boundary="reflect")
    >>> spectrum = fft.transform(AtomSites(stripes, [[31.5, 31.5]]))
    >>> strongest = fft.frequencies()[spectrum[0].argmax()]
    >>> np.abs(strongest)  # (row, col), 1/px
    array([0.   , 0.125])
    """

    _parameter_constraints: dict = {
        "window_size": [Interval(Integral, 4, None, closed="left")],
        "window": [str, Real, tuple],
        "phase": [StrOptions({"drop", "keep"})],
        "low": [Interval(Real, 0, None, closed="left")],
        "high": [Interval(Real, 0, None, closed="neither"), None],
        "boundary": [StrOptions({"periodic", "reflect", "nearest"})],
        "normalize": [StrOptions({"image", "patch"}), None],
    }

    def __init__(
        self,
        *,
        window_size=64,
        window="hann",
        phase="drop",
        low=0.0,
        high=None,
        boundary="periodic",
        normalize="image",
    ):
        self.window_size = window_size
        self.window = window
        self.phase = phase
        self.low = low
        self.high = high
        self.boundary = boundary
        self.normalize = normalize

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the sites; nothing is fitted.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator.
        """
        self._check()
        check_sites(self, X)
        check_windows(X, self.window_size)
        return self

    def transform(self, X):
        """Compute the Fourier coefficients.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites.

        Returns
        -------
        coefficients : ndarray of shape (n_sites, n_frequencies) or \
(n_sites, 2 * n_frequencies)
            Magnitudes, or real parts and then imaginary parts, float32. A wave of
            amplitude 1 has a magnitude of 1/2 whatever the window function.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If an image is smaller than the window, a site lies off its image, or no
            frequency is in the band.
        """
        self._validate_params()
        rows, cols = self._check()
        check_sites(self, X)
        check_windows(X, self.window_size)
        side = self.window_size
        windows = cut_patches(
            X,
            side,
            center="atom",
            interpolation="cubic",
            boundary=self.boundary,
            normalize=self.normalize,
        ).reshape(-1, side, side)
        warn_of_window_size(X, side)
        taper = np.asarray(get_window(self.window, side), dtype=np.float32)
        taper = np.outer(taper, taper)
        taper /= taper.sum()
        # The phase counts from the geometric centre of the window.
        k = np.fft.fftfreq(side)
        factor = np.exp(1j * np.pi * (side - 1) * (k[rows] + k[cols]))
        factor = factor.astype(np.complex64)
        n_parts = 1 if self.phase == "drop" else 2
        coefficients = np.empty((len(X), n_parts, len(rows)), dtype=np.float32)
        step = max(1, _CHUNK_PIXELS // side**2)
        for first in range(0, len(X), step):
            chunk = slice(first, first + step)
            # Not a matrix product, whose rounding depends on the number of windows.
            mean = (windows[chunk] * taper).sum(axis=(1, 2))
            part = (windows[chunk] - mean[:, None, None]) * taper
            # The rows of negative frequencies are not needed.
            spectrum = np.fft.rfft2(part, axes=(2, 1))[:, rows, cols]
            if self.phase == "drop":
                coefficients[chunk, 0] = np.abs(spectrum)
            else:
                spectrum = spectrum * factor
                coefficients[chunk, 0] = spectrum.real
                coefficients[chunk, 1] = spectrum.imag
        return coefficients.reshape(len(X), -1)

    def frequencies(self):
        """Return the spatial frequencies of the coefficients.

        Returns
        -------
        frequencies : ndarray of shape (n_frequencies, 2)
            ``(row, col)``, 1/px.
        """
        rows, cols = self._check()
        return np.fft.fftfreq(self.window_size)[np.column_stack([rows, cols])]

    def get_feature_names_out(self, input_features=None):
        """Get the names of the coefficients.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str
            ``magnitude<row>_<col>``, or ``real<row>_<col>`` and then
            ``imag<row>_<col>``, with the frequencies in units of ``1 / window_size``.
        """
        orders = np.rint(self.frequencies() * self.window_size).astype(int)
        kinds = ["magnitude"] if self.phase == "drop" else ["real", "imag"]
        names = [f"{kind}{row}_{col}" for kind in kinds for row, col in orders]
        return np.asarray(names, dtype=object)

    def _check(self):
        """Return the rows and columns of the spectrum that are in the band."""
        k = np.fft.fftfreq(self.window_size)
        size = np.hypot(k[:, None], k)
        # One of each pair of opposite frequencies; -0.5 is its own opposite.
        is_own_opposite = (k == 0) | (k == -0.5)
        half = (k[:, None] > 0) | (is_own_opposite[:, None] & ((k > 0) | (k == -0.5)))
        half |= (k[:, None] == -0.5) & (k == 0)
        high = np.inf if self.high is None else self.high
        rows, cols = np.nonzero(half & (size >= self.low) & (size <= high))
        if not len(rows):
            raise ValueError(
                f"No frequency of a window of {self.window_size} px is between "
                f"low={self.low} and high={self.high} 1/px. The frequencies are "
                f"multiples of {1 / self.window_size:.3g} 1/px up to 0.5."
            )
        return rows, cols

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags
