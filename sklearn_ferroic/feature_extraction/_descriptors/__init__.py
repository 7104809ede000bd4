"""Descriptors of the surroundings of sites other than windows."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "grid_sampler": ["GridSampler"],
        "neighborhood": ["NeighborhoodDescriptor"],
        "sliding_fft": ["SlidingFFT"],
    },
)
