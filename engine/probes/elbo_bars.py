"""The bars: log p = ELBO + KL(q‖posterior), ELBO = reconstruction − KL, of one event and a set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.capabilities import Bound, Decoding, Encoding, LogProb
from engine.dataset import as_float
from engine.estimators.density import CancellationError, as_events
from engine.estimators.evidence import (
    Evidence,
    MeasuredElbo,
    evidence,
    kl_to_posterior,
    log_joint_table,
    log_q_table,
    measured_elbo,
    summed_elbo,
)
from engine.estimators.latent_grid import latent_grid
from engine.estimators.log_joint import MOST_VALUES, FlatLatents, n_values
from engine.estimators.precision import in_double
from engine.estimators.single_event import MOST_LATENTS, SingleEvent
from engine.model import GenerativeModel
from engine.plane import PlaneKind
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, split_of
from engine.probes.log_prob_at import Arguments as PointArguments
from engine.probes.log_prob_at import flat_event
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Most draws for one event and events in the set.
MOST_DRAWS, MOST_EVENTS = 10_000, 20_000


class EventArguments(msgspec.Struct, frozen=True):
    """One event: an array of its D values, a flat point, or a point drawn on a plane.

    ``label`` is its class, for a model that uses labels; −1 averages nothing and gives none.
    """

    event: npt.NDArray[Any] | None = None
    point: tuple[float, ...] = ()
    plane: PlaneKind | None = None
    axes: tuple[int, ...] = (0, 1)
    label: int = -1


class Arguments(EventArguments, frozen=True):
    """One event, k draws for it, and how many held-out events with how many draws each.

    ``integrate`` allows quadrature for log p of the event, which takes a while.
    """

    n_draws: int = 1000
    integrate: bool = True
    n_set: int = 256
    set_draws: int = 64


@probe(
    summary="log p = ELBO + KL(q‖posterior), ELBO = reconstruction − KL.",
    arguments=Arguments,
    needs=(Capability.BOUND,),
)
def elbo_bars(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""Both identities for one event, then for held-out events, in nats.

    Values (``one_…`` of the event, ``set_…`` means over the events): ``log_prob``, its ``error``,
    ``kind`` (``exact``, ``quadrature`` or ``estimate``) and ``label``; ``elbo``,
    ``reconstruction`` and ``gap`` (log p − ELBO = KL(q‖posterior)) with ``…_error``; ``latents``,
    ``kl`` and ``kl_error``, one per latent. Errors are one standard error: over the draws for the
    event, over the events for the set. ``one_gap_direct`` is KL(q‖posterior) from q's own table
    where z can be enumerated, else None. Without an event only the set is measured.

    Raises:
        ValueError: The event has another shape, or a number is out of range.
    """
    _check(arguments)
    x = chosen_event(view, arguments)
    with suppress(CancellationError):
        values: dict[str, Value] = {}
        if x is not None:
            values |= _of_one(view, x, arguments)
            yield Result({}, dict(values), final=arguments.n_set == 0)
        if arguments.n_set:
            yield Result({}, values | _of_set(view, arguments))


def chosen_event(view: View, arguments: EventArguments) -> Tensor | None:
    """The event that is asked about (1, *E), float64, or None where none is named.

    Raises:
        ValueError: It does not have D finite numbers.
    """
    shape = view.model.event_shape
    if arguments.event is not None:
        flat = np.asarray(arguments.event, np.float64).reshape(-1)
        size = view.model.event_size
        if flat.size != size or not np.isfinite(flat).all():
            raise ValueError(f"event: given {flat.size} values, wanted {size} finite ones")
        return torch.from_numpy(flat).reshape(1, *shape)
    if not arguments.point:
        return None
    given = PointArguments(arguments.point, 1, arguments.plane, arguments.axes)
    return flat_event(view, given).reshape(1, *shape)


def label_of(view: View, arguments: EventArguments) -> Tensor | None:
    """The event's class (1,), int64, where the model uses labels and one is given."""
    if not view.model.uses_labels or arguments.label < 0:
        return None
    return torch.tensor([arguments.label])


def held_out(view: View, n: int) -> tuple[Tensor, Tensor | None]:
    """At most n events of the test split (the training split where there is none) and labels.

    Events are float (N, *E) as the model takes them; labels only where it uses them.
    """
    name = "test" if len(view.dataset.test) else "train"
    data, labels = split_of(view.dataset, name)
    chosen = choose(len(data), n, view)
    x = as_events(view.model, as_float(data[chosen]).flatten(1))
    if labels is None or not view.model.uses_labels:
        return x, None
    return x, labels.cpu()[chosen].to(view.model.device)


def _check(arguments: Arguments) -> None:
    if not 0 <= arguments.n_set <= MOST_EVENTS:
        raise ValueError(f"n_set: given {arguments.n_set}, wanted 0 to {MOST_EVENTS}")
    for name in ("n_draws", "set_draws"):
        given = getattr(arguments, name)
        if not 1 <= given <= MOST_DRAWS:
            raise ValueError(f"{name}: given {given}, wanted 1 to {MOST_DRAWS}")


# --- one event ---------------------------------------------------------------------------------


def _of_one(view: View, x: Tensor, arguments: Arguments) -> dict[str, Value]:
    twin, event = in_double(view.model, x)
    labels = label_of(view, arguments)
    if not isinstance(twin, Bound):
        raise ValueError(f"{view.model.card.title} has no bound")
    elbo = measured_elbo(
        twin, event, n_draws=arguments.n_draws, generator=view.generator(), context=labels,
        cancelled=view.cancelled,
    )  # fmt: skip
    elbo = summed_elbo(twin, event, elbo, context=labels)
    if arguments.integrate:
        found = evidence_of_one(view, event, elbo.log_weights, labels, twin)
    else:
        found = evidence(twin, event, elbo.log_weights, context=labels)
    log_prob, error = float(found.log_prob[0]), float(found.error[0])
    gap = log_prob - float(elbo.total[0])
    values: dict[str, Value] = {
        "one_log_prob": log_prob,
        "one_log_prob_error": error,
        "one_kind": found.kind,
        "one_label": found.label,
        "one_gap": gap,
        "one_gap_error": math.hypot(error, float(elbo.total_error[0])),
        "one_gap_direct": _direct_gap(twin, event, labels),
        "n_draws": len(elbo.log_weights),
    }
    return values | _parts("one", elbo, lambda mean, error: (float(mean[0]), float(error[0])))


def evidence_of_one(
    view: View, x: Tensor, log_weights: Tensor, labels: Tensor | None, twin: GenerativeModel
) -> Evidence:
    """log p of one event (1, *E): by quadrature where there are one or two real latents."""
    if isinstance(twin, LogProb) or not can_integrate(twin):
        return evidence(twin, x, log_weights, context=labels)
    event = SingleEvent.of(twin, x, labels)
    grid = latent_grid(event.log_joint, event.room(view.generator(1)), cancelled=view.cancelled)
    side = " × ".join(str(n) for n in grid.grid.shape)
    label = f"log p(x) by quadrature, {side} values of z"
    value, error = torch.tensor([grid.log_prob]), torch.tensor([grid.error])
    return Evidence(value, error, "quadrature", label)


def can_integrate(model: GenerativeModel) -> bool:
    """Whether z is one or two real numbers with a prior, a decoder and an encoder."""
    if not (isinstance(model, Decoding) and isinstance(model, Encoding)):
        return False
    flat = FlatLatents(model.latents)
    return flat.are_real and 1 <= flat.size <= MOST_LATENTS


def _direct_gap(model: GenerativeModel, x: Tensor, labels: Tensor | None) -> float | None:
    """KL(q‖posterior) summed over every z, independent of the bound; None where it cannot be."""
    if not (isinstance(model, Decoding) and isinstance(model, Encoding)):
        return None
    count = n_values(model.latents)
    if count is None or not 1 <= count <= MOST_VALUES:
        return None
    with torch.no_grad():
        log_q = log_q_table(model, model.encode(x, context=labels), x)
        if log_q is None:
            return None
        return float(kl_to_posterior(log_q, log_joint_table(model, x, context=labels))[0])


# --- a set of held-out events --------------------------------------------------------------------


def _of_set(view: View, arguments: Arguments) -> dict[str, Value]:
    model = view.model
    if not isinstance(model, Bound):
        raise ValueError(f"{model.card.title} has no bound")
    x, labels = held_out(view, arguments.n_set)
    elbo = measured_elbo(
        model, x, n_draws=arguments.set_draws, generator=view.generator(2), context=labels,
        cancelled=view.cancelled,
    )  # fmt: skip
    elbo = summed_elbo(model, x, elbo, context=labels)
    found = evidence(model, x, elbo.log_weights, context=labels)
    gap = found.log_prob - elbo.total
    values: dict[str, Value] = {
        "set_log_prob": float(found.log_prob.mean()),
        "set_log_prob_error": _standard_error(found.log_prob),
        "set_kind": found.kind,
        "set_label": found.label,
        "set_gap": float(gap.mean()),
        "set_gap_error": _standard_error(gap),
        "n_set": len(x),
        "set_draws": len(elbo.log_weights),
    }
    return values | _parts(
        "set", elbo, lambda mean, _: (float(mean.mean()), _standard_error(mean))
    )


def _standard_error(values: Tensor) -> float:
    """One standard error of the mean over events (B,); 0 for one event, which tells nothing."""
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _parts(prefix: str, elbo: MeasuredElbo, reduce: Any) -> dict[str, Value]:
    """The bound and its parts, each reduced to a number and an error."""
    values: dict[str, Value] = {}
    for name, mean, error in (
        ("elbo", elbo.total, elbo.total_error),
        ("reconstruction", elbo.reconstruction, elbo.reconstruction_error),
    ):
        values[f"{prefix}_{name}"], values[f"{prefix}_{name}_error"] = reduce(mean, error)
    pairs = [reduce(kl, elbo.kl_errors[name]) for name, kl in elbo.kl_terms.items()]
    values[f"{prefix}_latents"] = list(elbo.kl_terms)
    values[f"{prefix}_kl"] = [value for value, _ in pairs]
    values[f"{prefix}_kl_error"] = [error for _, error in pairs]
    return values
