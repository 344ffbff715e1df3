r"""A mixture of Bernoullis: K templates of binary pictures, fitted by expectation-maximisation.

Every picture was made from one of K templates, in which each pixel is a coin of its own; the
E-step asks from which, the M-step takes the mean of the pictures that a template answers for.

.. math::
    p(x) = \sum_{k=1}^{K} \pi_k \prod_{d=1}^{D} \theta_{kd}^{x_d} (1 - \theta_{kd})^{1 - x_d},
    \qquad \theta_{kd} = \frac{\alpha + \sum_n r_{nk} x_{nd}}{2 \alpha + \sum_n r_{nk}}

The α are the counts of a Beta(1 + α, 1 + α) prior on each θ; at α = 0 it is maximum likelihood.

References:
    Lazarsfeld and Henry, *Latent Structure Analysis*, 1968 (latent classes); EM for binary
    pictures: Bishop, *Pattern Recognition and Machine Learning*, 2006, section 9.3.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent
from torch.nn.functional import logsigmoid

from engine.estimators.precision import as_double
from engine.estimators.seeding import plus_plus_centres
from engine.latents import Latents
from engine.model import TrainState
from engine.nets.mixture_model import LOG_Q, MixtureModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: A template that answers for less than this many pictures keeps its pixels.
SMALLEST_COUNT = 1e-6
#: Every θ stays so far from 0 and 1: a pixel never seen is improbable, not impossible.
SMALLEST_CHANCE = 1e-6
#: Values of one block of pictures, in float64.
BLOCK_VALUES = 2**22
#: Pictures among which the first templates are looked for, and how much of each is kept.
N_SEEDING_POINTS = 2048
FIRST_SHARE = 0.5


@dataclass(frozen=True)
class BernoulliMixtureConfig:
    """Settings of :class:`BernoulliMixture`."""

    n_components: Annotated[
        int, Field(1, 200, step=1, symbol="K", help="Number of templates.")
    ] = 10
    smoothing: Annotated[
        float,
        Field(
            0.0,
            10.0,
            step=0.1,
            symbol=r"\alpha",
            live=True,
            help="Made-up pictures with each pixel on, and as many with it off, per template.",
        ),
    ] = 0.1
    levels: Annotated[
        int | None, Field(2, 256, derived=True, help="Levels of a value; it takes two.")
    ] = 2


class BernoulliMixture(MixtureModel):
    """Mixture of Bernoullis by EM; one training step is one sweep over the whole training split.

    ``logits`` (K, D) are the log-odds of θ: next to 0 and 1 they keep the digits that θ loses.

    Raises:
        ValueError: The values have other than two levels.
    """

    Config = BernoulliMixtureConfig
    card = ModelCard(
        name="bernoulli_mixture",
        title="Bernoulli mixture",
        family="latent",
        summary=(
            "Every binary picture was made from one of K templates, and nobody knows which. EM "
            "guesses from which, averages the pictures of each, and never gets worse."
        ),
        equation=(
            r"p(x)=\sum_{k=1}^{K}\pi_k\prod_{d=1}^{D}"
            r"\theta_{kd}^{x_d}(1-\theta_{kd})^{1-x_d}"
        ),
        paper=Paper(
            authors="P. F. Lazarsfeld, N. W. Henry",
            year=1968,
            title="Latent Structure Analysis",
        ),
        features=("components", "half_steps"),
        supports=("binary",),
    )

    logits: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: BernoulliMixtureConfig) -> None:
        if config.levels != 2:
            given = "real values" if config.levels is None else f"{config.levels} levels"
            raise ValueError(
                f"Bernoulli mixture: given data with {given}, wanted binary pictures (2 levels)"
            )
        super().__init__(event_shape, config, config.n_components)
        self.register_buffer("logits", torch.randn(config.n_components, self.event_size))

    @property
    def n_parameters(self) -> int:
        """Number of free values: weights and one chance per pixel and template."""
        return self.logits.numel() + len(self.weights) - 1

    @property
    def theta(self) -> Tensor:
        """(K, *E), the chance of each pixel to be on, by template."""
        return torch.sigmoid(self.logits).reshape(-1, *self.event_shape)

    # --- expectation-maximisation -------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Start EM: equal weights, templates half-way from the mean to far-apart pictures."""
        n = self.config.n_components
        order = torch.randperm(len(data), generator=generator)[: max(N_SEEDING_POINTS, n)]
        points = self._flat(data[order.to(data.device)])
        centres = plus_plus_centres(points, n, generator)
        theta = FIRST_SHARE * centres + (1.0 - FIRST_SHARE) * points.mean(0)
        self.weights.fill_(1.0 / n)
        # Some doubt, so that no template is certain of a pixel.
        self.logits.copy_(torch.logit(0.9 * theta + 0.05))

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One sweep of EM on (B, *E).

        Returns ``nll``, the negative log-probability before it, and ``total``, which EM lowers:
        ``nll`` minus the log of the prior on θ, both per event, in nats. Worked in float64.
        """
        prior = self._log_prior()
        sums = torch.zeros_like(as_double(self.logits))
        counts, total = torch.zeros_like(sums[:, 0]), torch.zeros_like(sums[0, 0])
        for x in self._blocks(batch):
            joint = self._log_joint_double(x)
            log_p = torch.logsumexp(joint, -1)
            r = torch.exp(joint - log_p[:, None])
            counts += r.sum(0)
            sums += r.mT @ x
            total += log_p.sum()
        self._maximise(counts, sums)
        nll = -total / len(batch)
        return {"total": nll - prior / len(batch), "nll": nll}

    @torch.no_grad()
    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        """Weights and templates of events (B, *E) shared out by q."""
        r = as_double(q[LOG_Q]).exp()
        self._maximise(r.sum(0), r.mT @ as_double(x.flatten(1)))

    def _maximise(self, counts: Tensor, sums: Tensor) -> None:
        """The M-step from Σ_n r (K,) and Σ_n r x (K, D), with the prior's counts."""
        smoothing = self.config.smoothing
        off = counts[:, None] - sums + smoothing
        theta = (sums + smoothing) / (sums + smoothing + off).clamp_min(SMALLEST_COUNT)
        theta = theta.clamp(SMALLEST_CHANCE, 1.0 - SMALLEST_CHANCE)
        alive = (counts > SMALLEST_COUNT).to(self.logits.device)[:, None]
        logits = torch.logit(theta).to(self.logits)
        self.weights.copy_(counts / counts.sum())
        self.logits.copy_(torch.where(alive, logits, self.logits))

    def _blocks(self, batch: Tensor) -> Iterator[Tensor]:
        """Blocks (n, D) of events (B, *E), float64."""
        rows = max(1, BLOCK_VALUES // self.event_size)
        return (as_double(part.flatten(1)) for part in torch.split(batch, rows))

    def _log_joint_double(self, x: Tensor) -> Tensor:
        weights = as_double(self.weights)
        return torch.log(weights / weights.sum()) + _log_probs(x, as_double(self.logits))

    def _log_prior(self) -> Tensor:
        """α Σ log θ (1 − θ): the log of the prior up to a constant, nats."""
        logits = as_double(self.logits)
        found: Tensor = self.config.smoothing * (logsigmoid(logits) + logsigmoid(-logits)).sum()
        return found

    # --- components ---------------------------------------------------------------------------

    def log_joint(self, x: Tensor) -> Tensor:
        """log π_k + log p(x given k) of (B, *E), (B, K), nats."""
        return self.weights.log() + _log_probs(self._flat(x), self.logits)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """The template of each component (B,): independent Bernoullis with event *E."""
        logits = self.logits[latents["component"].long()]
        shaped = logits.reshape(*logits.shape[:-1], *self.event_shape)
        bernoulli = Bernoulli(logits=shaped, validate_args=False)
        return Independent(bernoulli, len(self.event_shape), validate_args=False)


def _log_probs(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x given k) of (B, D) and log-odds (K, D), (B, K): one product of matrices."""
    return x @ logits.mT + logsigmoid(-logits).sum(-1)
