"""Result of an analysis."""

from functools import cached_property
from pathlib import Path

import numpy as np

from .._utils.optional import import_optional
from ..domains import antipolar_order, find_domains, find_walls
from ..feature_extraction import LatticeStrain, suggest_window_size
from ._doubts import doubts_of_image, doubts_of_result
from ._model import subtract_reference
from ._options import region_polygon
from ._summary import (
    compare_with_truth,
    describe,
    flatten_metadata,
    summarize,
)
from ._variants import (
    NON_POLAR_RAD,
    as_number,
    describe_variants,
    find_alternating,
    find_groups,
)

# Variants that alternate in stripes of fewer cells are antipolar order, no domains.
_STRIPE_CELLS = 3.0


class Analysis:
    """Result of :func:`analyze`: columns, variants, domains, figures and a report.

    `analyze` and :meth:`load` make one.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        All columns of the image.
    rows : ndarray of int of shape (n_cells,)
        Rows of the cells in `sites`.
    pose : object
        Fitted angles and latents; None if columns were only located.
    options : object
        Options of the analysis.
    source : object
        Description of the image.
    caught : list of str, default=()
        Warnings of the stages.
    truth : dict, default=None
        Comparison with the truth of a generated image.
    versions : dict, default=None
        Versions of the packages.

    Attributes
    ----------
    cells : AtomSites of length n_cells
        The columns on which windows are centred, those of B by default; their
        displacement is relative to the reference region, if there is one.
    pose : ndarray of shape (n_cells, n_features) or None
        Angle (radians), offsets (px) and latents of each cell; the measured angle
        alone without a network; None if columns were only located.
    feature_names : list of str
        Names of the columns of `pose`.
    angle, angle_std : ndarray of shape (n_cells,) or None
        Angle of each cell and its standard deviation, radians.
    clusters : ndarray of int of shape (n_cells,) or None
        Cluster of each cell, as found; -1 for none.
    labels : ndarray of int of shape (n_cells,) or None
        Group of each cell: clusters of one direction are one group. Variants come
        first, the largest is 0; cells without a certain direction have -1.
    groups_table : list of dict
        A row for each group: label, name, is_variant, share, angle_deg, magnitude,
        magnitude_std, unit and others.
    domains, walls : DataFrame or None
        Results of :func:`~sklearn_ferroic.domains.find_domains` and
        :func:`~sklearn_ferroic.domains.find_walls` for the variants.
    quality : SiteQuality
        Quality of the columns.
    strain : ndarray of shape (n_sites, 6)
        Result of :class:`LatticeStrain` for the columns of sublattice 0, NaN for
        others; relative to the reference region, or else to the whole image.
    frames, scan : dict or None
        Registration of the frames that were averaged (`shifts_px`, `rejected`,
        `weights` and others), and correction of the scan lines.
    is_registered : bool
        Whether the angles are those of the measured displacements.
    doubts : list of Doubt
        Reasons to doubt the result, each with `key`, `title` and `text`.
    findings : list of str
        Further statements about the displacements.
    antipolar : dict or None
        Period and significance of an antipolar order, None if there is none.
    summary : dict
        All of this in JSON-serializable values.
    pipeline : Pipeline or None
        The fitted steps from sites to clusters.

    See Also
    --------
    analyze : Makes it.

    Examples
    --------
    >>> from sklearn_ferroic import analyze
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> data = make_ferroic_image("film", shape=(200, 200), random_state=0)
    >>> analysis = analyze(data, vae=False)
    >>> analysis.summary["n_sublattices"]
    2
    """

    def __init__(
        self,
        sites,
        rows,
        pose,
        options,
        source,
        *,
        caught=(),
        truth=None,
        versions=None,
    ):
        self.sites = sites
        self.rows = rows
        self.name = source.name
        self.description = source.description
        self.metadata = source.metadata
        self.remarks = list(source.remarks)
        self.parameters = options.as_dict()
        self.versions = versions
        self.truth = truth
        self.frames = source.frames
        self.scan = source.scan
        self._pose = pose
        self._source = source
        self._caught = caught
        self._region = options.reference

    @property
    def pose(self):
        """Angle, offsets and latents of each cell."""
        return None if self._pose is None else self._pose.values

    @property
    def angle(self):
        """Angle of each cell, radians; None if columns were only located."""
        return None if self._pose is None else self._pose.angle

    @property
    def feature_names(self):
        """Names of the columns of `pose`."""
        return [] if self._pose is None else self._pose.names

    @property
    def angle_std(self):
        """Standard deviation of the angle of each cell, radians."""
        return None if self._pose is None else self._pose.angle_std

    @property
    def clusters(self):
        """Cluster of each cell, as found."""
        return None if self._pose is None else self._pose.clusters

    @property
    def labels(self):
        """Group of each cell."""
        return None if self._pose is None else self.groups.number

    @property
    def pipeline(self):
        """The fitted steps from sites to clusters."""
        if self._pose is None:
            return None
        if callable(self._pose.pipeline) and not hasattr(self._pose.pipeline, "fit"):
            self._pose.pipeline = self._pose.pipeline()
        return self._pose.pipeline

    @property
    def window_size(self):
        """Side of the windows, px; None without windows."""
        return None if self._pose is None else self._pose.window_size

    @property
    def is_registered(self):
        """Whether the angles are those of the measured displacements."""
        return self._pose is not None and self._pose.is_registered

    @property
    def registration(self):
        """Offset of the angles and its error, a dict; empty without a network."""
        return {} if self._pose is None else self._pose.registration

    @property
    def decoded(self):
        """Windows decoded on a grid of latents, ndarray of shape (n, n, side, side)."""
        return None if self._pose is None else self._pose.decoded

    @cached_property
    def _relative(self):
        """Cells relative to the reference region, and the vector subtracted."""
        cells = self.sites[self.rows]
        if self._region is None:
            return cells, None
        return subtract_reference(cells, self._region)

    @property
    def cells(self):
        """The columns on which windows are centred."""
        return self._relative[0]

    @property
    def reference_shift(self):
        """Displacement ``(row, col)`` that was subtracted, px; None for none."""
        return self._relative[1]

    @cached_property
    def quality(self):
        """Quality of the columns."""
        return self.sites.quality()

    @cached_property
    def cell_size(self):
        """Side of the unit cell, px."""
        return float(suggest_window_size(self.cells, 1.0))

    @cached_property
    def groups(self):
        """Groups of cells with their mean displacement; None if only located."""
        if self._pose is None:
            return None
        pose = self._pose
        return find_groups(
            pose.angle,
            pose.angle_std,
            pose.clusters,
            self.cells,
            pose.is_registered,
            self._region is not None,
        )

    @cached_property
    def groups_table(self):
        """A row for each group of cells."""
        if self._pose is None:
            return []
        return describe_variants(
            self.groups, self._pose.angle, self.cells, self.is_registered
        )

    @cached_property
    def is_shown_polar(self):
        """Mask of the cells that are drawn with a direction."""
        if self.is_registered and not self.groups.is_common:
            return self.groups.variant >= 0
        with np.errstate(invalid="ignore"):
            return self.angle_std < NON_POLAR_RAD

    def _evaluate(self):
        """Compute domains, walls and doubts, while their warnings are collected."""
        return self.domains, self.walls, self.doubts

    @cached_property
    def domains(self):
        """Connected regions of one variant; None without variants."""
        if self._pose is None or not self.groups.is_variant.any():
            return None
        return find_domains(self.cells, self.groups.variant)

    @cached_property
    def walls(self):
        """Walls between domains, not antipolar stripes; None without variants."""
        if self._pose is None or not self.groups.is_variant.any():
            return None
        walls = find_walls(self.cells, self.groups.variant)
        pairs = {frozenset(pair) for pair in find_alternating(self.groups, self.cells)}
        if not len(walls) or not pairs:
            return walls
        return walls[~_between_stripes(walls, self.domains, pairs)]

    @cached_property
    def antipolar(self):
        """Period of an antipolar order in rows and px, None if there is none."""
        for label in dict.fromkeys([int(self.cells.sublattice[0]), 1, 0]):
            columns = self.cells
            if label != columns.sublattice[0]:
                columns = self.sites[self.sites.sublattice == label]
            if not np.isfinite(columns.polarization).all(axis=1).any():
                continue
            order = antipolar_order(columns)
            if np.isfinite(order.period):
                return {
                    "sublattice": label,
                    "period_rows": as_number(order.period),
                    "period_px": as_number(order.period_px),
                    "antipolar_share": as_number(order.antipolar_share),
                    "significance": as_number(order.significance),
                }
        return None

    @cached_property
    def strain(self):
        """Strain of the columns of sublattice 0, ndarray of shape (n_sites, 6)."""
        strain = np.full((len(self.sites), 6), np.nan)
        own = np.flatnonzero(self.sites.sublattice == 0)
        reference = self.sites[own]
        if self._region is not None:
            inside = reference.in_polygon(region_polygon(self._region))
            if np.isfinite(reference.lattice_vectors[inside]).all(axis=(1, 2)).any():
                reference = reference[inside]
        known = np.isfinite(reference.lattice_vectors).all(axis=(1, 2))
        if not (known & reference.converged).any():
            return strain
        strain[own] = LatticeStrain().fit(reference).transform(self.sites[own])
        return strain

    @cached_property
    def _judgement(self):
        """Doubts, findings and the caveat of the map."""
        doubts = doubts_of_image(self._source, self.quality, self.cells, self._caught)
        if self._pose is None:
            return doubts, [], ""
        of_result, findings, caveat = doubts_of_result(
            self._pose,
            self.groups,
            self.cells,
            self.cell_size,
            self._region is not None,
        )
        if self.antipolar is not None:
            label = self.antipolar["sublattice"]
            kind = "AB"[label] if label < 2 else f"sublattice {label}"
            findings.append(
                f"The displacements of the {kind} columns are modulated with a period "
                f"of {self.antipolar['period_rows']:.1f} rows, as in an "
                "antiferroelectric or an orthorhombic perovskite."
            )
        return of_result + doubts, findings, caveat

    @property
    def doubts(self):
        """Reasons to doubt the result."""
        return self._judgement[0]

    @property
    def findings(self):
        """Further statements about the displacements."""
        return self._judgement[1]

    @property
    def caveat(self):
        """Remark for the title of the map, "" if there is none."""
        return self._judgement[2]

    @cached_property
    def metadata_entries(self):
        """Metadata of the file as texts by dotted names."""
        return flatten_metadata(self.metadata)

    @cached_property
    def summary(self):
        """Results in JSON-serializable values."""
        return summarize(self)

    def describe(self):
        """Return the results as lines of text.

        Returns
        -------
        lines : list of str
            One statement per line.
        """
        return describe(self)

    def compare(self, truth):
        """Compare the result with the truth of a generated image, and keep it.

        Parameters
        ----------
        truth : Bunch or None
            What :func:`~sklearn_ferroic.datasets.make_ferroic_image` or
            :func:`~sklearn_ferroic.datasets.load_multislice` returned.

        Returns
        -------
        comparison : dict or None
            Numbers of columns found and invented, share of the cells with the right
            variant and median error of the angle, degrees.
        """
        label = int(self.cells.sublattice[0])
        angle = None if self._pose is None else self._pose.angle
        self.truth = compare_with_truth(truth, self.cells, label, angle)
        vars(self).pop("summary", None)
        return self.truth

    def table(self):
        """Return all columns as a pandas table with angle, latents and groups.

        Returns
        -------
        table : pandas.DataFrame
            That of :meth:`AtomSites.to_frame` and the columns of `pose`, angle_std,
            label, variant, domain and the strain; empty where they are not defined.
        """
        pandas = import_optional("pandas", "io")
        frame = self.sites.to_frame()
        return pandas.concat(
            [frame, pandas.DataFrame(self.site_features(), index=frame.index)], axis=1
        )

    def site_features(self):
        """Return the columns that the analysis adds to the table of the sites.

        Returns
        -------
        features : dict of str to ndarray of shape (n_sites,)
            Values of cells are NaN or "" for sites that are not cells.
        """
        features = {}
        if self._pose is not None:
            of_cells = dict(zip(self.feature_names, self.pose.T, strict=True))
            of_cells |= {
                "angle_std": self.angle_std,
                "label": self.labels,
                "variant": self.groups.variant,
                "cluster": self.clusters,
            }
            if self.domains is not None:
                of_cells["domain"] = np.asarray(self.domains.attrs["domain"])
            features = {
                name: self._for_all_sites(values) for name, values in of_cells.items()
            }
        features["tetragonality"] = self.strain[:, 4]
        return features

    def _for_all_sites(self, values):
        """Expand values of the cells to all sites; integers become text."""
        if np.issubdtype(values.dtype, np.integer):
            values = values.astype(str)  # integers have no NaN
        empty = "" if values.dtype.kind == "U" else np.nan
        spread = np.full(len(self.sites), empty, dtype=values.dtype)
        spread[self.rows] = values
        return spread

    @property
    def figure_names(self):
        """Names of the figures that :meth:`figure` draws for this result."""
        from ._figures import figure_names

        return figure_names(self)

    def figure(self, name):
        """Draw a figure.

        Parameters
        ----------
        name : str
            One of `figure_names`, such as "overview", "columns", "displacements",
            "domains", "latents", "strain", "angles", "means" or "profiles".

        Returns
        -------
        figure : matplotlib Figure
            The figure, not registered with pyplot.

        Raises
        ------
        ValueError
            If there is no such figure.
        ImportError
            If matplotlib is not installed.
        """
        from ._figures import draw_figure

        return draw_figure(self, name)

    def report(self, path):
        """Write the report, one HTML file without references to the network.

        Parameters
        ----------
        path : str or path-like
            The file; an existing one is replaced once all is written.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from ._report.page import write_report

        write_report(self, Path(path))

    def save(self, path, *, figures=True):
        """Write report, tables, figures, model and summary into a folder.

        Everything is first written to a folder of another name. It takes the name
        `path` once all is complete; in an existing folder, the files are replaced one
        by one, and files of other names are kept.

        Parameters
        ----------
        path : str or path-like
            The folder.
        figures : bool, default=True
            Whether to draw the figures and the report.

        Raises
        ------
        OSError
            If the folder cannot be written; then nothing is.
        """
        from ._saving import save

        save(self, Path(path), figures=figures)

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` has written.

        The fitted model is read when `pipeline` is first used. It is a pickle: open
        only folders whose origin you trust, or do not use `pipeline`.

        Parameters
        ----------
        path : str or path-like
            The folder.

        Returns
        -------
        analysis : Analysis
            The result.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files does not exist.
        ValueError
            If a file is damaged.
        """
        from ._saving import read_files

        return cls(**read_files(Path(path)))

    def __repr__(self):
        parts = [f"{len(self.sites)} columns", f"{len(self.rows)} cells"]
        if self._pose is not None:
            n_variants = int(self.groups.is_variant.sum())
            parts.append(f"{n_variants} variants")
        return f"<Analysis of {self.name}: {', '.join(parts)}>"


def _between_stripes(walls, domains, pairs):
    """Return which walls lie between narrow stripes of variants that alternate."""
    number = domains["n_cells"].to_numpy()
    length = walls["n_cells"].to_numpy()
    width = [number[walls[f"domain_{side}"]] / length for side in "ab"]
    labels = zip(walls["label_a"], walls["label_b"], strict=True)
    alternate = np.array([frozenset(map(int, pair)) in pairs for pair in labels])
    return alternate & (np.minimum(*width) < _STRIPE_CELLS)
