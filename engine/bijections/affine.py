r"""The two affine maps of the literature, with a bounded log-scale and gradients by hand.

RealNVP writes the step from data to base as :math:`y = x\,e^{s} + t`, MAF writes the step from
base to data as :math:`x = \mu + e^{\alpha} u`. Both log-scales pass through

.. math:: s = \frac{r}{1 + |r| / c}, \qquad \frac{\partial s}{\partial r} = (1 + |r| / c)^{-2},

which is the identity near zero and stays within ±c, so that no single layer stretches space by
more than :math:`e^c`.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

#: c: one layer scales a coordinate by at most a thousand.
LOG_SCALE_BOUND = math.log(1000.0)


def bounded(raw: Tensor) -> Tensor:
    """The network's output r → a log-scale within ±:data:`LOG_SCALE_BOUND`."""
    return raw / (1.0 + raw.abs() / LOG_SCALE_BOUND)


class AffineMap(Protocol):
    """An elementwise affine map, data → base, given a log-scale and a shift of its shape."""

    #: +1 where the log-determinant is Σ log-scale, −1 where it is its negative.
    sign: float

    def forward(self, x: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
        """Data side → base side."""
        ...

    def inverse(self, y: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
        """Base side → data side."""
        ...

    def forward_(self, x: Tensor, log_scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, in place on ``x``; returns what :meth:`backward` needs."""
        ...

    def backward(
        self, dy: Tensor, saved: tuple[Tensor, Tensor], offset: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """∂/∂x, ∂/∂log_scale + ``offset`` and ∂/∂shift of a function of y, from its ∂/∂y."""
        ...


class ScaleThenShift:
    """RealNVP's y = x·exp(s) + t, with log-determinant +Σ s."""

    sign = 1.0

    def forward(self, x: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
        """Data side → base side."""
        return torch.addcmul(shift, x, log_scale.exp())

    def inverse(self, y: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
        """Base side → data side."""
        return (y - shift) * torch.exp(-log_scale)

    def forward_(self, x: Tensor, log_scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, in place; keeps exp(s) and x·exp(s)."""
        factor = log_scale.exp()
        scaled = x * factor
        torch.add(scaled, shift, out=x)
        return factor, scaled

    def backward(
        self, dy: Tensor, saved: tuple[Tensor, Tensor], offset: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(dy·exp(s), dy·x·exp(s) + offset, dy)."""
        factor, scaled = saved
        return dy * factor, torch.addcmul(offset, dy, scaled), dy


class ShiftThenScale:
    """MAF's u = (x − μ)·exp(−α), with log-determinant −Σ α."""

    sign = -1.0

    def forward(self, x: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
        """Data side → base side."""
        return (x - shift) * torch.exp(-log_scale)

    def inverse(self, y: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
        """Base side → data side."""
        return torch.addcmul(shift, y, log_scale.exp())

    def forward_(self, x: Tensor, log_scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, in place; keeps exp(−α) and u."""
        factor = log_scale.neg().exp_()
        x.sub_(shift).mul_(factor)
        return factor, x.clone()

    def backward(
        self, dy: Tensor, saved: tuple[Tensor, Tensor], offset: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(dy·exp(−α), −dy·u + offset, −dy·exp(−α))."""
        factor, y = saved
        dx = dy * factor
        return dx, torch.addcmul(offset, dy, y, value=-1), -dx
