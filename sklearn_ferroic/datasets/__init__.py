"""Images of ferroelectrics: generated or simulated with ground truth, or loaded."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_ferroic": ["make_ferroic_image"],
        "_load_image": ["load_image"],
        "_multislice": ["load_multislice"],
        "_polycrystal": ["make_polycrystal"],
        "_series": ["make_ferroic_series"],
    },
)
