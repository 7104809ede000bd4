"""Choice among the displacements of a frame that differ by lattice vectors.

Images of a crystal match nearly as well if they are displaced by a lattice vector. What
distinguishes the cells, brightness and positions of the columns, is measured by the
likelihood of the pixels after each candidate has been aligned. Single frames are
compared with the average of the others, and, because a jump of the specimen displaces
all later frames, the average of the frames before each frame with that of the others.
"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import maximum_filter

from .._utils.robust import TINY
from ._alignment import blur_template, compare, whole_step
from ._frame_quality import MIN_OVERLAP_SHARE
from ._resample import Displacement, to_frame
from ._rigid_shift import PEAK_SPACINGS, Correlator

# Candidates: the largest maxima of the correlation within this number of spacings.
_REACH_SPACINGS = 4.5
_N_CANDIDATES = 6
# The correlation decides if it exceeds that in another cell by this share.
_CLEAR_MARGIN_SHARE = 0.5


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
    starts, margin = _candidates(frame, smooth, origin, shift, spacing)
    if margin > _CLEAR_MARGIN_SHARE:
        return np.asarray(shift, dtype=float), 0.0, 1.0
    fits = []
    for start in starts:
        model = _model(smooth, start, frame.shape, origin)
        misfit = compare(frame, good, model, spacing)
        if misfit.overlap < MIN_OVERLAP_SHARE:
            continue
        place = start + whole_step(misfit, spacing)[0]
        fits.append((place, _squares(frame, good, smooth, place, origin)))
    if not fits:
        return np.asarray(shift, dtype=float), 0.0, 1.0
    best = fits[0]
    for other in fits[1:]:
        if _advantage(other[1], best[1]) > 0:
            best = other
    against = [_advantage(one[1], best[1]) for one in fits if one is not best]
    probability = float(1 / (1 + np.exp(np.minimum(against, 0)).sum()))
    return best[0], _advantage(best[1], fits[0][1]), probability


def _squares(frame, good, smooth, shift, origin):
    """Return the squared deviations of a frame from the scaled template, else NaN."""
    model = to_frame(smooth, Displacement(shift), frame.shape, origin)
    usable = np.isfinite(model) if good is None else np.isfinite(model) & good
    scale = np.polyfit(model[usable], frame[usable], 1)
    return np.where(usable, np.square(frame - np.polyval(scale, model)), np.nan)


def _advantage(squares, other):
    """Return the logarithm of the likelihood of one candidate over another."""
    common = np.isfinite(squares) & np.isfinite(other)
    if common.mean() < MIN_OVERLAP_SHARE / 2:
        return -np.inf
    one, two = (max(part[common].mean(), TINY) for part in (squares, other))
    return 0.5 * np.count_nonzero(common) * np.log(two / one)


def _model(smooth, shift, shape, origin):
    """Return a template in the pixels of a frame, and its gradient."""
    model = to_frame(smooth, Displacement(shift), shape, origin)
    return np.array([model, *np.gradient(model)])


def _candidates(frame, smooth, origin, shift, spacing):
    """Return displacements at the maxima of correlation, and how clear the first is.

    The first displacement is the present one. The margin is that by which the
    correlation exceeds that of the next maximum, as a share; 0 if it is lower.
    """
    model = to_frame(smooth, Displacement(shift), frame.shape, origin)
    correlator = Correlator([model, frame], spacing)
    pair = correlator.prepare(model), correlator.prepare(frame)
    correlation = np.fft.ifft2(pair[0] * np.conj(pair[1])).real
    size = 2 * int(PEAK_SPACINGS * spacing) + 1
    peak = correlation == maximum_filter(correlation, size=size, mode="wrap")
    height, place = correlation[peak], np.argwhere(peak)
    sides = np.array(correlation.shape)
    step = (place + sides // 2) % sides - sides // 2
    distance = np.hypot(*step.T)
    order = np.argsort(-height)
    margin = 0.0
    if len(order) > 1 and distance[order[0]] < spacing / 2 and height[order[0]] > 0:
        margin = 1 - height[order[1]] / height[order[0]]
    far = (distance > spacing / 2) & (distance <= _REACH_SPACINGS * spacing)
    others = order[far[order]][: _N_CANDIDATES - 1]
    return shift + np.concatenate([np.zeros((1, 2)), step[others]]), margin


class FrameSums:
    """Frames on one grid, whose averages of any subset follow by sums.

    Parameters
    ----------
    parts : dict of int to ndarray of shape (n_rows, n_cols)
        Frames on the grid, NaN where they show nothing.
    """

    def __init__(self, parts):
        self.parts = parts
        self.total = self.sum_of(parts)

    def sum_of(self, frames):
        """Return the sum of frames, and their number in each pixel."""
        total = count = 0
        for index in frames:
            known = np.isfinite(self.parts[index])
            total = total + np.where(known, self.parts[index], 0)
            count = count + known
        return total, count

    def mean(self, part, of_others):
        """Return the average of the frames of a sum, or of all the others."""
        total, count = part
        if of_others:
            total, count = self.total[0] - total, self.total[1] - count
        image = np.full(total.shape, np.nan, dtype=np.float32)
        return np.divide(total, count, out=image, where=count > 0)

    def sides(self, reference):
        """Yield the frames that a jump between two frames displaces, and their sum."""
        later = sorted((i for i in self.parts if i > reference), reverse=True)
        earlier = sorted(i for i in self.parts if i < reference)
        for side in (later, earlier):
            total, count = self.sum_of(side[:1])
            for n, index in enumerate(side[1:], start=2):
                more = self.sum_of([index])
                total, count = total + more[0], count + more[1]
                yield side[:n], (total, count)


def displace(displacements, chosen, step):
    """Return displacements of which the chosen ones have been displaced further, px."""
    displacements = list(displacements)
    for index in chosen:
        old = displacements[index]
        displacements[index] = replace(old, shift=old.shift + step)
    return displacements
