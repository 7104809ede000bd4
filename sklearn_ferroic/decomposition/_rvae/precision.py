"""Mixed precision: the layers in half of the bits, all else in single precision."""

from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def mixed_precision(model, device_type):
    """Let a model's layers compute in bfloat16 within this context.

    Weights, gradients and what lies between the layers stay in single precision:
    coordinates and Fourier transforms need it.

    Parameters
    ----------
    model : torch.nn.Module
        The model; changed in place and restored.
    device_type : str
        Type of the device where it computes.
    """
    with ExitStack() as stack:
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
                layer.forward = _in_bfloat16(layer.forward, device_type)
                stack.callback(delattr, layer, "forward")
        yield


def _in_bfloat16(forward, device_type):
    def compute(inputs):
        with torch.autocast(device_type, dtype=torch.bfloat16):
            return forward(inputs).float()

    return compute
