"""Pictures of sites, angles and latents, as scikit-learn's Display classes.

Importing this package or making a display loads no matplotlib; `plot` does.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_angle_histogram": ["AngleHistogramDisplay"],
        "_domain_map": ["DomainMapDisplay"],
        "_latent_manifold": ["LatentManifoldDisplay"],
        "_polarization_map": ["PolarizationMapDisplay"],
        "_sites": ["SitesDisplay"],
    },
)
