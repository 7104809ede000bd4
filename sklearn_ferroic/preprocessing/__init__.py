"""Features for clustering from angles, offsets and latents."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_angle_aware_scaler": ["AngleAwareScaler"],
        "_angle_registration": ["AngleRegistration"],
    },
)
