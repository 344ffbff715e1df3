r"""What linear models with normal latents share: a density, an exact posterior, EM in half-steps.

.. math::
    x = W z + \mu + \epsilon, \quad z \sim \mathcal N(0, I), \;
    \epsilon \sim \mathcal N(0, \Psi), \; \Psi \text{ diagonal} \quad\Rightarrow\quad
    z \mid x \sim \mathcal N(M^{-1} W^\top \Psi^{-1} (x - \mu),\; M^{-1}), \quad
    M = I + W^\top \Psi^{-1} W
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from engine.drawing import draw
from engine.estimators.gaussian import cholesky
from engine.estimators.precision import as_double
from engine.latents import Elbo, Latent, Latents
from engine.model import GenerativeModel

LOG_TWO_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class GaussianPosterior:
    """A posterior of "z": means (B, Z), and a factor (Z, Z) for all or (B, Z, Z)."""

    mean: Tensor
    scale_tril: Tensor

    @property
    def distribution(self) -> MultivariateNormal:
        """q(z given x), batch (B,), event (Z,)."""
        return MultivariateNormal(self.mean, scale_tril=self.scale_tril, validate_args=False)

    def sample(self, k: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """K draws: ({"z": (K, B, Z)}, log_q (K, B))."""
        z = draw(self.distribution, generator, (k,))
        log_q: Tensor = self.distribution.log_prob(z)  # type: ignore[no-untyped-call]
        return {"z": z}, log_q


class LinearGaussianModel(GenerativeModel):
    """A linear image ``W`` (D, Z) of normal latents plus independent noise.

    W and the noise lie in the model's standardised units; a subclass that keeps the units of the
    data leaves ``scale`` at 1.
    """

    full_batch = True

    W: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: Any, latent_features: int) -> None:
        super().__init__(event_shape, config)
        self.register_buffer("W", torch.randn(self.event_size, latent_features))

    @property
    @abstractmethod
    def noise(self) -> Tensor:
        """The diagonal of Ψ, (D,)."""

    @abstractmethod
    def set_noise(self, residuals: Tensor, variances: Tensor) -> None:
        """Take residual variances (D,), kept above a share of the data's variances (D,)."""

    @property
    def mu(self) -> Tensor:
        """(D,), the mean; the maximum-likelihood one is that of the data."""
        return self.location

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean negative log-density, nats per event; it is lowered without a gradient."""
        nll = -self.log_prob(x).mean()
        return {"total": nll, "nll": nll}

    # --- density and posterior ----------------------------------------------------------------

    def _whitened(self) -> tuple[Tensor, Tensor]:
        """B = Ψ^(−1/2) W, (D, Z), and the factor of M = I + BᵀB, (Z, Z)."""
        B = self.W / self.noise.sqrt()[:, None]
        inner = B.mT @ B + torch.eye(B.shape[1]).to(B)
        return B, cholesky(inner[None])[0]

    def _means(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Posterior means (B, Z) of centred events (B, D), with B and the factor of M."""
        B, factor = self._whitened()
        return torch.cholesky_solve(((v / self.noise.sqrt()) @ B).mT, factor).mT, B, factor

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log-density of (B, *E), (B,), nats."""
        v = self.standardise(x)
        z, _, factor = self._means(v)
        # |v − Wz|²/Ψ + |z|² = vᵀC⁻¹v, but never the difference of two large numbers.
        square = ((v - z @ self.W.mT).square() / self.noise).sum(-1) + z.square().sum(-1)
        log_det = self.noise.log().sum() + 2.0 * factor.diagonal().log().sum()
        total: Tensor = square + log_det + self.event_size * LOG_TWO_PI
        return self.standardise_log_det - 0.5 * total

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> GaussianPosterior:
        """The exact posterior N(M⁻¹ Wᵀ Ψ⁻¹ (x − μ), M⁻¹)."""
        means, _, factor = self._means(self.standardise(x))
        return GaussianPosterior(means, cholesky(torch.cholesky_inverse(factor)[None])[0])

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        """The bound under :meth:`encode`, in closed form; total = log p(x) where that is exact."""
        posterior = self.encode(x)
        reconstruction, kl = self._parts(self.standardise(x), posterior)
        latents, log_q = posterior.sample(n_draws, generator)
        log_weights = self._log_joint(self.standardise(x), latents["z"]) - log_q
        return Elbo(reconstruction - kl, reconstruction, {"z": kl}, log_weights)

    def _parts(self, v: Tensor, q: GaussianPosterior) -> tuple[Tensor, Tensor]:
        """E_q log p(x given z) and KL(q‖N(0, I)) of centred events (B, D), (B,) each."""
        noise, factor = self.noise, q.scale_tril
        square = ((v - q.mean @ self.W.mT).square() / noise).sum(-1)
        square = square + (self.W / noise.sqrt()[:, None] @ factor).square().sum((-2, -1))
        log_det = noise.log().sum() + self.event_size * LOG_TWO_PI
        reconstruction = self.standardise_log_det - 0.5 * (square + log_det)
        spread = factor.square().sum((-2, -1)) - 2.0 * _log_diagonal(factor)
        kl = 0.5 * (q.mean.square().sum(-1) + spread - factor.shape[-1])
        return reconstruction, kl

    def _log_joint(self, v: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) of centred events (B, D) and (K, B, Z), (K, B)."""
        residual = ((v - z @ self.W.mT).square() / self.noise).sum(-1) + z.square().sum(-1)
        log_det = self.noise.log().sum() + (v.shape[-1] + z.shape[-1]) * LOG_TWO_PI
        return self.standardise_log_det - 0.5 * (residual + log_det)

    # --- half-steps of EM (see engine.estimators.half_steps) ----------------------------------

    def posterior_of(self, q: Mapping[str, Tensor]) -> GaussianPosterior:
        """The Gaussians that q's parameters stand for."""
        return GaussianPosterior(q["mean"], q["scale_tril"])

    @torch.no_grad()
    def e_step(self, x: Tensor, q: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The exact posterior of each event, wherever q was: the bound then touches log p."""
        posterior = self.encode(x)
        return {"mean": posterior.mean, "scale_tril": posterior.scale_tril}

    @torch.no_grad()
    def elbo_under(self, x: Tensor, q: Mapping[str, Tensor]) -> Tensor:
        """E_q log p(x given z) − KL(q‖N(0, I)), (B,), nats."""
        reconstruction, kl = self._parts(self.standardise(x), self.posterior_of(q))
        return reconstruction - kl

    @torch.no_grad()
    def kl_under(self, x: Tensor, q: Mapping[str, Tensor]) -> Tensor:
        """KL(q‖p(z given x)) between two Gaussians, (B,), nats."""
        given = self.posterior_of(q)
        means, _, factor = self._means(self.standardise(x))
        root = factor.mT  # M = factor · root
        trace = (root @ given.scale_tril).square().sum((-2, -1))
        square = ((given.mean - means) @ factor).square().sum(-1)
        log_det = _log_diagonal(given.scale_tril) + _log_diagonal(factor)
        return 0.5 * (trace + square - factor.shape[-1]) - log_det

    @torch.no_grad()
    def m_step(self, x: Tensor, q: Mapping[str, Tensor]) -> None:
        """W and the noise that are best for events (B, *E) under q, the mean being kept."""
        v, given = as_double(self.standardise(x)), self.posterior_of(q)
        mean, factor = as_double(given.mean), as_double(given.scale_tril)
        spread = factor @ factor.mT
        spread = spread.mean(0) if spread.dim() == 3 else spread
        second = mean.mT @ mean / len(v) + spread
        self._maximise(v.mT @ mean / len(v), second, v.square().mean(0))

    def _maximise(self, cross: Tensor, second: Tensor, variances: Tensor) -> None:
        """The M-step from means of x zᵀ (D, Z), z zᵀ (Z, Z) and x² (D,), float64."""
        W = torch.linalg.solve(second, cross.mT).mT
        self.W.copy_(W)
        self.set_noise(variances - (W * cross).sum(-1), variances)

    # --- generation ---------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Latent, ...]:
        """The coordinates along the axes."""
        return (Latent("z", (self.W.shape[1],)),)

    def prior(self, parents: Latents) -> Distribution:
        """Standard normal."""
        if "z" in parents:
            raise ValueError("prior: given z, wanted no parents: it is the only latent")
        zeros = torch.zeros(self.W.shape[1]).to(self.W)
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """N(W z + μ, Ψ) of z (…, Z), batch (…,), event *E, in the units of the data."""
        mean = self.unstandardise(latents["z"] @ self.W.mT)
        spread = (self.noise.sqrt() * self.scale).reshape(self.event_shape).expand_as(mean)
        normal = Normal(mean, spread, validate_args=False)
        return Independent(normal, len(self.event_shape), validate_args=False)

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E)."""
        z = draw(self.prior({}), generator, (n,))
        return draw(self.decode({"z": z}), generator)


def _log_diagonal(factor: Tensor) -> Tensor:
    """Σ log of the diagonal of factors (…, Z, Z), (…)."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
