"""Settings of the detection, grouped by module, each with its reason.

Names end in units, as those of the settings of `_image` do.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CalibrationSettings:
    """Settings of the calibration of an image, with their reasons."""

    # Columns need less significance than clear ones, down to this, in images with
    # faint clear columns: between these significances of the lowest twentieth of them.
    min_significance_std: float = 3.0
    faintest_clear_std: tuple = (5.0, 7.0)
    # Very clear columns are typical of the image if they are at least this share of
    # the clear ones.
    typical_share: float = 0.3
    # Fits until the common stretch of the columns is known, and what change counts as
    # none.
    max_n_stretch_rounds: int = 6
    stretch_log_tolerance: float = 0.02
    # A stretch that grows by such a ratio is extrapolated, as if by this ratio at
    # most.
    slow_ratio: float = 0.4
    max_slow_ratio: float = 0.75
    # Images of up to this number of square spacings without a mask are calibrated as
    # a whole. Their fit serves for the detection, if no more than this share of its
    # columns is below the detection threshold.
    max_whole_square_spacings: int = 1600
    max_hidden_share: float = 0.02
    # Maximum number of rounds of a search for faint columns between bright ones where
    # columns overlap; the noise is estimated again in each of them.
    max_n_search_rounds: int = 2
    # Noise is measured this many spacings from a border: where this share of the
    # pixels up to there is good.
    margin_spacings: float = 1.5
    min_good_share: float = 0.9
    # This number of pixels is enough for the median of squares.
    n_median_pixels: int = 20_000


@dataclass(frozen=True)
class ClosePairsSettings:
    """Settings of the search for close pairs, with their reasons."""

    # The spacing of the pairs is that of the image, or that of the image smoothed by
    # these multiples of it, where the pairs are resolved. Others within this share of
    # an earlier one are the same.
    smoothing_spacings: tuple = (0.0, 0.3, 0.45, 0.6)
    same_spacing_share: float = 0.08
    # The image is not smoothed if the distances of the second and the nearest
    # neighbour of the median column have at most this ratio, in a square of this side
    # (spacings): of resolved pairs it is `min_gap_ratio` or more, of simple lattices 1.
    min_partner_ratio: float = 1.2
    partner_side_spacings: int = 14
    # Side of the square that is analysed, for pairs and for noise, in their spacings.
    side_spacings: int = 24
    min_n_middles: int = 12
    max_n_windows: int = 400
    # Blob filter for the middles, and filter of the derivatives, in spacings of the
    # pairs: the columns of a pair, up to half a spacing apart, are one maximum.
    blob_spacings: float = 0.28
    filter_spacings: float = 0.22
    min_peak_share: float = 0.15
    # Directions are averaged over the nearest middles, up to this distance.
    n_averaged: int = 9
    average_spacings: float = 1.8
    # Neighbouring pairs are of one crystal if the cosine of the angle between them
    # exceeds this.
    min_cosine: float = 0.9
    # Ratio of the axes, behind the filter, from which a column may be a pair: of two
    # equal columns 1.5 sigma apart it is 1.25, 2.25 sigma apart 1.5.
    min_axis_ratio: float = 1.3
    min_long_share: float = 0.7
    # The share is measured first after binning to this spacing, which is fast; below
    # the second number it is not measured again.
    binned_spacing_px: float = 10.0
    min_long_share_binned: float = 0.4
    # The windows end at this distance from the middle (spacings) and where another
    # middle is nearer.
    reach_spacings: float = 0.47
    # Two columns leave at most this share of the sum of squares above the noise that an
    # ellipse leaves: for elongated columns of one kind 0.9 and more, for pairs up to
    # 0.4. They gain that number of standard deviations of the noise at least.
    max_misfit_share: float = 0.5
    # Unresolved pairs, which are located as one site each, differ less from ellipses;
    # ellipses have a ratio of 3 and more, and columns of experimental images of 0.9.
    max_misfit_share_unresolved: float = 0.8
    min_gain_std: float = 8.0
    # Range of the distance within a pair, in sigmas: nearer ones do not differ from
    # ellipses, farther ones need no such search. Other columns are at least this many
    # distances away, so that there are no pairs in a chain or a honeycomb.
    separation_range_sigma: tuple = (1.5, 6.0)
    min_gap_ratio: float = 1.3
    # Minimum ratio of the heights: fainter columns are a sublattice between others.
    min_height_ratio: float = 0.25


@dataclass(frozen=True)
class LatticeContinuationSettings:
    """Settings of the continuation of the lattice, with their reasons."""

    # Tails of columns are negligible beyond this distance, in units of sigma: 1 % of
    # the amplitude.
    tail_sigma: float = 3.0
    # Columns are hardly on the image up to this depth, in units of sigma.
    hardly_inside_sigma: float = 0.5
    # Tails of columns off the image matter above this sigma (spacings), with the next
    # column on the image up to a spacing away; a column this near to a predicted one
    # is the same (spacings).
    min_sigma_spacings: float = 0.18
    same_column_spacings: float = 0.6
    # Columns at places where the lattice continues start from this share of the
    # heights of their kind at least. They end with this share of them at least, and
    # no farther from there than this (spacings).
    min_start_share: float = 0.1
    min_filled_share: float = 0.5
    max_filled_shift_spacings: float = 0.25


@dataclass(frozen=True)
class LocateSettings:
    """Settings of the detection of columns, with their reasons."""

    # Narrower columns (spacings) are well separated: faint ones show in the residual.
    separated_sigma_spacings: float = 0.2
    # The background of a candidate is the mean around it, weighted by a Gaussian of
    # this sigma (spacings). The candidate's own pixel alone would underestimate the
    # background and with it the noise.
    level_reach_spacings: float = 0.5
    # Minimum height of peaks in the residual, relative to the brightest peak nearby.
    residual_threshold_share: float = 0.3
    # Where columns overlap, those that the lattice predicts are added this often at
    # most.
    max_n_fill_rounds: int = 4


@dataclass(frozen=True)
class PairFitSettings:
    """Settings of the fit of close pairs, with their reasons."""

    # Blob response of the middle of a pair in standard deviations of the noise. Maxima
    # of noise reach 4.
    min_significance_std: float = 5.0
    # Profiles along the pairs, on which their middles are determined, are medians over
    # this number of pairs that no border cuts, and are sampled at this number of
    # places within a separation.
    n_averaged: int = 7
    n_samples: int = 16
    # Elongation from which a column may be a pair, where most columns are pairs. It is
    # underestimated next to a border; all columns up to there may be pairs (spacings
    # of the pairs).
    min_axis_ratio: float = 1.15
    border_spacings: float = 1.5
    # Fitted pairs have these multiples of the typical separation, and that ratio of
    # the heights at least.
    separation_ratio_range: tuple = (0.6, 1.6)
    min_height_ratio: float = 0.1
    # Two columns fitted as one are wider than one: equal ones at the distance d have
    # the variance sigma² + d² / 8. A single column, whose partner is missing or off the
    # image, is narrower than at this share of the additional variance.
    min_excess_share: float = 0.25
    # Two kinds of columns differ in mean log height by this and by this number of
    # standard errors.
    min_log_contrast: float = 0.012
    min_contrast_std: float = 5.0


@dataclass(frozen=True)
class SigmaSettings:
    """Settings of the estimate of sigma, with their reasons."""

    # First guess of the sigma of a column, as a fraction of the spacing.
    first_sigma_spacings: float = 0.16
    # Two blob filters refine it; their sigmas in units of the guess.
    narrow_ratio: float = 0.75
    wide_ratio: float = 1.25
    # Side of the square from which sigma is estimated, in spacings and in px,
    # whichever is larger; and range of sigma relative to the first guess.
    side_spacings: int = 9
    min_side_px: int = 96
    sigma_ratio_range: tuple = (0.5, 1.6)
    # Fits are repeated until the sigma of the windows equals the fitted sigma, to
    # within this share.
    max_n_rounds: int = 4
    max_change_share: float = 0.04


@dataclass(frozen=True)
class MissedSublatticeSettings:
    """Settings of the search for a missed sublattice, with their reasons."""

    # Columns lie at the centres if the median response of the residual there is this
    # share of the columns' amplitude, this number of standard errors above zero, at
    # least twice that at any other place, and positive in this share of the cells.
    # Missed sublattices have at least 0.035, 20, 2.9 and 0.9 in generated images;
    # columns of one kind have at most 0.01 and negative values in experimental ones.
    min_share: float = 0.02
    min_significance_std: float = 10.0
    min_contrast_ratio: float = 2.0
    min_positive_share: float = 0.85
    min_n_cells: int = 9
    # Narrower columns than this (spacings) do not hide others between them.
    min_sigma_spacings: float = 0.11
    # Cells at least this far from the border are evaluated, in spacings.
    margin_spacings: float = 1.0
    # Faint columns nearer to a bright one than to the others, as the light element of
    # zinc blende, are peaks of the residual at one place relative to most columns, or
    # at two places, as in wurtzite, up to this share of the spacing from it. Misfits of
    # the profile end at this multiple of sigma.
    max_n_places: int = 2
    max_offset_spacings: float = 0.6
    min_offset_sigma: float = 3.5
    # Heights in standard deviations of the residual, shares of the columns that have
    # such a peak, and scatter of its place in spacings.
    min_peak_std: float = 6.0
    min_peak_share: float = 0.7
    max_place_scatter_spacings: float = 0.06


@dataclass(frozen=True)
class SelectionSettings:
    """Settings of the selection of columns, with their reasons."""

    # A faint column has at least this number of neighbours within a spacing and a
    # half.
    min_n_neighbors: int = 2
    # Minimum significance of weak columns.
    min_weak_std: float = 1.0
    # Fewer columns do not show what is usual of their kind: clear, weak or faint.
    min_n_of_kind: int = 20
    # Surrounded columns between these significances count as weak columns if there
    # are enough, at least this share of all, and if their median significance is this
    # high; otherwise they are noise in vacancies.
    weak_std_range: tuple = (1.5, 6.0)
    min_weak_share: float = 0.25
    min_median_std: float = 2.5
    # A column is faint below this share of the brightest one near it. A candidate at
    # an expected place is a column if it is this significant and has this share of
    # the height of the lower quarter of the nearest few, of faint ones if there are
    # enough.
    faint_share: float = 0.5
    n_of_kind: int = 8
    min_kind_share: float = 0.5
    min_expected_std: float = 2.0
    # A fitted column is noise if its amplitude is below this multiple of its standard
    # error, below this share of the lower quarter of the nearest few columns, and
    # lower than that quarter by this number of standard errors.
    min_fitted_std: float = 5.0
    # The same for columns within one sigma of the border.
    min_cut_std: float = 10.0
    min_fitted_share: float = 0.25
    min_fitted_deficit_std: float = 3.0
    # Within one sigma of the border, a centre is known to this share of sigma.
    max_border_std_sigma: float = 0.25
    # Columns of an image show how close they are, if they are this many: the least
    # distance is this share of that which all but a tenth of them keep, within these
    # ranges.
    min_n_known_columns: int = 30
    usual_quantile: float = 0.1
    usual_distance_share: float = 0.86
    alike_range_spacings: tuple = (0.45, 0.7)
    # Faint columns nearer to a bright one do not contribute to these distances.
    lenient_distance_spacings: float = 0.6
    faint_range_spacings: tuple = (0.55, 0.75)


@dataclass(frozen=True)
class ThresholdSettings:
    """Settings of the detection threshold and significance, with their reasons."""

    # Amplitudes above this multiple of CLEAR_STD standard errors need no
    # second test, for columns whose sigma differs from the typical one by no more
    # than the tolerance below (natural logarithm).
    sure_ratio: float = 2.5
    max_log_sigma_ratio: float = 0.3
    # Sigmas of the filters that faint columns are matched with, in units of that of
    # the bright ones: columns of light atoms are narrower.
    filter_sigma_ratios: tuple = (1.0, 0.7)
    # Columns this many sigmas apart do not overlap.
    overlap_sigma: int = 8


@dataclass(frozen=True)
class DetectionSettings:
    """All settings of the stage."""

    calibration: CalibrationSettings = CalibrationSettings()
    close_pairs: ClosePairsSettings = ClosePairsSettings()
    lattice_continuation: LatticeContinuationSettings = LatticeContinuationSettings()
    locate: LocateSettings = LocateSettings()
    pair_fit: PairFitSettings = PairFitSettings()
    sigma: SigmaSettings = SigmaSettings()
    missed_sublattice: MissedSublatticeSettings = MissedSublatticeSettings()
    selection: SelectionSettings = SelectionSettings()
    threshold: ThresholdSettings = ThresholdSettings()


DETECTION = DetectionSettings()
