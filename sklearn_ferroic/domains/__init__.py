"""From labels and displacements to domains, walls, topology and profiles."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_antipolar": ["antipolar_order"],
        "_find_domains": ["find_domains"],
        "_find_walls": ["find_walls"],
        "_label_smoothing": ["label_smoothing"],
        "_maps": ["cell_table", "to_hyperspy", "to_xarray"],
        "_profiles": ["layer_profile", "profile_across", "profile_along"],
        "_switching": ["Switching", "find_switching"],
        "_topology": ["burgers_vector", "find_vortices", "vector_topology"],
    },
)
