"""From atomically resolved STEM images to maps of ferroic variants.

Every stage is a scikit-learn estimator::

    images → AtomLocator → AtomSites → PatchExtractor → patches
           → RotationalVAE → angle, offsets, latents → AngleAwareScaler → features

and what follows, clustering, is scikit-learn itself. Sub-packages and estimators are
imported when they are first used, so that ``import sklearn_ferroic`` is light.
"""

import lazy_loader as _lazy

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "analysis",
        "datasets",
        "decomposition",
        "domains",
        "feature_extraction",
        "inspection",
        "localization",
        "metrics",
        "model_selection",
        "preprocessing",
        "registration",
        "sites",
    ],
    submod_attrs={
        "analysis": ["Analysis", "analyze"],
        "decomposition": [
            "AngularMoments",
            "MultiReferenceAlignment",
            "RotationalVAE",
            "RotationalVAEEnsemble",
        ],
        "feature_extraction": [
            "GridSampler",
            "LatticeStrain",
            "Motif",
            "MotifAssigner",
            "NeighborhoodDescriptor",
            "PatchExtractor",
            "PolarizationVector",
            "SlidingFFT",
        ],
        "localization": ["AtomLocator", "UNetAtomLocator"],
        "preprocessing": ["AngleAwareScaler", "AngleRegistration"],
        "registration": ["FrameAverager", "ScanDistortionCorrector"],
        "sites": ["AtomSites", "SiteFlag", "SiteQuality"],
    },
)
