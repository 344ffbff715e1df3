"""Taking it away: any panel of the window as a picture, its numbers, a script or a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QCursor
from PySide6.QtWidgets import QApplication, QWidget

from app.actions import Entry
from app.export_arrays import Recorder, Shown, draws_metrics, write_npz
from app.export_box import ExportBox, Order
from app.export_pictures import WRITERS, ExportError, write_png
from app.export_script import script_title, write_script
from app.film_files import FILES
from app.filming import FilmJob, OwnFilmJob
from app.reel import Scene
from app.run_view import RunView
from engine.wire.messages import Ack, Failed, TellRecipe
from engine.wire.recipe import Recipe
from widgets.panel import Panel

if TYPE_CHECKING:
    from app.main_window import MainWindow


def export_entries(window: MainWindow) -> list[Entry]:
    """The actions that take something away."""
    exports = Exports(window)
    return [
        Entry(
            "file.export",
            "Export the panel …",
            exports.open,
            "Ctrl+E",
            "The panel in focus as PNG, SVG, PDF, its numbers, a Python script or a film.",
            False,
            exports.why_not,
        )
    ]


class Exports(QObject):
    """Carries out what the export form orders, for one window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.recorder = Recorder(window.asker, self)
        self.box = ExportBox(window.look, window)
        self.job: FilmJob | None = None
        self._scripts: dict[int, tuple[Shown, Path, str]] = {}
        self._recipes: dict[int, tuple[str, dict[str, Recipe]]] = {}
        self.box.ordered.connect(self.export)
        self.box.cancelled.connect(self.cancel)
        window.link.acknowledged.connect(self._on_acknowledged)
        window.link.failed.connect(self._on_failed)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A film in the making ends with its window."""
        if event.type() == QEvent.Type.Close:
            self.cancel()
        return False

    def why_not(self) -> str:
        """Why nothing can be exported now, or ""."""
        view = self._window.session.current
        return "" if view is not None and view.info is not None else "no run is open"

    def open(self) -> None:
        """Show the form for the panel in focus."""
        panels = self._panels()
        folder = Path(self._window.settings.files.folder or Path.home())
        current = in_focus(panels)
        if current is None:
            self._window.notices.info("There is no panel to export; show one first.")
            return
        titles = [(name, panel.title) for name, panel in panels.items()]
        own = {name: panel.own_frames for name, panel in panels.items() if panel.own_frames}
        self.box.open(titles, current.name, folder, own)

    def export(self, order: Order) -> None:
        """Take a panel away; what comes of it is said in the form and as a notice."""
        try:
            self._export(order)
        except ExportError as error:
            self._refuse(str(error))

    def cancel(self) -> None:
        """Stop the film in the making."""
        if self.job is not None:
            self.job.cancel()

    def shown(self, panel: Panel) -> Shown:
        """What a panel shows, as numbers.

        Raises:
            ExportError: No run is open.
        """
        view = self._view()
        parts = self.recorder.parts(panel, view.run)
        metrics = view.metrics if draws_metrics(panel) else None
        runs = dict.fromkeys([view.run, *(taken.run for taken in parts.values())])
        found = {run: self._window.session.find(run) for run in runs}
        specs = {run: other.spec for run, other in found.items() if other is not None}
        return Shown(panel.name, view.run, parts, metrics, specs)

    # --- one order ----------------------------------------------------------------------------

    def _export(self, order: Order) -> None:
        check_path(order.path)
        panel = self._panels().get(order.panel)
        if panel is None:
            raise ExportError(f"the panel '{order.panel}' is not open; show it first")
        ending = order.path.suffix.lower()
        if ending in FILES:
            self._film(panel, order)
        elif ending == ".py":
            self._script(panel, order.path)
        else:
            self._still(panel, order, ending)
            self._done(str(order.path))

    def _still(self, panel: Panel, order: Order, ending: str) -> None:
        if ending == ".png":
            write_png(panel, order.path, scale=order.scale)
        elif ending == ".npz":
            write_npz(self.shown(panel), order.path)
        elif ending in WRITERS:
            WRITERS[ending](panel, order.path)
        else:
            known = ", ".join((".png", *WRITERS, ".npz", ".py", *FILES))
            raise ExportError(
                f"given '{order.path.name}', wanted a file ending in one of: {known}"
            )

    def _film(self, panel: Panel, order: Order) -> None:
        if self.job is not None:
            raise ExportError("a film is being made; wait for it or cancel it")
        view = self._view()
        if view.info is None or view.state is None:
            raise ExportError("the run has no timeline yet; train it first")
        kind = OwnFilmJob if order.own else FilmJob
        runs = tuple(other.info for other in self._window.session.runs if other.info is not None)
        point = self._window.workspace.point
        scene = Scene(view.info, view.title, view.state, view.metrics, runs, point)
        self.job = kind(
            self._window.link,
            panel,
            scene,
            order.path,
            n_frames=order.frames,
            seconds=order.seconds,
            scale=order.scale,
        )
        self.job.progressed.connect(self.box.set_progress)
        self.job.finished.connect(self._on_filmed)
        self.job.failed.connect(self._on_film_failed)
        self.box.set_busy(True)
        self.box.say("Filming; the window can be used meanwhile.")
        self.job.start()

    def _script(self, panel: Panel, path: Path) -> None:
        shown, view = self.shown(panel), self._view()
        if shown.is_empty:
            raise ExportError("the panel shows no numbers that a script could make again")
        title = script_title(view.info, panel.name) if view.info is not None else panel.title
        recipes: dict[str, Recipe] = {}
        job = self._window.link.next_id()
        self._scripts[job] = (shown, path, title)
        for run in shown.runs:
            ask = self._window.link.next_id()
            self._recipes[ask] = (run, recipes)
            self._window.link.send(TellRecipe(ask, run))

    def _on_acknowledged(self, ack: Ack) -> None:
        if ack.id not in self._recipes:
            return
        run, recipes = self._recipes.pop(ack.id)
        recipes[run] = msgspec.json.decode(ack.text, type=Recipe)
        for job, (shown, path, title) in list(self._scripts.items()):
            if set(shown.runs) <= set(recipes):
                del self._scripts[job]
                self._write_script(shown, recipes, path, title)

    def _write_script(
        self, shown: Shown, recipes: dict[str, Recipe], path: Path, title: str
    ) -> None:
        try:
            write_script(shown, recipes, path, title)
        except ExportError as error:
            self._refuse(str(error))
        else:
            self._done(str(path))

    def _on_failed(self, failed: Failed) -> None:
        if failed.id is not None and failed.id in self._recipes:
            self._recipes.clear()
            self._scripts.clear()
            self.box.say(failed.message, is_error=True)

    # --- what came of it ----------------------------------------------------------------------

    def _on_filmed(self, path: str) -> None:
        self._end_job()
        self._done(path)

    def _on_film_failed(self, sentence: str) -> None:
        self._end_job()
        if sentence:
            self._refuse(sentence)
        else:
            self.box.say("Cancelled; no file was written.")

    def _end_job(self) -> None:
        if self.job is not None:
            self.job.deleteLater()
            self.job = None
        self.box.set_busy(False)

    def _done(self, path: str) -> None:
        self.box.say(f"Saved {Path(path).name}")
        self._window.settings.files.folder = str(Path(path).resolve().parent)
        self._window.notices.info(f"Saved {path}")

    def _refuse(self, sentence: str) -> None:
        words = f"{sentence[0].upper()}{sentence[1:]}."
        self.box.say(words, is_error=True)
        if not self.box.isVisible():
            self._window.notices.error(words)

    def _view(self) -> RunView:
        view = self._window.session.current
        if view is None:
            raise ExportError("no run is open")
        return view

    def _panels(self) -> dict[str, Panel]:
        panels = self._window.workspace.panels
        return {name: panel for name, panel in panels.items() if panel.isVisible()}


def in_focus(panels: dict[str, Panel]) -> Panel | None:
    """The panel that has the keyboard, else the one under the pointer, else the first."""
    widgets: list[QWidget | None] = [
        QApplication.focusWidget(),
        QApplication.widgetAt(QCursor.pos()),
    ]
    for widget in widgets:
        while widget is not None:
            if isinstance(widget, Panel) and widget in panels.values():
                return widget
            widget = widget.parentWidget()
    return next(iter(panels.values()), None)


def check_path(path: Path) -> None:
    """Whether a file can be written there; raises ``ExportError`` with a sentence."""
    if not path.parent.is_dir():
        raise ExportError(f"given '{path}', wanted a folder that exists")
    if path.is_dir():
        raise ExportError(f"given '{path}', which is a folder; wanted a file")
