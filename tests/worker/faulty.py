"""A plugin whose models and probe fail on purpose, each in one way, at step 5."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
import torch
from torch import Tensor, nn

from engine.model import GenerativeModel, TrainState
from engine.probe import Result, View, probe
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

FAULTY_STEP = 5


@dataclass(frozen=True)
class Config:
    learning_rate: Annotated[float, Field(1e-5, 1.0, scale="log", live=True)] = 0.01
    batch_size: Annotated[int, Field(1, 4096, live=True)] = 64


def _card(name: str) -> ModelCard:
    return ModelCard(name, name, "energy", "", "", Paper("", 2026, ""))


class Gaussian(GenerativeModel):
    """A diagonal Gaussian with learned mean: sound, and the base of the faulty ones."""

    card = _card("sound")
    Config = Config

    def __init__(self, event_shape: tuple[int, ...], config: Config) -> None:
        super().__init__(event_shape, config)
        self.mean = nn.Parameter(torch.zeros(self.event_size))

    def log_prob(self, x: Tensor, *, context: object = None, lengths: object = None) -> Tensor:
        base = torch.distributions.Normal(self.mean, 1.0, validate_args=False)
        return base.log_prob(self.standardise(x)).sum(-1) + self.standardise_log_det

    def loss(self, x: Tensor, **_: object) -> dict[str, Tensor]:
        nll = -self.log_prob(x).mean()
        return {"total": nll, "nll": nll}

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        if state.step == FAULTY_STEP:
            self.misbehave(batch)
        return super().train_step(batch, state, generator)

    def misbehave(self, batch: Tensor) -> None:
        """The fault."""


class Raises(Gaussian):
    card = _card("raises")

    def misbehave(self, batch: Tensor) -> None:
        raise RuntimeError("planted fault")


class Hangs(Gaussian):
    card = _card("hangs")

    def misbehave(self, batch: Tensor) -> None:
        threading.Event().wait()


class Diverges(Gaussian):
    card = _card("diverges")

    def misbehave(self, batch: Tensor) -> None:
        with torch.no_grad():
            self.mean.fill_(float("nan"))


class Hungry(Gaussian):
    """Runs out of memory unless the batch is small."""

    card = _card("hungry")

    def misbehave(self, batch: Tensor) -> None:
        if len(batch) > 32:
            raise torch.OutOfMemoryError("planted: memory ran out")


class Slow(Gaussian):
    """A step of a tenth of a second."""

    card = _card("slow")

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        time.sleep(0.1)
        return super().train_step(batch, state, generator)


class Lingers(Gaussian):
    """Quick the first time; every step that is repeated takes its time."""

    card = _card("lingers")
    newest: ClassVar[int] = -1

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        if state.step <= Lingers.newest:
            time.sleep(0.05)
        Lingers.newest = max(Lingers.newest, state.step)
        return super().train_step(batch, state, generator)


class Nothing(msgspec.Struct, frozen=True):
    value: int = 0
    seconds: float = 0.02


@probe(summary="Raises.", arguments=Nothing)
def broken(view: View, arguments: Nothing) -> Iterator[Result]:
    raise RuntimeError("planted probe fault")
    yield Result()


@probe(summary="Answers what it was asked, slowly.", arguments=Nothing)
def echo(view: View, arguments: Nothing) -> Iterator[Result]:
    time.sleep(arguments.seconds)
    yield Result({"mean": view.model.state_dict()["mean"]}, {"value": arguments.value})


@probe(summary="Counts up to a value, piece by piece.", arguments=Nothing)
def count(view: View, arguments: Nothing) -> Iterator[Result]:
    for number in range(arguments.value):
        if view.cancelled():
            return
        time.sleep(arguments.seconds)
        yield Result({}, {"value": number}, final=number == arguments.value - 1)


@probe(summary="Breaks after two pieces.", arguments=Nothing)
def breaks_midway(view: View, arguments: Nothing) -> Iterator[Result]:
    yield Result({}, {"value": 0}, final=False)
    yield Result({}, {"value": 1}, final=False)
    raise RuntimeError("planted stream fault")
