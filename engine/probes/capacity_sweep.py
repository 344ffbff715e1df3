"""Capacity against train and held-out NLL: a model trained again and again in other sizes."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor

from engine.dataset import Dataset, KnownDensity
from engine.estimators.density import (
    CancellationError,
    LogDensity,
    log_density_of,
    score_points,
)
from engine.estimators.finite_sample import draw_sample, held_out_points
from engine.estimators.quadrature import log_z
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.registry import build_like
from engine.training import Trainer
from engine.wire.capability import Capability
from engine.wire.fields import CAPACITY_FIELDS, FieldSpec, Value, check_value, field_specs

#: Sizes that are tried where none are given: powers of two, within the setting's own range.
LADDER = (1, 2, 4, 8, 16, 32, 64, 128)
#: Most layers and components tried.
MOST_LAYERS, MOST_COMPONENTS = 16, 64
#: Steps between two looks at whether the sweep is still wanted, and seconds between two notes.
LOOK_EVERY, NOTE_SECONDS = 8, 0.4
#: Sweeps of a full-batch model (EM): it has settled long before.
MOST_FULL_BATCH = 200
#: Draws of the latents for a bound.
N_DRAWS = 64
MOST_TRAININGS = 400


class Arguments(msgspec.Struct, frozen=True):
    """Which setting, in which sizes (none: a ladder), and how each model is trained and scored."""

    setting: str = ""
    capacities: tuple[int, ...] = ()
    n_seeds: int = 3
    n_train: int = 200
    n_test: int = 4000
    steps: int = 1000


@dataclass(frozen=True)
class _Plan:
    spec: FieldSpec
    capacities: tuple[int, ...]
    trainings: tuple[tuple[int, int], ...]
    test: Tensor
    arguments: Arguments


@probe(summary="Train and held-out NLL over a model's capacity.", arguments=Arguments)
def capacity_sweep(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""Train the model in view in several sizes and seeds on a finite sample; one result each.

    .. math:: \mathrm{NLL} = -\tfrac1N \sum_n \log q(x_n)

    Each seed has a training sample, initial weights and batches of its own, and all are scored on
    the same held-out points: the spread over seeds is the variance, the distance of the mean from
    the entropy is bias and variance together. The same arguments and run seed give the same
    figures. A result holds ``capacity``, ``seed``, ``train_nll``, ``held_out_nll``,
    ``held_out_error`` (one standard error over the test points plus that of log Z, where there is
    one), all in nats per event, ``n_parameters``, ``seconds``, ``done`` and ``total``. Notes of
    progress in between hold ``progress`` (0 … 1) alone with ``capacity`` and ``seed``.

    Raises:
        ValueError: The setting is no capacity of this model, a number is out of range, or the
            model has no density to score.
    """
    plan = _plan(view, arguments)
    total = len(plan.trainings)
    with suppress(CancellationError):
        for done, (seed, capacity) in enumerate(plan.trainings):
            yield Result({}, _fixed(view, plan) | _progress(seed, capacity, done / total), False)
            began = time.perf_counter()
            trainer = _trainer(view, plan, seed, capacity)
            for share in _train(view, trainer, plan.arguments.steps):
                note = _progress(seed, capacity, (done + share) / total)
                yield Result({}, note, final=False)
            values = _fixed(view, plan) | {
                "capacity": capacity,
                "seed": seed,
                "n_parameters": trainer.model.n_parameters,
                "seconds": time.perf_counter() - began,
                "done": done + 1,
                "total": total,
                "progress": (done + 1) / total,
                **_scores(view, trainer, plan.test),
            }
            yield Result({}, values, final=done + 1 == total)


def _fixed(view: View, plan: _Plan) -> dict[str, Value]:
    known = view.dataset
    return {
        "setting": plan.spec.name,
        "capacities": list(plan.capacities),
        "n_train": plan.arguments.n_train,
        "n_test": len(plan.test),
        "entropy": known.entropy() if isinstance(known, KnownDensity) else None,
        "total": len(plan.trainings),
    }


def _progress(seed: int, capacity: int, share: float) -> dict[str, Value]:
    return {"progress": share, "seed": seed, "capacity": capacity}


# --- plan --------------------------------------------------------------------------------------


def _plan(view: View, arguments: Arguments) -> _Plan:
    _check(view, arguments)
    spec = _setting(type(view.model), arguments.setting)
    capacities = arguments.capacities or _buildable(view.model, spec)
    for capacity in capacities:
        check_value(spec, _setting_value(spec, view.model.config, capacity))
    seeds = range(arguments.n_seeds)
    # One whole curve after the other, so that the first is there early.
    trainings = tuple((seed, capacity) for seed in seeds for capacity in capacities)
    if len(trainings) > MOST_TRAININGS:
        raise ValueError(
            f"capacity_sweep: given {len(trainings)} trainings, wanted at most {MOST_TRAININGS}"
        )
    test = held_out_points(view.dataset, arguments.n_test, view.seed)
    return _Plan(spec, capacities, trainings, test, arguments)


def _check(view: View, arguments: Arguments) -> None:
    for name in ("n_seeds", "n_train", "n_test", "steps"):
        if getattr(arguments, name) < 1:
            raise ValueError(
                f"{name}: given {getattr(arguments, name)}, wanted a whole number of at least 1"
            )
    scored = view.can(Capability.LOG_PROB) or view.can(Capability.BOUND)
    if not scored and not (view.can(Capability.ENERGY) and view.model.event_size <= 2):
        raise ValueError(f"{view.model.card.title} has no density by which sizes are compared")


def _setting(kind: type[GenerativeModel], name: str) -> FieldSpec:
    specs = {spec.name: spec for spec in field_specs(kind.Config)}
    usable = [field for field in CAPACITY_FIELDS if field in specs]
    if not usable:
        raise ValueError(f"{kind.card.title} has no setting that is its capacity")
    wanted = name or usable[0]
    if wanted not in usable:
        raise ValueError(f"setting: given '{wanted}', wanted one of {', '.join(usable)}")
    return specs[wanted]


def default_ladder(spec: FieldSpec, event_size: int) -> tuple[int, ...]:
    """Powers of two within a setting's range; layers are few, linear latents below D."""
    low = spec.field.low if spec.field.low is not None else 1
    high = spec.field.high if spec.field.high is not None else LADDER[-1]
    if spec.name == "n_layers":
        high = min(high, MOST_LAYERS)
    if spec.name == "n_components":
        high = min(high, MOST_COMPONENTS)
    if spec.name == "latent_features":
        high = min(high, max(event_size, 2) * 2)
    if spec.kind == "ints":
        low = max(low, 2)
    return tuple(size for size in LADDER if low <= size <= high)


def _buildable(model: GenerativeModel, spec: FieldSpec) -> tuple[int, ...]:
    """The sizes of the ladder that the model itself takes."""
    found = []
    for size in default_ladder(spec, model.event_size):
        with suppress(ValueError):
            build_like(model, _config(model, spec, size))
            found.append(size)
    return tuple(found)


def _config(model: GenerativeModel, spec: FieldSpec, capacity: int) -> Any:
    value = _setting_value(spec, model.config, capacity)
    settled = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(model.config, **{spec.name: settled})


def _setting_value(spec: FieldSpec, config: Any, capacity: int) -> Value:
    """The setting's value of a size: a width counts for every hidden layer."""
    if spec.kind != "ints":
        return capacity
    widths: list[int | float | str] = [capacity] * len(getattr(config, spec.name))
    return widths or [capacity]


# --- one training ------------------------------------------------------------------------------


def _trainer(view: View, plan: _Plan, seed: int, capacity: int) -> Trainer:
    config = _config(view.model, plan.spec, capacity)
    own = view.seed * 1_009 + seed
    model = build_like(view.model, config, seed=own)
    data: Dataset = draw_sample(view.dataset, plan.arguments.n_train, own)
    batch_size = min(int(getattr(config, "batch_size", 256)), len(data.train))
    return Trainer(model, data, batch_size=batch_size, seed=own, device="cpu")


def _train(view: View, trainer: Trainer, steps: int) -> Iterator[float]:
    """Take the steps; yields the share taken now and then."""
    if trainer.model.full_batch:
        steps = min(steps, MOST_FULL_BATCH)
    noted = time.perf_counter()
    for step in range(steps):
        if step % LOOK_EVERY == 0:
            if view.cancelled():
                raise CancellationError
            if time.perf_counter() - noted > NOTE_SECONDS:
                noted = time.perf_counter()
                yield step / steps
        trainer.step()
    trainer.model.eval()


def _scores(view: View, trainer: Trainer, test: Tensor) -> dict[str, Value]:
    """Figures of both samples; NaN where training has diverged."""
    model, train = trainer.model, trainer.dataset.train
    nothing: dict[str, Value] = {
        "train_nll": math.nan, "held_out_nll": math.nan, "held_out_error": math.nan,
        "kind": "diverged",
    }  # fmt: skip
    if not trainer.is_finite():
        return nothing
    with torch.no_grad():
        density, offset, extra = _density(view, model), 0.0, 0.0
        kind = density.kind
        if kind == "energy":
            z = log_z(model, cancelled=view.cancelled)
            kind, offset, extra = "quadrature", z.value, z.error
        own, held = (
            score_points(density, model, points.flatten(1), cancelled=view.cancelled) - offset
            for points in (train, test)
        )
    spread = float(held.std()) / math.sqrt(len(held)) if len(held) > 1 else 0.0
    return {
        "train_nll": -float(own.mean()),
        "held_out_nll": -float(held.mean()),
        "held_out_error": spread + extra,
        "kind": kind,
    }


def _density(view: View, model: GenerativeModel) -> LogDensity:
    return log_density_of(model, n_draws=N_DRAWS, seed=view.seed)
