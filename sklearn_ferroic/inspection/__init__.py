"""Figures of sites, angles and latents, as Display classes in scikit-learn's style.

Importing this package or making a display loads no matplotlib; `plot` does.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_plot.angle_histogram": ["AngleHistogramDisplay"],
        "_plot.maps.cell_map": ["CellMapDisplay"],
        "_plot.cluster_means": ["ClusterMeansDisplay"],
        "_plot.maps.domain_map": ["DomainMapDisplay"],
        "_plot.latents.latent_distribution": ["LatentDistributionDisplay"],
        "_plot.latents.latent_manifold": ["LatentManifoldDisplay"],
        "_plot.maps.loading_map": ["LoadingMapDisplay"],
        "_plot.maps.polarization_map": ["PolarizationMapDisplay"],
        "_plot.profile": ["ProfileDisplay"],
        "_plot.search_results": ["SearchResultsDisplay"],
        "_plot.series.scan_distortion": ["ScanDistortionDisplay"],
        "_plot.series.switching": ["SwitchingDisplay"],
        "_plot.site_quality": ["SiteQualityDisplay"],
        "_plot.sites": ["SitesDisplay"],
    },
)
