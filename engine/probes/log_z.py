"""log Z of a Boltzmann machine, counted and by annealed importance sampling side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.boltzmann import HasMachine, can_count, n_counted
from engine.estimators.boltzmann_scores import Score, score
from engine.estimators.density import CancellationError
from engine.estimators.log_z_boltzmann import LogZ, base_of, climb, counted_log_z
from engine.estimators.pseudo_likelihood import pseudo_log_prob
from engine.probe import Result, View, probe
from engine.wire.fields import Value

MOST_CHAINS, MOST_STEPS, MOST_EVENTS, MOST_ANSWERS = 2000, 100_000, 10_000, 1000
#: Events whose pseudo-likelihood is taken: each costs as much as one event per pixel.
PSEUDO_EVENTS = 100
#: Streams of chance.
BASE_STREAM, CHAIN_STREAM, SCORE_STREAM = 71, 72, 73


class Arguments(msgspec.Struct, frozen=True):
    """How hard log Z is looked for.

    Attributes:
        n_chains: Chains of annealed importance sampling.
        n_steps: Rungs of its ladder.
        n_answers: Answers on the way up, evenly.
        n_events: Events of each split that are scored.
        seed: Of the chains.
    """

    n_chains: int = 100
    n_steps: int = 1000
    n_answers: int = 20
    n_events: int = 500
    seed: int = 0


@probe(summary="log Z, counted and by AIS, and what it makes of the data.", arguments=Arguments)
def log_z(view: View, arguments: Arguments) -> Iterator[Result]:
    """Partial answers while the chains climb, then log Z and the scores, nats.

    Array: ``climb`` (M, 4), per answer so far the share of the ladder, and log Z of the rung that
    was reached with its 95 % interval (value, low, high).

    Values: ``share``; ``counted``, the exact log Z, or None where neither side has few enough
    units, ``n_counted`` on the smaller one; ``ais``, ``ais_low``, ``ais_high``, and ``effective``
    of ``n_chains``. In the last answer, for ``train`` and ``valid``: the mean log p ``…_score``,
    its interval ``…_low`` to ``…_high`` by that of the better log Z, and ``…_error``, one standard
    error over the ``…_n`` events; ``is_exact``, False where it is a lower bound; ``label``; and
    ``pseudo``, the pseudo-likelihood of held-out data, which is no likelihood, or None where the
    machine is not a binary one of two layers.

    Raises:
        ValueError: The model is no Boltzmann machine, or a number is out of range.
    """
    _check(arguments)
    model = view.model
    if not isinstance(model, HasMachine):
        raise ValueError(f"log_z needs a Boltzmann machine; {model.card.title} is none")
    if view.dataset.absent:
        raise ValueError(f"log_z: {view.dataset.absent}")
    with suppress(CancellationError):
        yield from _answers(view, model, arguments)


def _check(arguments: Arguments) -> None:
    limits = {
        "n_chains": MOST_CHAINS,
        "n_steps": MOST_STEPS,
        "n_answers": MOST_ANSWERS,
        "n_events": MOST_EVENTS,
    }
    for name, most in limits.items():
        given = getattr(arguments, name)
        if not 1 <= given <= most:
            raise ValueError(f"{name}: given {given}, wanted a whole number from 1 to {most}")


def _answers(view: View, model: HasMachine, arguments: Arguments) -> Iterator[Result]:
    machine = model.machine
    exact = counted_log_z(machine, cancelled=view.cancelled) if can_count(machine) else None
    values: dict[str, Value] = {
        "counted": None if exact is None else exact.value,
        "n_counted": n_counted(machine),
        "n_chains": arguments.n_chains,
    }
    base = base_of(model, view.dataset.train, generator=view.generator(BASE_STREAM))
    rows: list[list[float]] = []
    for found in climb(
        machine,
        base,
        generator=view.generator(CHAIN_STREAM + 1009 * arguments.seed),
        n_chains=arguments.n_chains,
        n_steps=arguments.n_steps,
        n_answers=arguments.n_answers,
        cancelled=view.cancelled,
    ):
        rows.append([found.share, found.value, found.low, found.high])
        values |= _of_climb(found)
        arrays = {"climb": torch.tensor(rows, dtype=torch.float64)}
        if found.share < 1.0:
            yield Result(arrays, dict(values), final=False)
        else:
            yield Result(arrays, values | _scores(view, model, exact or found, arguments))


def _of_climb(found: LogZ) -> dict[str, Value]:
    return {
        "share": found.share,
        "ais": found.value,
        "ais_low": found.low,
        "ais_high": found.high,
        "effective": found.effective,
    }


def _scores(view: View, model: HasMachine, best: LogZ, arguments: Arguments) -> dict[str, Value]:
    values: dict[str, Value] = {"pseudo": _pseudo(view, model)}
    for split, data in (("train", view.dataset.train), ("valid", view.dataset.valid)):
        events = as_float(data[: arguments.n_events])
        if not len(events):
            continue
        found = score(model, events, best, generator=view.generator(SCORE_STREAM))
        values |= _of_score(split, found, len(events))
    return values


def _of_score(split: str, found: Score, n: int) -> dict[str, Value]:
    return {
        f"{split}_score": found.value,
        f"{split}_low": found.low,
        f"{split}_high": found.high,
        f"{split}_error": found.error,
        f"{split}_n": n,
        "is_exact": found.is_exact,
        "label": found.label,
    }


def _pseudo(view: View, model: HasMachine) -> float | None:
    machine, events = model.machine, view.dataset.valid[:PSEUDO_EVENTS]
    if len(machine.biases) != 2 or machine.variance is not None or not len(events):
        return None
    if machine.sizes[0] != view.model.event_size:
        return None  # a belief network's machine does not see the data
    x: Tensor = model.machine_data(as_float(events), generator=view.generator(BASE_STREAM))
    return float(pseudo_log_prob(machine, x).mean())
