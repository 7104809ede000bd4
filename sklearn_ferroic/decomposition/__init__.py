"""From rows of features to pose and latents."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_angular_moments": ["AngularMoments"],
        "_ensemble": ["RotationalVAEEnsemble"],
        "_multi_reference_alignment": ["MultiReferenceAlignment"],
        "_rotational_vae": ["RotationalVAE"],
    },
)
