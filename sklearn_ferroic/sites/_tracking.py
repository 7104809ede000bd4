"""Columns linked over the frames of a series: SiteTracks."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .._lattice.neighbors import typical_spacing
from .._lattice.reference_lattice import MIN_COLUMNS, lattice_indices
from ._quality.residual import Columns, column_amplitudes

# An atom hops to a place that is nearer than this number of distances of nearest
# columns.
_HOP_SPACINGS = 1.6
# Columns nearer to the border of a frame are not located reliably.
_BORDER_SPACINGS = 0.6
# Frames of which a smaller share of the sites is at places of other frames are warned
# of: they may be displaced by a unit cell. In frames that show a smaller share of the
# tracks, empty places do not count as vacancies: they may be out of focus.
_MIN_LINKED_SHARE = 0.7
# Rounds in which a frame is shifted to the tracks.
_N_SHIFT_ROUNDS = 3

# Index of a site in a frame in which the track has none.
ABSENT = -1
# States of a track in a frame, the codes of `SiteTracks.state`.
PRESENT, MISSED, VACANT, OUT_OF_VIEW = range(4)


class Hop(NamedTuple):
    """An atom that leaves the place of one track and appears at another.

    Parameters
    ----------
    frame : int
        First frame in which it is at the new place.
    start, end : int
        Tracks of the old and the new place.
    """

    frame: int
    start: int
    end: int


class SiteTracks:
    """Columns linked over the frames of a series, returned by `AtomSites.track`.

    A track is a place of the lattice with a column in some of the frames; its
    number is the identity of the column in all of them.

    Parameters
    ----------
    sites : AtomSites
        The sites of all frames.
    rows : ndarray of int of shape (n_frames, n_tracks)
        Row in `sites` of the column of each track in each frame, -1 where there is
        none.
    shifts : ndarray of shape (n_frames, 2)
        Displacement of each frame, px.
    positions : ndarray of shape (n_tracks, 2)
        Places of the tracks in the pixels of a frame without displacement, px.
    in_view : ndarray of bool of shape (n_frames, n_tracks)
        Whether the frame shows the place.
    vacancy_share : float, default=0.5
        Share of the usual amplitude of a column below which its place is vacant.

    Attributes
    ----------
    track : ndarray of int of shape (n_sites,)
        Track of each site, -1 for sites without one.

    state : ndarray of int of shape (n_frames, n_tracks)
        0: the column was located; 1: it was not, although the image shows a column
        there or does not show that there is none; 2: the image shows no column, a
        vacancy in that frame; 3: the place is not in the frame, or the frame has no
        sites.

    sublattice : ndarray of int of shape (n_tracks,)
        Most frequent sublattice of the sites of each track.

    lattice_index : ndarray of shape (n_tracks, 2)
        Integer indices of each track on the lattice of its sublattice; NaN off it.

    hops : list of tuple (frame, start, end)
        Atoms that leave the place of track `start` and appear at that of track `end`,
        which was empty, in `frame`.

    See Also
    --------
    AtomSites.track : Makes it.
    sklearn_ferroic.domains.find_switching : Change points of the displacements.

    Examples
    --------
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_series
    >>> data = make_ferroic_series(
    ...     3, shape=(96, 96), dose=2e4, n_bad=0, n_jumps=0, random_state=0
    ... )
    >>> sites = AtomLocator().fit_transform(data.image)
    >>> tracks = sites.track(data.shifts)
    >>> tracks.rows.shape == (3, len(tracks))
    True
    >>> tracks.values(sites.amplitude).shape == (3, len(tracks))
    True
    """

    def __init__(self, sites, rows, shifts, positions, in_view, *, vacancy_share=0.5):
        self.sites = sites
        self.rows = rows
        self.shifts = shifts
        self.positions = positions
        self.in_view = in_view
        self.vacancy_share = vacancy_share
        present = rows >= 0
        self.track = np.full(len(sites), ABSENT)
        self.track[rows[present]] = np.nonzero(present)[1]
        self.sublattice = _most_frequent(sites.sublattice, rows)
        self.lattice_index = np.full((rows.shape[1], 2), np.nan)
        if rows.shape[1] >= MIN_COLUMNS:
            self.lattice_index = lattice_indices(positions, self.sublattice)
        self.state = np.where(present, PRESENT, OUT_OF_VIEW)
        self.state[in_view & ~present] = MISSED
        self.state[self._shows_no_column()] = VACANT
        self.hops = self._find_hops()

    def __len__(self):
        return self.rows.shape[1]

    def __repr__(self):
        n_frames, n_tracks = self.rows.shape
        vacant = int(np.count_nonzero(self.state == VACANT))
        return (
            f"<SiteTracks: {n_tracks} columns in {n_frames} frames, {vacant} vacancies "
            f"in single frames, {len(self.hops)} hops>"
        )

    def values(self, per_site):
        """Arrange values of the sites by frame and track.

        Parameters
        ----------
        per_site : array-like of shape (n_sites, ...)
            One value per site, such as ``sites.polarization``.

        Returns
        -------
        values : ndarray of shape (n_frames, n_tracks, ...)
            NaN where the column was not located.

        Raises
        ------
        ValueError
            If there is not one value for each site.
        """
        per_site = np.asarray(per_site, dtype=float)
        if per_site.ndim == 0 or len(per_site) != len(self.sites):
            raise ValueError(
                f"per_site must have one value for each of the {len(self.sites)} "
                f"sites, got an array of shape {per_site.shape}."
            )
        values = per_site[np.maximum(self.rows, 0)]
        values[self.rows < 0] = np.nan
        return values

    def vacancies(self):
        """Return the places that are empty in some frames.

        Returns
        -------
        vacancies : list of tuple (track, frames)
            Track, and frames in which the image shows no column at its place.
        """
        vacant = self.state == VACANT
        return [
            (int(track), np.flatnonzero(vacant[:, track]).tolist())
            for track in np.flatnonzero(vacant.any(axis=0))
        ]

    def _shows_no_column(self):
        """Return where a track has no column in view and its image shows none."""
        empty = np.zeros(self.rows.shape, dtype=bool)
        amplitudes, sigmas = (
            self.values(getattr(self.sites, name)) for name in ("amplitude", "sigma")
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            usual = np.nanmedian(amplitudes, axis=0)
            sigma = np.nanmedian(sigmas, axis=0)
        for frame in range(len(self.rows)):
            which = np.flatnonzero(self.state[frame] == MISSED)
            n_present = np.count_nonzero(self.state[frame] == PRESENT)
            most = n_present >= _MIN_LINKED_SHARE * (n_present + len(which))
            if not (len(which) and most):
                continue
            own = self.sites[self.sites.frame == frame]
            columns = Columns(
                own.positions,
                own.amplitude,
                own.sigma,
                own.ellipticity,
                own.ellipse_rotation,
            )
            found, std, _ = column_amplitudes(
                own.images[frame],
                columns,
                self.positions[which] - self.shifts[frame],
                sigma[which],
                search=True,
            )
            # By two standard errors: noise does not make a vacancy.
            empty[frame, which] = found + 2 * std < self.vacancy_share * usual[which]
        return empty

    def _find_hops(self):
        """Return the pairs of a place that empties and one that fills."""
        hops = []
        present = self.state == PRESENT
        empty = self.state == VACANT
        if not empty.any():
            return hops
        reach = _HOP_SPACINGS * (typical_spacing(self.positions) or np.inf)
        for frame in range(1, len(present)):
            left = np.flatnonzero(present[frame - 1] & empty[frame])
            filled = np.flatnonzero(empty[frame - 1] & present[frame])
            if not (len(left) and len(filled)):
                continue
            start, end = _link(self.positions[left], self.positions[filled], reach)
            hops += [
                Hop(frame, int(left[i]), int(filled[j]))
                for i, j in zip(start, end, strict=True)
            ]
        return hops


def track_sites(sites, shifts, min_frames, reach_spacings, vacancy_share):
    """Link the columns of the frames of a series.

    Parameters
    ----------
    sites : AtomSites
        Sites of all frames.
    shifts : array-like or None
        Displacement of each frame, or of each of its lines.
    min_frames : int
        Smallest number of frames in which a column of a track is located.
    reach_spacings : float
        Largest distance of a site from the place of its track, in distances of nearest
        columns.
    vacancy_share : float
        See `SiteTracks`.

    Returns
    -------
    tracks : SiteTracks
        The tracks.
    """
    n_frames = len(sites.images)
    if n_frames < 2:
        raise ValueError(
            f"The sites are of {n_frames} image, but tracks need at least two frames: "
            "locate the columns of a list or stack of frames."
        )
    places, shifts = _in_common_pixels(sites, shifts)
    members = [np.flatnonzero(sites.frame == frame) for frame in range(n_frames)]
    largest = max(range(n_frames), key=lambda frame: len(members[frame]))
    if len(members[largest]) < MIN_COLUMNS:
        raise ValueError(
            f"No frame has {MIN_COLUMNS} sites or more, so that frames cannot be "
            "compared. Locate the columns of all frames."
        )
    spacing = typical_spacing(places[members[largest]])
    reach = reach_spacings * spacing
    # Templates grow from the frame with most columns to its neighbours in time.
    order = sorted(range(n_frames), key=lambda frame: abs(frame - largest))
    total = places[members[largest]]
    count = np.ones(len(total))
    bright = sites.sublattice[members[largest]] == 0
    for frame in order[1:]:
        own = members[frame]
        if not len(own):
            continue
        mean = total / count[:, None]
        step = _remaining_shift(
            places[own], sites.sublattice[own] == 0, mean[bright], reach
        )
        places[own] += step
        shifts[frame] += step
        track, site = _link(mean, places[own], reach)
        total[track] += places[own[site]]
        count[track] += 1
        rest = np.setdiff1d(np.arange(len(own)), site)
        # Two sites at one place: the second begins no track.
        rest = own[rest]
        fresh = rest[cKDTree(mean).query(places[rest])[0] > reach]
        total = np.concatenate([total, places[fresh]])
        count = np.concatenate([count, np.ones(len(fresh))])
        bright = np.concatenate([bright, sites.sublattice[fresh] == 0])
    seen = np.array([len(own) > 0 for own in members])
    rows = _rows_of(places, members, total / count[:, None], reach)
    kept = (rows >= 0).sum(axis=0) >= min_frames
    rows = rows[:, kept]
    positions = _median_places(places, rows)
    in_view = np.array(
        [
            _in_frame(positions - shift, image.shape, _BORDER_SPACINGS * spacing)
            for shift, image in zip(shifts, sites.images, strict=True)
        ]
    )
    in_view &= seen[:, None]
    _warn_of_strangers(rows, members)
    return SiteTracks(
        sites,
        rows,
        shifts,
        positions,
        in_view | (rows >= 0),
        vacancy_share=vacancy_share,
    )


def _in_common_pixels(sites, shifts):
    """Return the positions of all sites without the displacements of the frames."""
    n_frames = len(sites.images)
    places = sites.positions.astype(float)
    if shifts is None:
        return places, np.zeros((n_frames, 2))
    shifts = np.array(shifts, dtype=float)
    of_lines = shifts.ndim == 3
    n_rows = {image.shape[0] for image in sites.images}
    expected = (n_frames, *n_rows, 2) if of_lines else (n_frames, 2)
    if shifts.shape != expected or not np.isfinite(shifts).all():
        raise ValueError(
            f"shifts must have the shape ({n_frames}, 2), or ({n_frames}, n_rows, 2) "
            "for the displacement of each scan line of frames of one size, and be "
            f"finite; got the shape {shifts.shape}."
        )
    if not of_lines:
        return places + shifts[sites.frame], shifts
    lines = np.arange(shifts.shape[1])
    for frame in range(n_frames):
        own = sites.frame == frame
        for axis in range(2):
            places[own, axis] += np.interp(
                sites.positions[own, 0], lines, shifts[frame, :, axis]
            )
    return places, shifts.mean(axis=1)


def _remaining_shift(places, is_bright, template, reach):
    """Return the shift that brings a frame onto the template, by sublattice 0.

    Columns of other sublattices may switch, all of them together.
    """
    step = np.zeros(2)
    if is_bright.sum() < MIN_COLUMNS or len(template) < MIN_COLUMNS:
        return step
    own, tree = places[is_bright], cKDTree(template)
    for _ in range(_N_SHIFT_ROUNDS):
        distance, nearest = tree.query(own + step)
        near = distance < reach
        if near.sum() < MIN_COLUMNS:
            return np.zeros(2)
        step = np.median(template[nearest[near]] - own[near], axis=0)
    return step


def _link(templates, places, reach):
    """Return the pairs of templates and sites that are nearest to each other."""
    if not (len(templates) and len(places)):
        return np.empty(0, dtype=int), np.empty(0, dtype=int)
    distance, track = cKDTree(templates).query(places)
    _, back = cKDTree(places).query(templates)
    site = np.flatnonzero((distance < reach) & (back[track] == np.arange(len(places))))
    return track[site], site


def _rows_of(places, members, templates, reach):
    """Return the row of the site of each template in each frame, -1 without."""
    rows = np.full((len(members), len(templates)), ABSENT)
    for frame, own in enumerate(members):
        track, site = _link(templates, places[own], reach)
        rows[frame, track] = own[site]
    return rows


def _median_places(places, rows):
    """Return the median position of the sites of each track, px."""
    values = places[np.maximum(rows, 0)]
    values[rows < 0] = np.nan
    return np.nanmedian(values, axis=0) if rows.shape[1] else np.empty((0, 2))


def _in_frame(positions, shape, border):
    return ((positions >= border) & (positions <= np.array(shape) - 1 - border)).all(
        axis=1
    )


def _most_frequent(labels, rows):
    """Return the most frequent label of the sites of each track."""
    n_labels = int(labels.max(initial=0)) + 1
    counts = np.array(
        [
            ((labels[np.maximum(rows, 0)] == label) & (rows >= 0)).sum(axis=0)
            for label in range(n_labels)
        ]
    )
    return counts.argmax(axis=0)


def _warn_of_strangers(rows, members):
    """Warn once of frames whose sites are not at the places of other frames."""
    linked = (rows >= 0).sum(axis=1)
    located = np.array([len(own) for own in members])
    few = np.flatnonzero(linked < _MIN_LINKED_SHARE * located)
    if len(few):
        listed = ", ".join(
            f"{frame} ({linked[frame] / located[frame]:.0%})" for frame in few[:8]
        )
        warnings.warn(
            f"In {len(few)} of {len(rows)} frames less than "
            f"{_MIN_LINKED_SHARE:.0%} of the columns are at places of columns of other "
            f"frames: {listed}. Pass the displacements of the frames as shifts=, such "
            "as FrameAverager.shifts_.",
            UserWarning,
            stacklevel=4,
        )
