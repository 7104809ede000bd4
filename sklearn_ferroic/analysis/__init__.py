"""From an image file to sites, variants, figures and a report in one call."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={"_analyze": ["analyze"], "_result": ["Analysis"]},
)
