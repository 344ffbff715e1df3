"""Brings the past of all runs to the disk now and then, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.container import CheckpointError
from engine.failures import describe
from engine.history import History, Milestone, Snapshot
from engine.shelf import Log, Shelf
from engine.wire.messages import Failed

#: Seconds between two visits; what is thinned out within them is never written.
VISIT_SECONDS = 2.0

GetPast = Callable[[], tuple[list[Snapshot], list[Milestone], Log]]


class Shelving:
    """One shelf per run, as ``<folder>/<run>.history``.

    Args:
        folder: Where; "" keeps nothing.
        post: Told, once, when the disk does not take it.
    """

    def __init__(self, folder: str, post: Callable[[Failed], None]) -> None:
        self._folder = folder
        self._post = post
        self._shelves: dict[str, Shelf] = {}
        self._shown: list[tuple[str, GetPast]] = []
        self._lock = threading.Lock()
        self._complained = False
        self._started = False

    def show(self, runs: Sequence[tuple[str, GetPast]]) -> None:
        """The runs that there are; called by the training thread."""
        if not self._folder:
            return
        self._shown = list(runs)
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="shelving", daemon=True).start()

    def adopt(self, run: str, folder: str, history: History) -> None:
        """A run was read from its own folder: its entries lie there already."""
        shelf = self._shelf(run)
        if self._folder and shelf.folder == Path(folder):
            shelf.adopt(history)

    def drop(self, run: str) -> None:
        """A run is closed: its folder goes."""
        with self._lock:
            self._shown = [entry for entry in self._shown if entry[0] != run]
            self._shelf(run).clear()
            self._shelves.pop(run, None)

    def _shelf(self, run: str) -> Shelf:
        path = Path(self._folder) / f"{run}.history"
        return self._shelves.setdefault(run, Shelf(path))

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(VISIT_SECONDS)
            with self._lock:
                for run, past in self._shown:
                    self._visit(run, past)

    def _visit(self, run: str, past: GetPast) -> None:
        try:
            self._shelf(run).sync(*past())
        except CheckpointError as error:
            if not self._complained:
                self._complained = True
                self._post(describe(error, "keeping stored steps on disk"))
