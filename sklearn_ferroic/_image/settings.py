"""Settings of the analysis of pixels, grouped by module, each with its reason.

Names end in what a number counts or divides: `px`, `spacings`, `sigma` (multiples of
the typical sigma of a column), `std` (standard deviations or errors), `share` (of
something, at most 1), `ratio`, `ranges` (of the values of an image), `distances` (of
the bright columns), `periods` (of a reflection or the lattice), `samples` (of a
spectrum), `variances`, `log` (a natural logarithm), `sine`, `quantile`; `n` begins the
number of things.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class BadPixelsSettings:
    """Settings of the treatment of bad pixels, with their reasons."""

    # Hot pixels are this number of ranges beyond the range, and deviate from its
    # middle by this multiple of the deviation of their third neighbour: two of them
    # may be hot too, and the third has half the height of a column that is as narrow
    # as a pixel.
    min_excess_ranges: int = 2
    min_third_ratio: int = 4
    # They also deviate by this factor more than any pixel that is not hot: in nearly
    # empty images, columns are beyond the range, too.
    min_column_ratio: float = 1.5
    # A square is used if at least this share of its pixels is good.
    min_good_share: float = 0.2


@dataclass(frozen=True)
class BadLinesSettings:
    """Settings of the search for bad lines and blocks, with their reasons."""

    # Lines are compared with the median of this number of lines on either side, so that
    # up to that number of bad ones may be next to each other.
    reach_px: int = 3
    # Most pixels of a bad line, all but this share, differ from the lines around it ...
    spared_share: float = 0.4
    # ... by this share of the range of the image's values ...
    min_difference_ranges: float = 0.5
    # ... and by this factor more than nearly all lines differ, among them those through
    # rows of columns, which are more than one in twenty.
    min_usual_ratio: int = 3
    usual_share: float = 0.95
    # Shares of pixels of one value in a dead line, and in the lines around it.
    dead_share: float = 0.99
    alive_share: float = 0.5
    # Number of pixels of a line that are sampled.
    n_sampled_pixels: int = 256
    # Fewer lines do not show what is usual.
    min_n_lines: int = 24
    # Sides of a bad block, the share of its rectangle that it fills, and the largest
    # share of the image: what is larger may be vacuum, or the frame of a registration.
    min_block_px: int = 8
    min_filled_share: float = 0.95
    max_block_share: float = 0.25
    # Blocks are beyond the range of the values by this share of it.
    beyond_ranges: float = 0.1


@dataclass(frozen=True)
class HiddenColumnsSettings:
    """Settings of the search for hidden columns, with their reasons."""

    # Blocks of about this side, in spacings, are resampled to a spacing of these
    # pixels and smoothed by a Gaussian of that sigma. All lengths below are in such
    # pixels.
    block_spacings: int = 13
    min_block_spacings: int = 5
    spacing_px: int = 14
    smoothing_px: float = 0.8
    # Number of blocks that are evaluated, and their minimum contrast as a share of this
    # quantile of all: others may show vacuum or amorphous matter.
    n_blocks: int = 4
    min_contrast_share: float = 0.6
    best_quantile: float = 0.9
    # Number of blocks that agree after which no others are evaluated.
    n_agreeing_blocks: int = 2
    # Columns closer than this, in pixels of the image, are not resolved.
    min_spacing_px: float = 3.0
    # Half the side of the windows, and smallest and largest number of columns of a
    # block.
    reach_px: int = 21
    min_n_columns: int = 8
    max_n_columns: int = 400
    # Heights of columns are measured from the mean over squares of this side, which
    # contain several columns.
    level_side_spacings: int = 3
    # One in this number of columns, and at least the minimum, is among the brightest,
    # so that neither the height of a single bright particle nor that of faint columns
    # is the reference.
    n_columns_per_brightest: int = 5
    min_n_brightest: int = 3
    # Bright columns have this share of the height of the brightest at least,
    # and no brighter one within this distance: of close pairs, one column is taken.
    min_bright_share: float = 0.6
    isolated_px: int = 6
    # The window is 0 at its darkest pixel within this distance of the centre: farther
    # out, the mean is blurred by the scatter of the spacing.
    dark_reach_spacings: float = 1.2
    # Maxima of the window and of residuals are the highest pixels of squares of this
    # side, smaller than any distance of columns.
    maxima_side_px: int = 5
    # Maxima of the window this far from its centre and of this share of its height
    # are other columns; those of that share are of the same kind.
    min_distance_px: float = 3.8
    min_height_share: float = 0.1
    same_kind_share: float = 0.6
    # Between resolved columns the window falls by this share of the lower one's
    # height and by this share of the central one's.
    min_dip_share: float = 0.05
    min_depth_share: float = 0.03
    # They count if they make up a close pair of columns, or surround one: in the rows
    # of unresolved pairs, the ends of two may be nearer to each other than their
    # middles.
    max_pair_px: float = 7.7
    min_n_around: int = 3
    # Neighbours of less than this share of farther ones' height are of another kind.
    other_kind_share: float = 0.9
    # Two vectors whose directions differ by less than this, as a sine, are along one
    # row of columns.
    min_basis_sine: float = 0.4
    # The model of the window is a lattice of this number of cells on either side of the
    # centre, without the columns farther away than this, which contribute nothing to
    # the pixels that are compared.
    n_lattice_cells: int = 4
    lattice_reach_spacings: float = 2.6
    # These are the pixels to which the central column is the nearest, or farther away
    # than the nearest by at most this: a hidden column on the border of the cell is
    # seen completely.
    cell_margin_distances: float = 0.15
    # The residual of the lattice is smoothed against noise by a Gaussian of this sigma,
    # narrower than a column, and this number of its highest maxima are tried as places.
    residual_sigma_px: float = 1.2
    n_residual_maxima: int = 3
    # Places of low symmetry must explain this much more of the sum of squares than
    # those of high symmetry, because they are chosen from the residual.
    min_improvement_share: float = 0.04
    # Bright columns may be ellipses of up to this ratio of the axes, ...
    max_axis_ratio: float = 2.5
    # ... estimated within this distance from their centres, in distances of them, and
    # within at least these px, which contain more pixels than the fit has parameters.
    core_distances: float = 0.25
    min_core_px: float = 2.5
    # The logarithm of the window is taken of at least this share of its height, as
    # noise makes values negative.
    min_core_share: float = 0.05
    # Range of the sigma of the core, in distances of bright columns: narrower ones are
    # below the smoothing, and broader columns would not be separate maxima.
    min_core_sigma_distances: float = 0.08
    max_core_sigma_distances: float = 0.3
    # The fits of the ellipse alone and of ellipse and place converge in these numbers
    # of evaluations, from a simplex of these steps (half the logarithm of the ratio of
    # the axes, and distances of bright columns).
    n_ellipse_evaluations: int = 25
    n_place_evaluations: int = 45
    ellipse_step_log: float = 0.15
    place_step_distances: float = 0.05
    # Noise is correlated by the smoothing and, as by a Gaussian of this sigma, by the
    # resampling.
    resampling_px: float = 0.5
    # Columns in between are at least this far from the bright ones, in distances of
    # them, for elongated columns may be pairs and bridge the gap to the next ones.
    min_hidden_distances: float = 0.55
    # They have a share of the height of the bright ones between these, explain that
    # share of the sum of squares that the bright ones leave, and exceed this many
    # standard errors.
    min_share: float = 0.06
    max_share: float = 0.5
    min_first_explained_share: float = 0.4
    min_explained_share: float = 0.6
    min_significance_std: int = 6
    # Where the bright columns leave a root mean square below this share of their
    # height, hidden ones must explain at least the share below: so little may be due
    # to a profile other than a sum of Gaussians and discs.
    small_misfit_share: float = 0.012
    min_small_explained_share: float = 0.8
    # They matter if they make the spacing smaller than this share of what it was.
    max_spacing_ratio: float = 0.87
    # Distances up to this ratio are of one shell of neighbours.
    shell_ratio: float = 1.15
    # Distances found in several blocks agree to within this share.
    agreement_share: float = 0.08


@dataclass(frozen=True)
class NoiseSettings:
    """Settings of the estimate of the noise, with their reasons."""

    # Bins of the mean in which the variance is measured, and minimum number of pixels
    # in one.
    n_bins: int = 16
    min_n_bin_pixels: int = 100
    # Squared residuals are clipped at this multiple of the variance, five standard
    # deviations: pixels beyond are hot, or belong to a column that the model lacks.
    # At first, this share of the largest ones is left out.
    clip_variances: int = 25
    trimmed_share: float = 0.01
    n_clipping_rounds: int = 3
    # Rounds in which bins far off the line, with pixels of a particle, are
    # downweighted, and the relative error that bins have anyway.
    n_reweightings: int = 4
    min_error_share: float = 0.05
    # The variance of a bin is at least this share of the mean: weights remain finite.
    min_bin_variance_share: float = 1e-2
    # The same for a pixel, as a share of the variance of the darkest regions: where
    # columns are fitted below those, the variance is hardly known.
    min_variance_share: float = 0.1
    # Relative error of pixels in float32: noise below is none.
    rounding_share: float = 1e-6
    # Second difference along both axes, normalized to unit noise: it removes
    # structure that is smooth over three pixels.
    second_difference_ratio: float = 6.0
    # Side of the square over which the mean of a pixel is taken for the first
    # estimate, px.
    mean_side_px: int = 3
    # About as many pixels are enough for the first estimate.
    n_guess_pixels: int = 30_000
    # The range of an image is estimated from one pixel in this number, and from about
    # the second number of pixels at most.
    sample_step_px: int = 23
    n_sampled_pixels: int = 50_000


@dataclass(frozen=True)
class ReflectionsSettings:
    """Settings of the search for reflections, with their reasons."""

    # A reflection exceeds the mean power of noise at its frequency by this factor,
    # which one sample of noise in 10^9 does.
    min_excess_ratio: int = 21
    # The mean of noise is taken over rings, over squares of this side and over lines
    # of this length, in samples of the spectrum: the detector's blur depends on the
    # direction, interference of random phase fills a line.
    square_samples: int = 15
    line_samples: int = 61
    # The strongest reflections are compared with each other, ...
    n_compared: int = 32
    # ... none within this many samples of a stronger one, whose flank it would be.
    min_apart_samples: int = 4
    # A sum of two reflections is a third one to within this, for all are rounded.
    max_off_samples: int = 1
    # Reflections whose directions differ by less than this, as a sine, are of one
    # row.
    min_sine: float = 0.2
    # A reflection does not belong to the lattice if the number of its sums with
    # others is below this share of the largest such number, provided that the largest
    # reaches the minimum below.
    min_support_share: float = 0.25
    min_n_sums: int = 2
    # Of three reflections that make up a sum, the weakest has at least this share of
    # the power of the next one, or its weight is reduced in proportion.
    min_sum_share: float = 0.1
    # A reflection is kept without such sums if at least this number of others have its
    # length to within this share, as in images of many grains; a single crystal has
    # three at most.
    min_n_on_ring: int = 4
    ring_width_share: float = 0.04
    # A reflection that does not belong to the lattice is interference if its strength
    # is at least this share of that of the lattice's strongest one.
    min_strength_share: float = 0.1
    # Interference is followed over this many of its periods, at least over these px.
    n_periods: int = 6
    min_followed_px: int = 24


@dataclass(frozen=True)
class SpacingSettings:
    """Settings of the estimate of the spacing, with their reasons."""

    # Tiles are analysed one by one and their autocorrelations averaged. Larger ones
    # follow where the smaller ones contain too few periods or show none.
    tile_sides_px: tuple = (512, 1024, 2048)
    min_n_periods: int = 10
    # Neighbours are detected within this number of periods. The strongest reflection
    # of columns narrow for their spacing is of a high order: if no lag within those
    # maps this share of the columns onto others, lattices reach farther, or noise is
    # strong.
    reach_periods: float = 2.1
    long_reach_periods: float = 3.5
    min_near_share: float = 0.8
    # A neighbour is a maximum of the autocorrelation that exceeds the mean over this
    # number of periods around by at least this share of the highest such excess.
    # Between narrow columns, the minima that the high-pass filter causes around them
    # enclose weak maxima.
    around_periods: float = 0.25
    min_height_share: float = 0.1
    # Noise causes ripples of the autocorrelation, whose standard deviation is one over
    # the root of the number of pixels; neighbours exceed this multiple of it.
    max_ripple_std: int = 6
    # Sigma of the Gaussian by which the autocorrelation is smoothed, narrower than any
    # column.
    smoothing_periods: float = 0.07
    # Images are binned for the autocorrelation to periods no shorter than this, px.
    min_period_px: float = 5.5
    # Where there are many lattices, no lag maps this share of the columns onto
    # others: squares of this number of periods show one lattice each, and half of
    # them agree on the spacing to that relative tolerance.
    max_mixed_share: float = 0.5
    grain_periods: int = 8
    agreement_share: float = 0.05


@dataclass(frozen=True)
class TilesSettings:
    """Settings of the tiles and sample of an image, with their reasons."""

    # What is done to a column depends on the image within this many spacings.
    overlap_spacings: int = 10
    # Columns this close to a tile's core may be its own: no rounding loses them, px.
    slack_px: float = 0.5
    # Side of the squares of a sample, in spacings, their number, the gaps between
    # them, and the side of the blocks that they are chosen by, in spacings.
    sample_side_spacings: int = 12
    n_squares: int = 4
    gap_spacings: int = 4
    block_spacings: int = 3
    # Squares with less than this share of the strongest contrast show no columns.
    min_contrast_share: float = 0.02


@dataclass(frozen=True)
class ImageSettings:
    """All settings of the stage."""

    bad_pixels: BadPixelsSettings = BadPixelsSettings()
    bad_lines: BadLinesSettings = BadLinesSettings()
    hidden_columns: HiddenColumnsSettings = HiddenColumnsSettings()
    noise: NoiseSettings = NoiseSettings()
    reflections: ReflectionsSettings = ReflectionsSettings()
    spacing: SpacingSettings = SpacingSettings()
    tiles: TilesSettings = TilesSettings()


IMAGE = ImageSettings()
