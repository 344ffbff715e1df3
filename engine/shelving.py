"""Brings the past of all runs to the disk now and then, from a thread of its own.

What is kept in memory depends on the steps alone. When it reaches the disk depends on time: while
a run trains, writing its past may take only a small share of the processor time that its training
takes, so a model with short steps, of which much is kept at first, is not slowed down by it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.beside import Beside
from engine.checkpoint import Draft
from engine.container import CheckpointError
from engine.failures import describe
from engine.history import History, Milestone, Snapshot
from engine.shelf import Log, Shelf
from engine.wire.messages import Failed

#: Seconds between two visits; what is thinned out within them is never written.
VISIT_SECONDS = 2.0
#: Processor time that writing stored steps may take, as a share of that which training took.
SHARE = 0.02

GetPast = Callable[[], tuple[list[Snapshot], list[Milestone], Log]]


@dataclass(frozen=True)
class Shown:
    """A run whose past is to lie on the disk.

    Attributes:
        run: Its id.
        past: Tells all that is to be there.
        worked: Processor seconds that training has taken so far; None while it rests.
    """

    run: str
    past: GetPast
    worked: float | None = None


class Shelving:
    """One shelf per run, as ``<folder>/<run>.history``, beside its keyframe.

    Args:
        folder: Where; "" keeps nothing.
        post: Told, once, when the disk does not take it.
    """

    def __init__(self, folder: str, post: Callable[[Failed], None]) -> None:
        self._folder = folder
        self._post = post
        self._shelves: dict[str, Shelf] = {}
        self._beside: dict[str, Beside] = {}
        self._shown: list[Shown] = []
        self._spent: dict[str, float] = {}
        self._drafts: dict[str, tuple[Draft, Callable[[], None]]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._wake = threading.Event()
        self._complained = False
        self._started = False

    def show(self, runs: Sequence[Shown]) -> None:
        """The runs that there are; called by the training thread."""
        if self._folder:
            with self._lock:
                self._shown = list(runs)
            self._start()

    def keyframe_path(self, run: str) -> Path:
        """Where a run's newest keyframe lies."""
        return Path(self._folder) / f"{run}.safetensors"

    def keep(self, run: str, draft: Draft, done: Callable[[], None]) -> None:
        """Write a run's keyframe soon; ``done`` is called, on another thread, once it is there."""
        self._drafts[run] = draft, done
        self._start()
        self._wake.set()

    def keep_now(self, run: str, draft: Draft) -> None:
        """Write a run's keyframe; raises ``CheckpointError`` where that cannot be done."""
        with self._writing:
            self._drafts.pop(run, None)
            path = self.keyframe_path(run)
            draft.write(path, beside=self._beside.setdefault(run, Beside(path)))

    def adopt(self, run: str, folder: str, history: History) -> None:
        """A run was read from its own folder: its entries lie there already."""
        shelf = self._shelf(run)
        if self._folder and shelf.folder == Path(folder):
            shelf.adopt(history)

    def copy(self, folder: Path, past: GetPast) -> None:
        """Put a past into another folder, without writing again what lies on a shelf.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        Shelf(folder).sync(*past(), others=list(self._shelves.values()))

    def drop(self, run: str) -> None:
        """A run is closed: its folder, its keyframe and its data go."""
        with self._lock:
            self._shown = [shown for shown in self._shown if shown.run != run]
            shelf = self._shelf(run)
            del self._shelves[run]
            self._spent.pop(run, None)
        shelf.clear()  # a visit under way may have it in hand: it stops
        with self._writing:
            self._drafts.pop(run, None)
            path = self.keyframe_path(run)
            path.unlink(missing_ok=True)
            self._beside.pop(run, Beside(path)).sweep()

    def _shelf(self, run: str) -> Shelf:
        path = Path(self._folder) / f"{run}.history"
        return self._shelves.setdefault(run, Shelf(path))

    # --- the thread ---------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="shelving", daemon=True).start()

    def _run(self) -> None:
        due = time.monotonic() + VISIT_SECONDS
        while True:
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            self._write_drafts()
            if time.monotonic() >= due:
                for shown in self._shown:
                    self._visit(shown)
                    self._write_drafts()
                due = time.monotonic() + VISIT_SECONDS

    def _write_drafts(self) -> None:
        for run in list(self._drafts):
            with self._writing:
                draft, done = self._drafts.pop(run, (None, None))
                if draft is None or done is None:
                    continue
                path = self.keyframe_path(run)
                try:
                    draft.write(path, beside=self._beside.setdefault(run, Beside(path)))
                except CheckpointError as error:
                    self._complain(error, "keeping a keyframe on disk")
                else:
                    done()

    def _visit(self, shown: Shown) -> None:
        with self._lock:
            if all(other.run != shown.run for other in self._shown):
                return  # closed meanwhile
            shelf = self._shelf(shown.run)
        seconds, began = None, time.thread_time()
        if shown.worked is not None:
            seconds = SHARE * shown.worked - self._spent.get(shown.run, 0.0)
        try:
            others = [other for other in list(self._shelves.values()) if other is not shelf]
            shelf.sync(*shown.past(), seconds=seconds, others=others)
        except CheckpointError as error:
            self._complain(error, "keeping stored steps on disk")
        if shown.worked is not None:
            used = time.thread_time() - began
            self._spent[shown.run] = self._spent.get(shown.run, 0.0) + used

    def _complain(self, error: CheckpointError, doing: str) -> None:
        if not self._complained:
            self._complained = True
            self._post(describe(error, doing))
