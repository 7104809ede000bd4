"""Settings of the fit, grouped by module, each with its reason.

Names end in units, as those of the settings of `_image` do.
"""

from dataclasses import dataclass

from ..._image.pixels import MIN_SIGMA_BINS, MIN_SPACING_BINS


@dataclass(frozen=True)
class BackgroundSettings:
    """Settings of the background, with their reasons."""

    # The field averages over this many spacings (standard deviation): more where wide
    # columns leave few pixels of background between them.
    smoothing_spacings: tuple = (1.25, 2.5)
    # Columns overlap little up to the first share of sigma in the spacing, and
    # strongly from the second on.
    overlap_sigma_spacings: tuple = (0.235, 0.28)
    # Pixels are binned to this number of bins per spacing.
    n_bins_per_spacing: int = 2
    # A bin of the first, fine binning is at most sigma over this.
    n_bins_per_sigma: float = 1.2
    # Largest change of the heights and widths of columns nearby in one fit, as a
    # logarithm: the model stays nearly linear.
    max_log_correction: float = 0.3
    # Columns of pixels that are interpolated or smoothed at a time.
    strip_px: int = 64
    # Heights and widths do not change where the image does not determine them: their
    # diagonal elements are enlarged by this share.
    ridge_share: float = 1e-3


@dataclass(frozen=True)
class ColumnFitSettings:
    """Settings of the fit of columns, with their reasons."""

    # Rounds for all columns in preliminary and in final fits: for isolated columns,
    # and for overlapping ones, more the more they overlap; for ellipses, which
    # converge slowly.
    n_rounds_isolated: tuple = (2, 1)
    n_rounds_overlapping: tuple = ((3, 3), (3, 8))
    n_rounds_shape: int = 5
    # Maximum number of rounds after these, for the columns that have not converged.
    max_n_extra_rounds: int = 12
    # If the windows of the columns that have stepped add up to less than this share of
    # the image, only the parts that they reach into are computed again.
    max_windows_share: float = 0.25
    # Factor of corrections of the background, for isolated and for overlapping
    # columns: corrections without those of the columns are too small, but where
    # columns overlap, they include in part what the columns are about to correct.
    background_gain_ratios: tuple = (1.4, 1.0)
    # Pixels from which the noise is estimated.
    n_noise_pixels: int = 50_000
    # Minimum noise of the brightest pixels, in median amplitudes of the columns: no
    # column is known better than this, and smaller steps gain nothing.
    min_noise_share: float = 1e-2
    # Columns whose mean squared weighted residual exceeds this multiple of the median
    # are left out of the noise estimate: bright particles show no noise.
    max_misfit_ratio: int = 4
    # Minimum degrees of freedom of a pixel: the estimate stays finite.
    min_freedom_share: float = 0.3
    # Common stretch below which columns count as round: the logarithm of the ratio of
    # the axes, and that in standard errors.
    min_log_stretch: float = 0.03
    min_stretch_std: int = 4
    # Pixels above this share of the height of rejected columns are not background.
    rejected_height_share: float = 0.01
    # Factor by which the sigma of a fit grows per step, and maximum number of steps.
    sigma_step_ratio: float = 1.1
    max_n_sigma_steps: int = 4


@dataclass(frozen=True)
class ColumnStateSettings:
    """Settings of the bounds, priors and steps of columns, with their reasons."""

    # No column becomes higher than this multiple of the height that it starts from.
    max_growth_ratio: int = 10
    # Columns this many sigmas apart do not affect each other's fits: the overlap of two
    # Gaussians has fallen to 1e-4.
    coupling_reach_sigma: int = 6
    # Columns continue to step whose last step was longer than this, in standard
    # errors: the next step of an isolated column is several times shorter. Columns
    # within twice of that have converged.
    tolerance_isolated_std: float = 0.5
    tolerance_std: float = 0.1
    # Columns do not fit their profile if the mean squared residual exceeds this
    # multiple of that of the median column, and the root mean square this share of
    # their height.
    max_misfit_ratio: int = 12
    max_deviation_share: float = 0.15
    # Standard deviations of the predicted centres of columns off the image, and of
    # their heights relative to the predicted ones: those of the sites of strained
    # crystals.
    outer_position_std_spacings: float = 0.1
    outer_height_scatter_share: float = 0.5
    # Largest step of a position and of a sigma, in sigmas: the model stays nearly
    # linear.
    max_position_step_sigma: float = 0.4
    max_sigma_step_sigma: float = 0.25
    # Widths and heights of overlapping columns change slowly together, without effect
    # on the positions: their steps count by this factor.
    width_step_ratio: float = 0.1
    # Columns of a smaller spacing and sigma (px) are coarsely sampled: one midway
    # between pixels covers four of them evenly, which hardly determine its height and
    # width separately. In cells of 5.0 px, the second sublattice has only such columns.
    # Steps of single columns diverge there, and joint ones unless they are shorter, by
    # this factor. Bins are finer than this.
    coarse_spacing_px: float = MIN_SPACING_BINS
    coarse_sigma_px: float = MIN_SIGMA_BINS
    coarse_step_ratio: float = 0.5
    # Wider columns, in spacings, are fitted jointly, for steps of single columns
    # converge slowly or not at all: on square lattices, and where most columns have
    # at least this number of neighbours within this distance, as on hexagonal ones,
    # or where each column has an ellipse of its own.
    max_sigma_spacings: float = 0.225
    max_sigma_spacings_dense: float = 0.19
    min_n_neighbors_dense: int = 5
    neighbor_reach_spacings: float = 1.25
    # Columns are crowded if the normalized overlaps with all others add up to more
    # than this for the most crowded tenth of them. Of a square lattice with a sigma
    # of 0.235 spacings they add up to 0.06.
    max_overlap_share: float = 0.06
    crowded_quantile: float = 0.9
    # Farthest that a column may move from its start, and largest standard error of a
    # position of a converged column, spacings.
    max_shift_spacings: float = 0.35
    max_std_spacings: float = 0.25


@dataclass(frozen=True)
class ColumnTailsSettings:
    """Settings of the estimate of the tails, with their reasons."""

    # Sigma of the tails in sigmas of the column. Wider tails are nearly uniform and
    # displace no column; narrower ones are a part of the column's own width.
    sigma_ratio: float = 2.0
    # Tails of narrower columns (spacings) end before the neighbours: they displace them
    # by a twentieth of what those of columns of 0.22 spacings do.
    min_sigma_spacings: float = 0.15
    # Tails below this share of the amplitude displace no column by more than a
    # thousandth of a spacing, and are not distinct from a slowly varying background.
    min_share: float = 0.005
    min_significance_std: float = 5.0
    # A mean over squares of this side, taken twice, is subtracted: the background
    # varies over longer distances (spacings).
    background_side_spacings: float = 2.5
    # The lattice may continue beyond the border, with columns that are not known
    # (spacings).
    margin_spacings: float = 2.5
    # The variance of means of the residual over squares of this side (spacings) is at
    # most this multiple of that of white noise. Otherwise the background varies between
    # columns: columns on brighter places have higher amplitudes, and what is around
    # them would pass for tails. Images of tails alone have at most 1.07, those of
    # rough backgrounds that would shorten displacements by 1 % have at least 1.12.
    square_spacings: float = 0.5
    max_variance_ratio: float = 1.1
    # Fewer columns do not show the tails.
    min_n_columns: int = 50
    # Largest share of the tails that a fit may make up for, and largest share of the
    # tails themselves: the core of the column remains the larger part.
    max_missing_share: float = 0.5
    max_share: float = 0.4
    # Fits after the tails have been subtracted: the first one makes the estimate of the
    # tails better.
    n_fits: int = 2
    # Relative change of sigma for its derivative.
    sigma_step_share: float = 0.02


@dataclass(frozen=True)
class ErrorCalibrationSettings:
    """Settings of the calibration of errors, with their reasons."""

    # Columns whose residual is projected, about: 700 of a kind determine its errors to
    # 3 % in white noise, and to 8 % where noise is correlated.
    # They lie in squares of this side (spacings), which contain neighbours.
    n_projected_columns: int = 1500
    square_spacings: float = 8.0
    # With fewer columns, the noise in the band of the columns is a better estimate.
    min_n_columns: int = 20
    # Kinds of columns are calibrated separately if their heights differ by this factor
    # and their calibrations by this number of standard errors.
    min_height_ratio: float = 1.3
    min_significance_std: float = 3.0
    # Range of the calibration of variances.
    variance_ratio_range: tuple = (0.02, 50.0)
    # Squares beyond this multiple of the median belong to defects: of a normal
    # distribution one in a million.
    max_square_ratio: float = 50.0
    # Correlations are measured with this number of nearest columns of the same kind.
    n_around: int = 8
    # Correlated noise increases the variance of positions by factors from and to these,
    # all equally probable in the logarithm, with this probability of none. The mean of
    # q is that of correlation lengths of 0.4 to 2 sigma, for the probe is as wide as
    # the columns. Around it, q has a beta distribution of this sum of parameters:
    # correlation lengths within a factor of 1.5 or so.
    excess_ratio_range: tuple = (0.02, 200.0)
    n_excesses: int = 60
    white_probability: float = 0.2
    q_ratio_range: tuple = (0.2, 0.85)
    n_q: int = 14
    q_concentration: float = 12.0


@dataclass(frozen=True)
class FisherScoringSettings:
    """Settings of the Fisher-scoring steps, with their reasons."""

    # Columns whose equations are solved at a time: their matrices stay in the cache.
    n_block_columns: int = 4096
    # Rows whose deviance is computed at a time, in double precision.
    n_block_rows: int = 64
    # Residuals are clipped at this multiple of the pixel's standard deviation: beyond
    # are hot pixels and features other than columns.
    max_residual_std: int = 6
    # The core of a column is above this share of its height. Outliers there speak
    # against its profile.
    core_height_share: float = 0.2
    # The information on a column is computed again if its last step was longer than
    # this, in standard errors.
    max_stale_step_std: float = 1.0


@dataclass(frozen=True)
class JointEquationsSettings:
    """Settings of the joint equations, with their reasons."""

    # Derivatives are computed up to this distance from a column, in units of its
    # sigma.
    derivative_reach_sigma: float = 3.5
    # Relative accuracy of the solution, and most iterations.
    tolerance_share: float = 3e-2
    max_n_iterations: int = 40
    # Noise is propagated with next to no damping.
    probe_damping_ratio: float = 1e-3
    # Rounds that the spectrum of the noise takes, by what it may change in one, and
    # rings of frequency that it has at most; simulations for the errors.
    n_spectrum_rounds: int = 2
    spectrum_ratio_range: tuple = (0.1, 10.0)
    max_n_rings: int = 16
    n_simulations: int = 2
    # Minimum share of the noise that a fit leaves.
    min_remaining_share: float = 0.05
    # Distance of the nodes between which the background is linear, in spacings: the
    # more the columns overlap, the less background shows between them.
    node_distances_spacings: tuple = (2.5, 4.0)
    # Weight of differences between neighbouring nodes, relative to the mean weight of
    # a node: decides where no pixel counts.
    smoothness_ratio: float = 1e-3


@dataclass(frozen=True)
class JointFitSettings:
    """Settings of the joint fit, with their reasons."""

    # Maximum number of rounds of a preliminary fit. A fit has converged when its
    # objective, or this value per pixel if the image has hardly any noise, has
    # decreased by less than this share in each of three rounds.
    max_n_preliminary_rounds: int = 14
    min_objective_variances: float = 0.01
    min_decrease_share: float = 4e-4
    n_stalled_rounds: int = 3
    # Rounds before columns may be rejected, and before a fit counts as converged.
    n_patience_rounds: int = 3
    # Damping of the Gauss-Newton steps, and factors by which it changes after good
    # and bad ones.
    first_damping_ratio: float = 0.03
    min_damping_ratio: float = 0.01
    max_damping_ratio: float = 10.0
    less_damping_ratio: float = 3.0
    more_damping_ratio: float = 5.0
    # Columns have converged that changed by less than twice this in the last rounds,
    # in standard errors.
    tolerance_std: float = 0.25
    # Farthest extrapolation, in units of the steps before.
    max_n_extrapolated_steps: float = 10.0


@dataclass(frozen=True)
class RenderSettings:
    """Settings of the sums of columns, with their reasons."""

    # Side of a tile in units of the reach.
    tile_reaches: int = 4
    # Exponent beyond which a column is negligible.
    max_log_fall: int = 30
    # Columns that have moved less than this keep their tiles, in the same units.
    slack_reaches: float = 0.2
    # Minimum number of tiles at a time.
    n_tiles: int = 128


@dataclass(frozen=True)
class SimilarColumnsSettings:
    """Settings of the choice of neighbours of the same kind, with their reasons."""

    # Of this number of nearest columns, those whose amplitudes differ by less than this
    # logarithm of the ratio. Those of one kind scatter less, also on a background that
    # varies from column to column, which would otherwise pass for tails.
    n_nearest: int = 24
    max_log_ratio: float = 0.35


@dataclass(frozen=True)
class FittingSettings:
    """All settings of the stage."""

    background: BackgroundSettings = BackgroundSettings()
    column_fit: ColumnFitSettings = ColumnFitSettings()
    column_state: ColumnStateSettings = ColumnStateSettings()
    column_tails: ColumnTailsSettings = ColumnTailsSettings()
    error_calibration: ErrorCalibrationSettings = ErrorCalibrationSettings()
    fisher_scoring: FisherScoringSettings = FisherScoringSettings()
    joint_equations: JointEquationsSettings = JointEquationsSettings()
    joint_fit: JointFitSettings = JointFitSettings()
    render: RenderSettings = RenderSettings()
    similar_columns: SimilarColumnsSettings = SimilarColumnsSettings()


FITTING = FittingSettings()
