r"""FastICA: independent components by a fixed point that needs no step size.

Data are whitened, which leaves a rotation to be found. Mixtures are nearer to a normal law than
their sources, so each row of the rotation is turned to where the projection is least normal; the
iteration is Newton's method for that, and settles in a few sweeps over the data.

.. math::
    w \leftarrow E[z\, g(w^\top z)] - E[g'(w^\top z)]\, w, \qquad R \leftarrow (R R^\top)^{-1/2} R,
    \qquad s = R\, C^{-1/2} u

As a density it is a linear flow. FastICA itself says nothing about the law of its sources: here a
source of positive excess kurtosis counts as logistic, another as a mixture of two Gaussians.

References:
    Hyvärinen and Oja, *Independent Component Analysis: Algorithms and Applications*, Neural
    Networks 13, 2000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.bijections.bases import Sources
from engine.bijections.unmixing import UnmixingFlow
from engine.estimators.fast_ica import (
    CONTRASTS,
    excess_kurtosis,
    fixed_point,
    random_rotation,
    whitening,
)
from engine.estimators.precision import as_double
from engine.model import TrainState
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class FastICAConfig:
    """Settings of :class:`FastICA`."""

    contrast: Annotated[
        str,
        Field(
            choices=tuple(CONTRASTS),
            symbol="G",
            live=True,
            help="How far from normal is measured; outliers disturb the kurtosis most.",
        ),
    ] = "log cosh"


class FastICA(UnmixingFlow):
    """Square ICA; one training step is one fixed-point step over the whole training split.

    Attributes:
        white: C^(−1/2), (D, D), of standardised data.
        rotation: R, (D, D), orthogonal.
        flat: (D,), which sources have no tails.
    """

    Config = FastICAConfig
    full_batch = True
    card = ModelCard(
        name="fast_ica",
        title="FastICA",
        family="flows",
        summary=(
            "Data are whitened, and then turned to where each axis looks least normal: mixtures "
            "are nearer to a normal law than what was mixed. A fixed point without a step size "
            "finds the rotation in a few sweeps."
        ),
        equation=(r"w \leftarrow E[z\,g(w^\top z)] - E[g'(w^\top z)]\,w, \quad s = R\,C^{-1/2}u"),
        paper=Paper(
            "Aapo Hyvärinen, Erkki Oja",
            2000,
            "Independent Component Analysis: Algorithms and Applications",
            "Neural Networks",
        ),
    )

    white: Tensor
    rotation: Tensor
    flat: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: FastICAConfig) -> None:
        super().__init__(event_shape, config)
        self.register_buffer("white", torch.eye(self.event_size))
        self.register_buffer("rotation", torch.eye(self.event_size))
        self.register_buffer("flat", torch.zeros(self.event_size, dtype=torch.bool))

    @property
    def unmixing(self) -> Tensor:
        """R C^(−1/2), (D, D)."""
        return self.rotation @ self.white

    @property
    def n_parameters(self) -> int:
        """Number of free values: those of the unmixing matrix."""
        return self.white.numel()

    def base(self) -> Sources:
        """The law of the sources: each of variance 1, peaked or flat."""
        return Sources(self.location, self.flat)

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise, whiten, and start from a random rotation."""
        super().prepare(data, generator=generator)
        u = self._centred(data)
        white = whitening((u.T @ u / len(u)).cpu())
        rotation = random_rotation(self.event_size, generator)
        self.white.copy_(white)
        self.rotation.copy_(rotation)
        self._judge(u @ (rotation @ white).to(u).T)

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One fixed-point step on (B, *E); returns the negative log-density before it."""
        losses = self.loss(batch, generator=generator)
        u = self._centred(batch)
        z = u @ as_double(self.white).T
        rotation = fixed_point(z, as_double(self.rotation), self.config.contrast)
        self.rotation.copy_(rotation)
        self._judge(z @ rotation.T)
        return losses

    def _centred(self, x: Tensor) -> Tensor:
        """(B, *E) → (B, D), standardised, float64."""
        flat = as_double(x.reshape(len(x), -1).to(self.device))
        return (flat - as_double(self.location)) / as_double(self.scale)

    def _judge(self, sources: Tensor) -> None:
        """Look which of the sources (N, D) have no tails."""
        self.flat.copy_(excess_kurtosis(sources) < 0.0)
