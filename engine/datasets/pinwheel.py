"""A pinwheel: five long Gaussians around the origin, twisted into a whirl.

Constants: before the twist, arm k = 0 … 4 is a Gaussian around 2·(cos 2πk/5, sin 2πk/5) with
standard deviation 0.6 along its own direction and σ = 0.15 across it (the ``noise`` setting). Then
every point turns about the origin by r radians, r being its distance from there. Turning by an
angle that depends on the distance alone keeps areas, so the density is carried along unchanged
and the entropy is that of the five Gaussians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import torch
from torch import Tensor

from engine.dataset import SplitConfig
from engine.datasets.synthetic import Synthetic, far_is_empty
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

N_ARMS = 5
DISTANCE = 2.0
LENGTH = 0.6
#: Radians of turn per unit of distance.
TWIST = 1.0
#: Quadrature over one arm: reach in standard deviations, lattice steps per σ.
REACH = 8.0
STEPS_PER_SIGMA = 3.0


class Pinwheel(Synthetic):
    """p(x) = ⅕ Σ_k N(R_k⁻¹ T⁻¹ x; (2, 0), diag(0.6², σ²)): T twists, R_k turns to arm k."""

    card = DatasetCard(
        name="pinwheel",
        title="Pinwheel",
        summary="Five twisted arms: separate, curved and stretched clusters at once.",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """Sample, split and the arms' width."""

        noise: Annotated[
            float,
            Field(0.01, 1.0, step=0.01, symbol=r"\sigma", help="Half the width of an arm."),
        ] = 0.15

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32."""
        points = torch.randn(n, 2, generator=generator)
        points *= torch.tensor([LENGTH, self.config.noise])
        points[:, 0] += DISTANCE
        arm = torch.randint(N_ARMS, (n,), generator=generator)
        return _turn(points, arm * (2.0 * math.pi / N_ARMS) + TWIST * points.norm(dim=1))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats."""
        log_p = _straight_log_prob(_turn(x, -TWIST * x.norm(dim=1)), self.config.noise)
        return far_is_empty(log_p, x)

    def entropy(self) -> float:
        """H(p) in nats: that of the straight arms, by quadrature."""
        return _entropy(self.config.noise)


def _turn(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each of (B, 2) about the origin by its own angle (B,), counter-clockwise."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], dim=1)


def _straight_log_prob(x: Tensor, noise: float) -> Tensor:
    """The density before the twist, (B, 2) → (B,)."""
    terms = [_arm(_turn(x, -torch.full_like(x[:, 0], angle)), noise) for angle in _angles()]
    return torch.logsumexp(torch.stack(terms), dim=0) - math.log(N_ARMS)


def _angles() -> list[float]:
    return [2.0 * math.pi * k / N_ARMS for k in range(N_ARMS)]


def _arm(x: Tensor, noise: float) -> Tensor:
    along, across = (x[:, 0] - DISTANCE) / LENGTH, x[:, 1] / noise
    constant = math.log(2.0 * math.pi * LENGTH * noise)
    return -0.5 * (along.square() + across.square()) - constant


@cache
def _entropy(noise: float) -> float:
    """−E log p over arm 0, which by symmetry is that over all; trapezoid rule."""
    step = min(noise, LENGTH) / STEPS_PER_SIGMA
    along = torch.arange(-REACH * LENGTH, REACH * LENGTH, step, dtype=torch.float64) + DISTANCE
    across = torch.arange(-REACH * noise, REACH * noise, step, dtype=torch.float64)
    points = torch.cartesian_prod(along, across)
    weights = _arm(points, noise).exp() * step**2
    return -float(weights @ _straight_log_prob(points, noise))
