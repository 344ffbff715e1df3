"""The answering side: asks in, newest wins per slot, probes run on snapshots, never on a trainer.

It has threads and model replicas of its own, so an answer never waits for a training step and a
training step never sees a probe. What is being dragged has a lane to itself: it waits for nothing
in the other one, which steps aside and begins again what it had in hand.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec
from torch import Tensor

from engine.dataset import Dataset
from engine.failures import describe
from engine.heartbeat import Phase
from engine.history import History, Milestone, Snapshot, put
from engine.model import GenerativeModel
from engine.probe import View
from engine.registry import find, probes
from engine.streams import MakeView, Streams
from engine.wire.messages import Answer, Ask, Failed, Slot, ToWindow

#: How a keyframe calls the training's chains and buffers.
MEMORY = "memory."
#: Something dragged that takes longer than this makes room for what is dragged later.
PATIENCE_SECONDS = 0.06


@dataclass
class _Stage:
    """A replica that one lane alone touches, and what it holds."""

    replica: GenerativeModel
    loaded: Snapshot | None = None


@dataclass
class Exhibit:
    """What the answering side may see of a run.

    Attributes:
        replica: A model of the same architecture; the lanes touch copies of it.
        dataset: Read-only.
        seed: The run's seed.
        history: Stored snapshots; the trainer adds, this side looks up.
        newest: The latest published snapshot; replaced as a whole.
        safe: The run's latest keyframe, which may not be in the history.
    """

    replica: GenerativeModel
    dataset: Dataset
    seed: int
    history: History
    newest: Snapshot
    safe: Callable[[], Milestone | None] = lambda: None
    _stages: dict[str, _Stage] = field(default_factory=dict)

    def view(self, cursor: int | None, cancelled: Callable[[], bool], lane: str = "") -> View:
        """A lane's replica with the weights of the newest or of a stored snapshot."""
        if cursor is not None:
            self.history.hold(cursor)
        snapshot = self.newest if cursor is None else self.history.at(cursor) or self.newest
        stage = self._stages.get(lane)
        if stage is None:
            stage = self._stages.setdefault(lane, _Stage(copy.deepcopy(self.replica)))
        if snapshot is not stage.loaded:
            put(snapshot, stage.replica)
            stage.loaded = snapshot
        return self._view(stage.replica, snapshot.step, cancelled)

    def _view(self, model: GenerativeModel, step: int, cancelled: Callable[[], bool]) -> View:
        memory = partial(self.memory_at, step)
        return View(model, self.dataset, step, self.seed, cancelled, memory)

    def memory_at(self, step: int) -> tuple[int, dict[str, Tensor]]:
        """Chains and buffers of the newest keyframe not after a step, and that one's step."""
        found = [m for m in (self.history.keyframe_at(step), self.safe()) if m is not None]
        best = max((m for m in found if m.step <= step), key=lambda m: m.step, default=None)
        if best is None:
            return 0, {}
        kept = best.keyframe.tensors.items()
        named = {n.removeprefix(MEMORY): t for n, t in kept if n.startswith(MEMORY)}
        return best.step, named

    def view_apart(self, cursor: int | None) -> MakeView:
        """How to make a view with a replica of its own, for work that lasts."""
        snapshot = self.newest if cursor is None else self.history.at(cursor) or self.newest

        def make(cancelled: Callable[[], bool]) -> View:
            replica = copy.deepcopy(self.replica)
            put(snapshot, replica)
            return self._view(replica, snapshot.step, cancelled)

        return make


class Answering:
    """Takes asks from the reader's thread and posts answers.

    Args:
        post: Queues a record for the window; the second argument is a newest-wins key.
        phase: Told what is being done.
    """

    def __init__(self, post: Callable[[ToWindow, object], None], phase: Phase) -> None:
        self._post = post
        self._phases = {False: phase, True: Phase()}
        phase.join(self._phases[True])
        self.streams = Streams(lambda record: post(record, None))
        self._exhibits: dict[str, Exhibit] = {}
        self._pending: OrderedDict[Slot, Ask] = OrderedDict()
        self._newest: dict[Slot, int] = {}
        self._came: dict[Slot, float] = {}
        self._changed = threading.Condition()
        self._urgent_in_hand = False
        self._lanes = [
            threading.Thread(target=self._run, args=(urgent,), name=name, daemon=True)
            for urgent, name in ((False, "answering"), (True, "answering at once"))
        ]

    def start(self) -> None:
        """Begin to answer."""
        for lane in self._lanes:
            lane.start()

    def show(self, run: str, exhibit: Exhibit) -> None:
        """Make a run known, or replace it after a rebuild."""
        with self._changed:
            self._exhibits[run] = exhibit

    def hide(self, run: str) -> None:
        """Forget a run and its pending asks."""
        with self._changed:
            self._exhibits.pop(run, None)
            for slot in [slot for slot in self._pending if slot.run == run]:
                del self._pending[slot]
            for slot in [slot for slot in self._newest if slot.run == run]:
                del self._newest[slot], self._came[slot]
        self.streams.forget(run)

    def ask(self, ask: Ask) -> None:
        """Queue an ask; an older one of the same slot that has not begun is dropped."""
        if ask.stream:
            self._start_stream(ask)
            return
        with self._changed:
            self._pending[ask.slot] = ask
            self._newest[ask.slot] = ask.generation
            self._came[ask.slot] = time.perf_counter()
            self._changed.notify_all()

    def _start_stream(self, ask: Ask) -> None:
        with self._changed:
            exhibit = self._exhibits.get(ask.slot.run)
        if exhibit is not None:
            self.streams.start(ask, exhibit.view_apart(ask.cursor))
            return
        failed = describe(ValueError(f"there is no run '{ask.slot.run}'"), ask.probe)
        stamped = msgspec.structs.replace(failed, slot=ask.slot, generation=ask.generation)
        self._post(stamped, None)

    def let_urgent_pass(self, timeout: float) -> None:
        """Called by the training thread: wait while something that is being dragged is drawn."""
        if self._urgent_in_hand or self._pending:
            with self._changed:
                self._changed.wait_for(lambda: not self._is_urgent(), timeout)

    # --- lanes --------------------------------------------------------------------------------

    def _is_urgent(self) -> bool:
        return self._urgent_in_hand or self._urgent_waits()

    def _urgent_waits(self) -> bool:
        return any(ask.urgent for ask in self._pending.values())

    def _may_begin(self, urgent: bool) -> bool:
        if urgent:
            return self._urgent_waits()
        return bool(self._pending) and not self._is_urgent()

    def _next_slot(self, urgent: bool) -> Slot:
        """The first in the queue; what is only for idle moments comes after all others."""
        waiting = [ask for ask in self._pending.values() if ask.urgent == urgent]
        return min(waiting, key=lambda ask: ask.idle).slot

    def _run(self, urgent: bool) -> None:
        lane = "urgent" if urgent else ""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._may_begin(urgent))
                ask = self._pending.pop(self._next_slot(urgent))
                slot = ask.slot
                self._urgent_in_hand = self._urgent_in_hand or urgent
                exhibit = self._exhibits.get(slot.run)
            with self._phases[urgent].during(f"{ask.probe} for {slot.panel}"):
                self._answer(ask, exhibit, lane)
            with self._changed:
                if urgent:
                    self._urgent_in_hand = False
                self._changed.notify_all()

    def _answer(self, ask: Ask, exhibit: Exhibit | None, lane: str) -> None:
        try:
            if exhibit is None:
                raise ValueError(f"there is no run '{ask.slot.run}'")
            self._run_probe(ask, exhibit, lane)
        except Exception as error:  # whatever a probe raises becomes a record
            failed = describe(error, ask.probe)
            self._send(
                ask,
                msgspec.structs.replace(
                    failed, slot=ask.slot, generation=ask.generation, run=ask.slot.run
                ),
            )

    def _run_probe(self, ask: Ask, exhibit: Exhibit, lane: str) -> None:
        began = time.perf_counter()
        found = find(probes(), ask.probe, "probe")
        stopped: list[bool] = []

        def cancelled() -> bool:
            if self._superseded(ask) or self._must_yield(ask, time.perf_counter() - began):
                stopped.append(True)
            return bool(stopped)

        view = exhibit.view(ask.cursor, cancelled, lane)
        for result in found.ask(view, ask.arguments, ask.arrays):
            answer = Answer(
                ask.slot,
                ask.generation,
                view.step,
                result.numpy(),
                dict(result.values),
                result.final,
                time.perf_counter() - began,
            )
            self._send(ask, answer)
            if result.final:
                return
            if cancelled():
                break
        if stopped:
            self._begin_again(ask)

    def _send(self, ask: Ask, record: Answer | Failed) -> None:
        """Post it unless the slot was asked anew, which another lane may have answered already."""
        with self._changed:
            if self._newest.get(ask.slot, ask.generation) == ask.generation:
                self._post(record, ask.slot)

    def _superseded(self, ask: Ask) -> bool:
        with self._changed:
            return self._newest.get(ask.slot, ask.generation) != ask.generation

    def _must_yield(self, ask: Ask, elapsed: float) -> bool:
        with self._changed:
            if ask.idle and any(not other.idle for other in self._pending.values()):
                return True
            if not ask.urgent:
                return self._is_urgent()
            later = self._came.get(ask.slot, 0.0) + PATIENCE_SECONDS
            waits = [slot for slot, other in self._pending.items() if other.urgent]
            return elapsed > PATIENCE_SECONDS and any(self._came[s] > later for s in waits)

    def _begin_again(self, ask: Ask) -> None:
        """What stepped aside is done later, unless nobody wants it any more."""
        with self._changed:
            if self._newest.get(ask.slot) == ask.generation and ask.slot not in self._pending:
                self._pending[ask.slot] = msgspec.structs.replace(ask, urgent=False)
