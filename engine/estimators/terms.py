"""One number taken apart: log p(x), a bound or an energy as a sum of terms with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Bound, Conditionals, Critic, Energy, HasFlowPath, LogProb
from engine.estimators.density import Cancelled, check_draws, log_density_of
from engine.estimators.mixture import MixtureParts, mixture_parts
from engine.estimators.quadrature import log_z
from engine.model import GenerativeModel

NATS = "nats"
#: What a number that cannot be taken apart is called.
WHOLE = "log p(x)"


@dataclass(frozen=True)
class Terms:
    """A number and the terms that add up to it.

    Attributes:
        kind: ``"exact"``, ``"bound"``, ``"quadrature"``, ``"energy"`` (−E alone, not normalised)
            or ``"critic"``.
        value: The number.
        terms: (name, value) in the order in which they arise.
        unit: ``"nats"``, or empty for a critic.
        error: Error of the number by quadrature, nats; 0 where none was used.
    """

    kind: str
    value: float
    terms: tuple[tuple[str, float], ...]
    unit: str = NATS
    error: float = 0.0


@torch.no_grad()
def terms_at(
    model: GenerativeModel,
    x: Tensor,
    names: Sequence[str],
    *,
    n_draws: int = 512,
    seed: int = 0,
    cancelled: Cancelled | None = None,
) -> Terms:
    r"""Take the model's number at one event (1, *E) apart.

    Flows: log p = log p_base(z) + Σ log abs det. Mixtures, with k the likeliest component:
    log p = log π_k + log p(x given k) − log r_k. Autoregressive models: one conditional each.
    Bounds: reconstruction − Σ KL + what importance weighting adds. Energies: −E − log Z.

    Args:
        model: The model.
        x: One event in the model's dtype and on its device.
        names: One name per coordinate of the flat event.
        n_draws: Draws of the latents for a bound.
        seed: Seed of those draws.
        cancelled: Asked between chunks of a quadrature.

    Raises:
        ValueError: The model has no number to give.
    """
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, LogProb):
        value = float(model.log_prob(x)[0])
        return Terms("exact", value, _exact_terms(model, x, names, value, generator))
    if isinstance(model, Bound):
        return _bound_terms(model, x, n_draws, generator)
    if isinstance(model, Energy):
        return _energy_terms(model, x, cancelled)
    if isinstance(model, Critic):
        value = float(model.critic(x)[0])
        return Terms("critic", value, (("f(x)", value),), unit="")
    raise ValueError(f"{model.card.title} has no number to give at a point")


def _exact_terms(
    model: GenerativeModel,
    x: Tensor,
    names: Sequence[str],
    value: float,
    generator: torch.Generator,
) -> tuple[tuple[str, float], ...]:
    if isinstance(model, HasFlowPath):
        return _flow_terms(model, x)
    parts = mixture_parts(model)
    if parts is not None:
        return _mixture_terms(parts, x)
    if isinstance(model, Conditionals):
        return _conditional_terms(model, x, names)
    if isinstance(model, Bound):
        elbo = model.elbo(x, generator=generator)
        kl = [(f"−KL({name})", -float(term[0])) for name, term in elbo.kl_terms.items()]
        gap = ("log p(x) − ELBO", value - float(elbo.total[0]))
        return (("reconstruction", float(elbo.reconstruction[0])), *kl, gap)
    return ((WHOLE, value),)


def _flow_terms(model: HasFlowPath, x: Tensor) -> tuple[tuple[str, float], ...]:
    path = model.path(x)
    base = float(model.base().log_prob(path.states[-1]).sum())
    layers = zip(path.names, path.log_dets[:, 0].tolist(), strict=True)
    return (("log p(z) of the base", base), *((f"log|det| {name}", v) for name, v in layers))


def _mixture_terms(parts: MixtureParts, x: Tensor) -> tuple[tuple[str, float], ...]:
    joint = parts.joint(x)[0]
    best = int(joint.argmax())
    log_share = float(joint[best] - torch.logsumexp(joint, 0))
    log_weight = float(parts.log_weights[best])
    return (
        (f"log π of component {best + 1}", log_weight),
        (f"log p(x | component {best + 1})", float(joint[best]) - log_weight),
        ("−log of its responsibility", -log_share),
    )


def _conditional_terms(
    model: Conditionals, x: Tensor, names: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    order = [int(index) for index in model.order]
    values = model.conditionals(x).log_prob(x.flatten(1))[0].tolist()
    titles = [names[index] for index in order]
    return tuple(
        (_conditional_name(titles, place), values[index]) for place, index in enumerate(order)
    )


def _conditional_name(titles: Sequence[str], place: int) -> str:
    if place == 0:
        return f"log p({titles[0]})"
    given = titles[0] if place == 1 else f"{place} before"
    return f"log p({titles[place]} | {given})"


def _bound_terms(model: Bound, x: Tensor, n_draws: int, generator: torch.Generator) -> Terms:
    check_draws(n_draws)
    elbo = model.elbo(x, n_draws=n_draws, generator=generator)
    value = float(elbo.importance_weighted[0])
    kl = [(f"−KL({name})", -float(term[0])) for name, term in elbo.kl_terms.items()]
    gap = (f"gained by {n_draws} importance draws", value - float(elbo.total[0]))
    return Terms("bound", value, (("reconstruction", float(elbo.reconstruction[0])), *kl, gap))


def _energy_terms(model: GenerativeModel, x: Tensor, cancelled: Cancelled | None) -> Terms:
    density = log_density_of(model)
    minus_energy = float(density.score(x)[0])
    if model.event_size > 2:
        return Terms("energy", minus_energy, (("−E(x)", minus_energy),))
    z = log_z(model, cancelled=cancelled)
    terms = (("−E(x)", minus_energy), ("−log Z", -z.value))
    return Terms("quadrature", minus_energy - z.value, terms, error=z.error)
