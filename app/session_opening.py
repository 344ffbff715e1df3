"""One session being opened: a thread unpacks it run by run, the engine opens each as it comes.

First all runs as they were last, so that they are soon to be seen and can train; then their past.
"""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Signal

from app.autosave import Leftover
from app.reviving import catch_up, restore
from app.run_view import RunView
from app.session import Session
from app.session_file import RunRecord, SessionError
from app.session_load import FoundPast, FoundRun, Plan, load
from app.session_source import open_source
from engine.wire.messages import Ack, Command, Failed, OpenRun, StartRun, TakePast


class Opening(QObject):
    """From a file to runs in the window; the one in view comes first.

    Args:
        session: Where the runs go.
        path: A session file or folder.
        folder: The window's own session folder.
        leftover: What a crash left, when it is that.

    Attributes:
        plan: What the file holds, once it could be read.
        lost: What could not be read, in words.
        aside: Folder with what was open before, or "".

    Signals:
        planned: The file can be read; nothing was changed yet, see :meth:`go_on`.
        in_view: All runs are open; their stored steps follow.
        finished: All is open ("") or why not.
    """

    planned = Signal()
    in_view = Signal()
    finished = Signal(str)
    _came = Signal(object)

    def __init__(
        self, session: Session, path: Path, folder: Path, leftover: Leftover | None
    ) -> None:
        super().__init__()
        self.path, self.leftover = path, leftover
        self.plan: Plan | None = None
        self.lost: list[str] = []
        self.aside = ""
        self._session, self._folder = session, folder
        self._queue: list[FoundRun] = []
        self._pasts: list[FoundPast] = []
        self._waiting: set[str] = set()
        self._remembering: set[str] = set()
        self._without_past: dict[str, FoundRun] = {}
        self._remembered: dict[str, FoundRun] = {}
        self._n_found = self._n_opened = 0
        self._has_room = self._is_unpacked = self._is_in_view = self._is_over = False
        self._came.connect(self._on_came)
        session.catalogue_changed.connect(self._work_off)

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="session", daemon=True).start()

    def go_on(self, aside: str) -> None:
        """The window is empty now: open the runs."""
        self.aside, self._has_room = aside, True
        self._session.link.died.connect(self._on_died)
        self._session.state_changed.connect(self._on_state)
        self._session.runs_changed.connect(self._on_runs_changed)
        self._work_off()

    def give_up(self, why: str) -> None:
        """Open nothing."""
        self._end(why)

    def words(self, name: str) -> str:
        """What came of it, as a sentence."""
        all_runs = len(self.plan.record.runs) if self.plan is not None else 0
        total = max(all_runs, self._n_opened)
        if not self.lost:
            return f"Opened {name}: {total} run{'s' if total != 1 else ''}."
        return f"Opened {self._n_opened} of {total} runs of {name}; {'; '.join(self.lost)}."

    # --- in a thread ----------------------------------------------------------------------------

    def _read(self) -> None:
        last: object = None
        try:
            with closing(open_source(self.path)) as source:
                keep = self.leftover is not None
                for item in load(source, self._folder, self._session.next_name, keep):
                    self._tell(item)
        except SessionError as error:
            last = error
        except OSError as error:
            last = SessionError(f"{self.path.name} cannot be opened: {error.strerror}")
        self._tell(last)

    def _tell(self, item: object) -> None:
        with suppress(RuntimeError):  # the window may be gone by now
            self._came.emit(item)

    # --- in the window's thread -----------------------------------------------------------------

    def _on_came(self, item: object) -> None:
        if self._is_over:
            return
        if isinstance(item, Plan):
            self.plan = item
            self.lost += item.lost
            self.planned.emit()
        elif isinstance(item, FoundRun):
            self._n_found += 1
            self._queue.append(item)
            self._work_off()
        elif isinstance(item, FoundPast):
            self._pasts.append(item)
            self._work_off()
        elif isinstance(item, SessionError):
            if self.plan is None:
                self._end(_sentence(str(item)))
                return
            self.lost.append(str(item))
            self._is_unpacked = True
            self._work_off()
        else:
            self._is_unpacked = True
            self._work_off()

    def _work_off(self, *_: object) -> None:
        if self._is_over or not self._has_room or self._session.hello is None:
            return
        while self._queue:
            self._open(self._queue.pop(0))
        all_found = self.plan is not None and self._n_found == len(self.plan.ids)
        if self._waiting or not (all_found or self._is_unpacked):
            return
        if not self._is_in_view:
            self._is_in_view = True
            self.in_view.emit()
        while self._pasts:
            self._remember(self._pasts.pop(0))
        if self._is_unpacked:
            for found in [*self._without_past.values()]:  # reading stopped before theirs
                self._remember(FoundPast(found, []))
            if not any(self._session.find(run) for run in self._remembering):
                self._end("")

    def _on_runs_changed(self) -> None:
        """A run may have been closed whose past is waited for."""
        if self._is_in_view:
            self._work_off()

    def _open(self, found: FoundRun) -> None:
        record = found.record
        kept, past = (str(p) if p is not None else "" for p in (found.file, found.past))
        hello = self._session.hello
        known = hello is not None and record.spec.device in hello.devices
        spec = msgspec.structs.replace(record.spec, device=record.spec.device if known else "auto")
        view = RunView(found.run, spec, record.place, path=record.path, kept=kept, history=past)
        if found.lost:
            self.lost.append(f"{record.title or found.run}: {', '.join(found.lost)} lost")
        self._waiting.add(found.run)
        name = self._session.link.next_id()
        command: Command = StartRun(name, view.run, spec)
        if kept:
            command = OpenRun(name, view.run, kept, spec.device, fetches=False, past_follows=True)
        done = partial(self._on_admitted, view, found)
        self._session.take_in(view)
        restore(self._session, view, command, done, partial(self._on_refused, record, view))

    def _on_admitted(self, view: RunView, found: FoundRun, ack: Ack) -> None:
        record, info, plan = found.record, view.info, self.plan
        if info is None or plan is None:
            return
        self._n_opened += 1
        if found.file is not None:
            self._without_past[view.run] = found
        if found.figures is not None:
            view.metrics.append(found.figures)
            view.metrics = view.metrics.until(info.step)
        parent = plan.ids.get(record.parent, "")
        view.info = msgspec.structs.replace(info, parent=parent, forked_at=record.forked_at)
        if view.pace != record.pace:
            self._session.set_pace(view, record.pace)
        if self.leftover is not None:
            catch_up(self._session, view, record.spec)
        first = self._session.current is None
        if record.run == plan.record.current or (first and not plan.record.current):
            self._session.select(view.run)
        self._session.metrics_changed.emit(view)
        self._settle(view.run)

    def _remember(self, found: FoundPast) -> None:
        """Let the engine read a run's past, now that it is in its folder."""
        run, folder = found.of.run, found.of.past
        if found.lost:
            self.lost.append(f"{found.of.record.title or run}: {', '.join(found.lost)} lost")
        view = self._session.find(run)
        if self._without_past.pop(run, None) is None or view is None or folder is None:
            return  # refused, never trained, or closed meanwhile
        self._remembering.add(run)
        command = TakePast(self._session.link.next_id(), run, str(folder))
        came = partial(self._on_remembered, view, found.of)
        self._session.command(command, came, partial(self._on_forgotten, view))

    def _on_remembered(self, view: RunView, found: FoundRun, ack: Ack) -> None:
        if ack.info is not None and ack.info.missing:
            self.lost.append(f"{view.title}: {ack.info.missing}")
        self._remembered[view.run] = found  # its state, which names the steps, comes next

    def _on_state(self, view: RunView) -> None:
        found, plan = self._remembered.pop(view.run, None), self.plan
        if found is None or plan is None:
            return
        is_looked_at = found.record.run == plan.record.current and self._session.current is view
        if is_looked_at and self._session.cursor is None:
            self._session.set_cursor(plan.record.cursor)
        self._settle(view.run)

    def _on_forgotten(self, view: RunView, failed: Failed) -> None:
        if self._session.find(view.run) is view:
            self.lost.append(f"the past of {view.title} could not be read: {failed.message}")
        self._settle(view.run)

    def _on_refused(self, record: RunRecord, view: RunView, failed: Failed) -> None:
        self.lost.append(f"{record.title or view.run} could not be opened: {failed.message}")
        self._settle(view.run)

    def _on_died(self, _: str, how: str) -> None:
        if self._waiting or self._remembering:
            self.lost.append(how)
            self._waiting.clear()
            self._remembering.clear()
            self._work_off()

    def _settle(self, run: str) -> None:
        self._waiting.discard(run)
        self._remembering.discard(run)
        self._work_off()

    def _end(self, error: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if not error and self._session.current is None and self._session.runs:
            self._session.select(self._session.runs[0].run)
        self.finished.emit(error)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
