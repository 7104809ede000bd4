"""Mixed precision: layers in bfloat16, other operations in single precision."""

from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def mixed_precision(model, device_type):
    """Run the layers of a model in bfloat16 within this context.

    Weights, gradients and operations between the layers remain in single precision,
    which coordinates and Fourier transforms require.

    Parameters
    ----------
    model : torch.nn.Module
        The model; modified in place and restored afterwards.
    device_type : str
        Type of the device of the model.
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
