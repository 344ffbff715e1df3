"""The window's cursor: to any step, stored or not, by hand or by itself, back to the newest.

Nothing here trains: live work goes on beside it and never moves the cursor.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, QPoint, QTimer, Signal
from PySide6.QtWidgets import QMenu, QWidget

from app.playback import Playback
from app.run_view import RunView
from app.session import Session
from engine.wire.messages import Failed
from widgets.controls.timeline import spaced
from widgets.controls.transport import TransportBar

#: Milliseconds between two moves of the cursor while it plays by itself.
FRAME_MS = 40


@dataclass(frozen=True)
class Place:
    """What the window looks at: a run, a step of it (None is the newest), and how time is spaced.

    A place where ``moves`` is on is on its way by itself.
    """

    run: str
    step: int | None
    log: bool
    moves: bool = False


class TimeTravel(QObject):
    """Moves the session's cursor for timeline, keys and menus.

    Args:
        session: Whose cursor.
        transport: The bar that shows it.

    Signals:
        said: A passing sentence about steps that are being repeated, or "".
        fork_wanted: The user wants a fork at a step.
    """

    said = Signal(str)
    fork_wanted = Signal(int)

    def __init__(self, session: Session, transport: TransportBar) -> None:
        super().__init__(transport)
        self._session, self._transport = session, transport
        self._wanted: tuple[str, int] | None = None
        self._refused: set[tuple[str, int]] = set()
        self._playback: Playback | None = None
        self._began = 0.0
        self._moving = False
        self._saying = ""
        self.log = False
        self.loop = False
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._on_frame)
        session.cursor_changed.connect(self._on_cursor)
        session.state_changed.connect(self._on_state)
        session.current_changed.connect(self._on_current)
        session.runs_changed.connect(self._mark_forks)
        session.rewritten.connect(lambda _: self._refused.clear())
        transport.cursor_changed.connect(self.go)
        transport.step_entered.connect(self.go)
        transport.history_toggled.connect(lambda _: self.toggle_playing())
        transport.menu_requested.connect(self._on_menu)

    # --- to a step ----------------------------------------------------------------------------

    @property
    def here(self) -> int:
        """The step in view: the one that is wanted, the cursor's, or the newest."""
        view = self._session.current
        if self._wanted is not None and view is not None and self._wanted[0] == view.run:
            return self._wanted[1]
        if self._session.cursor is not None:
            return self._session.cursor
        return view.step if view is not None else 0

    @property
    def wanted(self) -> int | None:
        """A step that is being repeated, since it is not stored."""
        return self._wanted[1] if self._wanted is not None else None

    @property
    def place(self) -> Place:
        """Where the user is, for undo."""
        view = self._session.current
        step = self.wanted if self.wanted is not None else self._session.cursor
        return Place(view.run if view is not None else "", step, self.log, self.is_playing)

    def return_to(self, place: Place) -> None:
        """Go back to where the user was, as far as that is still there."""
        if self._session.find(place.run) is not None:
            self._session.select(place.run)
            self.go(place.step)
        if place.log != self.log:
            self.set_log(place.log)

    def how(self, before: Place, after: Place) -> str:
        """What the user did to get from one place to another; "" where nothing was done."""
        if "" in (before.run, after.run) or after.moves:
            return ""
        if before.run != after.run:
            view = self._session.find(after.run)
            return f"show {view.title}" if view is not None else ""
        if before.step != after.step:
            newest = "back to the newest step"
            return newest if after.step is None else f"look at step {spaced(after.step)}"
        return "space the timeline" if before.log != after.log else ""

    def go(self, step: int | None) -> None:
        """Look at a step; one between the stored ones is repeated, meanwhile the nearest shows."""
        self.stop()
        self._go(step)

    def by_stored(self, direction: int) -> None:
        """To the stored step before (−1) or after (1) the cursor."""
        view = self._session.current
        if view is None:
            return
        stored = view.state.stored if view.state else ()
        here = self.here
        if direction < 0:
            earlier = [step for step in stored if step < here]
            self.go(earlier[-1] if earlier else self._session.cursor)
        elif self._session.cursor is not None or self._wanted is not None:
            later = [step for step in stored if step > here]
            self.go(later[0] if later else None)

    def by_one(self, direction: int) -> None:
        """To the training step just before or after, stored or not."""
        view = self._session.current
        if view is None or (direction > 0 and self._session.cursor is None):
            return
        self.go(max(0, self.here + direction))

    def live(self) -> None:
        """Follow the newest step again."""
        self.go(None)

    def ask_step(self) -> None:
        """Put the keyboard into the box for the step."""
        self._transport.step_label.setFocus()

    def _go(self, step: int | None) -> None:
        view = self._session.current
        self._wanted = None
        if view is None or step is None or step >= view.step:
            self._move(None)
            return
        stored = view.state.stored if view.state else ()
        if step in stored:
            self._move(step)
            return
        self._recall(view, step)
        self._move(view.nearest(step))

    def _recall(self, view: RunView, step: int) -> None:
        self._wanted = (view.run, step)

        def done() -> None:
            if self._wanted == (view.run, step) and self._session.current is view:
                self._wanted = None
                self._move(step)
                self._say("")

        def refused(failed: Failed) -> None:
            self._refused.add((view.run, step))
            if self._wanted == (view.run, step):
                self._wanted = None
                self._session.notices.warning(
                    f"Step {spaced(step)} cannot be shown: {failed.message}"
                )

        self._session.recall(view, step, done, refused)

    def _move(self, step: int | None) -> None:
        self._moving = True
        self._session.set_cursor(step)
        self._moving = False
        self._transport.set_cursor(self._session.cursor)

    # --- by itself ----------------------------------------------------------------------------

    @property
    def is_playing(self) -> bool:
        """Whether the cursor moves by itself."""
        return self._playback is not None

    def toggle_playing(self, *, forwards: bool = True) -> None:
        """Let the cursor run through the stored steps, or stop it where it is."""
        same = self._playback is not None and self._playback.forwards == forwards
        if same:
            self.stop()
        else:
            self.play(forwards=forwards)

    def play(self, *, forwards: bool = True) -> None:
        """From the cursor; where the way would end at once, from its beginning."""
        view = self._session.current
        stored = view.state.stored if view is not None and view.state else ()
        if view is None or len(stored) < 2:
            self._transport.set_playing_history(False)
            return
        cursor = self._session.cursor
        first, last = (stored[0], stored[-1]) if forwards else (stored[-1], stored[0])
        start = first if cursor is None or cursor == last else cursor
        self._wanted = None
        self._playback = Playback(start, forwards, self.log, self._transport.pace)
        self._began = time.monotonic()
        self._timer.start()
        self._transport.set_playing_history(True)
        self._move(start)

    def stop(self) -> None:
        """Leave the cursor where it is."""
        self._playback = None
        self._timer.stop()
        self._transport.set_playing_history(False)

    def set_log(self, on: bool) -> None:
        """Space the timeline, and the walk through it, by powers of ten."""
        self.log = on
        self._transport.timeline.set_log(on)
        if self._playback is not None:
            self.play(forwards=self._playback.forwards)

    def set_loop(self, on: bool) -> None:
        """Begin again at the end."""
        self.loop = on

    def _on_frame(self) -> None:
        view, playback = self._session.current, self._playback
        stored = view.state.stored if view is not None and view.state else ()
        if playback is None or len(stored) < 2:
            self.stop()
            return
        step = playback.step_at(time.monotonic() - self._began, stored)
        self._move(step)
        if playback.is_over(step, stored):
            forwards = playback.forwards
            self.stop()
            if self.loop:
                self.play(forwards=forwards)

    # --- the session speaks -------------------------------------------------------------------

    def _on_cursor(self, cursor: int | None) -> None:
        self._transport.set_cursor(cursor)
        if not self._moving:  # somebody else moved it: a run was opened, or training was started
            self._wanted = None
            self.stop()

    def _on_current(self, _: RunView | None) -> None:
        self._wanted = None
        self.stop()
        self._mark_forks()
        self._say("")

    def _say(self, text: str) -> None:
        if text != self._saying:
            self._saying = text
            self.said.emit(text)

    def _on_state(self, view: RunView) -> None:
        if view is not self._session.current or view.state is None:
            return
        self._say(_repeating(view))
        cursor = self._session.cursor
        if cursor is None or self._wanted is not None or cursor in view.state.stored:
            return
        if cursor > view.step:
            self._go(None)  # training went back to before it
        elif (view.run, cursor) not in self._refused:
            self._recall(view, cursor)  # thinned out a moment ago: what is looked at stays

    def _mark_forks(self) -> None:
        current = self._session.current
        marks: list[tuple[int, str]] = []
        if current is not None and current.info is not None:
            for view in self._session.runs:
                if view.info is not None and view.info.parent == current.run:
                    marks.append((view.info.forked_at, f"{view.title} was forked here"))
            if current.info.parent:
                marks.append((current.info.forked_at, "this run parted from its parent here"))
        self._transport.timeline.set_forks(tuple(marks))

    # --- menu ---------------------------------------------------------------------------------

    def _on_menu(self, position: QPoint, step: int | None) -> None:
        menu = self.menu(step, self._transport)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(position)

    def menu(self, step: int | None, parent: QWidget) -> QMenu:
        """What can be done at a place of the timeline."""
        menu = QMenu(parent)
        view = self._session.current
        at = step if step is not None else (view.step if view is not None else 0)
        add: Any = menu.addAction
        add(f"Fork at step {spaced(at)} …").triggered.connect(lambda: self.fork_wanted.emit(at))
        add(f"Look at step {spaced(at)}").triggered.connect(lambda: self.go(step))
        add("Go to a step …").triggered.connect(self.ask_step)
        menu.addSeparator()
        add("Play from here").triggered.connect(lambda: self._play_from(step, forwards=True))
        add("Play backwards").triggered.connect(lambda: self._play_from(step, forwards=False))
        for text, on, call in (
            ("Begin again at the end", self.loop, self.set_loop),
            ("Space steps by powers of ten", self.log, self.set_log),
        ):
            action = add(text)
            action.setCheckable(True)
            action.setChecked(on)
            action.toggled.connect(call)
        return menu

    def _play_from(self, step: int | None, *, forwards: bool) -> None:
        self.go(step)
        self.play(forwards=forwards)


def _repeating(view: RunView) -> str:
    """What is being repeated, as a sentence; "" when nothing is."""
    state = view.state
    if state is None or not state.repeating:
        return ""
    first, now, last = state.repeating
    return f"Repeating steps {spaced(first)} → {spaced(last)}: now {spaced(now)}"
