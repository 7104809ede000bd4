"""Spatially honest splitters: blocks of neighbouring columns, with a guard band."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_spatial_block": ["SpatialBlockKFold"],
        "_spatial_shuffle": ["SpatialShuffleSplit", "single_split"],
    },
)
