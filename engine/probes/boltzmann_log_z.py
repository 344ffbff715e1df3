r"""log Z of a Boltzmann machine, exact and estimated, and the likelihoods that hang on it.

.. math:: \log p(x) = \log p^*(x) - \log Z, \qquad
    \log \mathrm{PL}(x) = \sum_i \log p(x_i \mid x_{-i})

The pseudo-likelihood needs no Z; it is a product of conditionals that is no probability of x.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Energy
from engine.dataset import as_float
from engine.estimators.boltzmann import HasMachine, can_count, every_state
from engine.estimators.boltzmann_scores import Directed, score
from engine.estimators.boltzmann_walk import halves_of
from engine.estimators.density import CancellationError
from engine.estimators.log_z_boltzmann import LogZ, base_of, climb, counted_log_z
from engine.estimators.pixels import check_count
from engine.estimators.pseudo_likelihood import pseudo_log_prob
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_CHAINS, MOST_RUNGS, MOST_DATA = 10_000, 1_000_000, 20_000
#: Units of all layers of a machine all of whose states are written down.
MOST_WRITTEN = 16
#: Answers on the way up one ladder.
ANSWERS = 20
#: Streams of chance.
AIS_STREAM, SCORE_STREAM = 67, 68


class Arguments(msgspec.Struct, frozen=True):
    """Ladders of AIS, one after the other, each with ``n_chains`` chains.

    ``n_data`` observations of each split are scored, ``n_pseudo`` of them by pseudo-likelihood.
    """

    rungs: tuple[int, ...] = (30, 100, 300, 1000)
    n_chains: int = 100
    n_data: int = 1000
    n_pseudo: int = 200


@probe(
    summary="log Z, exact and by AIS, and the likelihoods that hang on it.",
    arguments=Arguments,
    needs=(Capability.CHAIN,),
)
def boltzmann_log_z(view: View, arguments: Arguments) -> Iterator[Result]:
    """Pieces that know more and more; the last has all. Nats, 95 % intervals.

    - ``rungs``, ``ais``, ``ais_low``, ``ais_high``, ``effective`` (R,): AIS of the ladders climbed
      so far, and the effective sample size of its weights.
    - ``table`` (2^V, 2^H), ``free`` and ``formula`` (2^V,), of a restricted machine with at most
      16 units: E(v, h) of all states, F(v) = −log Σ_h exp(−E) from that table, and F by its
      formula; ``states_v`` (2^V, V) and ``states_h`` (2^H, H).

    Values: ``exact``: log Z by counting, None with more than 20 units on each side; ``share`` of
    the ladder that is being climbed; ``kind``: what the scores use, ``"exact"`` or ``"ais"``;
    ``log_z``, ``log_z_low``, ``log_z_high``; for ``train`` and ``test``: ``…_value``, ``…_low``
    and ``…_high`` (the interval of log Z), ``…_error`` (one standard error over observations);
    ``is_bound``: whether the scores are lower bounds; ``pseudo_train``, ``pseudo_test``: the
    pseudo-log-likelihood, None where conditionals have no closed form; ``n_data``, ``n_pseudo``,
    ``n_visible``; ``too_many``: units of a restricted binary machine that is too large for the
    table, else 0.

    Raises:
        ValueError: The model is no Boltzmann machine, or a number is out of range.
    """
    halves_of(view.model)
    _check(arguments)
    model = view.model
    machine = cast(HasMachine, model).machine
    arrays, values = _written(model), _pseudo(view, arguments)
    try:
        exact = counted_log_z(machine, cancelled=view.cancelled) if can_count(machine) else None
        values |= {"exact": exact.value if exact is not None else None, "share": 0.0}
        values["too_many"] = 0 if arrays or not _can_write(model) else sum(machine.sizes)
        if exact is not None:
            values |= _scores(view, exact, arguments)
        yield Result(arrays, dict(values), final=not arguments.rungs)
        for found, share in _ladders(view, arguments):
            if found and share == 1.0 and exact is None:
                values |= _scores(view, found[-1], arguments)
            final = len(found) == len(arguments.rungs)
            yield Result(arrays | _table(found, arguments), values | {"share": share}, final=final)
    except CancellationError:
        return


def _check(arguments: Arguments) -> None:
    check_count("n_chains", arguments.n_chains, MOST_CHAINS)
    check_count("n_data", arguments.n_data, MOST_DATA)
    check_count("n_pseudo", arguments.n_pseudo, MOST_DATA)
    for rungs in arguments.rungs:
        check_count("rungs", rungs, MOST_RUNGS)


# --- log Z --------------------------------------------------------------------------------------


def _ladders(view: View, arguments: Arguments) -> Iterator[tuple[list[LogZ], float]]:
    """All ladders climbed so far, and the share of the one in hand; 1 when it is done."""
    model = cast(HasMachine, view.model)
    machine = model.machine
    base = base_of(model, view.dataset.train, generator=view.generator(SCORE_STREAM))
    found: list[LogZ] = []
    for n_steps in arguments.rungs:
        for answer in climb(
            machine, base, generator=view.generator(AIS_STREAM), n_chains=arguments.n_chains,
            n_steps=n_steps, n_answers=ANSWERS, cancelled=view.cancelled,
        ):  # fmt: skip
            if answer.share < 1.0:
                yield list(found), answer.share
            else:
                found.append(answer)
                yield list(found), 1.0


def _table(found: list[LogZ], arguments: Arguments) -> dict[str, Tensor]:
    columns = {
        "rungs": [float(n) for n in arguments.rungs[: len(found)]],
        "ais": [z.value for z in found],
        "ais_low": [z.low for z in found],
        "ais_high": [z.high for z in found],
        "effective": [z.effective for z in found],
    }
    return {name: torch.tensor(row, dtype=torch.float64) for name, row in columns.items()}


# --- scores -------------------------------------------------------------------------------------


def _split(view: View, name: str, n: int) -> Tensor:
    data: Tensor = getattr(view.dataset, name)
    return as_float(data[choose(len(data), n, view)]).to(view.model.location.device)


def _scores(view: View, log_z: LogZ, arguments: Arguments) -> dict[str, Value]:
    values: dict[str, Value] = {
        "kind": log_z.kind, "log_z": log_z.value, "log_z_low": log_z.low, "log_z_high": log_z.high,
        "n_data": arguments.n_data,
    }  # fmt: skip
    for name in ("train", "test"):
        x = _split(view, name, arguments.n_data)
        if not len(x):
            continue
        generator = view.generator(SCORE_STREAM)
        found = score(cast(HasMachine, view.model), x, log_z, generator=generator)
        values |= {
            f"{name}_value": found.value, f"{name}_low": found.low, f"{name}_high": found.high,
            f"{name}_error": found.error, "is_bound": int(not found.is_exact),
        }  # fmt: skip
    return values


def _pseudo(view: View, arguments: Arguments) -> dict[str, Value]:
    values: dict[str, Value] = {
        "n_pseudo": arguments.n_pseudo, "n_visible": view.model.event_size
    }  # fmt: skip
    machine = cast(HasMachine, view.model).machine
    closed = isinstance(view.model, Energy) and machine.variance is None
    for name in ("train", "test"):
        x = _split(view, name, arguments.n_pseudo).flatten(1)
        has = closed and len(x) > 0
        values[f"pseudo_{name}"] = float(pseudo_log_prob(machine, x).mean()) if has else None
    return values


# --- all states ---------------------------------------------------------------------------------


def _can_write(model: GenerativeModel) -> bool:
    """Whether it is a restricted machine of binary units, whatever their number."""
    machine = cast(HasMachine, model).machine
    flat = len(machine.sizes) == 2 and machine.variance is None
    return flat and not isinstance(model, Directed)


@torch.no_grad()
def _written(model: GenerativeModel) -> dict[str, Tensor]:
    """Energies of all states of a small restricted machine, float64."""
    machine = cast(HasMachine, model).machine.double()
    if not _can_write(model) or sum(machine.sizes) > MOST_WRITTEN:
        return {}
    v, h = (every_state(n, like=machine.biases[0]) for n in machine.sizes)
    (b, c), weight = machine.biases, machine.weights[0]
    table = -(v @ b)[:, None] - h @ c - v @ weight @ h.t()
    return {
        "table": table,
        "free": -torch.logsumexp(-table, 1),
        "formula": machine.free_energy([v, None]),
        "states_v": v.to(torch.uint8),
        "states_h": h.to(torch.uint8),
    }
