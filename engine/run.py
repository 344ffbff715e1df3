"""One run in the engine: a trainer, its history and exhibit, its pace and its figures."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine import checkpoint
from engine.answering import Exhibit
from engine.dataset import Dataset
from engine.failures import DIVERGED, OUT_OF_MEMORY, describe
from engine.history import History, take
from engine.registry import build_dataset, build_model, dataset_card, model_card
from engine.training import Keyframe, Trainer, held_out_nll
from engine.wire.fields import Value, check_value, field_specs
from engine.wire.messages import Failed, Metrics, RunInfo, RunSpec, RunState

#: Seconds between two published snapshots while training.
PUBLISH_SECONDS = 0.03
#: Seconds between two keyframes held in memory, to which a diverging run returns.
SAFE_SECONDS = 1.0
#: The gradient norm is recorded at every so many steps, the held-out score at every so many.
GRADIENT_EVERY = 10
HELD_OUT_EVERY = 50
#: Steps a second at which sweeps over the whole data (EM) can be watched.
FULL_BATCH_PACE = 5.0
#: Held-out points scored while training.
HELD_OUT_POINTS = 2000
#: Losses are checked one by one on the CPU, where that is free, and at this interval elsewhere.
CHECK_EVERY = 20
#: Window over which steps per second are measured, in seconds.
RATE_SECONDS = 1.0


class DivergedError(FloatingPointError):
    """The loss or a weight is no longer a finite number."""


class Run:
    """Steps on demand, and everything that the window is told of them.

    Args:
        name: The run's id.
        spec: What to build.
        keyframe: Where to go on from, or None for step 0.
        dataset: The data as built before; None builds them from ``spec``.
        path: The file it was opened from, or "".
    """

    def __init__(
        self,
        name: str,
        spec: RunSpec,
        keyframe: Keyframe | None = None,
        *,
        dataset: Dataset | None = None,
        path: str = "",
    ) -> None:
        self.name = name
        self.spec = spec
        self.path = path
        self.dataset = dataset or build_dataset(spec.dataset, **spec.dataset_config)
        self.state = "ready"
        self.until: int | None = None
        self.pace: float | None = None
        self.used = 0.0
        self._next_due = 0.0
        self._build(keyframe)

    # --- life ---------------------------------------------------------------------------------

    def _build(self, keyframe: Keyframe | None) -> None:
        spec = self.spec
        model = build_model(
            spec.model, event_shape=self.dataset.event_shape, seed=spec.seed, **spec.model_config
        )
        self.trainer = Trainer(model, self.dataset, seed=spec.seed, device=spec.device)
        if keyframe is not None:
            self.trainer.restore(keyframe)
        self.history = History()
        self._rows: list[tuple[int, dict[str, Tensor | float]]] = []
        self._rate: list[tuple[float, int]] = []
        self._safe = self.trainer.capture()
        self._safe_at = self._published_at = time.monotonic()
        replica = copy.deepcopy(model).eval().requires_grad_(False)
        first = take(model, self.step)
        self.exhibit = Exhibit(replica, self.dataset, spec.seed, self.history, first)
        self.history.add(first)

    def reset(self) -> None:
        """Back to step 0 with the same initial weights and the live settings in force."""
        self._build(None)
        self.state = "ready"

    def move(self, device: str) -> None:
        """Go on, on another device."""
        keyframe, history = self.trainer.capture(), self.history
        self.spec = msgspec.structs.replace(self.spec, device=device)
        self._build(keyframe)
        self.history = self.exhibit.history = history

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.trainer.steps_done

    @property
    def is_training(self) -> bool:
        """Whether it wants training time."""
        return self.state == "training"

    @property
    def wait_seconds(self) -> float:
        """Seconds until the next step is due under the pace limit."""
        return max(0.0, self._next_due - time.monotonic())

    def play(self, until: int | None) -> None:
        """Train, up to ``until`` steps in all."""
        self.until = until
        self.state = "training" if until is None or self.step < until else "paused"
        self._rate = [(time.monotonic(), self.step)]

    def pause(self) -> None:
        """Stop after the step in hand, and publish it."""
        if self.state == "training":
            self.state = "paused"
        self.publish()

    def set_pace(self, steps_per_second: float | None) -> None:
        """Limit the speed, or lift the limit."""
        if steps_per_second is not None and not steps_per_second > 0:
            raise ValueError(f"pace: given {steps_per_second}, wanted more than 0 steps a second")
        self.pace = steps_per_second
        self._next_due = time.monotonic()

    def set_live(self, values: Mapping[str, Value]) -> None:
        """Change safe settings; raises ``ValueError`` for one that needs a restart."""
        specs = {spec.name: spec for spec in field_specs(type(self.trainer.model).Config)}
        checked: dict[str, Value] = {}
        for name, value in values.items():
            if name not in specs or not specs[name].field.live:
                raise ValueError(f"{name} cannot change while training; start the run again")
            checked[name] = check_value(specs[name], value)
        self.trainer.set_live(checked)
        self.spec = msgspec.structs.replace(
            self.spec, model_config={**self.spec.model_config, **checked}
        )
        self.publish()

    # --- steps --------------------------------------------------------------------------------

    def advance(self) -> None:
        """Take one step, record it, publish and keep what is due.

        Raises:
            DivergedError: The loss or a weight is not finite; the run is back at a safe place.
            Exception: Whatever the model's training step raises.
        """
        began = time.monotonic()
        losses = self.trainer.step()
        self._record(losses)
        self._check(losses)
        self._keep()
        now = time.monotonic()
        self.used += now - began
        if self.pace is not None:
            self._next_due = max(self._next_due + 1.0 / self.pace, now)
        if self.until is not None and self.step >= self.until:
            self.state = "paused"
            self.publish()

    def publish(self) -> None:
        """Let the answering side see the weights as they are now."""
        if self.exhibit.newest.step != self.step or self.state != "training":
            self.exhibit.newest = take(self.trainer.model, self.step)
        self._published_at = time.monotonic()

    def _record(self, losses: Mapping[str, Tensor]) -> None:
        row: dict[str, Tensor | float] = dict(losses)
        if self.step % GRADIENT_EVERY == 0 or self.step == 1:
            row["gradient_norm"] = self.trainer.gradient_norm()
        every = 1 if self.trainer.model.full_batch else HELD_OUT_EVERY
        if self.step % every == 0 or self.step == 1:
            self._record_held_out(row)
        self._rows.append((self.step, row))

    def _record_held_out(self, row: dict[str, Tensor | float]) -> None:
        model = self.trainer.model.eval()
        score = held_out_nll(model, self.dataset.valid[:HELD_OUT_POINTS], seed=self.spec.seed)
        model.train()
        if score is not None:
            row["held_out_nll"] = score

    def _check(self, losses: Mapping[str, Tensor]) -> None:
        on_cpu = self.trainer.device.type == "cpu"
        if not (on_cpu or self.step % CHECK_EVERY == 0):
            return
        total = losses.get("total")
        if total is not None and not math.isfinite(float(total)):
            raise self._diverged("the loss")

    def _keep(self) -> None:
        now = time.monotonic()
        due = now - self._published_at >= PUBLISH_SECONDS
        wanted = self.history.wants(self.step)
        if not (due or wanted):
            return
        if not self.trainer.is_finite():
            raise self._diverged("a weight")
        self.exhibit.newest = take(self.trainer.model, self.step)
        self._published_at = now
        if wanted:
            self.history.add(self.exhibit.newest)
        if now - self._safe_at >= SAFE_SECONDS:
            self._safe, self._safe_at = self.trainer.capture(), now

    def _diverged(self, what: str) -> DivergedError:
        """Return to the last finite keyframe; the error says so."""
        at = self.step
        self.trainer.restore(self._safe)
        self.history.cut(self.step + 1)
        self._rows = [row for row in self._rows if row[0] <= self.step]
        self.state = "diverged"
        self.publish()
        return DivergedError(
            f"{what} was no longer finite at step {at}; the run is paused at step {self.step}, "
            "its last finite snapshot. A smaller learning rate usually helps"
        )

    # --- what the window is told --------------------------------------------------------------

    def info(self) -> RunInfo:
        """The run as built."""
        model = self.trainer.model
        return RunInfo(
            run=self.name,
            spec=self.spec,
            card=model_card(type(model)),
            dataset=dataset_card(type(self.dataset)),
            data=self.dataset.info(),
            n_parameters=model.n_parameters,
            device=str(self.trainer.device),
            step=self.step,
            path=self.path,
            natural_pace=FULL_BATCH_PACE if model.full_batch else None,
        )

    def report(self) -> RunState:
        """Where the run is."""
        model = self.trainer.model
        live = {
            spec.name: spec_value(getattr(model.config, spec.name))
            for spec in field_specs(type(model).Config)
            if spec.field.live
        }
        return RunState(
            run=self.name,
            state=self.state,
            step=self.step,
            steps_per_second=self._steps_per_second(),
            stored=self.history.steps,
            history_bytes=self.history.n_bytes,
            live=live,
        )

    def take_metrics(self) -> Metrics | None:
        """The rows recorded since the last call."""
        rows, self._rows = self._rows, []
        if not rows:
            return None
        columns = tuple(dict.fromkeys(name for _, row in rows for name in row))
        table = np.full((len(rows), len(columns)), np.nan)
        for index, name in enumerate(columns):
            places = [i for i, (_, row) in enumerate(rows) if name in row]
            table[places, index] = _floats([rows[i][1][name] for i in places])
        return Metrics(self.name, columns, np.array([step for step, _ in rows]), table)

    def failed(self, error: BaseException) -> Failed:
        """What to tell of a step that raised; the run stops training."""
        if not isinstance(error, DivergedError) and not self.trainer.is_finite():
            error = self._diverged("a weight")  # what raised was a consequence
        failed = describe(error, f"training step {self.step + 1}")
        offer: dict[str, Value] = {}
        if isinstance(error, DivergedError):
            offer = {"learning_rate": self.trainer.learning_rate / 3}
            failed = msgspec.structs.replace(failed, kind=DIVERGED, message=str(error))
        else:
            self.state = "failed"
        if failed.kind == OUT_OF_MEMORY and self.trainer.batch_size > 1:
            offer = {"batch_size": max(1, self.trainer.batch_size // 2)}
        return msgspec.structs.replace(failed, run=self.name, offer=offer)

    def _steps_per_second(self) -> float:
        if self.state != "training":
            return 0.0
        now = time.monotonic()
        self._rate.append((now, self.step))
        self._rate = [entry for entry in self._rate if now - entry[0] <= RATE_SECONDS + 0.5]
        (then, first), (_, last) = self._rate[0], self._rate[-1]
        return (last - first) / (now - then) if now > then else 0.0

    # --- disk ---------------------------------------------------------------------------------

    def save(self, path: str) -> None:
        """Write weights, configuration and the keyframe as one ``.safetensors`` file."""
        checkpoint.save(
            path,
            self.trainer.model,
            spec=self.spec,
            step=self.step,
            keyframe=self.trainer.capture(),
            dataset=self.dataset,
        )

    @classmethod
    def open(cls, name: str, path: str, device: str) -> Run:
        """Build a run from a saved file; raises ``CheckpointError`` with a clear sentence."""
        loaded = checkpoint.load(path)
        if loaded.spec is None:
            raise checkpoint.CheckpointError(
                f"{Path(path).name} holds a model without its data set: it cannot be shown as a "
                "run; save it with spec=RunSpec(…)"
            )
        spec = msgspec.structs.replace(loaded.spec, device=device)
        run = cls(name, spec, loaded.keyframe, dataset=loaded.build_dataset(), path=path)
        if loaded.keyframe is None:
            run.adopt(loaded.model.state_dict(), loaded.step)
        run.state = "paused"
        return run

    def adopt(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take weights that came without optimiser state."""
        self.trainer.model.load_state_dict(dict(weights))
        self.trainer.state.step = step
        self._safe = self.trainer.capture()
        self.exhibit.newest = take(self.trainer.model, step)
        self.history.cut(0)
        self.history.add(self.exhibit.newest)


def spec_value(value: Any) -> Value:
    """A configuration value as it crosses the wire."""
    return list(value) if isinstance(value, tuple) else value


def _floats(values: list[Tensor | float]) -> list[float]:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) == len(values):
        return [float(v) for v in torch.stack([t.detach().reshape(()) for t in tensors]).tolist()]
    return [float(value) for value in values]
