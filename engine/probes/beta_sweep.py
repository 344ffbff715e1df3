"""The rate–distortion curve of a model: trained again and again with other weights of the KL."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from engine.capabilities import Bound
from engine.estimators.density import CancellationError
from engine.estimators.rate_distortion import rate_distortion_of
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.probes.capacity_sweep import LOOK_EVERY, MOST_FULL_BATCH, NOTE_SECONDS
from engine.probes.elbo_bars import held_out
from engine.probes.rate_distortion import beta_of, of_data
from engine.registry import build_like
from engine.training import Trainer
from engine.wire.capability import Capability
from engine.wire.fields import Value, check_value, field_specs

BETAS = (0.1, 0.3, 1.0, 3.0, 10.0)
MOST_TRAININGS = 100
N_DRAWS = 16


class Arguments(msgspec.Struct, frozen=True):
    """Which weights of the KL, seeds of each, steps of each training, events to score with."""

    betas: tuple[float, ...] = BETAS
    n_seeds: int = 1
    steps: int = 1000
    n_test: int = 512


@probe(
    summary="Rate and distortion over the weight β of the KL.",
    arguments=Arguments,
    needs=(Capability.BOUND,),
)
def beta_sweep(view: View, arguments: Arguments) -> Iterator[Result]:
    """Train the model in view anew with each β on the same data; one result each.

    A result holds ``beta``, ``seed``, the values of ``rate_distortion`` (of the bound at β = 1,
    on held-out data), ``seconds``, ``done`` and ``total``; NaN where training diverged. Notes of
    progress in between hold ``progress`` (0 … 1) alone with ``beta`` and ``seed``.

    Raises:
        ValueError: The model has no setting ``beta``, or a number is out of range.
    """
    plan = _plan(view, arguments)
    x, labels = held_out(view, arguments.n_test)
    with suppress(CancellationError):
        for done, (seed, beta) in enumerate(plan):
            began = time.perf_counter()
            share = done / len(plan)
            yield Result({}, {"beta": beta, "seed": seed, "progress": share}, final=False)
            trainer = _trainer(view, beta, seed)
            for part in _train(view, trainer, arguments.steps):
                share = (done + part) / len(plan)
                yield Result({}, {"beta": beta, "seed": seed, "progress": share}, final=False)
            values: dict[str, Value] = {
                "beta": beta,
                "seed": seed,
                "seconds": time.perf_counter() - began,
                "done": done + 1,
                "total": len(plan),
                "progress": (done + 1) / len(plan),
                "n": len(x),
                **of_data(view),
            }
            if trainer.is_finite():
                model = _bound_of(trainer.model)
                found = rate_distortion_of(
                    model, x, n_draws=N_DRAWS, generator=view.generator(), context=labels,
                    cancelled=view.cancelled,
                )  # fmt: skip
                values |= found.summary()
            else:
                values |= {"rate": math.nan, "distortion": math.nan, "elbo": math.nan}
            yield Result({}, values, final=done + 1 == len(plan))


def _plan(view: View, arguments: Arguments) -> list[tuple[int, float]]:
    """(seed, β) of every training, one whole curve after the other."""
    model = view.model
    if beta_of(model.config) is None:
        raise ValueError(
            f"{model.card.title} has no setting β; choose one that weighs the KL, such as β-VAE"
        )
    for name in ("n_seeds", "steps", "n_test"):
        given = getattr(arguments, name)
        if given < 1:
            raise ValueError(f"{name}: given {given}, wanted a whole number of at least 1")
    spec = next(spec for spec in field_specs(type(model).Config) if spec.name == "beta")
    for beta in arguments.betas:
        check_value(spec, beta)
    plan = [(seed, beta) for seed in range(arguments.n_seeds) for beta in arguments.betas]
    if not 1 <= len(plan) <= MOST_TRAININGS:
        raise ValueError(f"beta_sweep: given {len(plan)} trainings, wanted 1 to {MOST_TRAININGS}")
    return plan


def _trainer(view: View, beta: float, seed: int) -> Trainer:
    config = dataclasses.replace(view.model.config, beta=beta)
    own = view.seed * 1_009 + seed
    model = build_like(view.model, config, seed=own)
    batch_size = min(int(getattr(config, "batch_size", 256)), len(view.dataset.train))
    return Trainer(model, view.dataset, batch_size=batch_size, seed=own, device="cpu")


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


def _bound_of(model: GenerativeModel) -> Bound:
    if not isinstance(model, Bound):
        raise ValueError(f"{model.card.title} has no bound")
    return model
