"""Commands whose data must be fetched or read first: that is done beside the training.

Each waits on a thread of its own and is carried out when its data are there; `Progress` records
say how far they are, and nobody but the one who asked waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from engine import checkpoint
from engine.absent import are_absent
from engine.checkpoint import Embeddable
from engine.dataset import Dataset
from engine.download import DownloadCancelledError, missing_files
from engine.failures import describe
from engine.registry import datasets
from engine.wire import messages as m
from engine.wire.fields import Value, make_config

#: Kind of the ``Failed`` of a command that was given up.
CANCELLED = "cancelled"
#: Seconds between two reports of one load.
REPORT_SECONDS = 0.1

Needed: TypeAlias = tuple[type[Dataset], Any]
Post: TypeAlias = Callable[..., None]


@dataclass
class _Job:
    """A command that waits, what for, and whether it still does."""

    command: m.Command
    needed: Needed
    given_up: threading.Event = field(default_factory=threading.Event)
    told_at: float = 0.0


class Fetches:
    """Commands that wait for their data.

    Args:
        post: Queues a record for the window; from any thread.
        again: Hands a command back once its data are there; from any thread.
    """

    def __init__(self, post: Post, again: Callable[[m.Command], None]) -> None:
        self._post = post
        self._again = again
        self._jobs: dict[int, _Job] = {}
        self._ready: set[int] = set()
        self._lock = threading.Lock()

    def hold(self, command: m.Command, lacking: Dataset | None = None) -> bool:
        """Begin to load what a command needs; False where it can be carried out at once.

        ``lacking`` are data without observations (:mod:`engine.absent`) that it trains on.
        """
        with self._lock:
            if command.id in self._ready:
                self._ready.discard(command.id)
                return False
        needed = (type(lacking), lacking.config) if lacking is not None else needed_by(command)
        if needed is None:
            return False
        job = _Job(command, needed)
        with self._lock:
            self._jobs[command.id] = job
        name = f"loading {needed[0].card.name}"
        threading.Thread(target=self._run, args=(job,), name=name, daemon=True).start()
        return True

    def cancel(self, fetch: int) -> None:
        """Give a command up; it fails at once as cancelled. One that no longer waits is left."""
        with self._lock:
            job = self._jobs.pop(fetch, None)
        if job is None:
            return
        job.given_up.set()
        title = job.needed[0].card.title
        self._fail(job, m.Failed("", CANCELLED, f"{title}: loading was cancelled"))

    def drop(self, run: str) -> bool:
        """Give up what waits for a run; whether there was such a command."""
        with self._lock:
            waiting = [n for n, j in self._jobs.items() if getattr(j.command, "run", "") == run]
        for fetch in waiting:
            self.cancel(fetch)
        return bool(waiting)

    def _run(self, job: _Job) -> None:
        kind, config = job.needed
        try:
            verb = "Fetching" if missing_files(kind.sources(config)) else "Reading"
            what = f"{verb} {kind.card.title}"
            unit = "bytes" if kind.sources(config) else "pictures"
            kind.load(config, lambda n, total: self._tell(job, what, n, total, unit),
                      job.given_up.is_set)  # fmt: skip
        except DownloadCancelledError:
            return
        except Exception as error:  # whatever reading raises becomes a record
            if self._finish(job):
                failed = describe(error, "")
                message = failed.message.removeprefix(": ")
                self._fail(job, msgspec.structs.replace(failed, message=message))
            return
        if self._finish(job, ready=True):
            self._again(job.command)

    def _finish(self, job: _Job, *, ready: bool = False) -> bool:
        """Whether somebody still waits for it."""
        with self._lock:
            waits = self._jobs.pop(job.command.id, None) is not None
            if waits and ready:
                self._ready.add(job.command.id)
        return waits

    def _tell(self, job: _Job, what: str, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if job.given_up.is_set() or (now - job.told_at < REPORT_SECONDS and done < total):
            return
        job.told_at = now
        run, name = getattr(job.command, "run", ""), job.command.id
        self._post(m.Progress(name, run, what, done, total, unit), ("progress", name))

    def _fail(self, job: _Job, failed: m.Failed) -> None:
        self._post(
            msgspec.structs.replace(
                failed,
                where=type(job.command).__name__,
                id=job.command.id,
                run=getattr(job.command, "run", ""),
            )
        )


def needed_by(command: m.Command) -> Needed | None:
    """The data set that a command builds, with its settings, where that takes its time."""
    named = _data_of(command)
    kind = datasets().get(named[0]) if named is not None else None
    if named is None or kind is None:
        return None
    try:
        config: Any = make_config(kind.Config, named[1])
    except ValueError:
        return None  # carrying the command out says what is wrong
    if _does_without(command) and are_absent(kind, config):
        return None
    return (kind, config) if kind.needs_loading(config) else None


def _data_of(command: m.Command) -> tuple[str, dict[str, Value]] | None:
    """Name and settings of the data that are not in a file of the run itself."""
    if isinstance(command, m.SetData):
        return command.dataset, command.dataset_config
    if isinstance(command, m.StartRun):
        if command.data_of or (command.keyframe and _travels(command.spec.dataset)):
            return None
        return command.spec.dataset, command.spec.dataset_config
    if isinstance(command, m.OpenRun):
        header = checkpoint.peek(command.path)
        if header is None or header.data is None or header.data.embedded is not None:
            return None
        return header.data.name, header.data.config
    return None


def _does_without(command: m.Command) -> bool:
    """Whether it builds a trained run, which can be looked at before its data are here."""
    if isinstance(command, m.StartRun):
        return bool(command.keyframe)
    return isinstance(command, m.OpenRun) and not command.fetches


def _travels(dataset: str) -> bool:
    kind = datasets().get(dataset)
    return kind is not None and issubclass(kind, Embeddable)
