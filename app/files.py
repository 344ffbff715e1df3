"""Opening and saving: file dialogs, what is remembered of them, and pictures of the window."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFileDialog

from app.session_file import SUFFIX
from app.undo import AddRun

if TYPE_CHECKING:
    from app.main_window import MainWindow

RUN_SUFFIX = ".safetensors"
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".npy", ".npz")
ASSETS = Path(__file__).parents[1] / "assets"


def can_open(path: str) -> bool:
    """Whether it is a session, a run, a table by its ending, or a folder (of pictures)."""
    known = Path(path).suffix.lower() in (SUFFIX, RUN_SUFFIX, *TABLE_SUFFIXES)
    return known or (bool(path) and Path(path).is_dir())


class Files(QObject):
    """What the File menu does for one window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def open_dialog(self) -> None:
        """Choose a session or a saved run to open."""
        pattern = f"Sessions and runs (*{SUFFIX} *{RUN_SUFFIX})"
        self._choose("Open a session or a run", pattern, self.open_path)

    def open_data_dialog(self) -> None:
        """Choose a file of points."""
        patterns = " ".join(f"*{suffix}" for suffix in TABLE_SUFFIXES)
        self._choose("Open own data", f"Tables ({patterns})", self.open_path)

    def open_pictures_dialog(self) -> None:
        """Choose a folder of pictures."""
        dialog = QFileDialog(self._window, "Open own pictures", self._window.settings.files.folder)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        self._open(dialog, self.open_path)

    def open_path(self, path: str) -> None:
        """Open a session, a saved run, a file of points or a folder of pictures, by its ending."""
        self._remember(path)
        if Path(path).suffix.lower() in TABLE_SUFFIXES or Path(path).is_dir():
            self._window.setup.show_file(path)
        elif Path(path).suffix.lower() == SUFFIX:
            self._window.sessions.open_path(path)
        else:
            session = self._window.session
            words = f"open {Path(path).name}"
            make = partial(session.open_file, path, playing=False)
            self._window.undo_stack.push(AddRun(session, words, make))

    def save(self) -> None:
        """Save the run in view where it was saved before."""
        view = self._window.session.current
        if view is not None and view.path and not view.path.startswith(str(ASSETS)):
            self._window.session.save(view, view.path)
        else:
            self.save_dialog()

    def save_dialog(self) -> None:
        """Choose where to save the run in view."""
        if self._window.session.current is None:
            return
        self._choose_new("Save the run", "Runs", RUN_SUFFIX, self.save_path)

    def save_session_dialog(self) -> None:
        """Choose where to save the session."""
        self._choose_new("Save the session", "Sessions", SUFFIX, self.save_session_path)

    def save_session_path(self, path: str) -> None:
        """Save the session to a path."""
        self._remember(path)
        self._window.sessions.save_path(path)

    def save_path(self, path: str) -> None:
        """Save the run in view to a path."""
        if self._window.session.current is not None:
            self._remember(path)
            self._window.session.save(self._window.session.current, path)

    def save_screenshot(self) -> None:
        """A picture of the window beside the runs."""
        folder = Path(self._window.settings.files.folder or Path.home())
        path = folder / time.strftime("genscope-%Y%m%d-%H%M%S.png")
        if self._window.grab().save(str(path)):
            self._window.notices.info(f"Saved {path}")
        else:
            self._window.notices.error(f"The picture could not be written to {path}")

    def _choose(self, title: str, pattern: str, done: Callable[[str], None]) -> None:
        dialog = QFileDialog(self._window, title, self._window.settings.files.folder, pattern)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        self._open(dialog, done)

    def _choose_new(
        self, title: str, words: str, suffix: str, done: Callable[[str], None]
    ) -> None:
        dialog = QFileDialog(self._window, title, self._window.settings.files.folder)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(f"{words} (*{suffix})")
        dialog.setDefaultSuffix(suffix.lstrip("."))
        self._open(dialog, done)

    def _open(self, dialog: QFileDialog, done: Callable[[str], None]) -> None:
        dialog.fileSelected.connect(done)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _remember(self, path: str) -> None:
        files = self._window.settings.files
        files.folder = str(Path(path).resolve().parent)
        files.recent = [path, *[other for other in files.recent if other != path]][:10]
