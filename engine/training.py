"""Training: a deterministic stream of steps that can be paused, captured and restored.

The same model, data set, batch size and seed give the same weights bit for bit on one device with
one thread count, whether the steps are taken by :func:`fit`, the window or the shell.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.capabilities import Bound, LogProb
from engine.dataset import Dataset, as_float
from engine.devices import choose_device, rounded_factors
from engine.fitting import check_values
from engine.model import GenerativeModel, TrainState
from engine.target import Target
from engine.variational import check_fits, target_step
from engine.wire.fields import Value, check_value, field_specs

#: Batches drawn at a time: one draw of many points costs little more than one of few.
CHUNK = 64
#: Held-out points scored at once, to bound memory.
SCORE_CHUNK = 4096
#: Values of held-out events scored at once: each may have dozens of channels inside a model.
SCORE_VALUES = 2**18


def live_values(model: GenerativeModel) -> dict[str, Value]:
    """The settings of a model that may change while training, as they are now."""
    return {
        spec.name: plain_value(getattr(model.config, spec.name))
        for spec in field_specs(type(model).Config)
        if spec.field.live
    }


def plain_value(value: Any) -> Value:
    """A configuration value as it crosses the wire."""
    return list(value) if isinstance(value, tuple) else value


def plain_config(config: Any) -> dict[str, Value]:
    """A configuration as it crosses the wire or goes into a file."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return {}
    return {name: plain_value(value) for name, value in dataclasses.asdict(config).items()}


def _checked_live(model: GenerativeModel, values: Mapping[str, Any]) -> dict[str, Any]:
    specs = {spec.name: spec for spec in field_specs(type(model).Config) if spec.field.live}
    return {name: check_value(specs[name], v) for name, v in values.items() if name in specs}


@dataclass(frozen=True)
class Keyframe:
    """Everything from which training goes on exactly as if it had not stopped."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


@dataclass
class FitResult:
    """What :func:`fit` did: per recorded step the losses by name, and the wall-clock seconds."""

    steps: int
    seconds: float
    losses: dict[str, list[float]] = field(default_factory=dict)


class Batches:
    """An endless, seeded stream of batches that can go on from any position.

    Finite data are drawn with replacement; ``fresh`` data sets give new draws at every step.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, device: torch.device) -> None:
        self._batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._device = device
        self._hold(dataset)
        self._chunk_start = self._generator.get_state()
        self._chunk: Tensor | None = None
        self._seeds: list[int] = []
        self._position = 0
        #: Place in a chunk that can be drawn only when the data are here.
        self._owed = 0
        #: Labels (B,) of the batch given last, on the device; None where the data have none.
        self.labels: Tensor | None = None

    @property
    def all(self) -> Tensor:
        """The whole training split on the device, as it is stored; its labels go along."""
        self.labels = self._labels
        return self._data

    def next(self) -> Tensor:
        """The next batch (B, *E) of real numbers on the device."""
        if self._chunk is None or self._position == CHUNK:
            self._draw()
        assert self._chunk is not None
        item, place = self._chunk[self._position], self._position
        self._position += 1
        if self._dataset.fresh:
            return item
        self.labels = None if self._labels is None else self._labels[item]
        if not self._dataset.redraws:
            return as_float(self._data.index_select(0, item))
        generator = torch.Generator().manual_seed(self._seeds[place])
        return as_float(self._dataset.redraw(self._source[item], generator))

    def resize(self, batch_size: int) -> None:
        """Go on with another batch size, from the next step."""
        self._batch_size = batch_size
        self._chunk = None

    def change(self, dataset: Dataset) -> None:
        """Go on with other data of the same event shape, from the next step."""
        self._hold(dataset)
        self._chunk = None
        if self._owed:
            owed, self._owed = self._owed, 0
            self.restore(self._generator.get_state(), owed)

    def capture(self) -> tuple[Tensor, int]:
        """Generator state at the chunk's start, and the position within it."""
        if self._chunk is None:
            return self._generator.get_state(), self._owed
        return self._chunk_start, self._position

    def restore(self, state: Tensor, position: int) -> None:
        """Go on from a captured place."""
        self._generator.set_state(state)
        self._chunk = None
        self._owed = position if self._dataset.absent else 0
        if position and not self._owed:
            self._draw()
            self._position = position

    def _hold(self, dataset: Dataset) -> None:
        self._dataset = dataset
        if dataset.absent:
            self._data = self._source = torch.empty(0, *dataset.event_shape, device=self._device)
            self._labels = None
            return
        self._data = dataset.train.to(self._device)
        self._source = dataset.source.to(self._device) if dataset.redraws else self._data
        labels = dataset.train_labels
        self._labels = None if labels is None else labels.to(self._device)

    def _draw(self) -> None:
        self._chunk_start = self._generator.get_state()
        self._position = 0
        shape = (CHUNK, self._batch_size)
        if self._dataset.fresh:
            points = self._dataset.sample(CHUNK * self._batch_size, generator=self._generator)
            chunk = points.reshape(*shape, *points.shape[1:])
        else:
            chunk = torch.randint(len(self._dataset.train), shape, generator=self._generator)
        if self._dataset.redraws:
            self._seeds = torch.randint(2**62, (CHUNK,), generator=self._generator).tolist()
        self._chunk = chunk.to(self._device)


class Trainer:
    """One run's training: call :meth:`step` as often as you like.

    Args:
        model: Moved to ``device``; its ``prepare`` is called on the training split.
        dataset: Where batches come from.
        batch_size: ``None`` takes the model's configuration.
        learning_rate: ``None`` takes the model's configuration.
        seed: Seed of batches and of all noise in training.
        device: See :func:`choose_device`.
    """

    def __init__(
        self,
        model: GenerativeModel,
        dataset: Dataset,
        *,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        if dataset.event_shape != model.event_shape:
            raise ValueError(
                f"{model.card.title}: given data of shape {dataset.event_shape}, "
                f"wanted {model.event_shape}"
            )
        check_values(model, dataset)
        self.device = choose_device(device)
        self.model = model.to(self.device)
        self.dataset = dataset
        _check_least("batch_size", batch_size, 1)
        _check_least("learning_rate", learning_rate, 0)
        config = model.config
        self.batch_size = batch_size or int(getattr(config, "batch_size", 256))
        if learning_rate is None:
            learning_rate = float(getattr(config, "learning_rate", 1e-3))
        self.learning_rate = learning_rate
        self.generator = torch.Generator().manual_seed(seed + 1)
        self.batches = Batches(dataset, self.batch_size, seed, self.device)
        if isinstance(dataset, Target):
            check_fits(model, dataset)
        elif not dataset.absent:
            model.prepare(self.batches.all, generator=self.generator)
        self.state = TrainState(model.optimisers(self.learning_rate))
        model.train()

    @property
    def steps_done(self) -> int:
        """Steps taken so far."""
        return self.state.step

    def step(self) -> dict[str, Tensor]:
        """Take one training step; returns detached named scalars on the device."""
        if self.device.type != "cuda":
            return self._step()
        with rounded_factors():
            return self._step()

    def _step(self) -> dict[str, Tensor]:
        if isinstance(self.dataset, Target):
            n, state = self.batch_size, self.state
            losses = target_step(self.model, self.dataset, n, state, self.generator)
        else:
            full = self.model.full_batch
            batch = as_float(self.batches.all) if full else self.batches.next()
            self.state.context = self.batches.labels if self.model.uses_labels else None
            losses = self.model.train_step(batch, self.state, self.generator)
        self.state.step += 1
        return losses

    def steps(self) -> Iterator[dict[str, Tensor]]:
        """An endless generator of steps."""
        while True:
            yield self.step()

    def set_live(self, values: Mapping[str, Any]) -> None:
        """Change settings that need no restart: learning rate, batch size, live model fields."""
        self.model.set_live(values)
        if "learning_rate" in values:
            self.learning_rate = float(values["learning_rate"])
            self.state.set_learning_rate(self.learning_rate)
        if "batch_size" in values:
            self.batch_size = int(values["batch_size"])
            self.batches.resize(self.batch_size)

    def set_data(self, dataset: Dataset) -> None:
        """Go on training on other data; the model keeps its weights and its standardisation.

        Raises:
            ValueError: Their events have another shape.
        """
        if dataset.event_shape != self.model.event_shape:
            raise ValueError(
                f"{self.model.card.title}: given data of shape {dataset.event_shape}, wanted "
                f"{self.model.event_shape}, with which it was built; start a new run for them"
            )
        check_values(self.model, dataset)
        if isinstance(dataset, Target):
            check_fits(self.model, dataset)
        self.dataset = dataset
        self.batches.change(dataset)

    @torch.no_grad()
    def gradient_norm(self) -> Tensor:
        """Euclidean norm of the latest gradient over all parameters, a scalar (0 without any)."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if not gradients:
            return torch.zeros(())
        norms: Tensor = torch.stack(torch._foreach_norm(gradients))
        return norms.square().sum().sqrt()

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        tensors = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        return bool(torch.stack(torch._foreach_norm(tensors)).isfinite().all())

    def capture(self) -> Keyframe:
        """Copy everything that decides how training goes on."""
        tensors = {f"model.{k}": v.detach().clone() for k, v in self.model.state_dict().items()}
        tensors |= {f"memory.{k}": v.detach().clone() for k, v in self.state.memory.items()}
        batch_state, position = self.batches.capture()
        tensors["random.batches"] = batch_state.clone()
        tensors["random.noise"] = self.generator.get_state()
        for name, optimiser in self.state.optimisers.items():
            tensors |= _optimiser_tensors(name, optimiser)
        meta = {
            "step": self.state.step,
            "position": position,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "live": live_values(self.model),
            "threads": torch.get_num_threads(),
        }
        return Keyframe(tensors, meta)

    def restore(self, keyframe: Keyframe) -> None:
        """Go back (or on) to a captured place.

        Raises:
            ValueError: It is of another model, or damaged.
        """
        try:
            self._restore(keyframe.tensors, keyframe.meta)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"the saved state of training is damaged: {type(error).__name__}: {error}"
            ) from None

    def _restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        # Before the weights: a model may set some of its buffers to what is changed.
        self.model.set_live(_checked_live(self.model, meta.get("live", {})))
        self._restore_model({k: v for k, v in tensors.items() if k.startswith("model.")})
        self.state.memory = {
            k.removeprefix("memory."): v.to(self.device).clone()
            for k, v in tensors.items()
            if k.startswith("memory.")
        }
        self.state.step = int(meta["step"])
        self.batch_size = int(meta["batch_size"])
        self.batches.resize(self.batch_size)
        # Copied, since a generator reads a state from where its memory begins, view or not.
        self.batches.restore(tensors["random.batches"].cpu().clone(), int(meta["position"]))
        self.generator.set_state(tensors["random.noise"].cpu().clone())
        self.learning_rate = float(meta["learning_rate"])
        self.state.optimisers = self.model.optimisers(self.learning_rate)
        for name, optimiser in self.state.optimisers.items():
            _restore_optimiser(name, optimiser, tensors)

    def _restore_model(self, tensors: dict[str, Tensor]) -> None:
        weights = {k.removeprefix("model."): v for k, v in tensors.items()}
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"the weights are of another model: {error}") from None


def fit(
    model: GenerativeModel,
    dataset: Dataset,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: str = "constant",
    seed: int = 0,
    device: str = "auto",
    record_every: int = 0,
) -> FitResult:
    """Train a model for so many steps, or so many seconds, whichever comes first.

    Args:
        model: Trained in place and left in eval mode.
        dataset: Where batches come from.
        steps: Number of steps; ``None`` means until ``seconds`` have passed.
        seconds: Wall-clock limit.
        batch_size: ``None`` takes the model's configuration.
        learning_rate: ``None`` takes the model's configuration.
        schedule: ``"constant"`` or ``"cosine"`` (to zero at the end).
        seed: Seed of batches and noise.
        device: ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.
        record_every: Keep the losses of every so many steps; 0 keeps only the last.

    Returns:
        The steps taken, the seconds and the recorded losses (nats where they are likelihoods).

    Raises:
        ValueError: Neither ``steps`` nor ``seconds`` is given, or an argument is out of range.
        FloatingPointError: The loss is no longer finite.
    """
    if steps is None and seconds is None:
        raise ValueError("fit: given neither steps nor seconds, wanted at least one of them")
    _check_least("steps", steps, 0)
    _check_least("seconds", seconds, 0)
    if schedule not in ("constant", "cosine"):
        raise ValueError(f"schedule: given '{schedule}', wanted constant or cosine")
    trainer = Trainer(
        model,
        dataset,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    return _fit(trainer, steps, seconds, schedule == "cosine", record_every)


def _check_least(name: str, value: float | None, least: int) -> None:
    if value is not None and not value >= least:
        raise ValueError(f"{name}: given {value}, wanted a number of at least {least}")


def _fit(
    trainer: Trainer, steps: int | None, seconds: float | None, cosine: bool, record_every: int
) -> FitResult:
    start, done = time.perf_counter(), 0
    recorded: list[dict[str, Tensor]] = []
    losses: dict[str, Tensor] = {}
    while steps is None or done < steps:
        elapsed = time.perf_counter() - start
        if seconds is not None and elapsed >= seconds:
            break
        if cosine:
            progress = max(done / steps if steps else 0.0, elapsed / seconds if seconds else 0.0)
            rate = 0.5 * (1.0 + math.cos(math.pi * progress))
            trainer.state.set_learning_rate(trainer.learning_rate * rate)
        losses = trainer.step()
        done += 1
        if record_every and done % record_every == 0:
            recorded.append(losses)
    if not recorded and losses:
        recorded.append(losses)
    trainer.model.eval()
    table = {name: [float(row[name]) for row in recorded] for name in losses}
    if any(not math.isfinite(value) for value in table.get("total", ())):
        raise FloatingPointError(f"the loss is not finite after {done} steps")
    return FitResult(done, time.perf_counter() - start, table)


@torch.no_grad()
def held_out_nll(
    model: GenerativeModel, data: Tensor, *, labels: Tensor | None = None, seed: int = 0
) -> float | None:
    """Mean negative log-density of (N, *E) in nats, or the negative ELBO where that is the best.

    ``labels`` (N,) are the context of a model that uses them. ``None`` for models with neither,
    and for no data. The same seed gives the same noise.
    """
    if not len(data) or not isinstance(model, (LogProb, Bound)):
        return None
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for rows in torch.split(torch.arange(len(data)), _score_rows(model)):
        chunk = as_float(data[rows].to(model.device))
        context = None
        if labels is not None and model.uses_labels:
            context = labels[rows].to(model.device)
        if isinstance(model, LogProb):
            total -= float(model.log_prob(chunk, context=context).sum())
        else:
            bound = model.elbo(chunk, context=context, generator=generator)
            total -= float(bound.total.sum())
    return total / len(data)


def _score_rows(model: GenerativeModel) -> int:
    return min(SCORE_CHUNK, max(16, SCORE_VALUES // model.event_size))


def _optimiser_tensors(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    return {
        f"optimiser.{name}.{index}.{key}": torch.as_tensor(value).detach().clone()
        for index, parameter in enumerate(parameters)
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def _restore_optimiser(
    name: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    prefix = f"optimiser.{name}."
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix):
            index, entry = key.removeprefix(prefix).split(".", 1)
            state.setdefault(int(index), {})[entry] = value.detach().clone()
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
