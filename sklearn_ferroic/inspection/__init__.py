"""Pictures of sites, angles and latents, as scikit-learn's Display classes.

Importing this package or making a display loads no matplotlib; `plot` does.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_angle_histogram": ["AngleHistogramDisplay"],
        "_cell_map": ["CellMapDisplay"],
        "_cluster_means": ["ClusterMeansDisplay"],
        "_domain_map": ["DomainMapDisplay"],
        "_latent_distribution": ["LatentDistributionDisplay"],
        "_latent_manifold": ["LatentManifoldDisplay"],
        "_loading_map": ["LoadingMapDisplay"],
        "_polarization_map": ["PolarizationMapDisplay"],
        "_profile": ["ProfileDisplay"],
        "_search_results": ["SearchResultsDisplay"],
        "_site_quality": ["SiteQualityDisplay"],
        "_sites": ["SitesDisplay"],
    },
)
