"""Sessions as files: save what is open as one file, open it again, and get it back after a crash.

Nothing here waits in the window's thread: the engine writes the runs, threads pack and unpack.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray, QEventLoop, QObject, QTimer, Signal

from app.autosave import Autosave, Leftover
from app.run_view import RunView
from app.session_file import (
    SUFFIX,
    RunRecord,
    SessionRecord,
    View,
    program_version,
)
from app.session_opening import Opening
from app.session_saving import Saving
from engine.wire.fields import Value
from widgets.metrics_table import MetricsTable

if TYPE_CHECKING:
    from app.main_window import MainWindow

#: Milliseconds between two looks at whether something changed since it was saved.
MARK_MS = 1000
#: Longest wait at the end of the program for a file that is being written, in milliseconds.
LAST_SAVE_MS = 60_000

Get = Callable[[], dict[str, Value]]
Put = Callable[[dict[str, Any]], None]


class Sessions(QObject):
    """What the File menu does with whole sessions, for one window.

    Attributes:
        path: The session file that is open, or "".

    Signals:
        saved: A session was written (its path).
        in_view: All runs of a session are in view; their stored steps follow.
        opened: A session is open; what could not be read of it, in words (a list).
        recovered: What a crash left is open again.
    """

    saved = Signal(str)
    in_view = Signal()
    opened = Signal(object)
    recovered = Signal()

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.path = ""
        self._home: Path | None = None
        self._is_borrowed = False
        self._autosave: Autosave | None = None
        self._saving: Saving | None = None
        self._opening: Opening | None = None
        self._leftovers: list[Leftover] = []
        self._sections: dict[str, tuple[Get, Put]] = {}
        self._mark: object = None
        self._is_modified = False
        self._n_folders = 0
        self._timer = QTimer(self)
        self._timer.setInterval(MARK_MS)
        self._timer.timeout.connect(self._compare)
        self._timer.start()
        session = window.session
        for signal in (session.runs_changed, session.current_changed, session.data_changed):
            signal.connect(self.touch)
        session.cursor_changed.connect(self.touch)

    # --- what is open ---------------------------------------------------------------------------

    @property
    def is_modified(self) -> bool:
        """Whether something changed since the session file was saved or opened."""
        return self._is_modified

    @property
    def is_busy(self) -> bool:
        """Whether a session is being saved or opened."""
        return self._saving is not None or self._opening is not None

    def retitle(self, shown: str) -> None:
        """Write the window's title: what is in view, the file, and the mark of unsaved changes."""
        name = f" — {Path(self.path).stem}[*]" if self.path else ""  # Qt puts the mark at [*]
        self._window.setWindowTitle(f"{shown}{name} — Genscope")
        self._window.setWindowModified(bool(self.path) and self._is_modified)

    def add_section(self, name: str, get: Get, put: Put) -> None:
        """Let another part of the window keep something in sessions.

        Args:
            name: A word of its own.
            get: Tells what to keep; called every second.
            put: Takes it back; ids of runs are already the new ones.
        """
        self._sections[name] = (get, put)

    def record(self, *, portable: bool = False) -> SessionRecord:
        """What is open now; a ``portable`` record names no files of this machine."""
        session = self._window.session
        current = session.current
        return SessionRecord(
            program=program_version(),
            runs=tuple(run_record(v, portable) for v in session.runs if v.info is not None),
            current=current.run if current is not None else "",
            cursor=session.cursor,
            view=self._view(),
            sections={name: get() for name, (get, _) in self._sections.items()},
            path="" if portable else self.path,
        )

    def _view(self) -> View:
        docks, panels = self._window.workspace.save()
        window = base64.b64encode(bytes(self._window.saveState().data())).decode()
        return View(window, docks, panels)

    def show_view(self, record: SessionRecord, ids: Mapping[str, str]) -> None:
        """Take docks, panels and sections back."""
        window, view = self._window, record.view
        if view.window:
            window.restoreState(QByteArray.fromBase64(view.window.encode()))
        window.workspace.restore(view.docks, renamed(view.panels, ids))
        for name, (_, put) in self._sections.items():
            if name in record.sections:
                put(renamed(record.sections[name], ids))

    # --- saving ---------------------------------------------------------------------------------

    def save(self) -> None:
        """Save where it was saved before, or ask where."""
        if self.path:
            self.save_path(self.path)
        else:
            self._window.files.save_session_dialog()

    def save_path(self, path: str) -> None:
        """Save all that is open as one file."""
        window = self._window
        if self.is_busy:
            window.notices.info("A session is still being saved or opened")
            return
        target = Path(path)
        mark = self._fingerprint()
        folder = self._new_folder("saving")
        self._saving = Saving(window.session, self.record(portable=True), folder, target)
        self._saving.finished.connect(lambda error: self._on_saved(path, mark, error))
        self._saving.start()

    def _on_saved(self, path: str, mark: object, error: str) -> None:
        self._drop_saving()
        if error:
            self._window.notices.error(f"The session was not saved: {error}")
            return
        self.path, self._mark = path, mark
        self._window.notices.info(f"Saved the session as {path}")
        self._compare()
        self._retitle()
        self.saved.emit(path)

    def _drop_saving(self) -> None:
        if self._saving is not None:
            self._saving.deleteLater()
            self._saving = None

    # --- opening --------------------------------------------------------------------------------

    def open_path(self, path: str) -> None:
        """Open a session file instead of what is open, which can be brought back."""
        self._open(Path(path), None)

    def recover(self, leftover: Leftover) -> None:
        """Open what a crash left behind."""
        self._open(leftover.folder, leftover)

    def _open(self, path: Path, leftover: Leftover | None) -> None:
        window = self._window
        if self.is_busy:
            window.notices.info("A session is still being saved or opened")
            return
        self._opening = Opening(window.session, path, self._folder(), leftover)
        self._opening.planned.connect(self._on_planned)
        self._opening.in_view.connect(self.in_view)
        self._opening.finished.connect(self._on_opened)
        self._opening.start()

    def _on_planned(self) -> None:
        """The file can be read: what is open now is put aside, then leaves."""
        session = self._window.session
        if not session.runs or not self._is_worth_keeping():
            self._make_room("")
            return
        folder = self._new_folder("aside")
        self._saving = Saving(session, self.record(), folder, None)
        self._saving.finished.connect(lambda error: self._on_aside(folder, error))
        self._saving.start()

    def _on_aside(self, folder: Path, error: str) -> None:
        self._drop_saving()
        if error and self._opening is not None:
            self._opening.give_up(f"what is open could not be put aside: {error}")
            return
        self._make_room(str(folder))

    def _make_room(self, aside: str) -> None:
        opening = self._opening
        if opening is None or opening.plan is None:
            return
        window = self._window
        window.session.close_all()
        with window.layout_undo.quietly():
            self.show_view(opening.plan.record, opening.plan.ids)
        window.layout_undo.sync()
        window.undo_stack.clear()
        opening.go_on(aside)

    def _on_opened(self, error: str) -> None:
        opening, self._opening = self._opening, None
        if opening is None or opening.plan is None or error:
            self._window.notices.error(error or "The session could not be opened")
            return
        record, leftover = opening.plan.record, opening.leftover
        self.path = record.path if leftover is not None else str(opening.path)
        if opening.path.suffix != SUFFIX and leftover is None:  # what was put aside before
            self.path = record.path
        self._mark = self._fingerprint() if str(opening.path) == self.path else None
        self._compare()
        self._retitle()
        self._say(opening)
        opening.deleteLater()
        if leftover is not None:
            self._leftovers = [other for other in self._leftovers if other is not leftover]
            self._in_background(leftover.discard)
            self.recovered.emit()
        self.touch()
        self.opened.emit(opening.lost)

    def _say(self, opening: Opening) -> None:
        notices = self._window.notices
        offers: dict[str, Callable[[], object]] = {}
        if opening.aside:
            offers["bring_back_what_was_open"] = lambda: self.open_path(opening.aside)
        name = "what was left" if opening.leftover is not None else opening.path.name
        text = opening.words(name)
        if opening.lost:
            notices.warning(text, **offers)
        else:
            notices.info(text, **offers)

    # --- after a crash --------------------------------------------------------------------------

    def offer(self, leftovers: list[Leftover]) -> None:
        """Offer to recover what crashes left behind, the newest first."""
        self._leftovers = leftovers
        self.offer_next()

    @property
    def can_recover(self) -> bool:
        """Whether a crash left something behind."""
        return bool(self._leftovers)

    def offer_next(self) -> None:
        """The banner about the newest leftover."""
        if self._leftovers:
            newest = self._leftovers[0]
            self._window.notices.warning(
                newest.words(),
                recover=lambda: self.recover(newest),
                discard=lambda: self._discard(newest),
            )

    def _discard(self, leftover: Leftover) -> None:
        self._leftovers = [other for other in self._leftovers if other is not leftover]
        self._in_background(leftover.discard)
        self.offer_next()

    # --- the folder -----------------------------------------------------------------------------

    def keep_in(self, folder: Path) -> None:
        """Keep what is open in a session folder from now on; the engine's runs are in it too."""
        self._home = folder
        self._autosave = Autosave(folder, self.record, self._tables)

    def stop(self) -> None:
        """The window closes: a file that is being written is finished first."""
        if self._saving is not None and self._opening is None:
            loop = QEventLoop()
            self._saving.finished.connect(loop.quit)
            QTimer.singleShot(LAST_SAVE_MS, loop.quit)
            loop.exec()
        self._timer.stop()
        if self._autosave is not None:
            self._autosave.stop()
        for leftover in self._leftovers:
            leftover.lock.release()
        if self._home is not None and self._is_borrowed:
            shutil.rmtree(self._home, ignore_errors=True)

    def _folder(self) -> Path:
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="genscope-"))
            self._is_borrowed = True
        return self._home

    def _new_folder(self, what: str) -> Path:
        self._n_folders += 1
        return self._folder() / f"{what}-{self._n_folders}"

    def _tables(self) -> dict[str, MetricsTable]:
        return {v.run: v.metrics for v in self._window.session.runs if v.info is not None}

    def touch(self, *_: object) -> None:
        """Something changed that autosave is to write at once."""
        if self._autosave is not None and self._opening is None:
            self._autosave.touch()

    # --- the mark of unsaved changes ------------------------------------------------------------

    def _fingerprint(self) -> object:
        return [(v.run, v.spec, v.step, v.pace) for v in self._window.session.runs]

    def _is_worth_keeping(self) -> bool:
        return self._mark is None or self._mark != self._fingerprint()

    def _compare(self) -> None:
        modified = bool(self.path) and self._mark != self._fingerprint()
        if modified != self._is_modified:
            self._is_modified = modified
            self._retitle()

    def _retitle(self) -> None:
        view = self._window.session.current
        self.retitle(view.title if view is not None else "no run")

    def _in_background(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="session", daemon=True).start()


def run_record(view: RunView, portable: bool = False) -> RunRecord:
    """A run as a session keeps it."""
    info = view.info
    return RunRecord(
        run=view.run,
        spec=view.spec,
        place=view.place,
        title=view.title,
        step=view.step,
        pace=view.pace,
        path="" if portable else view.path,
        parent=info.parent if info is not None else "",
        forked_at=info.forked_at if info is not None else 0,
    )


def renamed(value: Any, ids: Mapping[str, str]) -> Any:
    """Plain values in which ids of runs are replaced by new ones."""
    if isinstance(value, str):
        return ids.get(value, value)
    if isinstance(value, Mapping):
        return {ids.get(key, key): renamed(entry, ids) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [renamed(entry, ids) for entry in value]
    return value
