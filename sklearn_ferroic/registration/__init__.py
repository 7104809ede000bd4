"""Average of frames, and correction of drift and jitter, before columns are located."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_frame_averager": ["FrameAverager"],
        "_scan_distortion_corrector": ["ScanDistortionCorrector"],
    },
)
