r"""Decoders in which latents and earlier values both speak: p(x given z) is autoregressive.

.. math:: \log p(x \mid z) = \sum_{i=1}^{D} \log p(x_i \mid x_{<i}, z)

Over pictures it is a stack of masked convolutions, over other events a masked network; a code made
of z is added to the first layer and to the outputs. Both find all conditionals in one pass, and
draw value by value.

References:
    Gulrajani and others, *PixelVAE: A Latent Variable Model for Natural Images*, ICLR 2017.
    Chen and others, *Variational Lossy Autoencoder*, ICLR 2017.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.nets.coders import make_decoder, start_weights
from engine.nets.masked import MaskedMLP
from engine.nets.masked_conv import MaskedPointwise
from engine.nets.mlp import MLP
from engine.nets.painting import PixelCache
from engine.nets.pixel_model import picture_shape, raster_order
from engine.nets.residual_cache import ResidualCache
from engine.nets.residual_pixels import ResidualPixels

#: Maps of the picture that the latents are made into.
N_CODE_MAPS = 8
#: The share of a fresh last layer's weights that is kept.
START = 0.1


class LatentConditionals(nn.Module, ABC):
    """The parameters of all conditionals of D values given latents, P for each.

    Attributes:
        order: (D,), flat indices in the order of drawing.
    """

    order: Tensor

    @abstractmethod
    def code(self, z: Tensor) -> Tensor:
        """Latents (N, Z) → what each of N events is told, (N, …)."""

    @abstractmethod
    def params(self, u: Tensor, code: Tensor) -> Tensor:
        """Inputs (N, D) → outputs (N, P, D)."""

    @abstractmethod
    def cache(self, code: Tensor) -> PixelCache:
        """An empty cache for N events, with the weights as they are now."""


class ConvConditionals(LatentConditionals):
    """Pictures: see the module.

    Args:
        event_shape: (C, H, W).
        n_params: P.
        latent_features: Z.
        network: What makes maps of z, ``"dense"`` or ``"convolutional"``.
        hidden_features: Widths of that network, the encoder's.
        n_channels: Maps inside a masked block.
        n_layers: Blocks after the first masked convolution.
        kernels: Kernel of the first convolution, and of the blocks.
        activation: Nonlinearity of the network of z.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        n_params: int,
        latent_features: int,
        *,
        network: str,
        hidden_features: Sequence[int],
        n_channels: int,
        n_layers: int,
        kernels: tuple[int, int],
        activation: str,
    ) -> None:
        super().__init__()
        self.picture = picture_shape(event_shape)
        n_colours, *sides = self.picture
        self.shape = (N_CODE_MAPS, *sides)
        self.spread = make_decoder(
            network, (1, *sides), hidden_features, latent_features, N_CODE_MAPS,
            activation=activation,
        )  # fmt: skip
        start_weights(self.spread)
        self.told = nn.Conv2d(N_CODE_MAPS, 2 * n_channels, 1, bias=False)
        self.direct = nn.Conv2d(N_CODE_MAPS, n_colours * n_params, 1, bias=False)
        self.net = ResidualPixels(n_colours, n_channels, n_layers, kernels, n_params)
        self.register_buffer("order", raster_order(self.picture), persistent=False)
        _start(self.net.last)

    def code(self, z: Tensor) -> Tensor:
        """(N, Z) → (N, 2C + colours·P, H, W): for the first layer, and for all outputs."""
        maps = self.spread(z).view(-1, *self.shape)
        return torch.cat([self.told(maps), self.direct(maps)], 1)

    def split(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """What the first layer is told, and what is added to the outputs."""
        n_outputs = self.direct.out_channels
        return code[:, :-n_outputs], code[:, -n_outputs:]

    def params(self, u: Tensor, code: Tensor) -> Tensor:
        """(N, D) → (N, P, D)."""
        n_colours, height, width = self.picture
        first, direct = self.split(code)
        maps: Tensor = self.net(u.view(-1, *self.picture), first) + direct
        split = maps.view(-1, n_colours, maps.shape[1] // n_colours, height * width)
        return split.transpose(1, 2).flatten(2)

    def cache(self, code: Tensor) -> PixelCache:
        """Rows above once a row, one column a pixel."""
        return _Rows(self, code)


class _Rows(ResidualCache):
    """A cache that begins with flat events, and adds what z says to the outputs."""

    def __init__(self, conditionals: ConvConditionals, code: Tensor) -> None:
        first, self._direct = conditionals.split(code)
        super().__init__(conditionals.net, conditionals.picture, len(code), first)

    def params(self, place: int) -> Tensor:
        """(N, P)."""
        pixel, colour = divmod(place, self.n_colours)
        row, k = divmod(pixel, self.width)
        params = super().params(place)
        first = colour * params.shape[1]
        return params + self._direct[:, first : first + params.shape[1], row, k]

    def begin(self, u: Tensor, place: int) -> None:
        """Take values (N, D) as drawn up to ``place``."""
        super().begin(u.view(len(u), self.n_colours, self.height, self.width), place)


class MaskedConditionals(LatentConditionals):
    """Events that are no pictures: see the module.

    Args:
        event_size: D.
        n_params: P.
        latent_features: Z.
        hidden_features: Widths of both networks.
        activation: Their nonlinearity.
    """

    def __init__(
        self,
        event_size: int,
        n_params: int,
        latent_features: int,
        *,
        hidden_features: Sequence[int],
        activation: str,
    ) -> None:
        super().__init__()
        order = torch.arange(event_size)
        self.register_buffer("order", order, persistent=False)
        self.net = MaskedMLP(order, hidden_features, n_params, activation=activation)
        self.n_outputs = event_size * n_params
        n_code = self.net.widths[0] + self.n_outputs
        self.spread = MLP(latent_features, hidden_features[::-1], n_code, activation=activation)
        start_weights(self.spread)
        with torch.no_grad():
            self.net.out.weight.mul_(START)
            self.net.out.bias.zero_()

    def code(self, z: Tensor) -> Tensor:
        """(N, Z) → (N, H + D·P): what the first layer is told, and all outputs."""
        found: Tensor = self.spread(z)
        return found

    def params(self, u: Tensor, code: Tensor) -> Tensor:
        """(N, D) → (N, P, D)."""
        first, direct = torch.split(code, [self.net.widths[0], self.n_outputs], -1)
        out: Tensor = self.net(u, first) + direct.view(*u.shape, self.net.out_features)
        return out.transpose(1, 2)

    def cache(self, code: Tensor) -> PixelCache:
        """The whole network anew for each value: such events are short."""
        return _Anew(self, code)


class _Anew(PixelCache):
    """All conditionals again for each value."""

    def __init__(self, conditionals: MaskedConditionals, code: Tensor) -> None:
        self._conditionals, self._code = conditionals, code
        self._u = code.new_zeros(len(code), len(conditionals.order))

    def begin(self, u: Tensor, place: int) -> None:
        """Take values (N, D) as drawn."""
        self._u = u.flatten(1).clone()

    def params(self, place: int) -> Tensor:
        """(N, P)."""
        return self._conditionals.params(self._u, self._code)[:, :, place]

    def put(self, place: int, u: Tensor) -> None:
        """Take in the value (N,)."""
        self._u[:, place] = u


def is_picture(event_shape: tuple[int, ...]) -> bool:
    """Whether events are pictures (C, H, W)."""
    return len(event_shape) == 3 and math.prod(event_shape[1:]) > 1


@torch.no_grad()
def _start(last: MaskedPointwise) -> None:
    """Let the last layer begin with small weights and no offset: at the centre of the data."""
    last.weight.mul_(START)
    last.offset().zero_()
