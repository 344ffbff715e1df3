r"""Iterative Gaussianization: data are turned and flattened until nothing is left but a normal.

Each sweep turns the cloud, and then bends every axis by itself until its histogram is that of a
standard normal. A sweep cannot make the whole less normal, and it never looks back: no gradient
is needed, and the density is the product of what the sweeps did.

.. math::
    z^{(k)} = \Phi^{-1}\!\left(\hat F^{(k)}\!\left(R^{(k)} z^{(k-1)}\right)\right), \qquad
    \log p(x) = \log \mathcal N(z^{(S)}; 0, I)
        + \sum_k \sum_i \log \frac{\partial z^{(k)}_i}{\partial (R^{(k)} z^{(k-1)})_i}

R comes by chance (RBIG's), from PCA, or from ICA (Chen and Gopinath's method, whose axes are soon
the same again). An axis is bent only where that raises the likelihood of the training data by more
than K/N nats, twice what K knots gain on N points by chance, and by as many of them as pay best:
without this rule the sweeps would learn the sample by heart.

References:
    Chen and Gopinath, *Gaussianization*, NeurIPS 2000; Laparra, Camps-Valls and Malo, *Iterative
    Gaussianization: From ICA to Random Rotations*, IEEE Transactions on Neural Networks 22, 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from engine.bijections.base import Bijection
from engine.bijections.flow import Flow
from engine.bijections.linear import Linear
from engine.bijections.marginal import Marginal, fit_marginals, identity
from engine.estimators.fast_ica import fixed_point, random_rotation, whitening
from engine.estimators.precision import as_double
from engine.model import TrainState
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: Fixed-point steps of ICA's rotation in each sweep.
N_ICA_STEPS = 20
ROTATIONS = ("random", "pca", "ica")


@dataclass(frozen=True)
class GaussianizationConfig:
    """Settings of :class:`Gaussianization`."""

    n_layers: Annotated[
        int, Field(1, 200, step=1, symbol="S", help="Sweeps at most: one a training step.")
    ] = 40
    rotation: Annotated[
        str,
        Field(
            choices=ROTATIONS,
            symbol="R",
            live=True,
            help="How a sweep turns the cloud: anyhow, to its widest axes, or its least normal.",
        ),
    ] = "random"
    n_bins: Annotated[
        int, Field(4, 256, step=1, symbol="K", help="Bins, at most, of an axis's spline.")
    ] = 32


class Gaussianization(Flow):
    """Rotations and marginal splines in turn; one training step adds one sweep.

    Attributes:
        turns: (S, D, D), the linear map of each sweep.
        knots_x, knots_y, slopes: (S, D, K + 1), its splines.
        gains: (S,), nats by which each sweep raised the mean log-density of the training data:
            the negentropy that it took away.
        n_sweeps: (), how many have been taken; the rest of the buffers waits.
    """

    Config = GaussianizationConfig
    full_batch = True
    card = ModelCard(
        name="gaussianization",
        title="Iterative Gaussianization",
        family="flows",
        summary=(
            "Each sweep turns the cloud and then bends every axis by itself until its histogram "
            "is normal. Sweep by sweep the data lose what makes them special, without a single "
            "gradient; run backwards, noise becomes data."
        ),
        equation=(
            r"z^{(k)} = \Phi^{-1}(\hat{F}^{(k)}(R^{(k)} z^{(k-1)})), \quad "
            r"\log p(x) = \log \mathcal{N}(z^{(S)}; 0, I) + \sum_k \log |\det J_k|"
        ),
        paper=Paper(
            "Valero Laparra, Gustau Camps-Valls, Jesús Malo",
            2011,
            "Iterative Gaussianization: From ICA to Random Rotations",
            "IEEE Transactions on Neural Networks",
        ),
        features=("sweeps",),
    )

    turns: Tensor
    knots_x: Tensor
    knots_y: Tensor
    slopes: Tensor
    gains: Tensor
    n_sweeps: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: GaussianizationConfig) -> None:
        super().__init__(event_shape, config)
        n, size = config.n_layers, self.event_size
        splines = identity(size, config.n_bins)
        self.register_buffer("turns", torch.eye(size).repeat(n, 1, 1))
        for name, rows in (
            ("knots_x", splines.x),
            ("knots_y", splines.y),
            ("slopes", splines.slope),
        ):
            self.register_buffer(name, rows.to(self.location).repeat(n, 1, 1))
        self.register_buffer("gains", torch.zeros(n))
        self.register_buffer("n_sweeps", torch.zeros((), dtype=torch.int64))

    @property
    def n_parameters(self) -> int:
        """Number of values that all sweeps together may set."""
        return int(self.turns.numel() + self.knots_x.numel() + self.slopes.numel())

    def trained_layers(self) -> Sequence[Bijection]:
        """Turn and marginal of each sweep that has been taken, data → base."""
        layers: list[Bijection] = []
        for k in range(int(self.n_sweeps)):
            splines = (self.knots_x[k], self.knots_y[k], self.slopes[k])
            layers += [Linear(self.turns[k], f"turn {k + 1}")]
            layers += [Marginal(*splines, f"marginal {k + 1}")]
        return layers

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise; no sweep has been taken yet."""
        super().prepare(data, generator=generator)
        self.n_sweeps.zero_()
        self.gains.zero_()

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One sweep fitted to (B, *E); returns the negative log-density before it.

        When all sweeps have been taken nothing changes any more.
        """
        z, log_det = self._enter(batch), self.location.new_zeros(())
        for layer in self.layers():
            z, added = layer.forward(z)
            log_det = log_det + added.mean()
        nll = -(self.base().log_prob(z).mean() + log_det)
        if int(self.n_sweeps) < self.config.n_layers:
            self._sweep(as_double(z), generator)
        return {"total": nll, "nll": nll}

    def _sweep(self, z: Tensor, generator: torch.Generator) -> None:
        k = int(self.n_sweeps)
        turn = self._turn(z, generator)
        turned = z @ turn.to(z).T
        gain = turn.cpu().slogdet().logabsdet + 0.5 * (
            z.square().sum(1).mean() - turned.square().sum(1).mean()
        ).to("cpu")
        splines, gains = self._bend(turned)
        self.turns[k].copy_(turn)
        self.knots_x[k].copy_(splines.x)
        self.knots_y[k].copy_(splines.y)
        self.slopes[k].copy_(splines.slope)
        self.gains[k].copy_(gain + gains.sum().cpu())
        self.n_sweeps.add_(1)

    def _turn(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """The linear map (D, D) of one sweep over (N, D)."""
        covariance = z.T @ z / len(z)
        if self.config.rotation == "random":
            return random_rotation(self.event_size, generator)
        if self.config.rotation == "pca":
            vectors: Tensor = torch.linalg.eigh(covariance.cpu()).eigenvectors.T
            return vectors
        white = whitening(covariance.cpu())
        rotation = random_rotation(self.event_size, generator).to(z)
        u = z @ white.to(z).T
        for _ in range(N_ICA_STEPS):
            rotation = fixed_point(u, rotation, "log cosh")
        return rotation.cpu() @ white

    def _bend(self, z: Tensor) -> tuple[Marginal, Tensor]:
        """Splines for (N, D), and the nats that each coordinate gains, (D,).

        Each coordinate takes as many bins as pay; where none do it is left as it is.
        """
        n_most: int = self.config.n_bins
        counts = sorted({max(n_most // 4, 4), max(n_most // 2, 4), n_most})
        tried = [fit_marginals(z, n).padded(n_most) for n in counts]
        gains = torch.stack([torch.zeros_like(z[0]), *(_gains(one, z) for one in tried)])
        prices = torch.tensor([0, *counts]).to(z) / len(z)
        best = (gains - prices[:, None]).argmax(0)
        tried = [identity(self.event_size, n_most), *tried]
        chosen = [
            torch.stack([knots.to(z) for knots in column])[best, torch.arange(len(best))]
            for column in ([m.x for m in tried], [m.y for m in tried], [m.slope for m in tried])
        ]
        x, y, slope = chosen
        return Marginal(x, y, slope), gains.gather(0, best[None])[0]


def _gains(splines: Marginal, z: Tensor) -> Tensor:
    """What bending each coordinate of (N, D) adds to the mean log-density, (D,), nats."""
    found = []
    for i in range(z.shape[1]):
        y, log_slope = splines.coordinate(i).forward(z[:, i : i + 1])
        found.append((log_slope + 0.5 * (z[:, i].square() - y[:, 0].square())).mean())
    return torch.stack(found)
