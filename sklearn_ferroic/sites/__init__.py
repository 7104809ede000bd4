"""The sample set that all stages share: one row is one atomic column."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_atom_sites": ["AtomSites"],
        "_flags": ["SiteFlag"],
        "_quality.summary": ["SiteQuality"],
        "_tracking": ["SiteTracks"],
    },
)
