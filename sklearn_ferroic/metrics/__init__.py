"""Circular statistics and scores of angles."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_circular": ["angle_registration", "angular_error", "circular_mean"]
    },
)
