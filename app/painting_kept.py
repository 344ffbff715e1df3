"""What is painted is kept with the session, also before a run has taken it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject

from app.painting import follows
from app.session import Session
from app.sessions import Sessions
from app.workspace import Workspace
from engine.wire.fields import Value
from widgets.painting.state import Painting, painting_of
from widgets.panel import Panel
from widgets.panels.paint import PaintPanel


class PaintingKept(QObject):
    """Lets autosave and session files know of the canvas, stroke by stroke."""

    def __init__(self, session: Session, sessions: Sessions, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._session = session
        self._sessions = sessions
        self._panel: PaintPanel | None = None
        self._known: tuple[Painting, dict[str, Value]] | None = None
        sessions.add_section("painting", self._get, self._put)
        sessions.recovered.connect(self._on_recovered)
        workspace.opened.connect(self._on_opened)
        for panel in workspace.panels.values():
            self._on_opened(panel)

    def _on_opened(self, panel: Panel) -> None:
        if isinstance(panel, PaintPanel):
            self._panel = panel
            panel.edited.connect(self._sessions.touch)
            panel.painted.connect(self._sessions.touch)

    def _get(self) -> dict[str, Value]:
        painting = self._panel.painting if self._panel is not None else None
        if painting is None or painting.is_empty:
            return {}
        if self._known is None or self._known[0] is not painting:
            name, config = painting.data
            self._known = painting, {"dataset": name, **config}
        return self._known[1]

    def _put(self, kept: dict[str, Any]) -> None:
        if self._panel is None or not kept:
            return
        try:
            painting = painting_of(str(kept.get("dataset", "")), kept)
        except ValueError:
            painting = None
        if painting is not None:
            self._panel.set_painting(painting)

    def _on_recovered(self) -> None:
        """Runs that were behind the canvas when all stopped follow it again."""
        kept = self._get()
        specs = [view.spec for view in self._session.runs if follows(view)]
        known = [{"dataset": spec.dataset, **spec.dataset_config} for spec in specs]
        behind = [data for data in known if data | kept != data]
        if behind and self._panel is not None:
            self._panel.painted.emit(self._panel.painting.data)
