"""How good the model is: held-out negative log-density, divergences from the truth, the mass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch

from engine.capabilities import Classifier, Energy
from engine.dataset import KnownDensity, as_float
from engine.estimators.bits import bits_of
from engine.estimators.boltzmann import HasMachine
from engine.estimators.boltzmann_scores import score
from engine.estimators.density import CancellationError, log_density_of, score_points
from engine.estimators.log_z_boltzmann import base_of
from engine.estimators.log_z_boltzmann import log_z as boltzmann_log_z
from engine.estimators.quadrature import log_z
from engine.probe import Result, View, probe
from engine.probes.data_points import split_of
from engine.probes.divergences import measure
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Nodes a side allowed for the divergence.
SMALLEST_GRID, LARGEST_GRID = 16, 2048
#: Events that are classified at once.
CLASSIFIED_TOGETHER = 1024


class Arguments(msgspec.Struct, frozen=True):
    """Which split, how fine a grid for the divergence, and draws of the latents for bounds."""

    split: str = "test"
    grid: int = 512
    n_draws: int = 64


@probe(summary="Held-out negative log-density, divergences and mass.", arguments=Arguments)
def evaluate(view: View, arguments: Arguments) -> Iterator[Result]:
    """Figures of one split, nats per event; divergences and mass follow in a second result.

    ``nll_error`` is the standard error of the mean over the split (plus the error of log Z where
    one was needed). In one and two dimensions the values of the probe ``divergences`` come with
    the second result: KL both ways, JS, total variation, the mass, each with its error.

    Raises:
        ValueError: The split is unknown or empty, or a number is out of range.
    """
    data, labels = split_of(view.dataset, arguments.split)
    if not len(data):
        raise ValueError(f"the {arguments.split} split holds no observations")
    if not SMALLEST_GRID <= arguments.grid <= LARGEST_GRID or arguments.n_draws < 1:
        raise ValueError(
            f"evaluate: given grid {arguments.grid} and n_draws {arguments.n_draws}, wanted a "
            f"grid from {SMALLEST_GRID} to {LARGEST_GRID} and at least 1 draw"
        )
    truth = view.dataset
    values: dict[str, Value] = {
        "kind": "none",
        "label": f"{view.model.card.title} has no density to evaluate",
        "nll": None,
        "nll_error": None,
        "n": len(data),
        "entropy": truth.entropy() if isinstance(truth, KnownDensity) else None,
        "kl": None,
        "kl_error": None,
        "bits_per_dim": None,
        "bits_label": None,
    }
    scored = any(map(view.can, (Capability.LOG_PROB, Capability.BOUND, Capability.ENERGY)))
    if not scored and not isinstance(view.model, HasMachine):
        yield Result({}, values)
        return
    with suppress(CancellationError):
        values |= _held_out(view, data, labels, arguments.n_draws)
        values |= _classified(view, data, labels)
        comparable = view.model.event_size <= 2
        yield Result({}, dict(values), final=not comparable)
        if comparable:
            yield Result({}, values | _divergences(view, arguments))


@torch.no_grad()
def _classified(view: View, data: torch.Tensor, labels: torch.Tensor | None) -> dict[str, Value]:
    """The share of right classes and its standard error, of a model that tells classes."""
    if labels is None or not isinstance(view.model, Classifier):
        return {}
    rows = torch.split(torch.arange(len(data)), CLASSIFIED_TOGETHER)
    device = view.model.device
    guesses = [view.model.class_log_probs(as_float(data[r].to(device))).argmax(1) for r in rows]
    share = float((torch.cat(guesses).cpu() == labels.cpu()).double().mean())
    return {
        "accuracy": share,
        "accuracy_error": math.sqrt(share * (1.0 - share) / len(data)),
        "accuracy_kind": "share",
    }


def _held_out(
    view: View, data: torch.Tensor, labels: torch.Tensor | None, n_draws: int
) -> dict[str, Value]:
    model = view.model
    if isinstance(model, HasMachine) and (model.event_size > 2 or not isinstance(model, Energy)):
        return _by_machine(view, model, data)
    density = log_density_of(model, n_draws=n_draws, seed=view.seed)
    kind, label, offset, extra = density.kind, density.label, 0.0, 0.0
    if kind == "energy":
        if model.event_size > 2:
            label = "log Z is out of reach of quadrature, so there is no negative log-density"
            return {"kind": "none", "label": label}
        z = log_z(model, cancelled=view.cancelled)
        kind, label, offset, extra = "quadrature", "−E(x) − log Z, quadrature", z.value, z.error
    flat = data.reshape(len(data), -1)
    # The energy of a joint model given a label is that of both; what is wanted here is x alone.
    context = labels if model.uses_labels and density.kind != "energy" else None
    scores = score_points(density, model, flat, context=context, cancelled=view.cancelled) - offset
    nll = -float(scores.mean())
    spread = float(scores.std()) if len(scores) > 1 else 0.0
    bits = bits_of(nll, model, view.dataset)
    return {
        "kind": kind,
        "label": label,
        "nll": nll,
        "nll_error": spread / math.sqrt(len(scores)) + extra,
        "bits_per_dim": None if bits is None else bits.value,
        "bits_label": None if bits is None else bits.label,
    }


def _by_machine(view: View, model: HasMachine, data: torch.Tensor) -> dict[str, Value]:
    """−log p of a Boltzmann machine: the error has half the interval of log Z in it."""
    generator = view.generator()
    base = base_of(model, view.dataset.train, generator=generator)
    z = boltzmann_log_z(model.machine, base, generator=generator, cancelled=view.cancelled)
    found = score(model, as_float(data), z, generator=generator)
    kind = {True: "exact" if z.kind == "exact" else "estimate", False: "bound"}[found.is_exact]
    bits = bits_of(-found.value, view.model, view.dataset)
    return {
        "kind": kind,
        "label": found.label,
        "nll": -found.value,
        "nll_error": found.error + 0.5 * (found.high - found.low),
        "bits_per_dim": None if bits is None else bits.value,
        "bits_label": None if bits is None else bits.label,
    }


def _divergences(view: View, arguments: Arguments) -> dict[str, Value]:
    found = measure(view, arguments.grid, arguments.n_draws)
    label = "KL(truth‖model)" if found["kl"] is not None else str(found["reason"])
    if found["kl_kind"] == "bound":
        label = f"upper bound on KL(truth‖model), {arguments.n_draws} importance draws"
    # What kind of density it is and H stand among the figures of the split.
    return {k: v for k, v in found.items() if k not in ("kind", "entropy")} | {"kl_label": label}
