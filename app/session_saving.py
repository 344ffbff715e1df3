"""One session being saved: the engines write the runs, a thread packs them into a file."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Signal

from app.run_view import RunView
from app.session import Session
from app.session_file import (
    DATA,
    RECORD,
    RUNS,
    WEIGHTS,
    RunRecord,
    SessionError,
    SessionRecord,
    encode_figures,
    encode_record,
    figures_file,
    past_folder,
    run_file,
    write_file,
    write_session,
)
from engine.wire.messages import Ack, Failed, SaveRun
from widgets.metrics_table import MetricsTable


class Saving(QObject):
    """From a wish to a file; nothing is replaced before all of it is there.

    Args:
        session: Whose runs are saved.
        record: What is open.
        folder: A new session folder to work in.
        target: The file, or None to leave it at the folder.

    Signals:
        finished: Done ("") or why not.
    """

    finished = Signal(str)
    _packed = Signal(str)

    def __init__(
        self, session: Session, record: SessionRecord, folder: Path, target: Path | None
    ) -> None:
        super().__init__()
        self._session, self._folder, self._target = session, folder, target
        self._record = msgspec.structs.replace(record, when=time.time())
        self._runs: dict[str, RunRecord] = {run.run: run for run in record.runs}
        self._tables: dict[str, MetricsTable] = {}
        self._copies: dict[str, str] = {}
        self._waiting: set[str] = set()
        self._is_over = False
        self._packed.connect(self._end)

    def start(self) -> None:
        """Ask the engines for their runs; an engine that is gone left them on the disk."""
        try:
            (self._folder / RUNS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._end(f"{self._folder} cannot be made: {error.strerror}")
            return
        self._session.link.died.connect(self._on_died)
        self._waiting = set(self._runs)
        views = [view for run in self._runs if (view := self._session.find(run)) is not None]
        for view in views:
            self._ask(view)
        if not self._waiting:
            self._pack()

    def _ask(self, view: RunView) -> None:
        if not self._session.link.lives(self._session.link.engine_of(view.run)):
            self._take_from_disk(view)
            return
        path = str(run_file(self._folder, view.run))
        past = str(past_folder(self._folder, view.run))
        command = SaveRun(self._session.link.next_id(), view.run, path, past)
        self._session.command(command, partial(self._on_kept, view), self._on_refused)

    def _take_from_disk(self, view: RunView) -> None:
        self._copies[view.run] = view.kept_file
        self._note(view)

    def _on_died(self, engine: str, _: str) -> None:
        for view in self._session.runs_of(engine):
            if view.run in self._waiting:
                self._take_from_disk(view)
                self._go_on()

    def _on_kept(self, view: RunView, _: Ack) -> None:
        self._note(view)
        self._go_on()

    def _note(self, view: RunView) -> None:
        """A run lies on the disk: what the window knows of it belongs to the same step."""
        record = self._runs[view.run]
        self._runs[view.run] = msgspec.structs.replace(record, step=view.step, spec=view.spec)
        self._tables[view.run] = view.metrics.copy()
        self._waiting.discard(view.run)

    def _on_refused(self, failed: Failed) -> None:
        self._end(failed.message)

    def _go_on(self) -> None:
        if not self._waiting and not self._is_over:
            self._pack()

    def _pack(self) -> None:
        record = msgspec.structs.replace(self._record, runs=tuple(self._runs.values()))
        threading.Thread(target=self._work, args=(record,), name="session", daemon=True).start()

    def _work(self, record: SessionRecord) -> None:
        try:
            self._fill(record)
            error = ""
        except SessionError as raised:
            error = str(raised)
        except OSError as raised:
            error = f"{self._folder} cannot be written: {raised.strerror}"
        if self._target is not None or error:
            shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(RuntimeError):  # the window may be gone by now
            self._packed.emit(error)

    def _fill(self, record: SessionRecord) -> None:
        for run, kept in self._copies.items():
            _copy(kept, self._folder, run)
        for run, table in self._tables.items():
            write_file(figures_file(self._folder, run), encode_figures(table.as_metrics(run)))
        if self._target is not None:
            write_session(self._target, self._folder, record)
        else:
            write_file(self._folder / RECORD, encode_record(record))

    def _end(self, error: str) -> None:
        if not self._is_over:
            self._is_over = True
            self.finished.emit(error)


def _copy(kept: str, folder: Path, run: str) -> None:
    """What an engine that is gone left of a run."""
    if not Path(kept).is_file():
        return
    shutil.copyfile(kept, run_file(folder, run))
    for data in Path(kept).parent.glob(f"{Path(kept).stem}{DATA}*{WEIGHTS}"):
        name = run + data.name.removeprefix(Path(kept).stem)
        shutil.copyfile(data, run_file(folder, run).with_name(name))
    past = Path(kept).with_suffix(".history")
    if past.is_dir():
        shutil.copytree(past, past_folder(folder, run), dirs_exist_ok=True)
