"""The network: an encoder and a decoder with skip connections that are added."""

import torch
from torch import nn
from torch.nn import functional

from ..._torch.device import limit_threads_after_fork

# Levels below the first halve the sides each.
N_LEVELS = 4
# Sides of the images are padded to multiples of this.
STRIDE = 2 ** (N_LEVELS - 1)
CLASSES = ("background", "A", "B")
N_CLASSES = len(CLASSES)


class UNet(nn.Module):
    """U-Net that maps a normalised image to the logits of the classes at each pixel.

    Parameters
    ----------
    n_filters : int
        Filters of the first level; the next ones have 2, 3 and 4 times as many.

    References
    ----------
    O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for
    biomedical image segmentation", MICCAI (2015) 234-241.
    """

    def __init__(self, n_filters):
        super().__init__()
        widths = [n_filters * (level + 1) for level in range(N_LEVELS)]
        self.down = nn.ModuleList(
            _block(fan_in, width)
            for fan_in, width in zip([1, *widths], widths, strict=False)
        )
        # From the coarsest level up.
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.narrow = nn.ModuleList(nn.Conv2d(deep, flat, 1) for deep, flat in steps)
        self.up = nn.ModuleList(_block(flat, flat) for _, flat in steps)
        self.head = nn.Conv2d(n_filters, N_CLASSES, 1)

    def forward(self, images):
        """Compute logits.

        Parameters
        ----------
        images : Tensor of shape (n, 1, h, w)
            Normalised images.

        Returns
        -------
        logits : Tensor of shape (n, 3, h, w)
            Of background, A and B.
        """
        height, width = images.shape[-2:]
        images = functional.pad(images, (0, -width % STRIDE, 0, -height % STRIDE))
        skips = []
        for block in self.down[:-1]:
            images = block(images)
            skips.append(images)
            images = functional.max_pool2d(images, 2)
        images = self.down[-1](images)
        for narrow, block in zip(self.narrow, self.up, strict=True):
            images = functional.interpolate(narrow(images), scale_factor=2)
            images = block(images + skips.pop())
        return self.head(images)[..., :height, :width]


def reach():
    """Compute the largest distance at which an input pixel has an effect, px."""
    per_level = [2 * 2**level for level in range(N_LEVELS)]
    # Two convolutions a block; pooling and enlarging include one more coarse pixel.
    total = 2 * sum(per_level[:-1]) + per_level[-1] + 2 * STRIDE
    return -(-total // STRIDE) * STRIDE


def new_network(n_filters, seed):
    """Build a network whose first weights follow from a seed alone."""
    network = _without_weights(n_filters)
    generator = torch.Generator("cpu").manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(
                layer.weight, nonlinearity="relu", generator=generator
            )
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def from_arrays(weights, n_filters):
    """Make a network from arrays, or tensors on the CPU."""
    limit_threads_after_fork()
    network = _without_weights(n_filters)
    network.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    return network


def state_shapes(n_filters):
    """Return the shapes of a network's weights by their names."""
    with torch.device("meta"):
        state = UNet(n_filters).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}


def _block(fan_in, width):
    return nn.Sequential(
        nn.Conv2d(fan_in, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def _without_weights(n_filters):
    # Layers built in the ordinary way draw from torch's global generator.
    with torch.device("meta"):
        network = UNet(n_filters)
    return network.to_empty(device="cpu")
