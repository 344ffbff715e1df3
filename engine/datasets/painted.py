"""What the user paints: a mixture of round Gaussians around the dabs of the strokes.

p(x) = Σ_k w_k N(x; m_k, (σ_k² + noise²) I) / Σ_k w_k over the dabs (m_k, σ_k, w_k), so that the
density under the brush is known exactly. Constants: the default painting is a smiling face, see
``engine.wire.painting``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.dataset import SplitConfig
from engine.datasets.dabs import DabMixture
from engine.datasets.synthetic import Synthetic
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field
from engine.wire.painting import check_dabs, decode_dabs, encode_dabs, first_painting


class Painted(Synthetic):
    """A sample of the painted density, which is known exactly."""

    card = DatasetCard(
        name="painted",
        title="Your painting",
        summary="What you paint with brush and spray; the density around the strokes is known.",
        kind="own",
    )

    @dataclass(frozen=True)
    class Config(SplitConfig):
        """The painting, sample, split, and noise on top of the dabs' own width."""

        dabs: Annotated[
            str,
            Field(help="The painting: base64 of float32 rows (x, y, sigma, weight)."),
            "blob",
        ] = encode_dabs(first_painting())
        noise: Annotated[
            float,
            Field(0.0, 1.0, step=0.01, symbol=r"\sigma", help="Noise added to every point."),
        ] = 0.0
        axes: Annotated[
            tuple[str, ...], Field(help="Names of the two coordinates, such as your own units.")
        ] = ("x", "y")

    def __init__(self, config: Any) -> None:
        if len(config.axes) != 2 or len(set(config.axes)) != 2:
            given = ", ".join(config.axes) or "none"
            raise ValueError(f"axes: given {given}, wanted two different names such as x, y")
        super().__init__(config)
        self.event = Event(shape=(2,), axes=config.axes)

    def _build(self) -> None:
        self._truth = _mixture(self.config.dabs, self.config.noise)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N independent draws (N, 2), float32."""
        return self._truth.sample(n, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of (B, 2), shape (B,), nats; float64 is kept, to 1e-12 of p."""
        return self._truth.log_prob(x)

    def entropy(self) -> float:
        """H(p) in nats, by quadrature; its error is below 1e-6."""
        return _entropy(self.config.dabs, self.config.noise)


@lru_cache(maxsize=8)
def _mixture(text: str, noise: float) -> DabMixture:
    rows = torch.from_numpy(check_dabs(decode_dabs(text)))
    scales = (rows[:, 2] ** 2 + noise**2).sqrt()
    return DabMixture(rows[:, :2].contiguous(), scales, rows[:, 3] / rows[:, 3].sum())


@lru_cache(maxsize=8)
def _entropy(text: str, noise: float) -> float:
    return _mixture(text, noise).entropy()
