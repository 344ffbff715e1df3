"""One run in the engine: a trainer, its history and exhibit, its pace and its figures."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
from torch import Tensor

from engine import checkpoint
from engine.absent import data_of
from engine.answering import Exhibit
from engine.changes import Change, Changes
from engine.dataset import Dataset
from engine.failures import DIVERGED, OUT_OF_MEMORY, describe
from engine.fairness import Finish
from engine.history import DEFAULT_BUDGET, History, Milestone, Snapshot, take
from engine.rate import StepRate
from engine.recorder import Recorder
from engine.registry import build_dataset, build_for, dataset_card, model_card
from engine.replay import CatchUp, Due, Replay
from engine.shelf import Log, load_past
from engine.training import Keyframe, Trainer, live_values
from engine.wire.fields import Value, check_value, field_specs
from engine.wire.messages import Failed, Metrics, RunInfo, RunSpec, RunState

#: Seconds between two published snapshots while training.
PUBLISH_SECONDS = 0.03
#: Seconds between two keyframes held in memory, to which a diverging run returns.
SAFE_SECONDS = 1.0
#: Steps a second at which sweeps over the whole data (EM) can be watched.
FULL_BATCH_PACE = 5.0
#: Losses are checked one by one on the CPU, where that is free, and at this interval elsewhere.
CHECK_EVERY = 20


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
        history: A folder with its past (see :mod:`engine.shelf`), or "".
    """

    def __init__(
        self,
        name: str,
        spec: RunSpec,
        keyframe: Keyframe | None = None,
        *,
        dataset: Dataset | None = None,
        path: str = "",
        history: str = "",
    ) -> None:
        self.name = name
        self.spec = spec
        self.path = path
        self.dataset = dataset or build_dataset(spec.dataset, **spec.dataset_config)
        self.state = "ready"
        self.until: int | None = None
        self.finish = Finish()
        self.pace: float | None = None
        self.used = 0.0
        self.worked = 0.0  # processor seconds, of which the disk may take a share
        self.parent, self.forked_at, self.missing = "", 0, ""
        self._budget = DEFAULT_BUDGET
        self._next_due = 0.0
        self._build(keyframe)
        if history:
            self.remember(Path(history))

    # --- life ---------------------------------------------------------------------------------

    def _build(self, keyframe: Keyframe | None) -> None:
        spec = self.spec
        model = build_for(spec, self.dataset)
        self.trainer = Trainer(model, self.dataset, seed=spec.seed, device=spec.device)
        self.seconds = 0.0
        if keyframe is not None:
            self.trainer.restore(keyframe)
            self.seconds = float(keyframe.meta.get("seconds", 0.0))
        self.history = History(self._budget)
        self.changes = Changes()
        self.first_data = self.dataset
        self._catch_up: CatchUp | None = None
        self._recorder = Recorder()
        self._rate = StepRate()
        self._mark_safe()
        self._published_at = time.monotonic()
        replica = copy.deepcopy(model).eval().requires_grad_(False)
        first = take(model, self.step)
        self.exhibit = Exhibit(
            replica, self.dataset, spec.seed, self.history, first, lambda: self._safe
        )
        self.history.add(first)
        self.history.add_keyframe(self._safe)

    def set_budget(self, n_bytes: int) -> None:
        """Memory that history may take."""
        self._budget = n_bytes
        self.history.set_budget(n_bytes)

    def _mark_safe(self) -> None:
        """Remember where to return to when training diverges."""
        self._safe: Milestone = Milestone(self._capture(), len(self.changes.entries))
        self._safe_at = time.monotonic()

    def _capture(self) -> Keyframe:
        """The trainer's keyframe with the run's own clock."""
        keyframe = self.trainer.capture()
        keyframe.meta["seconds"] = self.seconds
        return keyframe

    def remember(self, folder: Path) -> None:
        """Take back the past that lies on disk, up to the step with which the run began here."""
        past = load_past(folder, self.exhibit.replica)
        self.missing = past.missing
        self.history, changes = past.before(self.history, self.changes)
        older = len(changes.entries) - len(self.changes.entries)
        self._safe = replace(self._safe, n_changes=self._safe.n_changes + older)
        self.changes, self.exhibit.history = changes, self.history
        if past.log.dataset and any(change.dataset for change in changes.entries[:older]):
            self.first_data = build_dataset(past.log.dataset, **past.log.config)

    def log(self) -> Log:
        """What the user changed, and the data at the beginning, for the disk."""
        return Log.of(self.first_data, self.changes)

    def past(self) -> tuple[list[Snapshot], list[Milestone], Log]:
        """All that is to lie on disk of the past; the lists are not changed any more."""
        history = self.history
        return history.snapshots.entries, history.keyframes.entries, self.log()

    def reset(self) -> None:
        """Back to step 0 with the same initial weights and the live settings in force."""
        self._build(None)
        self.state = "ready"

    def move(self, device: str) -> None:
        """Go on, on another device."""
        keyframe, history = self._capture(), self.history
        changes, first = self.changes, self.first_data
        self.spec = msgspec.structs.replace(self.spec, device=device)
        self._build(keyframe)
        self.history = self.exhibit.history = history
        self.changes, self.first_data = changes, first
        self._mark_safe()

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
        """Seconds until the next step is due under the pace limit, and while it is held."""
        return self.finish.wait_seconds(self.step, self._next_due - time.monotonic())

    def play(self, until: int | None) -> None:
        """Train, up to ``until`` steps in all."""
        self.until = until
        self.state = "paused" if self._is_done else "training"
        self._rate.begin(self.step)

    def set_finish(self, finish: Finish) -> None:
        """Where to stop by itself, from now on."""
        self.finish = finish
        if self.state == "training" and self.is_finished:
            self.pause()

    @property
    def is_finished(self) -> bool:
        """Whether it stands at its finish line."""
        return self.finish.is_reached(self.step, self.seconds)

    @property
    def _is_done(self) -> bool:
        return self.is_finished or (self.until is not None and self.step >= self.until)

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
        self._change(self._check_live(values))
        self.publish()

    def _check_live(self, values: Mapping[str, Value]) -> dict[str, Value]:
        specs = {spec.name: spec for spec in field_specs(type(self.trainer.model).Config)}
        checked: dict[str, Value] = {}
        for name, value in values.items():
            if name not in specs or not specs[name].field.live:
                raise ValueError(f"{name} cannot change while training; start the run again")
            checked[name] = check_value(specs[name], value)
        return checked

    def _change(self, values: dict[str, Value]) -> None:
        self.trainer.set_live(values)
        self.changes.add(Change(self.step, values))
        self._note_live(values)

    def _note_live(self, values: Mapping[str, Value]) -> None:
        self.spec = msgspec.structs.replace(
            self.spec, model_config={**self.spec.model_config, **values}
        )

    def set_data(self, name: str, config: Mapping[str, Value]) -> None:
        """Go on training on other data; raises ``ValueError`` where they do not fit."""
        change = Change.of_data(self.step, name, config)
        self.trainer.set_data(change.build())
        self.changes.add(change)
        self._note_data(change)
        if self.trainer.is_finite():
            self._mark_safe()
        self.publish()

    def _note_data(self, change: Change) -> None:
        self.dataset = self.exhibit.dataset = self.trainer.dataset
        self.spec = msgspec.structs.replace(
            self.spec, dataset=change.dataset, dataset_config=change.data_config()
        )

    # --- the past -----------------------------------------------------------------------------

    def replay(self, step: int) -> Replay:
        """How to reach a step of the past; raises ``ValueError`` for one that is not there."""
        milestone = self.milestone(step)
        return Replay(self.spec, self.first_data, milestone, self.changes, step)

    def milestone(self, step: int) -> Milestone:
        """Where a replay of a step begins."""
        if step == self.step:
            return Milestone(self._capture(), len(self.changes.entries))
        found = self.history.keyframe_at(step)
        if step > self.step or found is None:
            first = min(self.history.keyframes.steps, default=self.step)
            raise ValueError(
                f"step: given {step}, wanted one between {first}, the first keyframe, and "
                f"{self.step}, the newest step"
            )
        return found

    def fork(self, name: str, step: int, values: Mapping[str, Value], playing: bool) -> Run:
        """A second run that repeats this one's steps up to ``step`` and then goes its own way.

        Raises:
            ValueError: The step is not within reach, or a setting needs a restart.
        """
        checked = self._check_live(values)
        milestone = self.milestone(step)
        data = self.changes.data_at(milestone.n_changes)
        dataset = data.build() if data is not None else self.first_data
        child = Run(name, self._spec_at(milestone), milestone.keyframe, dataset=dataset)
        child.parent, child.forked_at = self.name, step
        child.first_data = self.first_data
        child.changes = Changes(self.changes.entries[: milestone.n_changes])
        child.history = child.exhibit.history = self.history.until(milestone.step)
        child._mark_safe()
        child.set_budget(self._budget)
        child.finish = self.finish.beyond(step, child.seconds)
        due = Due(self.changes.entries[milestone.n_changes :], step)
        child._catch_up = CatchUp(step, due, checked, playing, milestone.step)
        child.play(None)
        child._arrive()
        return child

    def _spec_at(self, milestone: Milestone) -> RunSpec:
        data = self.changes.data_at(milestone.n_changes)
        live = milestone.keyframe.meta.get("live", {})
        log = self.log()
        return msgspec.structs.replace(
            self.spec,
            model_config={**self.spec.model_config, **live},
            dataset=data.dataset if data else log.dataset,
            dataset_config=data.data_config() if data else log.config,
        )

    def _arrive(self) -> None:
        """At the step of the fork: take the changed settings, then play or pause."""
        catch_up = self._catch_up
        if catch_up is None:
            return
        catch_up.due.apply(self.trainer, self._repeat)
        if self.step < catch_up.step:
            return
        self._catch_up = None
        if catch_up.values:
            self._change(catch_up.values)
        if not catch_up.playing:
            self.state = "paused"
        self.publish()

    def _repeat(self, change: Change) -> None:
        """A change of the parent's is made again."""
        self.changes.add(change)
        if change.dataset:
            self._note_data(change)
        else:
            self._note_live(change.values)

    # --- steps --------------------------------------------------------------------------------

    def advance(self) -> None:
        """Take one step, record it, publish and keep what is due.

        Raises:
            DivergedError: The loss or a weight is not finite; the run is back at a safe place.
            Exception: Whatever the model's training step raises.
        """
        began, worked = time.monotonic(), time.thread_time()
        losses = self.trainer.step()
        self.seconds += time.monotonic() - began
        self.worked += time.thread_time() - worked
        self._recorder.record(self.trainer, losses, self.spec.seed, self.seconds)
        self._check(losses)
        self._keep()
        self._arrive()
        now = time.monotonic()
        self.used += now - began
        if self.pace is not None:
            self._next_due = max(self._next_due + 1.0 / self.pace, now)
        if self._is_done:
            self.state = "paused"
            self.publish()

    def publish(self) -> None:
        """Let the answering side see the weights as they are now."""
        if self.exhibit.newest.step != self.step or self.state != "training":
            self.exhibit.newest = take(self.trainer.model, self.step)
        self._published_at = time.monotonic()

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
        milestone = self.history.wants_keyframe(self.step)
        if not (due or wanted or milestone):
            return
        newest = take(self.trainer.model, self.step)
        if not newest.is_finite():
            raise self._diverged("a weight")
        self.exhibit.newest = newest
        self._published_at = now
        if wanted:
            self.history.add(self.exhibit.newest)
        if milestone or now - self._safe_at >= SAFE_SECONDS:
            self._mark_safe()
        if milestone:
            self.history.add_keyframe(self._safe)

    def _diverged(self, what: str) -> DivergedError:
        """Return to the last finite keyframe; the error says so."""
        at = self.step
        self.trainer.restore(self._safe.keyframe)
        self.changes.entries = self.changes.entries[: self._safe.n_changes]
        self._note_live(live_values(self.trainer.model))
        self._catch_up = None
        self.history.cut(self.step + 1)
        self._recorder.cut(self.step)
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
            parent=self.parent,
            forked_at=self.forked_at,
            missing=self.missing,
        )

    def report(self) -> RunState:
        """Where the run is."""
        return RunState(
            run=self.name,
            state=self.state,
            step=self.step,
            steps_per_second=self._rate.per_second(self.step) if self.is_training else 0.0,
            stored=self.history.steps,
            keyframes=self.history.keyframes.steps,
            history_bytes=self.history.n_bytes + self.changes.n_bytes,
            live=live_values(self.trainer.model),
            repeating=self._catch_up.progress(self.step) if self._catch_up else (),
            seconds=self.seconds,
            finished=self.is_finished,
        )

    def take_metrics(self) -> Metrics | None:
        """The rows recorded since the last call."""
        return self._recorder.take(self.name)

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

    # --- disk ---------------------------------------------------------------------------------

    def save(self, path: str) -> None:
        """Write weights, configuration and the keyframe as one ``.safetensors`` file."""
        self.draft().write(path)

    def draft(self) -> checkpoint.Draft:
        """What :meth:`save` writes, as it is now: training may go on meanwhile."""
        model, frame, data = self.trainer.model, self._capture(), self.dataset
        return checkpoint.draft(
            model, spec=self.spec, step=self.step, keyframe=frame, copied=True, dataset=data
        )

    @classmethod
    def open(cls, name: str, path: str, device: str, history: str = "") -> Run:
        """Build a run from a saved file; raises ``CheckpointError`` with a clear sentence."""
        loaded = checkpoint.load(path)
        if loaded.spec is None:
            raise checkpoint.CheckpointError(
                f"{Path(path).name} holds a model without its data set: it cannot be shown as a "
                "run; save it with spec=RunSpec(…)"
            )
        spec = msgspec.structs.replace(loaded.spec, device=device)
        run = cls(name, spec, loaded.keyframe, dataset=data_of(loaded), path=path, history=history)
        if loaded.keyframe is None:
            run.adopt(loaded.model.state_dict(), loaded.step)
        run.state = "paused"
        return run

    def adopt(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take weights that came without optimiser state."""
        self.trainer.model.load_state_dict(dict(weights))
        self.trainer.state.step = step
        self._mark_safe()
        self.exhibit.newest = take(self.trainer.model, step)
        self.history.cut(0)
        self.history.add(self.exhibit.newest)
        self.history.add_keyframe(self._safe)
