"""Choice of the device."""

import multiprocessing
import threading
import warnings

import torch

from .fork import limit_threads_after_fork


def choose_device(device):
    """Return the device; ``"auto"`` selects the best one available."""
    limit_threads_after_fork()
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device={device!r} cannot be used here: {error} "
                'Choose "auto", "cpu" or a device that this machine has.'
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def warn_if_shared(device):
    """Warn where other workers are likely to train on the same, only GPU."""
    is_worker = multiprocessing.parent_process() is not None
    is_worker |= threading.current_thread() is not threading.main_thread()
    if device.type == "cuda" and torch.cuda.device_count() == 1 and is_worker:
        warnings.warn(
            "This fit runs in a worker, and this machine has one GPU, which takes one "
            'fit at a time. Search with n_jobs=1, or set device="cpu".',
            stacklevel=2,
        )
