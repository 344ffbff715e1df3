r"""The four classic energies U1 … U4 of variational inference with flows.

With w₁(z) = sin(2π z₁/4), w₂(z) = 3 exp(−½((z₁−1)/0.6)²) and w₃(z) = 3 σ((z₁−1)/0.3):

.. math::
    U_1 &= \tfrac12\Bigl(\tfrac{\|z\|-2}{0.4}\Bigr)^2
          - \ln\Bigl(e^{-\frac12(\frac{z_1-2}{0.6})^2} + e^{-\frac12(\frac{z_1+2}{0.6})^2}\Bigr) \\
    U_2 &= \tfrac12\Bigl(\tfrac{z_2-w_1}{0.4}\Bigr)^2 \\
    U_3 &= -\ln\Bigl(e^{-\frac12(\frac{z_2-w_1}{0.35})^2}
          + e^{-\frac12(\frac{z_2-w_1+w_2}{0.35})^2}\Bigr) \\
    U_4 &= -\ln\Bigl(e^{-\frac12(\frac{z_2-w_1}{0.4})^2}
          + e^{-\frac12(\frac{z_2-w_1+w_3}{0.35})^2}\Bigr)

U2, U3 and U4 are not normalisable along z₁; as the paper draws them on [−4, 4], a soft wall
½((abs z₁ − 4)₊ / 0.2)² is added to all four, constants of this file.

Rezende & Mohamed (2015), "Variational Inference with Normalizing Flows", table 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.target import Target, TargetConfig
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

#: Where the wall along z₁ begins, and how soft it is.
WALL, SOFTNESS = 4.0, 0.2


class RezendeMohamed(Target):
    """p(z) ∝ exp(−U(z)), with U one of U1 … U4."""

    card = DatasetCard(
        name="rezende_mohamed",
        title="Energies U1–U4",
        summary="Four energies without samples: a flow is fitted to the energy alone.",
        kind="target",
    )
    box = ((-5.5, 5.5), (-6.5, 4.0))

    @dataclass(frozen=True)
    class Config(TargetConfig):
        """Which energy, and how fast it is switched on."""

        energy: Annotated[
            str, Field(choices=("U1", "U2", "U3", "U4"), symbol="U", help="Which of the four.")
        ] = "U2"

    def energy(self, x: Tensor) -> Tensor:
        """U of (B, 2) plus the wall, shape (B,), nats."""
        wall = (x[:, 0].abs() - WALL).clamp_min(0.0) / SOFTNESS
        total: Tensor = _ENERGIES[self.config.energy](x) + 0.5 * wall.square()
        return total


def _u1(x: Tensor) -> Tensor:
    ring = 0.5 * ((x.square().sum(1).clamp_min(1e-12).sqrt() - 2.0) / 0.4).square()
    return ring - torch.logaddexp(_bell(x[:, 0] - 2.0, 0.6), _bell(x[:, 0] + 2.0, 0.6))


def _u2(x: Tensor) -> Tensor:
    return -_bell(x[:, 1] - _wave(x), 0.4)


def _u3(x: Tensor) -> Tensor:
    height = x[:, 1] - _wave(x)
    second = 3.0 * _bell(x[:, 0] - 1.0, 0.6).exp()
    return -torch.logaddexp(_bell(height, 0.35), _bell(height + second, 0.35))


def _u4(x: Tensor) -> Tensor:
    height = x[:, 1] - _wave(x)
    second = 3.0 * torch.sigmoid((x[:, 0] - 1.0) / 0.3)
    return -torch.logaddexp(_bell(height, 0.4), _bell(height + second, 0.35))


def _wave(x: Tensor) -> Tensor:
    return torch.sin(2.0 * math.pi * x[:, 0] / 4.0)


def _bell(x: Tensor, width: float) -> Tensor:
    return -0.5 * (x / width).square()


_ENERGIES: dict[str, Callable[[Tensor], Tensor]] = {"U1": _u1, "U2": _u2, "U3": _u3, "U4": _u4}
