r"""Sprites: one drawn shape a picture, of known shape, scale, rotation and place.

Constants: the shape is a square, an ellipse with axes 2 : 1 or a heart, each equally often; the
scale r is the radius of the disc of equal area and even on [0.13, 0.21]; the rotation is even on
[0, 2π); the centre of mass (x, y) is even on [0.32, 0.68]². Lengths count in picture sides, x to
the right and y downwards, rotations from x towards y. The five factors are independent. Each pixel
is the share of its 4×4 points that lie within the shape, hence a grey level 0 … 16. In its own
frame, where its area is π:

.. math::
    \text{square: } \max(|u|, |v|) \le \tfrac{\sqrt\pi}{2}, \quad
    \text{ellipse: } \tfrac{u^2}{2} + 2v^2 \le 1, \quad
    \text{heart: } (a^2 + b^2 - 1)^3 \le a^2 b^3,

where (a, b) = (u/h, m − v/h), h = √(π/3.6619727) and m = 0.2934812 puts the heart's centre of
mass into the origin. A heart is upright at rotation 0; a square looks the same after a quarter of
a turn, an ellipse after half of one.

The idea is that of dSprites (Matthey, Higgins, Hassabis and Lerchner 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.dataset import as_float
from engine.datasets.pixels import SPLITS, Pixels
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

SHAPES = ("square", "ellipse", "heart")
FACTORS = ("shape", "scale", "rotation", "x", "y")
#: Ranges of the factors after the shape.
LOW = torch.tensor([0.13, 0.0, 0.32, 0.32])
HIGH = torch.tensor([0.21, 2.0 * math.pi, 0.68, 0.68])
HEART, HEART_MIDDLE = math.sqrt(math.pi / 3.661972725819527), 0.29348122826275014
#: Points a side within one pixel, and values held at once.
FINE, CHUNK = 4, 2**17
#: Seeds of samples lie above those of training, so that fresh draws never repeat the sample.
SAMPLE_STREAM = 2**31


class Sprites(Pixels):
    """Pictures (N, 1, S, S) of 17 grey levels with factors (N, 5); the shapes are the labels."""

    card = DatasetCard(
        name="sprites",
        title="Sprites",
        summary="One shape a picture, of known scale, rotation and place: what does a code find?",
        kind="pictures",
    )
    n_levels = FINE * FINE + 1

    @dataclass(frozen=True)
    class Config:
        """Sample, size, levels and split."""

        n_samples: Annotated[
            int, Field(10, 100_000, scale="log", symbol="N", help="Pictures in the finite sample.")
        ] = 5000
        size: Annotated[int, Field(16, 32, symbol="S", help="Pixels a side.")] = 24
        levels: Annotated[
            int | None,
            Field(
                2,
                FINE * FINE + 1,
                symbol="k",
                help="Levels 0 … k − 1: 2 is black and white, none makes them real.",
            ),
        ] = 2
        binarisation: Annotated[
            str,
            Field(
                choices=("threshold", "dynamic"),
                when=("levels", 2),
                help="How two levels come about: cut at the middle, or drawn anew for every batch "
                "with the covered share of the pixel as probability.",
            ),
        ] = "threshold"
        valid_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share held out for the held-out curve.")
        ] = 0.1
        test_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share kept for the final evaluation.")
        ] = 0.1
        seed: Annotated[int, Field(0, 2**31 - 1, help="Seed of the sample.")] = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        generator = torch.Generator().manual_seed(SAMPLE_STREAM + config.seed)
        factors = draw_factors(config.n_samples, generator)
        self.labels, self.factor_names = SHAPES, FACTORS
        self._split(factors)
        parts = [getattr(self, name) for name in SPLITS]
        self.train_factors, self.valid_factors, self.test_factors = parts
        self._fill(
            [draw_sprites(part, config.size) for part in parts],
            [part[:, 0].to(torch.int64) for part in parts],
        )

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N fresh pictures (N, 1, S, S), float32."""
        grey = draw_sprites(draw_factors(n, generator), self.config.size)
        return as_float(self._valued(grey, generator))


def draw_factors(n: int, generator: torch.Generator) -> Tensor:
    """N draws (N, 5), float32: shape as 0, 1 or 2, scale, rotation, x, y."""
    shape = torch.randint(len(SHAPES), (n, 1), generator=generator)
    rest = LOW + (HIGH - LOW) * torch.rand(n, len(LOW), generator=generator)
    return torch.cat([shape.to(torch.float32), rest], dim=1)


def draw_sprites(factors: Tensor, size: int) -> Tensor:
    """Pictures (N, 1, S, S) uint8, 0 … 16, of factors (N, 5) as :func:`draw_factors` has them."""
    rows = max(1, CHUNK // (size * FINE) ** 2)
    pieces = [_drawn(part, size) for part in torch.split(factors, rows)]
    return torch.cat(pieces) if pieces else torch.empty(0, 1, size, size, dtype=torch.uint8)


def _drawn(factors: Tensor, size: int) -> Tensor:
    inside = torch.empty(len(factors), (size * FINE) ** 2, dtype=torch.bool)
    for number, shape in enumerate((_square, _ellipse, _heart)):
        chosen = factors[:, 0] == number
        inside[chosen] = shape(*_own_frame(factors[chosen], size))
    cells = inside.view(torch.uint8).reshape(-1, size, FINE, size, FINE)
    return cells.sum((2, 4), dtype=torch.uint8)[:, None]


def _own_frame(factors: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """All fine points (N, P) as the shape sees them: centred, turned back, in units of r."""
    scale, rotation, x, y = factors[:, 1:, None].unbind(1)
    line = (torch.arange(size * FINE) + 0.5) / (size * FINE)
    down, right = (place.flatten() for place in torch.meshgrid(line, line, indexing="ij"))
    across, along = (right - x) / scale, (down - y) / scale
    cos, sin = rotation.cos(), rotation.sin()
    return cos * across + sin * along, cos * along - sin * across


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) <= 0.5 * math.sqrt(math.pi)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    return 0.5 * u.square() + 2.0 * v.square() <= 1.0


def _heart(u: Tensor, v: Tensor) -> Tensor:
    a2, b = (u / HEART).square(), HEART_MIDDLE - v / HEART
    b2 = b.square()
    within = a2 + b2 - 1.0
    return within * within * within <= a2 * b2 * b
