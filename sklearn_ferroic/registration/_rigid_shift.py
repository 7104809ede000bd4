"""Shifts of whole frames that are not mistaken by a unit cell.

The cross-correlation of two images of a lattice has a maximum at every lattice vector.
They differ by what is not periodic: brightness, displacements, defects, walls. The
frames are therefore divided by the mean amplitude of their spectrum, which is large at
the reciprocal lattice, before they are correlated.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import fft2, fftfreq, ifft2
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.signal.windows import tukey
from skimage.registration import phase_cross_correlation

from .._utils.robust import TINY

# Share of each side over which the frame fades to its mean, so that its borders, which
# are different parts of the specimen in each frame, do not dominate the spectrum.
_FADED_SHARE = 0.25
# Frames are smoothed by this share of the spacing, the sigma of a typical column,
# before they are correlated or their gains are compared: finer details are noise.
SMOOTHING_SPACINGS = 0.15
# Structure coarser than this number of spacings, such as the thickness, is removed.
_COARSE_SPACINGS = 3.0
# Share of the mean power at which the division by the spectrum saturates.
_SATURATION_SHARE = 0.05
# Maxima of the correlation are at least this share of the spacing apart.
PEAK_SPACINGS = 0.3


def _fade(n):
    """Return the factors by which a frame fades to its mean along one side."""
    return tukey(n, 2 * _FADED_SHARE).astype(np.float32)


class Correlator:
    """Shift between images of one lattice by whitened phase correlation.

    Parameters
    ----------
    images : iterable of ndarray of shape (n_rows, n_cols)
        Frames, whose mean spectrum is divided out.
    spacing : float
        Distance of nearest columns, px.
    """

    def __init__(self, images, spacing):
        self.spacing, self._window = spacing, None
        power = 0.0
        for image in images:
            if self._window is None:
                self._window = np.outer(*(_fade(n) for n in image.shape))
            power = power + np.square(np.abs(self._spectrum(image)))
        self.shape = power.shape
        amplitude = np.sqrt(power / power.mean(dtype=float) + _SATURATION_SHARE)
        row, col = fftfreq(self.shape[0]), fftfreq(self.shape[1])
        square = (2 * np.pi) ** 2 * (row[:, None] ** 2 + col[None, :] ** 2)
        low = np.exp(-square * (SMOOTHING_SPACINGS * spacing) ** 2 / 2)
        high = 1 - np.exp(-square * (_COARSE_SPACINGS * spacing) ** 2 / 2)
        self._filter = (low * high / amplitude).astype(np.float32)

    def _spectrum(self, image):
        """Return the spectrum of a frame that fades to its mean at the border."""
        known = np.isfinite(image)
        mean = image[known].mean() if known.any() else 0.0
        flat = np.where(known, image - mean, 0)
        return fft2(flat * self._window)

    def prepare(self, image):
        """Return the whitened spectrum of an image with the shape of the frames."""
        return (self._spectrum(image) * self._filter).astype(np.complex64)

    def shift(self, reference, moving):
        """Return the displacement of an image relative to another.

        Parameters
        ----------
        reference, moving : ndarray of shape (n_rows, n_cols), complex
            Results of `prepare`.

        Returns
        -------
        shift : ndarray of shape (2,)
            Whole pixels; to be added to positions in `moving` to obtain those in
            `reference`.
        """
        shift, _, _ = phase_cross_correlation(
            reference, moving, space="fourier", normalization=None
        )
        return np.asarray(shift, dtype=float)

    def margin(self, reference, moving):
        """Return by how much the correlation exceeds that of other unit cells.

        Parameters
        ----------
        reference, moving : ndarray of shape (n_rows, n_cols), complex
            Results of `prepare`.

        Returns
        -------
        margin : float
            Highest maximum minus the second highest, as a share of the highest.
        """
        correlation = ifft2(reference * np.conj(moving)).real
        size = 2 * int(PEAK_SPACINGS * self.spacing) + 1
        largest = maximum_filter(correlation, size=size, mode="wrap")
        peaks = np.sort(correlation[correlation == largest])
        if len(peaks) < 2 or peaks[-1] <= 0:
            return 0.0
        return float(1 - peaks[-2] / peaks[-1])


class FrameSurvey(NamedTuple):
    """Numbers of a frame by which it is compared with others before registration.

    Parameters
    ----------
    quality : float
        Variance of the columns over that of the noise, at least 0.
    level : float
        Mean of the frame.
    scale : float
        Standard deviation of the columns, without noise.
    skewness : float
        Skewness of the columns: positive if they are bright.
    """

    quality: float
    level: float
    scale: float
    skewness: float


def survey_frame(frame, spacing):
    """Return the numbers by which a frame is compared with others.

    Parameters
    ----------
    frame : ndarray of shape (n_rows, n_cols)
        The frame.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    survey : FrameSurvey
        The numbers.
    """
    noise = np.diff(np.diff(frame, axis=0), axis=1).var(dtype=float) / 4
    band = gaussian_filter(frame, SMOOTHING_SPACINGS * spacing)
    band = band - gaussian_filter(frame, _COARSE_SPACINGS * spacing / 3)
    power = band.var(dtype=float)
    # Noise of the first filter alone: the second one adds little.
    remaining = noise / (4 * np.pi * (SMOOTHING_SPACINGS * spacing) ** 2)
    signal = max(0.0, power - remaining)
    third = np.mean((band - band.mean(dtype=float)).astype(float) ** 3)
    return FrameSurvey(
        float(signal / max(noise, TINY)),
        float(frame.mean(dtype=float)),
        float(np.sqrt(signal)),
        float(third / max(power, TINY) ** 1.5),
    )
