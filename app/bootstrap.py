"""From nothing to a running window: engine first, since it takes longest, then Qt."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import platformdirs

from app.session_file import RUNS, new_folder
from engine.launch import EngineProcess, launch

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from app.autosave import Leftover
    from app.main_window import MainWindow
    from app.notices import Notices

log = logging.getLogger(__name__)

TIMING_VARIABLE = "GENSCOPE_TIMING"
#: The engine's niceness: on few cores the window goes first.
ENGINE_NICE = 5
#: The run that greets a newcomer: a small flow on real data, already moving.
WELCOME = Path(__file__).parents[1] / "assets" / "pretrained" / "welcome.safetensors"


def run_window(path: str | None = None) -> int:
    """Run the window until it is closed; returns the exit code."""
    folder = new_folder(session_root())
    application, window = open_window(folder, path)
    code = application.exec()
    shutil.rmtree(folder, ignore_errors=True)
    _save_settings(window)
    return code


def open_window(folder: Path, path: str | None = None) -> tuple[QApplication, MainWindow]:
    """Show the window, with a file, with what a crash left or with the welcome run.

    Args:
        folder: Where it keeps what is open, against crashes.
        path: A session, a run or a table to open.
    """
    engine = start_engine(folder / RUNS)
    application, window = make_window(engine, lambda: start_engine(folder / RUNS))
    window.sessions.keep_in(folder)
    mark("constructed")
    _announce_first_paint(window)
    window.first_density.connect(lambda: mark("first_density"))
    window.show()
    left = _leftovers(folder.parent)
    if path is not None:
        window.files.open_path(path)
    elif WELCOME.is_file() and not left:
        window.session.open_file(str(WELCOME), playing=True)
    window.sessions.offer(left)
    return application, window


def start_engine(keyframe_folder: Path, plugins: Sequence[str] = ()) -> EngineProcess:
    """A child that leaves keyframes in a folder."""
    keyframe_folder.mkdir(parents=True, exist_ok=True)
    return launch(nice=ENGINE_NICE, plugins=plugins, keyframe_folder=str(keyframe_folder))


def make_window(
    engine: EngineProcess, launcher: Callable[[], EngineProcess]
) -> tuple[QApplication, MainWindow]:
    """The application object and an unshown main window on an engine."""
    from app import settings as settings_file
    from app import theme
    from app.engine_pool import EnginePool
    from app.main_window import MainWindow
    from app.notices import Notices
    from widgets.look import DARK, PALETTES, Look
    from widgets.plots import configure

    application = _application()
    configure()
    notices = Notices()
    stored, notes = settings_file.load(settings_file.default_path())
    appearance = stored.appearance
    look = Look(PALETTES.get(appearance.theme, DARK), min(2.5, max(1.0, appearance.scale)))
    theme.apply(application, look)
    look.changed.connect(lambda: theme.apply(application, look))
    window = MainWindow(EnginePool(launcher, engine), notices, look, stored)
    install_hook(notices)
    for note in notes:
        notices.warning(note)
    return application, window


def install_hook(notices: Notices) -> None:
    """An exception in the window becomes a notice and a log entry, not an abort."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        log.error("in the window", exc_info=(kind, error, trace))
        notices.error(f"Something went wrong in the window: {kind.__name__}: {error}")

    sys.excepthook = hook


def mark(name: str) -> None:
    """Append a timing mark to the file that GENSCOPE_TIMING names."""
    target = os.environ.get(TIMING_VARIABLE)
    if target:
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"mark": name, "t": time.time()}) + "\n")


def _application() -> QApplication:
    from PySide6.QtWidgets import QApplication

    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    application = QApplication(["genscope"])
    application.setApplicationName("Genscope")
    application.setApplicationDisplayName("Genscope")
    return application


def _announce_first_paint(window: MainWindow) -> None:
    """Mark the moment when the first event after the first paint is handled."""
    from PySide6.QtCore import QEvent, QObject, QTimer

    class Watcher(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint:
                window.removeEventFilter(self)
                QTimer.singleShot(0, lambda: mark("painted"))
            return False

    window.installEventFilter(Watcher(window))


def session_root() -> Path:
    """Where windows keep what is open, each in a folder of its own."""
    return Path(platformdirs.user_cache_dir("genscope", False)) / "sessions"


def _leftovers(root: Path) -> list[Leftover]:
    from app.autosave import leftovers

    return leftovers(root)


def _save_settings(window: MainWindow) -> None:
    from app import settings as settings_file

    try:
        settings_file.save(window.settings, settings_file.default_path())
    except OSError as error:
        sys.stderr.write(f"the settings could not be saved: {error}\n")
