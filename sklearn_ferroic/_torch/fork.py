"""Threads of torch in processes that were forked."""

import os

import torch

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
