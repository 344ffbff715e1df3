r"""Batch normalisation: every hidden value is centred and scaled over the batch.

.. math::
    y = \gamma\, \frac{h - \mathrm{mean}(h)}{\sqrt{\mathrm{var}(h) + \epsilon}} + \delta

Training takes mean and variance of the batch and lets running averages follow them; everything
else takes the running averages, so that a value never depends on its neighbours. The averages are
buffers: snapshots, keyframes and files carry them, and a repeated step repeats them bit for bit.

References:
    Ioffe and Szegedy, *Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift*, ICML 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.nets.mlp import ACTIVATIONS

MOMENTUM = 0.1
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Hidden values (…, C), or maps (N, C, H, W) with ``maps``, normalised over all other axes.

    Statistics are of the batch only where a gradient is being taken in train mode, of two rows or
    more: a sample drawn from a model in training leaves the averages alone.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, n_features: int, *, maps: bool = False) -> None:
        super().__init__()
        self.maps = maps
        self.weight = nn.Parameter(torch.ones(n_features))
        self.bias = nn.Parameter(torch.zeros(n_features))
        self.register_buffer("running_mean", torch.zeros(n_features))
        self.register_buffer("running_variance", torch.ones(n_features))

    def forward(self, h: Tensor) -> Tensor:
        """The same shape."""
        flat = h if self.maps else h.reshape(-1, h.shape[-1])
        learns = self.training and torch.is_grad_enabled() and flat.shape[0] > 1
        out = F.batch_norm(
            flat,
            self.running_mean,
            self.running_variance,
            self.weight,
            self.bias,
            training=learns,
            momentum=MOMENTUM,
            eps=EPSILON,
        )
        return out.reshape(h.shape)


def without_bias(layer: nn.Module) -> nn.Module:
    """Take away the bias of a layer whose output is centred next; returns the layer, changed.

    Its gradient is 0 but for rounding, which Adam would blow up to steps of full size: they cancel
    over a batch and so change nothing but the lag of the running averages behind them.
    """
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        layer.register_parameter("bias", None)
    return layer


def normalise_layers(network: nn.Module) -> nn.Module:
    """Put a :class:`BatchNorm` in front of every nonlinearity; returns the network, changed."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Sequential):
            setattr(network, name, _normalised(child))
    return _normalised(network) if isinstance(network, nn.Sequential) else network


def _normalised(layers: nn.Sequential) -> nn.Sequential:
    kinds = tuple(ACTIVATIONS.values())
    found: list[nn.Module] = []
    for place, layer in enumerate(layers):
        if isinstance(layer, kinds):
            if found:
                without_bias(found[-1])
            found.append(_fitting(list(layers), place))
        found.append(layer)
    return nn.Sequential(*found)


def _fitting(layers: Sequence[nn.Module], place: int) -> BatchNorm:
    """Of the width that the layer before the nonlinearity gives, else that the next one takes."""
    for layer in reversed(layers[:place]):
        if isinstance(layer, nn.Linear):
            return BatchNorm(layer.out_features)
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            return BatchNorm(layer.out_channels, maps=True)
    following = layers[place + 1]
    if isinstance(following, nn.Linear):
        return BatchNorm(following.in_features)
    assert isinstance(following, (nn.Conv2d, nn.ConvTranspose2d))
    return BatchNorm(following.in_channels, maps=True)
