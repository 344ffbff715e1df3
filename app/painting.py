"""From the canvas to the runs: they learn what is painted, and undo takes strokes back."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoCommand, QUndoStack

from app.run_view import RunView
from app.session import Session
from app.undo import ReplaceRun
from app.workspace import Workspace
from engine.wire.fields import Value
from engine.wire.messages import RunSpec
from widgets.painting.state import PAINTED, PICTURE, Painting, is_picture
from widgets.panel import Panel
from widgets.panels.paint import PaintPanel

#: Settings that every data set with a known density has; they stay when the painting is another.
SHARED = ("n_samples", "valid_fraction", "test_fraction", "fresh", "seed")
#: A run that has not said that it took a painting for so long is sent the next one anyway.
PATIENCE_SECONDS = 2.0
#: The model that learns a painting when no run is open.
FIRST_MODEL = "realnvp"


class PaintStroke(QUndoCommand):
    """One stroke, or another change of the whole canvas."""

    def __init__(
        self, show: Callable[[Painting], None], before: Painting, after: Painting, words: str
    ) -> None:
        super().__init__(words)
        self._show = show
        self._before, self._after = before, after
        self._is_done = True

    def redo(self) -> None:
        """Put it on the canvas again; the first time it is there already."""
        if not self._is_done:
            self._show(self._after)
        self._is_done = True

    def undo(self) -> None:
        """Bring the canvas back to what it was before."""
        self._is_done = False
        self._show(self._before)


class PaintingDesk(QObject):
    """Joins the "Paint" panel, whenever it is opened, with the session and the undo stack.

    Every run on a painting or a picture follows the canvas. A run is sent the newest painting
    only when it has taken the one before, so that a slow engine never falls behind.
    """

    def __init__(self, session: Session, undo_stack: QUndoStack, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._session, self._undo, self._workspace = session, undo_stack, workspace
        self._panel: PaintPanel | None = None
        self._sent: dict[str, float] = {}
        self._next: dict[str, tuple[str, dict[str, Value]]] = {}
        workspace.opened.connect(self._on_opened)
        session.data_changed.connect(self._on_taken)
        for panel in workspace.panels.values():
            self._on_opened(panel)

    def open_picture(self, path: str) -> None:
        """Show the panel with a picture that was dropped on the window."""
        self._workspace.show_panel(PaintPanel.name)
        if self._panel is not None:
            self._panel.import_picture(path)

    # --- the panel speaks -----------------------------------------------------------------------

    def _on_opened(self, panel: Panel) -> None:
        if isinstance(panel, PaintPanel) and panel is not self._panel:
            self._panel = panel
            panel.painted.connect(self._on_painted)
            panel.edited.connect(self._on_edited)
            panel.train_requested.connect(self._on_train_requested)

    def _on_edited(self, before: Painting, after: Painting, words: str) -> None:
        if self._panel is not None:
            self._undo.push(PaintStroke(self._panel.set_painting, before, after, words))

    def _on_painted(self, data: tuple[str, dict[str, Value]]) -> None:
        for view in self._session.runs:
            if view.info is not None and follows(view):
                self._next[view.run] = data
                self._send(view)

    def _on_train_requested(self, data: tuple[str, dict[str, Value]]) -> None:
        current = self._session.current
        if current is None:
            hello = self._session.hello
            models = [card.name for card in hello.models] if hello else []
            if models:
                model = FIRST_MODEL if FIRST_MODEL in models else models[0]
                self._session.start(RunSpec(model, data[0], {}, data[1]), playing=True)
            return
        spec = msgspec.structs.replace(
            current.spec, dataset=data[0], dataset_config=settings(current, data)
        )
        self._undo.push(ReplaceRun(self._session, "train on the painting", spec))
        started = self._session.current
        newest = self._session.runs
        view = next((v for v in newest if v.place == current.place), started)
        if view is not None:
            self._session.play(view)

    # --- the runs -------------------------------------------------------------------------------

    def _send(self, view: RunView) -> None:
        """The newest painting, unless the run still has one to take."""
        waited = time.monotonic() - self._sent.get(view.run, -PATIENCE_SECONDS)
        if view.run in self._next and waited >= PATIENCE_SECONDS:
            data = self._next.pop(view.run)
            self._sent[view.run] = time.monotonic()
            self._session.set_data(view, data[0], settings(view, data))

    def _on_taken(self, view: RunView) -> None:
        self._sent.pop(view.run, None)
        self._send(view)


def follows(view: RunView) -> bool:
    """Whether a run learns what is on the canvas."""
    return view.spec.dataset in (PAINTED, PICTURE)


def settings(view: RunView, data: tuple[str, dict[str, Value]]) -> dict[str, Value]:
    """The painting with what else the user chose for the run's data."""
    name, painted = data
    config = view.spec.dataset_config
    if view.spec.dataset == name:
        kept = {key: value for key, value in config.items() if key not in ("path", "pixels")}
    elif follows(view):
        kept = {key: config[key] for key in SHARED if key in config}
    else:
        kept = {}
    return kept | painted


__all__ = ["PaintStroke", "PaintingDesk", "follows", "is_picture", "settings"]
