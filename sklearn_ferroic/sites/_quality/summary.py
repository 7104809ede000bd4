"""Summary of the quality of sites, see :meth:`AtomSites.quality`."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from ..._lattice.ordered_sublattices import describe_undivided, undivided_levels
from ..._utils.optional import import_optional
from ..._utils.robust import STD_PER_MEDIAN
from .._flags import SiteFlag
from .checks import check_image
from .lattices import find_lattices
from .residual import (
    Columns,
    band_noise_ratio,
    common_ellipticity,
    residual_image,
)

# Flags that only the locator or MotifAssigner can set; the others are computed.
_OF_LOCATOR = SiteFlag.EDGE | SiteFlag.LABEL_DOUBTFUL | SiteFlag.LOW_SIGNIFICANCE
_OF_MOTIF = SiteFlag.UNASSIGNED | SiteFlag.SHELL_MISSING | SiteFlag.SHELL_DISTORTED
# Lattices of an image that the summary lists; `lattices.to_frame()` lists all.
_MAX_LATTICE_LINES = 6
# Means of fewer standard errors are called not significant.
_SIGNIFICANT_ERRORS = 3.0


@dataclass(frozen=True, eq=False)
class LatticePlaces:
    """Lattice places without a site.

    Attributes
    ----------
    positions : ndarray of shape (n, 2)
        Where the lattice expects a column ``(row, col)``, px.
    frame : ndarray of int of shape (n,)
        Index of the image.
    sublattice : ndarray of int of shape (n,)
        Sublattice of the column expected.
    n_votes : ndarray of int of shape (n,)
        Number of sites around that expect it.
    relative_amplitude, relative_amplitude_std : ndarray of shape (n,)
        Height of the image there, minus the columns around, relative to the columns
        of the same sublattice around, and its standard error: about 0 in a vacancy, 1
        where a column was missed. NaN where it cannot be measured.
    """

    positions: np.ndarray
    frame: np.ndarray
    sublattice: np.ndarray
    n_votes: np.ndarray
    relative_amplitude: np.ndarray
    relative_amplitude_std: np.ndarray

    def __len__(self):
        return len(self.positions)

    def __repr__(self):
        return f"<LatticePlaces: {len(self)} places without a site>"

    def to_frame(self):
        """Return the places as a pandas table, one row per place.

        Returns
        -------
        table : pandas.DataFrame
            Columns ``frame``, ``row``, ``col`` (px) and the other attributes.
        """
        pandas = import_optional("pandas", "io")
        columns = {
            "frame": self.frame,
            "row": self.positions[:, 0],
            "col": self.positions[:, 1],
        }
        names = "sublattice", "n_votes", "relative_amplitude", "relative_amplitude_std"
        return pandas.DataFrame(columns | {name: getattr(self, name) for name in names})


class SiteQuality:
    """Quality of sites, returned by :meth:`AtomSites.quality`.

    Places of the lattice are those that at least three sites of the same sublattice
    around them expect, one local lattice vector away. No ideal lattice is assumed, so
    that domains, bent crystals and grains are treated equally, and nothing is expected
    in vacuum or beyond the edge of a crystal.

    Parameters
    ----------
    sites : AtomSites
        All sites of the images. Sublattices that are left out count as residual
        structure.

    Attributes
    ----------
    sites : AtomSites
        The sites.

    flags : ndarray of int of shape (n_sites,)
        Bits of :class:`SiteFlag`: those of the sites, MERGED, HOLE, SHORT_PAIR and
        UNCONVERGED recomputed for these sites.

    n_sites : dict of int to int
        Number of sites of each sublattice.

    coverage : float
        Share of the lattice places with a site of their own. Vacancies count as
        places without one.

    suspected_misses : LatticePlaces
        Places without a site although the image shows a column there, or is too
        noisy to show that there is none.

    vacancies : LatticePlaces
        Places without a site where the image shows no column either.

    short_pairs : ndarray of int of shape (n_pairs, 2)
        Indices of sites closer than 0.55 of the usual distance there.

    merged : ndarray of int of shape (n_merged,)
        Indices of sites that are probably two columns fitted as one.

    share_unconverged : float
        Share of the sites whose fit cannot be trusted.

    spacing, spacing_scatter : ndarray of shape (n_images,)
        Median distance of nearest neighbours, px, and its robust relative scatter.

    net_displacement, net_displacement_std : ndarray of shape (n_images, 2)
        Mean displacement ``(row, col)`` of sublattice 1 relative to sublattice 0 over
        the whole image, px, and its standard error. Both mistilt and a net polarization
        displace the sublattices relative to each other by a constant: the image alone
        does not determine which of the two. Compare with a reference region that cannot
        be polar.

    ellipticity, ellipticity_std : ndarray of shape (n_images,)
        Long over short axis that is common to all columns, and its standard error.
        Astigmatism, drift or mistilt elongate all columns equally.

    ellipse_rotation : ndarray of shape (n_images,)
        Angle of the long axis, radians in [−π/2, π/2), from +col towards +row.

    lattices : SiteLattices
        Lattices of the crystals in the images, such as film and substrate, or grains:
        share of the sites, vectors, angle and region, and the lattice of each site.

    undivided : list of list of UndividedLevels
        For each image, sublattices whose brightness alternates from column to column
        although they were not divided, by their label (`sublattice`): difference
        relative to the brightness, `separation` in standard deviations within the
        levels, whether it `is_periodic` or interrupted, and whether it `is_clear`
        that species are a likely cause, and not tilts or antipolar displacements.

    See Also
    --------
    AtomSites.has_flag : Selects sites by their flags.
    sklearn_ferroic.inspection.SiteQualityDisplay : Draws the result.

    Examples
    --------
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> data = make_ferroic_image("film", shape=(192, 208), random_state=0)
    >>> quality = AtomLocator().fit_transform(data).quality()
    >>> quality.coverage, len(quality.suspected_misses), len(quality.short_pairs)
    (1.0, 0, 0)
    >>> bool(quality.residual_ratio(0) < 1.2)
    True
    """

    def __init__(self, sites):
        self.sites = sites
        labels, counts = np.unique(sites.sublattice, return_counts=True)
        self.n_sites = dict(zip(labels.tolist(), counts.tolist(), strict=True))
        n_images = len(sites.images)
        self.flags = sites.flags & np.uint16(_OF_LOCATOR | _OF_MOTIF)
        self.spacing, self.spacing_scatter = np.full((2, n_images), np.nan)
        self.net_displacement = np.full((n_images, 2), np.nan)
        self.net_displacement_std = np.full((n_images, 2), np.nan)
        self.ellipticity, self.ellipticity_std = np.full((2, n_images), np.nan)
        self.ellipse_rotation = np.full(n_images, np.nan)
        self._rows = [np.flatnonzero(sites.frame == k) for k in range(n_images)]
        self._checks = [self._check(k) for k in range(n_images)]
        pairs = [
            rows[check.short_pairs]
            for rows, check in zip(self._rows, self._checks, strict=True)
        ]
        self.short_pairs = np.concatenate(pairs).reshape(-1, 2)
        self.merged = np.flatnonzero(self.flags & SiteFlag.MERGED)
        self.suspected_misses = self._places(vacant=False)
        self.vacancies = self._places(vacant=True)
        self.share_unconverged = float(np.mean(~sites.converged)) if len(sites) else 0.0
        self._residuals = {}

    @cached_property
    def lattices(self):
        """Lattices of the crystals in the images."""
        vectors = np.full((len(self.sites), 2, 2), np.nan)
        for rows in self._rows:
            vectors[rows] = _lattice_vectors(self.sites, rows)
        return find_lattices(self.sites, vectors)

    @cached_property
    def undivided(self):
        """Sublattices of each image that may consist of several."""
        return [self._undivided(rows) for rows in self._rows]

    @property
    def coverage(self):
        """Share of the lattice places with a site of their own."""
        n_sites = len(self.sites)
        n_empty = sum(
            len(check.is_vacancy) + check.n_merged_places for check in self._checks
        )
        # A merged site accounts for two places and lies on neither.
        n_between = sum(check.n_merged_places // 2 for check in self._checks)
        n_extra = len(np.unique(self.short_pairs[:, 1:]))
        n_held = max(n_sites - n_between - n_extra, 0)
        return n_held / (n_held + n_empty) if n_held + n_empty else float("nan")

    @property
    def is_net_displacement_significant(self):
        """Whether each image's net displacement exceeds three standard errors."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = self.net_displacement / self.net_displacement_std
        return np.hypot(*ratio.T) > _SIGNIFICANT_ERRORS

    def residual_map(self, frame=0):
        """Compute the image minus its columns and a smooth background.

        Columns are rendered as Gaussians of the sites' amplitude, sigma and ellipse.

        Parameters
        ----------
        frame : int, default=0
            Index of the image.

        Returns
        -------
        residual : ndarray of shape (n_rows, n_cols)
            In units of the image, float32.

        Raises
        ------
        ValueError
            If the image has no sites with a fitted amplitude and sigma.
        """
        if frame not in self._residuals:
            columns = self._columns(frame)
            if not len(columns.drawable().positions):
                raise ValueError(
                    f"Image {frame} has no sites with a fitted amplitude and sigma, "
                    'which refine="gaussian" of AtomLocator gives.'
                )
            self._residuals[frame] = residual_image(
                self.sites.images[frame], columns, self.spacing[frame]
            )
        return self._residuals[frame]

    def residual_ratio(self, frame=0):
        """Compute the residual in the band of the columns over the expected noise.

        Parameters
        ----------
        frame : int, default=0
            Index of the image.

        Returns
        -------
        ratio : float
            Root mean square of the residual map in the band of the columns over that
            of white noise as strong as the differences of neighbouring pixels: about
            1 where sites explain all structure. Noise that is correlated from pixel
            to pixel, as in scanned and resampled images, also increases the ratio.
        """
        residual = self.residual_map(frame)
        sigma = float(np.median(self._columns(frame).drawable().sigma))
        return band_noise_ratio(self.sites.images[frame], residual, sigma)

    def to_frame(self):
        """Return a pandas table with one row per image.

        Returns
        -------
        table : pandas.DataFrame
            Numbers of sites, misses, vacancies, pairs and flags, spacing, net
            displacement, ellipticity and residual ratio.
        """
        pandas = import_optional("pandas", "io")
        return pandas.DataFrame(
            [self._row(frame) for frame in range(len(self.sites.images))]
        )

    def summary(self):
        """Return the findings as text.

        Returns
        -------
        text : str
            One finding per line.
        """
        counts = ", ".join(
            f"{n} on sublattice {label}" for label, n in self.n_sites.items()
        )
        lines = [
            f"{len(self.sites)} sites in {len(self.sites.images)} image(s): {counts}",
            f"coverage {self.coverage:.2%}: {len(self.suspected_misses)} suspected "
            f"misses, {len(self.vacancies)} vacancies, {len(self.merged)} merged sites",
            f"{len(self.short_pairs)} short pairs, "
            f"{self.share_unconverged:.2%} of the fits unconverged",
        ]
        for frame, rows in enumerate(self._rows):
            if len(rows):
                lines.append(self._image_line(frame))
                lines += self._lattice_lines(frame)
                lines += [
                    f"  {describe_undivided(found)}: "
                    + ("perhaps species" if found.is_clear else "perhaps tilts")
                    for found in self.undivided[frame]
                ]
        if self.is_net_displacement_significant.any():
            lines.append(
                "A displacement common to the whole image is mistilt or a net "
                "polarization: the image alone does not determine "
                "which of the two."
            )
        return "\n".join(lines)

    def __repr__(self):
        return f"<SiteQuality: {self.summary()}>"

    def _image_line(self, frame):
        parts = [
            f"image {frame}: spacing {self.spacing[frame]:.2f} px "
            f"± {self.spacing_scatter[frame]:.1%}"
        ]
        shift, std = self.net_displacement[frame], self.net_displacement_std[frame]
        if np.isfinite(shift).all():
            size = self.sites.pixel_size[frame]
            unit, scale = ("px", 1.0) if size is None else ("pm", 1000 * size)
            digits = 3 if size is None else 1
            row, col = scale * shift
            parts.append(
                f"net displacement ({row:.{digits}f}, {col:.{digits}f}) "
                f"± {scale * std.max():.{digits}f} {unit}"
            )
        if np.isfinite(self.ellipticity[frame]):
            parts.append(
                f"common ellipticity {self.ellipticity[frame]:.3f} "
                f"± {self.ellipticity_std[frame]:.3f}"
            )
        return ", ".join(parts)

    def _lattice_lines(self, frame):
        """Return one line per lattice of an image."""
        own = np.flatnonzero(self.lattices.frame == frame)
        lines = [
            f"  lattice {number}: {self.lattices.describe(number)}"
            for number in own[:_MAX_LATTICE_LINES]
        ]
        if len(own) > _MAX_LATTICE_LINES:
            lines.append(f"  and {len(own) - _MAX_LATTICE_LINES} more lattices")
        return lines

    def _undivided(self, rows):
        """Return the sublattices of an image that may be several."""
        amplitude = self.sites.amplitude[rows]
        rows = rows[amplitude > 0]
        return undivided_levels(
            self.sites.sublattice[rows],
            self.sites.positions[rows],
            np.log(self.sites.amplitude[rows]),
        )

    def _row(self, frame):
        rows, check = self._rows[frame], self._checks[frame]
        flags = self.flags[rows]
        row = {"frame": frame, "n_sites": len(rows)}
        for label in self.n_sites:
            row[f"n_sublattice{label}"] = int(
                np.count_nonzero(self.sites.sublattice[rows] == label)
            )
        row |= {
            "n_suspected_misses": int(np.count_nonzero(~check.is_vacancy)),
            "n_vacancies": int(np.count_nonzero(check.is_vacancy)),
            "n_short_pairs": len(check.short_pairs),
            "n_lattices": int(np.count_nonzero(self.lattices.frame == frame)),
        }
        for flag in SiteFlag:
            row[f"n_{flag.name.lower()}"] = int(np.count_nonzero(flags & flag))
        row |= {
            "spacing": self.spacing[frame],
            "spacing_scatter": self.spacing_scatter[frame],
            "net_displacement_row": self.net_displacement[frame, 0],
            "net_displacement_col": self.net_displacement[frame, 1],
            "net_displacement_row_std": self.net_displacement_std[frame, 0],
            "net_displacement_col_std": self.net_displacement_std[frame, 1],
            "ellipticity": self.ellipticity[frame],
            "ellipticity_std": self.ellipticity_std[frame],
            "ellipse_rotation": self.ellipse_rotation[frame],
        }
        drawable = len(self._columns(frame).drawable().positions) > 0
        row["residual_ratio"] = self.residual_ratio(frame) if drawable else np.nan
        return row

    def _columns(self, frame):
        rows = self._rows[frame]
        names = "positions", "amplitude", "sigma", "ellipticity", "ellipse_rotation"
        return Columns(*(getattr(self.sites, name)[rows] for name in names))

    def _check(self, frame):
        """Check one image and store its spacing, net displacement and ellipticity."""
        sites, rows = self.sites, self._rows[frame]
        columns = self._columns(frame)
        check = check_image(
            sites.images[frame],
            columns,
            sites.sublattice[rows],
            _lattice_vectors(sites, rows),
            converged=sites.converged[rows],
            significance=sites.significance[rows],
        )
        self.flags[rows] |= check.flags
        if len(rows) > 1:
            distance, _ = cKDTree(columns.positions).query(columns.positions, k=2)
            nearest = distance[:, 1]
            self.spacing[frame] = median = np.median(nearest)
            scatter = STD_PER_MEDIAN * np.median(np.abs(nearest - median))
            self.spacing_scatter[frame] = scatter / median if median > 0 else np.nan
        shift = sites.polarization[rows[sites.sublattice[rows] == 1]]
        shift = shift[np.isfinite(shift).all(axis=1)]
        if len(shift) > 2:
            self.net_displacement[frame] = shift.mean(axis=0)
            self.net_displacement_std[frame] = shift.std(axis=0, ddof=1) / np.sqrt(
                len(shift)
            )
        stretch, std = common_ellipticity(sites.images[frame], columns)
        if np.isfinite(stretch).all():
            self.ellipticity[frame] = np.exp(np.hypot(*stretch))
            self.ellipticity_std[frame] = self.ellipticity[frame] * std
            angle = 0.5 * np.arctan2(stretch[1], stretch[0])
            self.ellipse_rotation[frame] = (angle + np.pi / 2) % np.pi - np.pi / 2
        return check

    def _places(self, vacant):
        parts = []
        for frame, check in enumerate(self._checks):
            rows = np.flatnonzero(check.is_vacancy == vacant)
            parts.append(
                (
                    check.places.positions[rows],
                    np.full(len(rows), frame),
                    check.places.sublattice[rows],
                    check.places.n_votes[rows],
                    check.relative_amplitude[rows],
                    check.relative_std[rows],
                )
            )
        return LatticePlaces(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def _lattice_vectors(sites, rows):
    """Return the sites' lattice vectors, computed where none of them has any."""
    vectors = sites.lattice_vectors[rows]
    if np.isfinite(vectors).any() or len(rows) < 2:
        return vectors
    from ..._lattice.local_lattice import lattice_vectors

    return lattice_vectors(sites.positions[rows], sites.sublattice[rows])
