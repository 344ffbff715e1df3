"""One number taken apart: log p(x), a bound or an energy as a sum of terms with names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import (
    Bound,
    Conditionals,
    Critic,
    Decoding,
    Encoding,
    Energy,
    FlowPath,
    HasFlowPath,
    LogProb,
)
from engine.estimators.density import Cancelled, check_draws
from engine.estimators.mixture import MixtureParts, mixture_parts
from engine.estimators.precision import in_double
from engine.estimators.quadrature import log_z
from engine.latents import Elbo
from engine.model import GenerativeModel

NATS = "nats"
#: What a number that cannot be taken apart is called.
WHOLE = "log p(x)"


@dataclass(frozen=True)
class Term:
    """One summand: its name, its value, what it means in a sentence, and its error.

    ``error`` is one standard error of a Monte Carlo average, or the error of a quadrature; 0
    where the term is exact.
    """

    name: str
    value: float
    words: str = ""
    error: float = 0.0


@dataclass(frozen=True)
class Terms:
    """A number and the terms that add up to it.

    Attributes:
        kind: ``"exact"``, ``"bound"``, ``"quadrature"``, ``"energy"`` (−E alone, not normalised)
            or ``"critic"``.
        value: The number, from the model's own method and not from the terms.
        terms: The summands in the order in which they arise.
        unit: ``"nats"``, or empty for a critic.
        error: Error of the number (of a quadrature, or one standard error of a bound's draws).
    """

    kind: str
    value: float
    terms: tuple[Term, ...]
    unit: str = NATS
    error: float = 0.0

    @property
    def residual(self) -> float:
        """The number minus the sum of its terms; 0 where both are the same infinity."""
        total = math.fsum(term.value for term in self.terms)
        return 0.0 if total == self.value else self.value - total


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
    r"""Take the model's number at one event (1, *E) apart, in double precision.

    Flows: log p = log p_base(z) + Σ log abs det. Mixtures, with k the likeliest component:
    log p = log π_k + log p(x given k) − log r_k. Autoregressive models: one conditional each.
    Bounds: reconstruction − Σ KL + what importance weighting adds. Energies: −E − log Z.

    Args:
        model: The model.
        x: One event.
        names: One name per coordinate of the flat event.
        n_draws: Draws of the latents for a bound.
        seed: Seed of those draws.
        cancelled: Asked between chunks of a quadrature.

    Raises:
        ValueError: The model has no number to give.
    """
    generator = torch.Generator().manual_seed(seed)
    twin, event = in_double(model, x)
    if isinstance(twin, LogProb):
        value = float(twin.log_prob(event)[0])
        return Terms("exact", value, _exact_terms(twin, event, names, value, generator))
    if isinstance(twin, Bound):
        return _bound_terms(twin, event, n_draws, generator)
    if isinstance(twin, Energy):
        return _energy_terms(model, -float(twin.energy(event)[0]), cancelled)
    if isinstance(twin, Critic):
        value = float(twin.critic(event)[0])
        words = "The critic's judgement: higher means more like the data. It is no density."
        return Terms("critic", value, (Term("f(x)", value, words),), unit="")
    raise ValueError(f"{model.card.title} has no number to give at a point")


def _exact_terms(
    model: GenerativeModel,
    x: Tensor,
    names: Sequence[str],
    value: float,
    generator: torch.Generator,
) -> tuple[Term, ...]:
    if isinstance(model, HasFlowPath):
        return _flow_terms(model, model.path(x))
    parts = mixture_parts(model)
    if parts is not None:
        return _mixture_terms(parts, x)
    if isinstance(model, Conditionals):
        return _conditional_terms(model, x, names)
    if isinstance(model, Bound):
        elbo = model.elbo(x, generator=generator)
        words = "What the bound misses: KL(q‖p(z|x)), 0 where the posterior q is the exact one."
        gap = Term("log p(x) − ELBO", value - float(elbo.total[0]), words)
        return (*_elbo_terms(elbo), gap)
    return (Term(WHOLE, value, "This model's log-density is one formula without parts."),)


def _flow_terms(model: HasFlowPath, path: FlowPath) -> tuple[Term, ...]:
    base = float(model.base().log_prob(path.states[-1]).sum())
    layers = zip(path.names, path.log_dets[:, 0].tolist(), strict=True)
    words = (
        f"Log-density of the base at the place {_place(path.states[-1][0])} to which x is sent."
    )
    first = Term("log p(z) of the base", base, words)
    return (first, *(Term(f"log|det| {name}", v, _stretch(v)) for name, v in layers))


def _stretch(log_det: float) -> str:
    factor = math.exp(min(abs(log_det), 700.0))
    way = "stretches" if log_det >= 0 else "squeezes"
    meant = "raises" if log_det >= 0 else "lowers"
    return (
        f"On its way to the base this layer {way} space here by a factor {factor:.4g}, which "
        f"{meant} the density by as much."
    )


def _place(state: Tensor) -> str:
    shown = [f"{value:.3g}" for value in state.flatten()[:4].tolist()]
    return f"({', '.join(shown)}{', …' if state.numel() > 4 else ''})"


def _mixture_terms(parts: MixtureParts, x: Tensor) -> tuple[Term, ...]:
    joint = parts.joint(x)[0]
    best = int(joint.argmax())
    log_share = float(joint[best] - torch.logsumexp(joint, 0))
    log_weight = float(parts.log_weights[best])
    share = 100.0 * math.exp(log_share)
    rest = (
        f"What the other components add: component {best + 1} has a responsibility of "
        f"{share:.4g} %, and log Σ exp of all is its own term minus the log of that share."
    )
    name = f"component {best + 1}"
    return (
        Term(f"log π of {name}", log_weight, "Log of the weight of the likeliest component here."),
        Term(f"log p(x | {name})", float(joint[best]) - log_weight,
             "Log-density of that component alone at x."),
        Term("−log of its responsibility", -log_share, rest),
    )  # fmt: skip


def _conditional_terms(model: Conditionals, x: Tensor, names: Sequence[str]) -> tuple[Term, ...]:
    order = [int(index) for index in model.order]
    flat = x.flatten(1)
    values = model.conditionals(x).log_prob(flat)[0].tolist()
    titles = [names[index] for index in order]
    return tuple(
        Term(_conditional_name(titles, place), values[index],
             _conditional_words(titles, place, float(flat[0, index])))
        for place, index in enumerate(order)
    )  # fmt: skip


def _conditional_name(titles: Sequence[str], place: int) -> str:
    if place == 0:
        return f"log p({titles[0]})"
    given = titles[0] if place == 1 else f"{place} before"
    return f"log p({titles[place]} | {given})"


def _conditional_words(titles: Sequence[str], place: int, value: float) -> str:
    given = "nothing" if place == 0 else f"the {place} drawn before"
    return f"Log-density of {titles[place]} = {value:.4g} given {given}."


def _elbo_terms(elbo: Elbo, error: float = 0.0) -> tuple[Term, ...]:
    words = "How well the decoder gives x back from latents of the encoder: E_q log p(x|z)."
    first = Term("reconstruction", float(elbo.reconstruction[0]), words, error)
    cost = "What it costs that the encoder's q(z|x) is not the prior."
    kl = [Term(f"−KL({n})", -float(term[0]), cost) for n, term in elbo.kl_terms.items()]
    return (first, *kl)


def _bound_terms(model: Bound, x: Tensor, n_draws: int, generator: torch.Generator) -> Terms:
    check_draws(n_draws)
    elbo = model.elbo(x, n_draws=n_draws, generator=generator)
    value = float(elbo.importance_weighted[0])
    words = (
        "log of the mean weight minus the mean of the log weights: by so much the bound with "
        f"{n_draws} draws lies above the ELBO. It grows towards KL(q‖p(z|x))."
    )
    gap = Term(f"gain of {n_draws} draws", value - float(elbo.total[0]), words)
    error = _reconstruction_error(model, x, n_draws, generator)
    terms = (*_elbo_terms(elbo, error), gap)
    return Terms("bound", value, terms, error=log_mean_error(elbo.log_weights[:, 0]))


def _reconstruction_error(
    model: Bound, x: Tensor, n_draws: int, generator: torch.Generator
) -> float:
    """One standard error of E_q log p(x given z) over as many draws; 0 where none can be had."""
    if not (isinstance(model, Encoding) and isinstance(model, Decoding)):
        return 0.0
    latents, _ = model.encode(x).sample(n_draws, generator)
    return _spread(model.decode(latents).log_prob(x).reshape(n_draws))


def _spread(draws: Tensor) -> float:
    """One standard error of the mean of (K,) draws; 0 for a single one, which tells nothing."""
    return float(draws.std()) / math.sqrt(len(draws)) if len(draws) > 1 else 0.0


def log_mean_error(log_weights: Tensor) -> float:
    r"""One standard error of log (1/K) Σ_k w_k by the delta method, nats; (K,) → number.

    .. math:: \mathrm{se} \approx \frac{\mathrm{sd}(w)}{\sqrt K\, \bar w}

    0 for a single draw, which tells nothing of its spread.
    """
    weights = (log_weights - log_weights.max()).exp()
    return _spread(weights) / float(weights.mean()) if len(weights) > 1 else 0.0


def _energy_terms(
    model: GenerativeModel, minus_energy: float, cancelled: Cancelled | None
) -> Terms:
    words = "Minus the energy at x: the network's own judgement, before normalising."
    first = Term("−E(x)", minus_energy, words)
    if model.event_size > 2:
        return Terms("energy", minus_energy, (first,))
    z = log_z(model, cancelled=cancelled)
    words = (
        "Minus log ∫ exp(−E), the same everywhere; by quadrature, its error from half the grid."
    )
    terms = (first, Term("−log Z", -z.value, words, z.error))
    return Terms("quadrature", minus_energy - z.value, terms, error=z.error)
