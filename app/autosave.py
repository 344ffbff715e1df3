"""What is open lies on the disk at all times, so that a crash of everything loses seconds.

Each window has a session folder of its own (see :mod:`app.session_file`): the engine keeps the
runs and their past in it, the window the rest. A lock that ends with its process tells a folder
that was left behind by a crash from one that is in use.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec
from PySide6.QtCore import QObject, QTimer

from app.session_file import (
    LONGEST_RECORD,
    RECORD,
    RUNS,
    SessionError,
    SessionRecord,
    decode_record,
    encode_figures,
    encode_record,
    figures_file,
    write_file,
)
from app.session_source import FolderSource
from widgets.metrics_table import MetricsTable

#: Milliseconds from a change to the disk, and between two looks for changes that nobody told of.
SOON_MS = 60
LOOK_MS = 1000
#: Training figures are written with every so many looks.
FIGURES_EVERY = 3
LOCK = "lock"
#: Runs that a sentence names one by one.
NAMED = 3


class FolderLock:
    """Held by one process; the system lets go of it when the process ends, however it ends.

    Args:
        folder: What is locked.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: BinaryIO | None = None

    def take(self) -> bool:
        """Whether it could be taken."""
        try:
            file = self._path.open("a+b")
        except OSError:
            return False
        try:
            _lock(file)
        except OSError:
            file.close()
            return False
        self._file = file
        with suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()} {time.time():.0f}\n".encode())
            file.flush()
        return True

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(
            2**30
        )  # far behind what is written, since Windows forbids to read what is locked
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


@dataclass(frozen=True)
class Leftover:
    """A session's folder whose process is gone; its lock is held."""

    folder: Path
    record: SessionRecord
    lock: FolderLock

    def words(self) -> str:
        """What is in it, and since when."""
        when = self.record.when or self.folder.stat().st_mtime
        runs = [f"{run.title} (step {run.step:,})" for run in self.record.runs]
        more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
        count = f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
        day = "%H:%M" if time.time() - when < 43_200 else "%d %B %Y, %H:%M"
        moment = time.strftime(day, time.localtime(when))
        return (
            f"Genscope ended unexpectedly at {moment} with {count} open: "
            f"{', '.join(runs[:NAMED])}{more}."
        )

    def discard(self) -> None:
        """Delete it."""
        self.lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def leftovers(root: Path) -> list[Leftover]:
    """Folders of processes that are gone, newest first; those without a run are deleted."""
    found = []
    for lock_file in root.glob(f"*/{LOCK}"):
        lock = FolderLock(lock_file.parent)
        if not lock.take():
            continue
        leftover = Leftover(lock_file.parent, _record(lock_file.parent), lock)
        if leftover.record.runs:
            found.append(leftover)
        else:
            leftover.discard()
    return sorted(found, key=lambda leftover: leftover.record.when, reverse=True)


def _record(folder: Path) -> SessionRecord:
    source = FolderSource(folder)
    try:
        return decode_record(source.name, source.read(RECORD, LONGEST_RECORD))
    except SessionError:
        return SessionRecord()


class Writer:
    """Does what it is given on a thread of its own; of one name only the newest counts."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Callable[[], None]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="autosave", daemon=True)
        self._thread.start()

    def put(self, name: Hashable, work: Callable[[], None]) -> None:
        """Do this soon instead of what waits under the same name; ``OSError`` is passed over."""
        with self._changed:
            self._waiting[name] = work
            self._changed.notify()

    def stop(self) -> None:
        """Finish what waits, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                work = self._waiting.pop(next(iter(self._waiting)))
            with suppress(OSError):  # a full disk must not end the thread: the next one may fit
                work()


class Autosave(QObject):
    """Keeps a window's session folder up to date, at no cost to the window.

    Args:
        folder: The session folder; the engine writes into its ``runs``.
        record: Tells what is open.
        tables: Tells each run's training figures.
    """

    def __init__(
        self,
        folder: Path,
        record: Callable[[], SessionRecord],
        tables: Callable[[], Mapping[str, MetricsTable]],
    ) -> None:
        super().__init__()
        self._folder, self._record, self._tables = folder, record, tables
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(folder)
        self._lock.take()
        self._writer = Writer()
        self._written: SessionRecord | None = None
        self._figures: dict[str, object] = {}
        self._looks = 0
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._write_record)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def touch(self) -> None:
        """Something changed that must not be lost."""
        if not self._soon.isActive():
            self._soon.start()

    def stop(self) -> None:
        """Write no more, and let go of the folder."""
        self._soon.stop()
        self._timer.stop()
        self._writer.stop()
        self._lock.release()

    def _look(self) -> None:
        self._write_record()
        self._looks += 1
        if self._looks % FIGURES_EVERY == 0:
            self._write_figures()

    def _write_record(self) -> None:
        record = self._record()
        if record != self._written:
            self._written = record
            path = self._folder / RECORD
            self._writer.put("record", lambda: write_file(path, _stamped(record)))

    def _write_figures(self) -> None:
        tables = self._tables()
        for run, table in tables.items():
            if self._figures.get(run) is not table.steps:
                self._figures[run] = table.steps
                path = figures_file(self._folder, run)
                self._writer.put(run, partial(_write, path, table.copy(), run))
        gone = [run for run in self._figures if run not in tables]
        for run in gone:
            del self._figures[run]
            path = figures_file(self._folder, run)
            self._writer.put(run, partial(path.unlink, missing_ok=True))


def _stamped(record: SessionRecord) -> bytes:
    return encode_record(msgspec.structs.replace(record, when=time.time()))


def _write(path: Path, table: MetricsTable, run: str) -> None:
    write_file(path, encode_figures(table.as_metrics(run)))
