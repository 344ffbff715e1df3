"""The answering side: asks in, newest wins per slot, probes run on snapshots, never on a trainer.

It has a thread and model replicas of its own, so an answer never waits for a training step and a
training step never sees a probe.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from engine.dataset import Dataset
from engine.failures import describe
from engine.heartbeat import Phase
from engine.history import History, Snapshot, put
from engine.model import GenerativeModel
from engine.probe import View
from engine.registry import find, probes
from engine.streams import MakeView, Streams
from engine.wire.messages import Answer, Ask, Slot, ToWindow


@dataclass
class Exhibit:
    """What the answering side may see of a run.

    Attributes:
        replica: A model of the same architecture, touched by this thread only.
        dataset: Read-only.
        seed: The run's seed.
        history: Stored snapshots; the trainer adds, this side looks up.
        newest: The latest published snapshot; replaced as a whole.
    """

    replica: GenerativeModel
    dataset: Dataset
    seed: int
    history: History
    newest: Snapshot
    loaded: Snapshot | None = None

    def view(self, cursor: int | None, cancelled: Callable[[], bool]) -> View:
        """The replica with the weights of the newest or of a stored snapshot."""
        if cursor is not None:
            self.history.hold(cursor)
        snapshot = self.newest if cursor is None else self.history.at(cursor) or self.newest
        if snapshot is not self.loaded:
            put(snapshot, self.replica)
            self.loaded = snapshot
        return View(self.replica, self.dataset, snapshot.step, self.seed, cancelled)

    def view_apart(self, cursor: int | None) -> MakeView:
        """How to make a view with a replica of its own, for work that lasts."""
        snapshot = self.newest if cursor is None else self.history.at(cursor) or self.newest

        def make(cancelled: Callable[[], bool]) -> View:
            replica = copy.deepcopy(self.replica)
            put(snapshot, replica)
            return View(replica, self.dataset, snapshot.step, self.seed, cancelled)

        return make


class Answering:
    """Takes asks from the reader's thread and posts answers.

    Args:
        post: Queues a record for the window; the second argument is a newest-wins key.
        phase: Told what is being done.
    """

    def __init__(self, post: Callable[[ToWindow, object], None], phase: Phase) -> None:
        self._post = post
        self._phase = phase
        self.streams = Streams(lambda record: post(record, None))
        self._exhibits: dict[str, Exhibit] = {}
        self._pending: OrderedDict[Slot, Ask] = OrderedDict()
        self._changed = threading.Condition()
        self._urgent_in_hand = False
        self._thread = threading.Thread(target=self._run, name="answering", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

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
        self.streams.forget(run)

    def ask(self, ask: Ask) -> None:
        """Queue an ask; an older one of the same slot that has not begun is dropped."""
        if ask.stream:
            self._start_stream(ask)
            return
        with self._changed:
            self._pending[ask.slot] = ask
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

    def _is_urgent(self) -> bool:
        return self._urgent_in_hand or any(ask.urgent for ask in self._pending.values())

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
                slot, ask = self._next()
                self._urgent_in_hand = ask.urgent
                exhibit = self._exhibits.get(slot.run)
            with self._phase.during(f"{ask.probe} for {slot.panel}"):
                self._answer(ask, exhibit)
            if ask.urgent:
                with self._changed:
                    self._urgent_in_hand = False
                    self._changed.notify_all()

    def _next(self) -> tuple[Slot, Ask]:
        """The oldest urgent ask, else the oldest."""
        slot = next((s for s, a in self._pending.items() if a.urgent), None)
        if slot is None:
            return self._pending.popitem(last=False)
        return slot, self._pending.pop(slot)

    def _answer(self, ask: Ask, exhibit: Exhibit | None) -> None:
        where = f"{ask.probe}"
        try:
            if exhibit is None:
                raise ValueError(f"there is no run '{ask.slot.run}'")
            self._run_probe(ask, exhibit)
        except Exception as error:  # whatever a probe raises becomes a record
            failed = describe(error, where)
            self._post(
                msgspec.structs.replace(
                    failed, slot=ask.slot, generation=ask.generation, run=ask.slot.run
                ),
                ask.slot,
            )

    def _run_probe(self, ask: Ask, exhibit: Exhibit) -> None:
        began = time.perf_counter()
        found = find(probes(), ask.probe, "probe")
        view = exhibit.view(ask.cursor, lambda: self._superseded(ask.slot))
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
            self._post(answer, ask.slot)
            if not result.final and view.cancelled():
                return

    def _superseded(self, slot: Slot) -> bool:
        with self._changed:
            return slot in self._pending
