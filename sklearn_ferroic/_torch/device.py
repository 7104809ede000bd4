"""Choice of the device, and threads of torch in forked processes."""

import multiprocessing
import os
import threading
import warnings

import torch


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


_is_forked = False


def _note_fork():
    global _is_forked
    _is_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def limit_threads_after_fork():
    """Let torch run with one thread in a process that was forked.

    The threads that torch had before the fork do not exist in the child, which would
    wait for them for ever.
    """
    if _is_forked and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
