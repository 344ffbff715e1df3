r"""Affine couplings of maps: some values lead, the others are scaled and shifted.

.. math::
    y_a = x_a, \qquad y_b = x_b \odot e^{s(x_a)} + t(x_a), \qquad
    \log|\det| = \sum_b s(x_a)

The leading part a is half of the channels, or every other pixel of a checkerboard. The network's
last layer begins at zero, so that a coupling begins as the identity; the log-scale is bounded, see
:mod:`engine.bijections.affine`.

References:
    Dinh, Sohl-Dickstein and Bengio, *Density Estimation Using Real NVP*, ICLR 2017, section 3.4.
    Kingma and Dhariwal, *Glow*, NeurIPS 2018, section 3.3 (the zero beginning).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.bijections.affine import bounded, scale_and_shift, unscale_and_unshift
from engine.bijections.maps import Shape, checkerboard

#: Makes a network (channels in, channels out) of maps whose output begins at zero.
Networks = Callable[[int, int], nn.Module]


class ChannelCoupling(nn.Module):
    """The first channels lead the others; with ``swapped`` the last ones do.

    A single channel has nothing to read, and is scaled and shifted by learned constants.

    Attributes:
        n_led: How many channels are moved.
        name: What panels call the layer.
    """

    def __init__(
        self, n_channels: int, networks: Networks, *, swapped: bool = False, name: str = "coupling"
    ) -> None:
        super().__init__()
        self.name = name
        self.swapped = swapped
        self.n_led = n_channels - n_channels // 2
        n_leading = n_channels - self.n_led
        self.network = networks(n_leading, 2 * self.n_led) if n_leading else Constants(2)

    @property
    def n_passes(self) -> tuple[int, int]:
        """Passes of the network in a row, either way: one, or none where it reads nothing."""
        n = 0 if isinstance(self.network, Constants) else 1
        return n, n

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) → the same shape, and log abs det ∂y/∂x (B,), nats."""
        leading, led = self._parted(h)
        log_scale, shift = self._scale_and_shift(leading)
        moved = scale_and_shift(led, log_scale, shift)
        return self._joined(leading, moved), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The way back, and the log-determinant of forward."""
        leading, moved = self._parted(y)
        log_scale, shift = self._scale_and_shift(leading)
        led = unscale_and_unshift(moved, log_scale, shift)
        return self._joined(leading, led), log_scale.flatten(1).sum(1)

    def _scale_and_shift(self, leading: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.network(leading).split(self.n_led, 1)
        return bounded(raw), shift

    def _parted(self, h: Tensor) -> tuple[Tensor, Tensor]:
        if self.swapped:
            return h[:, self.n_led :], h[:, : self.n_led]
        n_leading = h.shape[1] - self.n_led
        return h[:, :n_leading], h[:, n_leading:]

    def _joined(self, leading: Tensor, led: Tensor) -> Tensor:
        return torch.cat([led, leading] if self.swapped else [leading, led], 1)


class CheckerboardCoupling(nn.Module):
    """The pixels of one colour of a chessboard lead those of the other, in all channels.

    Attributes:
        leads: (1, H, W), one where a pixel leads, zero where it is moved.
        name: What panels call the layer.
    """

    leads: Tensor

    def __init__(
        self, shape: Shape, networks: Networks, *, parity: int = 0, name: str = "coupling"
    ) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("leads", checkerboard(shape, parity))
        self.network = networks(shape[0], 2 * shape[0])

    @property
    def n_passes(self) -> tuple[int, int]:
        """Passes of the network in a row, either way."""
        return 1, 1

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) → the same shape, and log abs det ∂y/∂x (B,), nats."""
        log_scale, shift = self._scale_and_shift(h)
        return scale_and_shift(h, log_scale, shift), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The way back, and the log-determinant of forward."""
        log_scale, shift = self._scale_and_shift(y)
        return unscale_and_unshift(y, log_scale, shift), log_scale.flatten(1).sum(1)

    def _scale_and_shift(self, h: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.network(h * self.leads).chunk(2, 1)
        led = 1.0 - self.leads
        return bounded(raw) * led, shift * led


class Constants(nn.Module):
    """A network that reads nothing: one learned number a channel, zero at first."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(n_channels))

    def forward(self, h: Tensor) -> Tensor:
        """(B, any, H, W) → (B, C, H, W)."""
        return self.values[:, None, None].expand(len(h), -1, *h.shape[2:])
