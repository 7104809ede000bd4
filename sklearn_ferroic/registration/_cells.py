"""Unit cells of frames: which displacement by a lattice vector is the right one.

Images of a crystal match nearly as well if they are displaced by a lattice vector. What
distinguishes the cells, brightness and positions of the columns, is measured by the
likelihood of the pixels after each candidate has been aligned. Single frames are
compared with the average of the others, and, because a jump of the specimen displaces
all later frames, the average of the frames before each frame with that of the others.
"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import maximum_filter

from ._alignment import blur_template, compare, whole_step
from ._resample import Displacement, to_frame
from ._rigid import Correlator

# Candidates: the largest maxima of the correlation within this number of spacings.
_REACH_SPACINGS = 4.5
_N_CANDIDATES = 8
_PEAK_SPACINGS = 0.3
# Steps by which each candidate is aligned.
_N_STEPS = 2
# Candidates must leave this share of the frame in view.
_MIN_OVERLAP = 0.25
_TINY = np.finfo(float).tiny


def choose_cell(frame, good, template, origin, shift, spacing):
    """Return the most likely of the displacements by lattice vectors.

    Parameters
    ----------
    frame : ndarray of shape (n_rows, n_cols)
        A frame.
    good : ndarray of bool of the same shape or None
        Its good pixels.
    template : ndarray of shape (m_rows, m_cols)
        Average of other frames, NaN where it is unknown.
    origin, shift : ndarray of shape (2,)
        Point of the specimen at the first pixel of the template, and present
        displacement of the frame, px.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    shift : ndarray of shape (2,)
        Displacement in the most likely cell, px.
    advantage : float
        Logarithm of its likelihood over that of the present cell.
    probability : float
        Its probability among the candidates.
    """
    smooth = blur_template(template, spacing)
    fits = []
    for start in _candidates(frame, smooth, origin, shift, spacing):
        place = start
        for _ in range(_N_STEPS):
            model = _model(smooth, place, frame.shape, origin)
            misfit = compare(frame, good, model, spacing)
            if misfit.overlap < _MIN_OVERLAP:
                break
            place = place + whole_step(misfit, spacing)[0]
        else:
            fits.append((place, _model(smooth, place, frame.shape, origin)))
    if not fits:
        return np.asarray(shift, dtype=float), 0.0, 1.0
    best = fits[0]
    for other in fits[1:]:
        if _advantage(frame, good, other[1], best[1], spacing) > 0:
            best = other
    against = [
        _advantage(frame, good, one[1], best[1], spacing)
        for one in fits
        if one is not best
    ]
    gain = 0.0
    if best is not fits[0]:
        gain = _advantage(frame, good, best[1], fits[0][1], spacing)
    return best[0], gain, float(1 / (1 + np.exp(np.minimum(against, 0)).sum()))


def _advantage(frame, good, model, other, spacing):
    """Return by how much a model is more likely than another, as a logarithm."""
    common = np.isfinite(model).all(axis=0) & np.isfinite(other).all(axis=0)
    if good is not None:
        common &= good
    if common.mean() < _MIN_OVERLAP / 2:
        return -np.inf
    one, two = (
        max(compare(frame, common, part, spacing).variance, _TINY)
        for part in (model, other)
    )
    return 0.5 * np.count_nonzero(common) * np.log(two / one)


def _model(smooth, shift, shape, origin):
    """Return a template in the pixels of a frame, and its gradient."""
    model = to_frame(smooth, Displacement(shift), shape, origin)
    return np.array([model, *np.gradient(model)])


def _candidates(frame, smooth, origin, shift, spacing):
    """Return the present displacement and those of the next maxima of correlation."""
    model = to_frame(smooth, Displacement(shift), frame.shape, origin)
    correlator = Correlator([model, frame], spacing)
    pair = correlator.prepare(model), correlator.prepare(frame)
    correlation = np.fft.ifft2(pair[0] * np.conj(pair[1])).real
    size = 2 * int(_PEAK_SPACINGS * spacing) + 1
    peak = correlation == maximum_filter(correlation, size=size, mode="wrap")
    place = np.argwhere(peak)
    sides = np.array(correlation.shape)
    step = (place + sides // 2) % sides - sides // 2
    reach = np.hypot(*step.T) <= _REACH_SPACINGS * spacing
    strongest = np.argsort(-correlation[peak][reach])[: _N_CANDIDATES - 1]
    step = step[reach][strongest].astype(float)
    step = step[np.hypot(*step.T) > spacing / 2]
    return shift + np.concatenate([np.zeros((1, 2)), step])


def sides_of(shifts, reference, used):
    """Return the frames on the other side of each cut than the reference frame.

    Parameters
    ----------
    shifts : ndarray of shape (n, 2)
        Displacements of the frames.
    reference : int
        The reference frame.
    used : ndarray of bool of shape (n,)
        Frames that are averaged.

    Returns
    -------
    sides : list of ndarray of bool of shape (n,)
        Frames that a jump between two frames would displace.
    """
    number = np.arange(len(shifts))
    sides = [number >= cut for cut in range(reference + 1, len(shifts))]
    sides += [number < cut for cut in range(1, reference + 1)]
    return [side for side in sides if np.count_nonzero(side & used) > 1]


def displace(displacements, chosen, step):
    """Return displacements of which the chosen ones have been displaced further, px."""
    return [
        replace(one, shift=one.shift + step) if own else one
        for one, own in zip(displacements, chosen, strict=True)
    ]
