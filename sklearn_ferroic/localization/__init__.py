"""Location of atomic columns in images."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_atom_locator": ["AtomLocator"],
        "_unet_atom_locator": ["UNetAtomLocator"],
    },
)
