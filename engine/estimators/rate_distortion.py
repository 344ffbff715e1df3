r"""Rate and distortion of a model with a bound, event by event.

.. math::
    R(x) = \mathrm{KL}(q(z \mid x) \,\|\, p(z)), \quad
    D(x) = -E_q \log p(x \mid z), \quad R(x) + D(x) = -\mathcal L(x)

References:
    Alemi, Poole, Fischer, Dillon, Saurous and Murphy, *Fixing a Broken ELBO*, ICML 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Bound
from engine.estimators.density import Cancelled
from engine.estimators.evidence import measured_elbo


@dataclass(frozen=True)
class RateDistortion:
    """Both of B events, (B,) float64, nats; their sum is −ELBO.

    Attributes:
        rate: Σ_l KL_l, what the latents tell of x beyond the prior.
        distortion: −E_q log p(x given z), what is still to be told of x.
        elbo: The model's own bound, of the same draws.
    """

    rate: Tensor
    distortion: Tensor
    elbo: Tensor

    @property
    def residual(self) -> float:
        """The largest abs of R + D + ELBO over the events: 0 up to rounding."""
        return float((self.rate + self.distortion + self.elbo).abs().max())

    def summary(self) -> dict[str, float]:
        """Means and standard errors over the events."""
        found: dict[str, float] = {"residual": self.residual}
        for name, values in (
            ("rate", self.rate),
            ("distortion", self.distortion),
            ("elbo", self.elbo),
        ):
            found[name] = float(values.mean())
            spread = float(values.std()) if len(values) > 1 else 0.0
            found[f"{name}_error"] = spread / math.sqrt(len(values))
        return found


@torch.no_grad()
def rate_distortion_of(
    model: Bound,
    x: Tensor,
    *,
    n_draws: int,
    generator: torch.Generator,
    context: Tensor | None = None,
    cancelled: Cancelled | None = None,
) -> RateDistortion:
    """Rate and distortion of events (B, *E) with so many draws of the latents.

    Raises:
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    found = measured_elbo(
        model, x, n_draws=n_draws, generator=generator, context=context, cancelled=cancelled
    )
    rate = torch.stack(list(found.kl_terms.values())).sum(0)
    return RateDistortion(rate, -found.reconstruction, found.total)
