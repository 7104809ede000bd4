"""Settings of the U-Net locator, grouped by module, each with its reason.

Names end in units, as those of the settings of `_image` do.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CropsSettings:
    """Settings of the crops for training, with their reasons."""

    # Spacings are seldom estimated right to the percent, and now and then those of
    # the A columns alone are: magnifications are drawn close to one, or from a wide
    # range.
    near_share: float = 0.04
    near_probability: float = 0.6
    wide_ratio_range: tuple = (0.6, 1.25)


@dataclass(frozen=True)
class EvidenceSettings:
    """Settings of the evidence and probability of columns, with their reasons."""

    sigma_px: float = 1.4
    # Minimum distance of columns in pixels of the network, rounded down.
    min_distance_px: int = 3
    # Each column has this number of others within this number of spacings, also at
    # the corners.
    min_n_neighbors: int = 2
    neighbor_reach_spacings: float = 1.6
    # Where there is less evidence than this, more than half of the usual number of
    # neighbours is required: there may be amorphous matter next to the crystal.
    doubtful_probability: float = 0.7
    min_doubtful_share: float = 0.5
    # Evidence is clipped to this distance from 0 and 1: logarithms remain finite.
    min_probability: float = 1e-4


@dataclass(frozen=True)
class AbsentColumnsSettings:
    """Settings of the test for absent columns, with their reasons."""

    # Columns are absent if the mean response of the residual image at this number of
    # neighbouring sites of their class is below this share of the amplitude of the
    # other class and below this number of standard errors: single sites are too noisy.
    # Faint sublattices have at least 0.16 and 4 in generated and multislice images,
    # crystals of one kind at most 0.045 and 5.5.
    n_averaged: int = 24
    min_share: float = 0.06
    min_significance_std: float = 6.0
    # A site whose own response exceeds that at its neighbours by this number of robust
    # standard deviations is a column in any case.
    max_own_std: float = 4.0
    # Fewer sites are not judged.
    min_n_sites: int = 8


@dataclass(frozen=True)
class UNetSettings:
    """All settings of the stage."""

    crops: CropsSettings = CropsSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    absent_columns: AbsentColumnsSettings = AbsentColumnsSettings()


UNET = UNetSettings()
