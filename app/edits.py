"""What the user changes about runs, each change as one entry that can be undone."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoStack

from app.run_view import RunView
from app.session import Session
from app.setup_dock import SetupDock
from app.undo import AddRun, ChangeDevice, ChangeLive, ChangePace, CloseRun, PlayRuns, ReplaceRun
from engine.wire.fields import Value
from engine.wire.messages import RunSpec


class Edits(QObject):
    """Turns wishes of set-up, strip, transport and menus into commands of the undo stack."""

    def __init__(self, session: Session, undo_stack: QUndoStack, setup: SetupDock) -> None:
        super().__init__(setup)
        self._session, self._undo, self._setup = session, undo_stack, setup
        setup.spec_edited.connect(self._on_spec_edited)
        setup.live_edited.connect(self._on_live_edited)
        setup.device_edited.connect(self._on_device_edited)
        setup.start_requested.connect(self._on_start_requested)

    def reset(self) -> None:
        """Back to step 0 with the same initial weights; undo brings the trained run back."""
        view = self._session.current
        if view is not None and view.info is not None:
            self._undo.push(ReplaceRun(self._session, "reset", view.spec, rewind=True))

    def new_run(self) -> None:
        """Another run beside the others, with the set-up of the one in view."""
        view = self._session.current
        if view is None:
            self._setup.start()
            return
        start = partial(self._session.start, view.spec, playing=False)
        self._undo.push(AddRun(self._session, "new run", start))

    def close(self, run: str) -> None:
        """Close a run."""
        view = self._session.find(run)
        if view is not None:
            self._undo.push(CloseRun(self._session, view))

    def change_live(self, view: RunView, values: dict[str, Value]) -> None:
        """Change settings that need no restart."""
        state = view.state.live if view.state else {}
        before = {name: state.get(name, view.spec.model_config.get(name)) for name in values}
        self._undo.push(ChangeLive(self._session, view.run, values, before))

    def set_playing(self, view: RunView, playing: bool) -> None:
        """Train a run, or stop it after the step in hand."""
        verb = "play" if playing else "pause"
        self._undo.push(PlayRuns(self._session, verb, [view], playing=playing))

    def set_pace(self, steps_per_second: float | None) -> None:
        """Limit the speed of the run in view, or lift the limit."""
        view = self._session.current
        if view is not None and view.pace != steps_per_second:
            self._undo.push(ChangePace(self._session, view, steps_per_second))

    def _on_spec_edited(self, spec: RunSpec, words: str) -> None:
        self._undo.push(ReplaceRun(self._session, words, spec))
        self._session.notices.info(f"Restarted: {words}. Ctrl+Z brings the run before it back.")

    def _on_live_edited(self, values: dict[str, Value]) -> None:
        if self._session.current is not None:
            self.change_live(self._session.current, values)

    def _on_device_edited(self, device: str) -> None:
        view = self._session.current
        if view is not None and device != view.spec.device:
            self._undo.push(ChangeDevice(self._session, view, device))

    def _on_start_requested(self, spec: RunSpec) -> None:
        start = partial(self._session.start, spec, playing=True)
        self._undo.push(AddRun(self._session, "start", start))
