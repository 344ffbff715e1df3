"""Encoders and decoders: dense for any event, convolutional for pictures.

Both take and give flat vectors: an encoder (…, D) → (…, n), a decoder (…, Z) → (…, P·D) with
parameter p of value i at p·D + i. In the convolutional ones each entry of ``hidden_features`` is
the number of channels of one layer. A layer halves the picture as long as its smaller side is at
least :data:`SMALLEST_HALVED`, and keeps its size below that, so that any number of layers fits any
picture; odd sides are rounded down, and the decoder's transposed layers restore them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.nets.mlp import MLP, check_widths, find_activation

NETWORKS = ("dense", "convolutional")
SMALLEST_HALVED = 4


def make_encoder(
    network: str,
    event_shape: tuple[int, ...],
    hidden_features: Sequence[int],
    out_features: int,
    *,
    activation: str,
) -> nn.Module:
    """Flat events (…, D) → (…, out_features).

    Args:
        network: One of :data:`NETWORKS`.
        event_shape: *E, of which D is the size; a convolutional network wants (C, H, W).
        hidden_features: Widths, or channels, from the data on.
        out_features: Width of the output.
        activation: One of :data:`engine.nets.mlp.ACTIVATIONS`.

    Raises:
        ValueError: The network is unknown or does not fit the event.
    """
    if is_convolutional(network, event_shape):
        return ConvEncoder(event_shape, hidden_features, out_features, activation=activation)
    return MLP(math.prod(event_shape), hidden_features, out_features, activation=activation)


def make_decoder(
    network: str,
    event_shape: tuple[int, ...],
    hidden_features: Sequence[int],
    in_features: int,
    n_params: int,
    *,
    activation: str,
) -> nn.Module:
    """Latents (…, in_features) → (…, n_params·D); ``hidden_features`` are the encoder's.

    Args and errors as in :func:`make_encoder`.
    """
    if is_convolutional(network, event_shape):
        widths = (hidden_features, in_features, n_params)
        return ConvDecoder(event_shape, *widths, activation=activation)
    n_out = n_params * math.prod(event_shape)
    return MLP(in_features, hidden_features[::-1], n_out, activation=activation)


def is_convolutional(network: str, event_shape: tuple[int, ...]) -> bool:
    """Whether the network is the convolutional one; ``ValueError`` where it fits no event."""
    if network not in NETWORKS:
        raise ValueError(f"network: given '{network}', wanted one of {', '.join(NETWORKS)}")
    if network == "convolutional" and len(event_shape) != 3:
        raise ValueError(
            f"network: given convolutional for events of shape {event_shape}, wanted dense: "
            "convolutions are for pictures (channel, row, column)"
        )
    return network == "convolutional"


class ConvEncoder(nn.Module):
    """Convolutions, each followed by the nonlinearity, and one linear layer."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        hidden_features: Sequence[int],
        out_features: int,
        *,
        activation: str,
    ) -> None:
        super().__init__()
        check_widths([*hidden_features, out_features])
        self.event_shape = event_shape
        channels = (event_shape[0], *hidden_features)
        sides = halvings(event_shape[1:], len(hidden_features))
        layers: list[nn.Module] = []
        for (n_in, n_out), (before, after) in zip(
            pairwise(channels), pairwise(sides), strict=True
        ):
            layers += [shrinking(n_in, n_out, before, after), find_activation(activation)()]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.last = nn.Linear(channels[-1] * math.prod(sides[-1]), out_features)

    def forward(self, u: Tensor) -> Tensor:
        """(…, D) → (…, out_features)."""
        hidden = self.layers(u.reshape(-1, *self.event_shape))
        out: Tensor = self.last(hidden)
        return out.reshape(*u.shape[:-1], -1)


class ConvDecoder(nn.Module):
    """One linear layer, and transposed convolutions, each after the nonlinearity."""

    def __init__(
        self,
        event_shape: tuple[int, ...],
        hidden_features: Sequence[int],
        in_features: int,
        n_params: int,
        *,
        activation: str,
    ) -> None:
        super().__init__()
        check_widths([*hidden_features, in_features, n_params])
        channels = (n_params * event_shape[0], *hidden_features)[::-1]
        sides = halvings(event_shape[1:], len(hidden_features))[::-1]
        self.start = (channels[0], *sides[0])
        self.first = nn.Linear(in_features, math.prod(self.start))
        layers: list[nn.Module] = []
        for (n_in, n_out), (before, after) in zip(
            pairwise(channels), pairwise(sides), strict=True
        ):
            layers += [find_activation(activation)(), growing(n_in, n_out, before, after)]
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, z: Tensor) -> Tensor:
        """(…, in_features) → (…, P·D)."""
        hidden = self.first(z).reshape(-1, *self.start)
        out: Tensor = self.layers(hidden)
        return out.reshape(*z.shape[:-1], -1)


def shrinking(n_in: int, n_out: int, before: tuple[int, int], after: tuple[int, int]) -> nn.Module:
    """A convolution from maps of one height and width to those of the next in ``halvings``."""
    kernel, stride = (3, 1) if before == after else (4, 2)
    return nn.Conv2d(n_in, n_out, kernel, stride, 1)


def growing(n_in: int, n_out: int, before: tuple[int, int], after: tuple[int, int]) -> nn.Module:
    """The transposed convolution that goes the other way."""
    if before == after:
        return nn.ConvTranspose2d(n_in, n_out, 3, 1, 1)
    odd = (after[0] % 2, after[1] % 2)
    return nn.ConvTranspose2d(n_in, n_out, 4, 2, 1, output_padding=odd)


def halvings(sides: Sequence[int], n_layers: int) -> list[tuple[int, int]]:
    """Height and width before the first layer and after each of so many."""
    height, width = sides
    found = [(height, width)]
    for _ in range(n_layers):
        if min(height, width) >= SMALLEST_HALVED:
            height, width = height // 2, width // 2
        found.append((height, width))
    return found


@torch.no_grad()
def start_weights(network: nn.Module) -> None:
    """Draw all weights but the last layer's by He's rule, so that no signal fades with depth.

    Torch's own start shrinks the signal from layer to layer, and the latents die.
    """
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
    for layer in layers[:-1]:
        if isinstance(layer, nn.ConvTranspose2d):
            # Each output is reached by a share 1/stride² of the kernel's places.
            n_reached = layer.in_channels * math.prod(layer.kernel_size) / math.prod(layer.stride)
            nn.init.normal_(layer.weight, std=math.sqrt(2.0 / n_reached))
        else:
            nn.init.kaiming_normal_(layer.weight)
