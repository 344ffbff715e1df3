r"""An encoder that puts out latents at every depth, and a decoder that takes them in there.

The first hidden layer of the encoder gives the lowest latent, the last the topmost; the decoder
joins each to its own hidden layer, so that a low one passes through few layers and a high one
through many.

.. math::
    h_l = \phi(A_l h_{l-1}), \quad (\mu_l, \sigma_l) = B_l h_l; \qquad
    g_L = \phi(V_L z_L), \quad
    g_l = \phi\bigl(C_l\,[\,g_{l+1};\; \phi(V_l z_l)\,]\bigr), \quad y = C_0 g_1

with h_0 the data. Dense layers, or for pictures convolutions whose maps have the sides of
:func:`engine.nets.coders.halvings`.

References:
    Zhao, Song and Ermon, *Learning Hierarchical Features from Generative Models*, ICML 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.nets.coders import growing, halvings, is_convolutional, shrinking
from engine.nets.mlp import check_widths, find_activation

#: A hidden layer's shape: (C,) of a dense one, (C, H, W) of maps.
Shape = tuple[int, ...]


def branch_shapes(
    network: str, event_shape: tuple[int, ...], hidden_features: Sequence[int]
) -> list[Shape]:
    """Shapes of the data and of the hidden layers, from the data on.

    Raises:
        ValueError: There is no hidden layer, a width is below 1, or the network does not fit.
    """
    if not hidden_features:
        raise ValueError("hidden_features: given none, wanted a hidden layer for each latent")
    check_widths(hidden_features)
    if not is_convolutional(network, event_shape):
        return [(math.prod(event_shape),), *((width,) for width in hidden_features)]
    channels = (event_shape[0], *hidden_features)
    sides = halvings(event_shape[1:], len(hidden_features))
    return [(c, *side) for c, side in zip(channels, sides, strict=True)]


class BranchingEncoder(nn.Module):
    """Flat events (…, D) → the outputs of all branches side by side, (…, L·out_features).

    Args:
        shapes: Of :func:`branch_shapes`.
        out_features: Numbers that each of the L branches puts out.
        activation: One of :data:`engine.nets.mlp.ACTIVATIONS`.
    """

    def __init__(self, shapes: Sequence[Shape], out_features: int, *, activation: str) -> None:
        super().__init__()
        self.shapes = shapes
        self.bend = find_activation(activation)()
        self.layers = nn.ModuleList(
            nn.Linear(below[0], here[0])
            if len(here) == 1
            else shrinking(below[0], here[0], _sides(below), _sides(here))
            for below, here in pairwise(shapes)
        )
        self.heads = nn.ModuleList(nn.Linear(math.prod(here), out_features) for here in shapes[1:])

    def forward(self, u: Tensor) -> Tensor:
        """Branch l, from the lowest, stands at l·out_features."""
        h = u.reshape(-1, *self.shapes[0])
        outs = []
        for layer, head in zip(self.layers, self.heads, strict=True):
            h = self.bend(layer(h))
            outs.append(head(h.flatten(1)))
        joined = torch.cat(outs, -1)
        return joined.reshape(*u.shape[:-1], joined.shape[-1])


class BranchingDecoder(nn.Module):
    """Latents of all levels side by side, (…, L·in_features), lowest first → (…, P·D).

    Args:
        shapes: Of :func:`branch_shapes`, the encoder's.
        in_features: Z, the size of each latent.
        n_params: P, numbers for one value of the event.
        activation: One of :data:`engine.nets.mlp.ACTIVATIONS`.
    """

    def __init__(
        self, shapes: Sequence[Shape], in_features: int, n_params: int, *, activation: str
    ) -> None:
        super().__init__()
        event, *hidden = shapes
        self.in_features, self.bend = in_features, find_activation(activation)()
        # entries[l] spreads the latent of level l + 1 over the layer that it is joined to.
        self.seats = [*(self._seat(here, above) for here, above in pairwise(hidden)), hidden[-1]]
        self.entries = nn.ModuleList(nn.Linear(in_features, math.prod(s)) for s in self.seats)
        self.layers = nn.ModuleList(
            self._layer(above[0] + here[0], above, here) for here, above in pairwise(hidden)
        )
        out = (n_params * event[0], *event[1:])
        self.last = self._layer(hidden[0][0], hidden[0], out)

    @staticmethod
    def _seat(here: Shape, above: Shape) -> Shape:
        """As many features as the layer has, at the sides of the one above it."""
        return (here[0], *above[1:])

    @staticmethod
    def _layer(n_in: int, above: Shape, here: Shape) -> nn.Module:
        if len(here) == 1:
            return nn.Linear(n_in, here[0])
        return growing(n_in, here[0], _sides(above), _sides(here))

    def forward(self, z: Tensor) -> Tensor:
        """The topmost first, then each at its own depth."""
        parts = torch.split(z.reshape(-1, z.shape[-1]), self.in_features, -1)
        branches = [
            self.bend(entry(part)).reshape(-1, *seat)
            for entry, part, seat in zip(self.entries, parts, self.seats, strict=True)
        ]
        g = branches.pop()
        for layer, branch in zip(reversed(self.layers), reversed(branches), strict=True):
            g = self.bend(layer(torch.cat([g, branch], 1)))
        out: Tensor = self.last(g)
        return out.reshape(*z.shape[:-1], out.shape[1:].numel())


def _sides(shape: Shape) -> tuple[int, int]:
    _, height, width = shape
    return height, width
