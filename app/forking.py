"""Fork here: which step, with which settings, and what is changed before the fork starts."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QWidget

from app.run_view import RunView
from app.session import Session
from app.time_travel import TimeTravel
from app.undo import AddRun
from engine.wire.fields import Value
from widgets.controls.fork_box import ForkBox
from widgets.controls.timeline import spaced
from widgets.look import Look


class Forking(QObject):
    """Opens the box for a fork's settings and starts the fork.

    Args:
        session: Where runs live.
        travel: Knows the step in view.
        undo_stack: A fork can be undone.
        parent: The window over which the box stands; it has ``look``.
    """

    def __init__(
        self,
        session: Session,
        travel: TimeTravel,
        undo_stack: QUndoStack,
        look: Look,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._session, self._travel, self._undo = session, travel, undo_stack
        self.box = ForkBox(look, parent)
        self._from: tuple[str, int] = ("", -1)
        self._settings: dict[str, list[tuple[int, dict[str, Value]]]] = {}
        self.box.forked.connect(self._on_forked)
        travel.fork_wanted.connect(self.open_at)
        session.state_changed.connect(self._on_state)

    def open_here(self) -> None:
        """The box for a fork at the step in view."""
        live = self._session.cursor is None and self._travel.wanted is None
        self.open_at(-1 if live else self._travel.here)

    def open_at(self, step: int) -> None:
        """The box for a fork of the run in view at a step; −1 is the newest."""
        view = self._session.current
        if view is None or view.info is None:
            return
        at = view.step if step < 0 or step >= view.step else step
        self._from = (view.run, step if at < view.step else -1)
        self.box.open(at, view.title, view.info.card.fields, self.settings_at(view, at))

    def settings_at(self, view: RunView, step: int) -> dict[str, Value]:
        """The live settings that were in force at a step, as far as they were heard of."""
        heard = self._settings.get(view.run, [])
        found = [values for at, values in heard if at <= step]
        if found:
            return found[-1]
        return heard[0][1] if heard else dict(view.spec.model_config)

    def _on_state(self, view: RunView) -> None:
        state = view.state
        if state is None or not state.live:
            return
        heard = self._settings.setdefault(view.run, [])
        while heard and heard[-1][0] > state.step:  # training went back
            heard.pop()
        if not heard or heard[-1][1] != state.live:
            heard.append((state.step, dict(state.live)))

    def _on_forked(self, values: dict[str, Value], playing: bool) -> None:
        run, step = self._from
        view = self._session.find(run)
        if view is None:
            self._session.notices.warning("The run that was to be forked is gone")
            return
        at = step if step >= 0 else view.step
        fork = partial(self._session.fork, view, step, values, playing=playing)
        self._undo.push(AddRun(self._session, f"fork at step {spaced(at)}", fork))
