"""Splitters with spatial blocks, and helpers to choose the number of clusters."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_comparison": [
            "SimplestCandidate",
            "compare_candidates",
            "split_size_ratio",
        ],
        "_component_scores": ["component_scores"],
        "_label_stability": ["label_stability"],
        "_spatial_block": ["RepeatedSpatialBlockKFold", "SpatialBlockKFold"],
        "_spatial_shuffle": ["SpatialShuffleSplit", "single_split"],
    },
)
