"""From atomic columns to rows of features."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_patches": ["PatchExtractor"],
        "_polarization": ["PolarizationVector"],
        "_pooled_polarization": ["pool_polarization"],
    },
)
