"""A multi-scale stack of layers of maps, put together one after the other."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from engine.bijections.map_coupling import ChannelCoupling, Networks
from engine.bijections.maps import MapBijection, OnMaps, Shape, squeeze, squeeze_factors


class Stack(nn.Module):
    """Layers, and between them squeezes and splits.

    Build it with :meth:`squeeze`, :meth:`add` and :meth:`factor_out`, from the data to the base;
    :attr:`shape` says what the next layer works on.

    Args:
        shape: (C, H, W) of the event.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self._size = prod(shape)
        self.layers = nn.ModuleList()
        #: What happens before each layer and after the last: squeezes, and how many channels stay.
        self._before: list[list[tuple[int, int] | int]] = [[]]
        self._shapes: list[Shape] = []
        self._places = torch.arange(prod(shape)).reshape(1, *shape)
        #: Where in the flat event the values lie that were let go of, one entry each time.
        self._left: list[Tensor] = []

    # --- building -----------------------------------------------------------------------------

    @property
    def kernel_size(self) -> int:
        """3, or 1 where the maps are a single pixel."""
        return 3 if self.shape[1] * self.shape[2] > 1 else 1

    @property
    def can_squeeze(self) -> bool:
        """Whether neighbouring pixels can become channels."""
        return squeeze_factors(self.shape) != (1, 1)

    def squeeze(self) -> None:
        """Turn pairs along even sides into channels, where there are such sides."""
        factors = squeeze_factors(self.shape)
        if factors != (1, 1):
            self._before[-1].append(factors)
            self._now(squeeze(self._places, factors))

    def add(self, layer: nn.Module) -> None:
        """Put a :class:`MapBijection` next."""
        place = f"places_{len(self.layers)}"
        self.register_buffer(place, self._places.flatten(), persistent=False)
        self._shapes.append(self.shape)
        self.layers.append(layer)
        self._before.append([])

    def factor_out(self, networks: Networks, name: str) -> None:
        r"""Let the last half of the channels go, scaled and shifted by what the others say.

        .. math:: p(z_b \mid h_a) = \mathcal N(\mu(h_a), e^{-2 s(h_a)}), \qquad
            (z_b - \mu)\, e^{s} \sim \mathcal N(0, I)

        This learned prior is an affine coupling, so that the base stays a standard normal.
        """
        prior = ChannelCoupling(self.shape[0], networks, name=name)
        self.add(prior)
        self.let_go(prior.n_led)

    def let_go(self, n_channels: int) -> None:
        """Send the last channels to the base as they are."""
        stay = self.shape[0] - n_channels
        self._before[-1].append(stay)
        self._left.append(self._places[:, stay:].flatten())
        self._now(self._places[:, :stay])

    def _now(self, places: Tensor) -> None:
        self._places = places
        self.shape = (places.shape[1], places.shape[2], places.shape[3])

    @property
    def scales(self) -> Tensor:
        """(D,) int64: 0 where a flat value is let go of first, rising to those that stay."""
        scales = torch.full((self._size,), len(self._left))
        for scale, places in enumerate(self._left):
            scales[places] = scale
        return scales

    # --- walking ------------------------------------------------------------------------------

    def on_flat(self) -> list[OnMaps]:
        """The layers as bijections of flat events (B, D)."""
        places = [getattr(self, f"places_{i}") for i in range(len(self.layers))]
        layers: list[Any] = list(self.layers)
        parts = zip(layers, self._shapes, places, strict=True)
        return [OnMaps(*part) for part in parts]

    def forward(self, h: Tensor, *, initialise: bool = False) -> tuple[Tensor, Tensor]:
        """Maps (B, C, H, W) of the data → Σ log-dets and ½ Σ z² of the base point, both (B,).

        With ``initialise`` every layer that can be set by data is set by what reaches it.
        """
        log_det, half_square = h.new_zeros(len(h)), h.new_zeros(len(h))
        layers: list[MapBijection | None] = [*self.layers, None]
        for before, layer in zip(self._before, layers, strict=True):
            for change in before:
                if isinstance(change, int):
                    half_square = half_square + _half_square(h[:, change:])
                    h = h[:, :change]
                else:
                    h = squeeze(h, change)
            if layer is None:
                break
            if initialise and hasattr(layer, "initialise"):
                layer.initialise(h)
            h, more = layer.forward(h)
            log_det = log_det + more
        return log_det, half_square + _half_square(h)


def _half_square(h: Tensor) -> Tensor:
    return 0.5 * h.square().flatten(1).sum(1)
