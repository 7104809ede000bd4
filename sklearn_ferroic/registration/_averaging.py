"""Registration of a series: growing template, refinement, rejection, weights.

Frames are read one at a time in each pass, so that memory does not grow with their
number. Passes over frames run in threads.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from joblib import Parallel, delayed
from scipy.ndimage import gaussian_filter

from .._image.spacing import estimate_spacing
from ._alignment import (
    blur_template,
    compare,
    field_step,
    line_displacements,
    smooth_template,
    whole_step,
)
from ._frame_quality import explain_inverted, judge, summarize
from ._line_statistics import fit_flyback, measure_scatter, sum_lines
from ._resample import Displacement, to_frame, to_specimen
from ._rigid_shift import SMOOTHING_SPACINGS, Correlator, survey_frame
from ._unit_cells import FrameSums, choose_cell, displace

# Frames of less than this share of the median quality are not used as templates.
_MIN_QUALITY_SHARE = 0.5
# Passes end when no frame moves by more.
_SETTLED_PX = 0.005
_MAX_RIGID_PASSES = 5
# Largest side of the middles of frames by which the shifts are found at first.
_MAX_START_PX = 1024
_N_LINE_PASSES = 2
_N_FIELD_PASSES = 2
_N_FLYBACK_PASSES = 2
# A shift that correlation finds farther away than this share of the spacing replaces
# the present one: it is another unit cell.
_OTHER_CELL_SPACINGS = 0.5
# Passes in which one group of frames at most is moved to another cell.
_MAX_CELL_PASSES = 6
# Smallest side of an average on which columns can be located, in spacings.
_MIN_SIDE_SPACINGS = 3.0
# Frames in the mean spectrum, and by which the spacing is estimated.
_MAX_SPECTRUM_FRAMES = 16
_MAX_SPACING_FRAMES = 8
# The gain of a frame is brought to that of the others if it differs by this factor, and
# its offset if its mean differs by this share of the standard deviation of the columns.
_MAX_GAIN_RATIO = 1.5
_MAX_LEVEL_SHARE = 0.5
# Columns are bright, or dark, beyond doubt if their skewness exceeds this.
_MIN_SKEWNESS = 0.15


@dataclass
class Registration:
    """Result of the registration of a series of n frames.

    Parameters
    ----------
    displacements : list of Displacement
        Of each frame.
    spacing : float
        Distance of nearest columns, px.
    reference : int
        The frame from which the template grew.
    used : ndarray of bool of shape (n,)
        Frames that are averaged.
    weights : ndarray of shape (n,)
        Their weights, mean 1 over the frames used; 0 for the others.
    shift_std : ndarray of shape (n, 2)
        Standard errors of the shifts from the noise of the pixels, px.
    line_std : ndarray of shape (n, n_rows, 2) or None
        Standard errors of the displacements of the lines, px.
    correlation, overlap : ndarray of shape (n,)
        Correlation with, and share covered by, the average of the other frames.
    noise : ndarray of shape (2,)
        Variance of a pixel of one frame, ``noise[0] + noise[1] * mean``.
    margin : ndarray of shape (n,)
        See `Correlator.margin`; against the average of the other frames.
    scales : dict of int to tuple of float (gain, offset)
        Frames of another gain or offset than the others.
    is_inverted : ndarray of bool of shape (n,)
        Frames whose columns are dark where those of the others are bright.
    copy_of : ndarray of int of shape (n,)
        Earlier frame with the same pixels, -1 without.
    cell_probability : ndarray of shape (n,)
        Probability that the frame is not displaced by a unit cell.
    flyback : Flyback or None
        Displacement of the first pixels of all lines; corrected unless the method is
        "rigid".
    scatter : LineScatter or None
        Differences of the lines' displacements between the frames used.
    """

    displacements: list
    spacing: float
    reference: int
    used: np.ndarray
    weights: np.ndarray
    shift_std: np.ndarray = None
    line_std: np.ndarray = None
    correlation: np.ndarray = None
    overlap: np.ndarray = None
    noise: np.ndarray = field(default_factory=lambda: np.zeros(2))
    margin: np.ndarray = None
    scales: dict = field(default_factory=dict)
    is_inverted: np.ndarray = None
    copy_of: np.ndarray = None
    cell_probability: np.ndarray = None
    flyback: object = None
    scatter: object = None


def register_frames(frames, *, spacing, method, criteria, n_jobs, verbose):
    """Register the frames of a series.

    Parameters
    ----------
    frames : Frames
        The series.
    spacing : float or None
        Distance of nearest columns, px; estimated if None.
    method : {"rigid", "lines", "field"}
        Displacements that are estimated.
    criteria : FrameCriteria
        Rejection and weights of the frames.
    n_jobs, verbose : int
        Of joblib.

    Returns
    -------
    registration : Registration
        The result.
    """
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", verbose=verbose)
    state = _start(frames, spacing, parallel)
    # The middles of large frames determine their shifts well enough to start with.
    middles, moved = frames.center(_MAX_START_PX), np.inf
    for _ in range(_MAX_RIGID_PASSES):
        # Frames move by less than a cell unless they were in a wrong one.
        check_cells = moved > _OTHER_CELL_SPACINGS * state.spacing
        moved = _rigid_pass(middles, state, criteria, parallel, check_cells)
        if moved < _SETTLED_PX:
            break
    _settle_cells(frames, state, criteria, parallel)
    if state.scales:
        state.scales = frames.scales = match_scales(frames, state, parallel)
    if method != "rigid":
        state.line_std = np.zeros((len(frames), frames.shape[0], 2))
        for _ in range(_N_LINE_PASSES):
            _line_pass(frames, state, criteria, parallel)
        for _ in range(_N_FLYBACK_PASSES):
            _flyback_pass(frames, state, criteria, parallel)
        if state.flyback is not None:
            # What the correction leaves is larger than other errors there.
            first = min(state.flyback.n_uncertain, frames.shape[1] // 4)
            state.displacements = [
                replace(one, first=first) for one in state.displacements
            ]
    if method == "field":
        for _ in range(_N_FIELD_PASSES):
            _field_pass(frames, state, criteria, parallel)
    _compare_all(frames, state, criteria, parallel, method == "rigid")
    # Positions are those of the reference frame.
    origin = state.displacements[state.reference].shift.copy()
    state.displacements = [
        replace(one, shift=one.shift - origin) for one in state.displacements
    ]
    return state


def _start(frames, spacing, parallel):
    """Register all frames by whole pixels to a template that grows from one of them."""
    if spacing is None:
        sample = _spread(range(len(frames)), _MAX_SPACING_FRAMES)
        found = parallel(delayed(_spacing_of)(frames, i) for i in sample)
        if not np.isfinite(found).any():
            sample = range(len(frames))
            found = parallel(delayed(_spacing_of)(frames, i) for i in sample)
        if not np.isfinite(found).any():
            raise ValueError(
                "No frame shows a lattice by itself, so the spacing of the columns "
                "cannot be estimated. Pass spacing=, in px."
            )
        spacing = float(np.nanmedian(found))
    middles = frames.center(_MAX_START_PX)
    surveys = parallel(
        delayed(_survey)(middles, i, spacing) for i in range(len(frames))
    )
    quality, level, scale, skewness = np.array(surveys).T
    positive = quality[quality > 0]
    typical = np.median(positive) if positive.size else np.inf
    usable = quality > _MIN_QUALITY_SHARE * typical
    sign = np.sign(np.median(skewness[usable])) if usable.any() else 1.0
    is_inverted = (quality > 0) & (sign * skewness < -_MIN_SKEWNESS)
    copy_of = _find_copies(frames, np.flatnonzero(quality > 0))
    if np.count_nonzero((quality > 0) & (copy_of < 0)) < 2 and (copy_of >= 0).any():
        raise ValueError(
            f"All {len(frames)} frames that are not blank have the same pixels, so "
            "that there is nothing to average."
        )
    frames.scales = _scales(level, scale, usable & ~is_inverted)
    usable &= ~is_inverted & (copy_of < 0)
    if is_inverted.any() and np.count_nonzero(usable) < 2:
        raise ValueError(explain_inverted(np.flatnonzero(is_inverted), len(frames)))
    state = _grow(frames, spacing, quality, usable)
    state.scales, state.is_inverted = frames.scales, is_inverted
    state.copy_of = copy_of
    return state


def _spread(indices, n_most):
    """Return at most about a number of indices, spread evenly."""
    return list(indices)[:: max(1, len(indices) // n_most)]


def _spacing_of(frames, index):
    """Return the spacing of one frame, NaN if it shows no lattice."""
    frame, _ = frames.read(index)
    return np.nan if frame is None else estimate_spacing(frame)


def _survey(frames, index, spacing):
    """Return the survey of one frame; of quality 0 if it is blank."""
    frame, _ = frames.read(index)
    return (0.0, np.nan, np.nan, 0.0) if frame is None else survey_frame(frame, spacing)


def _find_copies(frames, indices):
    """Return for each frame the first earlier one with the same pixels, or -1."""
    copy_of = np.full(len(frames), -1)
    seen = {}
    for index in indices.tolist():
        key = frames.digest(index)
        if key in seen and frames.are_equal(seen[key], index):
            copy_of[index] = seen[key]
        else:
            seen.setdefault(key, index)
    return copy_of


def _scales(level, scale, usable):
    """Return gain and offset of the frames that differ from the others in them."""
    if not usable.any():
        return {}
    typical_level, typical_scale = (np.median(part[usable]) for part in (level, scale))
    scales = {}
    for index in np.flatnonzero(usable).tolist():
        gain = scale[index] / typical_scale
        away = abs(level[index] - typical_level) > _MAX_LEVEL_SHARE * typical_scale
        if away or not 1 / _MAX_GAIN_RATIO < gain < _MAX_GAIN_RATIO:
            scales[index] = (gain, level[index] - gain * typical_level)
    return scales


def _grow(frames, spacing, quality, usable):
    """Return the shifts in whole pixels against a template that grows."""
    n = len(frames)
    if np.count_nonzero(usable) < 2:
        raise ValueError(
            f"Fewer than two of the {n} frames show columns above the noise. Are the "
            "frames in focus, and is spacing= right?"
        )
    middle = (n - 1) / 2
    candidates = np.flatnonzero(usable)
    reference = int(candidates[np.argmin(np.abs(candidates - middle))])
    sample = _spread(candidates, _MAX_SPECTRUM_FRAMES)
    correlator = Correlator((frames.read(i)[0] for i in sample), spacing)
    total = np.zeros(frames.shape)
    count = np.zeros(frames.shape)
    shifts = np.zeros((n, 2))
    order = sorted(range(n), key=lambda i: (not usable[i], abs(i - reference)))
    for index in order:
        frame, _ = frames.read(index)
        if frame is None:
            continue
        if index != reference:
            template = np.divide(
                total, count, out=np.full(frames.shape, np.nan), where=count > 0
            )
            shifts[index] = correlator.shift(
                correlator.prepare(template), correlator.prepare(frame)
            )
        if usable[index]:
            _add_shifted(total, count, frame, shifts[index].astype(int))
    return Registration(
        [Displacement(shift) for shift in shifts],
        spacing,
        reference,
        usable,
        usable.astype(float),
    )


def _add_shifted(total, count, frame, shift):
    """Add a frame to the sum where it overlaps, displaced by whole pixels."""
    target, source = [], []
    for n, step in zip(frame.shape, shift, strict=True):
        target.append(slice(max(0, step), min(n, n + step)))
        source.append(slice(max(0, -step), min(n, n - step)))
    total[tuple(target)] += frame[tuple(source)]
    count[tuple(target)] += 1


# Passes -------------------------------------------------------------------------------


class _Average:
    """Weighted sum of the frames used, on a grid that covers all of them."""

    def __init__(self, frames, state, parallel, area="union"):
        self.origin, self.shape = extent(frames.shape, state, area)
        self.sum = np.zeros(self.shape)
        self.weight = np.zeros(self.shape, dtype=np.float32)
        indices = np.flatnonzero(state.used & (state.weights > 0))
        size = max(1, parallel.n_jobs if parallel.n_jobs and parallel.n_jobs > 0 else 4)
        for start in range(0, len(indices), size):
            batch = indices[start : start + size]
            parts = parallel(delayed(self.part)(frames, state, i) for i in batch)
            for index, part in zip(batch, parts, strict=True):
                known = np.isfinite(part)
                self.sum += np.where(known, state.weights[index] * part, 0)
                self.weight += np.where(known, state.weights[index], 0)

    def part(self, frames, state, index):
        """Return one frame on the grid of the average, NaN where it shows nothing."""
        frame, good = frames.read(index)
        if good is not None:
            frame = np.where(good, frame, np.nan)
        displacement = state.displacements[index]
        if displacement.first:
            frame = frame.copy()
            frame[:, : displacement.first] = np.nan
        return to_specimen(frame, displacement, self.shape, self.origin)

    def without(self, frames, state, index):
        """Return the average of all frames but one, NaN where there is none."""
        total, weight = self.sum, self.weight
        if state.used[index] and state.weights[index] > 0:
            part = self.part(frames, state, index)
            known = np.isfinite(part)
            total = total - np.where(known, state.weights[index] * part, 0)
            weight = weight - np.where(known, state.weights[index], 0)
        image = np.full(self.shape, np.nan, dtype=np.float32)
        return np.divide(total, weight, out=image, where=weight > 1e-3)

    def mean(self):
        """Return the average and the sum of weights of each pixel."""
        image = np.full(self.shape, np.nan, dtype=np.float32)
        np.divide(self.sum, self.weight, out=image, where=self.weight > 1e-3)
        return image, self.weight


def extent(shape, state, area):
    """Return the first pixel and the shape of the grid of the average.

    Parameters
    ----------
    shape : tuple of int
        Shape of a frame.
    state : Registration
        Displacements of the frames.
    area : {"union", "common"}
        What any of the frames used covers, or what all of them do.

    Returns
    -------
    origin : ndarray of shape (2,)
        Point of the specimen at the first pixel, whole px.
    grid : tuple of int
        Shape of the grid; not positive if the frames have no common area.
    """
    first, last = [], []
    for index in np.flatnonzero(state.used):
        displacement = state.displacements[index]
        lines = displacement.of_lines(shape[0])
        start = displacement.first
        if displacement.flyback is not None:
            start = start + displacement.flyback[start]
        rows = lines[:, 0] + np.arange(shape[0])
        if area == "union":
            first.append([rows.min(), lines[:, 1].min() + start])
            last.append([rows.max(), lines[:, 1].max() + shape[1] - 1])
        else:
            first.append([rows[0], lines[:, 1].max() + start])
            last.append([rows[-1], lines[:, 1].min() + shape[1] - 1])
    if area == "union":
        origin, end = np.floor(np.min(first, axis=0)), np.ceil(np.max(last, axis=0))
    else:
        origin, end = np.ceil(np.max(first, axis=0)), np.floor(np.min(last, axis=0))
    return origin, tuple(int(n) for n in end - origin + 1)


def _misfit(frames, state, average, index):
    """Return the misfit of a frame against the others, and the template."""
    frame, good = frames.read(index)
    if frame is None:
        return None, None
    template = average.without(frames, state, index)
    displacement, place = state.displacements[index], (frames.shape, average.origin)
    if displacement.is_rigid:
        # A shift and the gradient commute: one image to interpolate instead of three.
        model = to_frame(blur_template(template, state.spacing), displacement, *place)
        parts = [model, *np.gradient(model)]
    else:
        parts = [
            to_frame(part, displacement, *place)
            for part in smooth_template(template, state.spacing)
        ]
    return compare(frame, good, parts, state.spacing), parts[0]


def _rigid_pass(frames, state, criteria, parallel, check_cells):
    """Correct the shifts once; return the largest change, px."""
    average = _Average(frames, state, parallel)
    results = parallel(
        delayed(_rigid_one)(frames, state, average, i, check_cells)
        for i in range(len(frames))
    )
    steps = np.array([step for step, _, _ in results])
    state.displacements = [
        replace(one, shift=one.shift + step)
        for one, step in zip(state.displacements, steps, strict=True)
    ]
    state.shift_std = np.array([std for _, std, _ in results])
    judge(state, [summary for _, _, summary in results], criteria)
    return float(np.abs(steps[state.used]).max())


def _rigid_one(frames, state, average, index, check_cells):
    """Return the step of a frame, its standard error and a summary of the misfit."""
    misfit, model = _misfit(frames, state, average, index)
    if misfit is None or misfit.overlap == 0:
        return np.zeros(2), np.full(2, np.inf), None
    jump = _jump(frames, state, model, index) if check_cells else None
    if jump is not None:
        return jump, np.full(2, np.inf), summarize(misfit)
    return *whole_step(misfit, state.spacing), summarize(misfit)


def _jump(frames, state, model, index):
    """Return the step to another unit cell if correlation finds one, else None."""
    if not np.isfinite(model).any():
        return None
    frame, _ = frames.read(index)
    correlator = Correlator([model, frame], state.spacing)
    step = correlator.shift(correlator.prepare(model), correlator.prepare(frame))
    far = np.abs(step).max() > _OTHER_CELL_SPACINGS * state.spacing
    return step if far else None


def _settle_cells(frames, state, criteria, parallel):
    """Move frames, alone or with all that follow, to their most likely unit cells."""
    middles = frames.center(_MAX_START_PX)
    state.cell_probability = np.ones(len(frames))
    for _ in range(_MAX_CELL_PASSES):
        average = _Average(middles, state, parallel)
        moves = parallel(
            delayed(_cell_of_frame)(middles, state, average, i)
            for i in range(len(frames))
        )
        chosen = [[index] for index in range(len(frames))]
        if all(known == 1 for _, _, known in moves):
            return
        used = np.flatnonzero(state.used).tolist()
        sums = FrameSums({i: average.part(middles, state, i) for i in used})
        for side, total in sums.sides(state.reference):
            moves.append(_cell_of_side(sums, total, average.origin, state.spacing))
            chosen.append(side)
        probability = np.ones(len(frames))
        for own, (_, _, known) in zip(chosen, moves, strict=True):
            probability[own] = np.minimum(probability[own], known)
        state.cell_probability = probability
        # One move at a time: the others depend on it.
        best = int(np.argmax([gain for _, gain, _ in moves]))
        step = moves[best][0]
        if np.abs(step).max() < _OTHER_CELL_SPACINGS * state.spacing:
            break
        state.displacements = displace(state.displacements, chosen[best], step)
    _rigid_pass(middles, state, criteria, parallel, False)


def _cell_of_side(sums, total, origin, spacing):
    """Return the step of one side of a cut to its likeliest cell, and likelihoods."""
    image, template = (sums.mean(total, others) for others in (False, True))
    known = np.isfinite(image)
    rows, cols = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    inner = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    image, known = image[inner], known[inner]
    first = origin + [rows[0], cols[0]]
    filled = np.where(known, image, image[known].mean())
    shift, *likelihood = choose_cell(filled, known, template, origin, first, spacing)
    return shift - first, *likelihood


def _cell_of_frame(frames, state, average, index):
    """Return the shift of one frame to its likeliest cell, and likelihoods."""
    frame, good = frames.read(index)
    if frame is None or not state.used[index]:
        return np.zeros(2), 0.0, 1.0
    template, old = average.without(frames, state, index), state.displacements[index]
    shift, *likelihood = choose_cell(
        frame, good, template, average.origin, old.shift, state.spacing
    )
    return shift - old.shift, *likelihood


def _line_pass(frames, state, criteria, parallel):
    """Correct the displacements of the lines once."""
    average = _Average(frames, state, parallel)

    def one(index):
        misfit, _ = _misfit(frames, state, average, index)
        if misfit is None or misfit.overlap == 0:
            return None
        step, std = whole_step(misfit, state.spacing)
        old = state.displacements[index]
        current = np.zeros((frames.shape[0], 2)) if old.lines is None else old.lines
        lines, errors = line_displacements(misfit, current, state.spacing)
        return step, std, lines, errors, summarize(misfit)

    results = parallel(delayed(one)(i) for i in range(len(frames)))
    for index, result in enumerate(results):
        if result is not None:
            step, std, lines, errors, _ = result
            old = state.displacements[index]
            state.displacements[index] = replace(
                old, shift=old.shift + step, lines=lines
            )
            state.shift_std[index], state.line_std[index] = std, errors
    judge(state, [None if one is None else one[-1] for one in results], criteria)


def _flyback_pass(frames, state, criteria, parallel):
    """Correct the displacement of the first pixels of all lines once."""
    average = _Average(frames, state, parallel)

    def one(index):
        misfit, _ = _misfit(frames, state, average, index)
        if misfit is None or misfit.overlap == 0:
            return None
        return sum_lines(misfit), summarize(misfit)

    results = parallel(delayed(one)(i) for i in range(len(frames)))
    judge(state, [None if one is None else one[1] for one in results], criteria)
    found = _fit_flyback(state, [None if one is None else one[0] for one in results])
    if not found.is_significant:
        return
    state.flyback = found
    profile = found.of_pixels(frames.shape[1])
    state.displacements = [replace(one, flyback=profile) for one in state.displacements]


def _fit_flyback(state, sums):
    """Return the flyback that the frames used show."""
    own = [i for i in np.flatnonzero(state.used) if sums[i] is not None]
    shifts = np.array([state.displacements[i].shift[1] for i in own])
    return fit_flyback(
        [sums[i] for i in own], shifts, state.weights[own], state.flyback
    )


def _field_pass(frames, state, criteria, parallel):
    """Correct the smooth fields once."""
    average = _Average(frames, state, parallel)

    def one(index):
        misfit, _ = _misfit(frames, state, average, index)
        if misfit is None or misfit.overlap == 0:
            return None
        return field_step(misfit, state.spacing), summarize(misfit)

    results = parallel(delayed(one)(i) for i in range(len(frames)))
    for index, result in enumerate(results):
        if result is not None:
            old = state.displacements[index]
            new = result[0] if old.field is None else old.field + result[0]
            state.displacements[index] = replace(old, field=new)
    judge(state, [None if one is None else one[-1] for one in results], criteria)


def _compare_all(frames, state, criteria, parallel, is_rigid):
    """Decide on rejection, weights and unit cells; correct rigid shifts a last time."""
    middles = frames.center(_MAX_START_PX)
    average = _Average(frames, state, parallel)

    def one(index):
        misfit, model = _misfit(frames, state, average, index)
        if misfit is None or misfit.overlap == 0:
            return None, 0.0, None, None
        frame, _ = middles.read(index)
        pair = [middles.middle_of(model), frame]
        correlator = Correlator(pair, state.spacing)
        margin = correlator.margin(*map(correlator.prepare, pair))
        step = whole_step(misfit, state.spacing) if is_rigid else None
        return summarize(misfit), margin, step, sum_lines(misfit)

    results = parallel(delayed(one)(i) for i in range(len(frames)))
    state.margin = np.array([margin for _, margin, _, _ in results])
    for index, (_, _, found, _) in enumerate(results):
        if found is not None:
            old = state.displacements[index]
            state.displacements[index] = replace(old, shift=old.shift + found[0])
            state.shift_std[index] = found[1]
    judge(state, [summary for summary, _, _, _ in results], criteria)
    sums = [part for _, _, _, part in results]
    own = [i for i in np.flatnonzero(state.used) if sums[i] is not None]
    lines = [state.displacements[i].lines for i in own]
    state.scatter = measure_scatter([sums[i] for i in own], lines, state.spacing)
    if is_rigid:
        state.flyback = _fit_flyback(state, sums)


# Gain and offset ----------------------------------------------------------------------


def match_scales(frames, state, parallel):
    """Measure gain and offset of the frames that differ, by the average of the others.

    Parameters
    ----------
    frames : Frames
        The series, or one of another detector.
    state : Registration
        Displacements, and in `scales` the frames that differ.
    parallel : joblib.Parallel
        Runs calls.

    Returns
    -------
    scales : dict of int to tuple of float (gain, offset)
        Of the frames that differ and are used.
    """
    differs = np.isin(np.arange(len(frames)), list(state.scales))
    others = state.used & ~differs
    if not others.any():
        return dict(state.scales)
    average = _Average(frames, replace(state, used=others), parallel)
    template, _ = average.mean()
    width = SMOOTHING_SPACINGS * state.spacing
    frames.scales, scales = {}, {}
    for index in np.flatnonzero(state.used & differs).tolist():
        frame, good = frames.read(index)
        model = to_frame(
            template, state.displacements[index], frames.shape, average.origin
        )
        known = np.isfinite(model) if good is None else np.isfinite(model) & good
        if np.count_nonzero(known) < 2:
            continue
        x, y = (
            gaussian_filter(np.where(known, part, part[known].mean()), width)[known]
            for part in (model, frame)
        )
        gain, offset = np.polyfit(x, y, 1)
        if gain > 0:
            scales[index] = (float(gain), float(offset))
    return scales


def average_frames(frames, registration, *, area, n_jobs, verbose):
    """Average the frames at known displacements.

    Parameters
    ----------
    frames : Frames
        The series.
    registration : Registration
        Result of `register_frames`.
    area : {"union", "common"}
        What any of the frames covers, or what all of them do.
    n_jobs, verbose : int
        Of joblib.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols), float32
        The average, NaN where no frame shows anything.
    weight : ndarray of the same shape
        Sum of the weights in each pixel.
    origin : ndarray of shape (2,)
        Point of the reference frame at the first pixel, px.
    """
    _, shape = extent(frames.shape, registration, area)
    if min(shape) < _MIN_SIDE_SPACINGS * registration.spacing:
        raise ValueError(
            "The frames have too small a common area of "
            f"{max(0, shape[0])} x {max(0, shape[1])} px. Average fewer frames, or "
            'pass area="mask" to keep all that any frame shows.'
        )
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", verbose=verbose)
    if registration.scales and not frames.scales:
        frames.scales = match_scales(frames, registration, parallel)
    average = _Average(frames, registration, parallel, area)
    return *average.mean(), average.origin
