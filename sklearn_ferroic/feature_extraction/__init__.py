"""From atomic columns to rows of features."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_born_charges": ["born_charges", "displacement_to_polarization"],
        "_descriptors": ["GridSampler", "NeighborhoodDescriptor", "SlidingFFT"],
        "_lattice_strain": ["LatticeStrain"],
        "_motif": ["Motif", "MotifColumn"],
        "_motif_assigner": ["MotifAssigner"],
        "_patches": ["PatchExtractor", "suggest_window_size"],
        "_polarization": ["PolarizationVector", "measure_lattice"],
        "_pooled_polarization": ["pool_polarization"],
    },
)
