"""Undo and redo of what the user does to runs; what was replaced or closed comes back trained.

A reset, too, is a run of its own in the same place: the one before it is parked as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from PySide6.QtGui import QUndoCommand

from app.run_view import RunView
from app.session import Session
from engine.wire.fields import Value
from engine.wire.messages import RunSpec

#: Changes of the same settings closer together than this are one undo.
MERGE_SECONDS = 1.0
#: Commands of one id may merge.
LIVE_ID, PACE_ID, PLAY_ID = 1, 2, 3


class ReplaceRun(QUndoCommand):
    """A change of data, model, architecture or seed, or a rewind: another run was started.

    Args:
        session: Where.
        text: What the user did.
        spec: The new run's.
        rewind: See :meth:`Session.replace`.
    """

    def __init__(
        self, session: Session, text: str, spec: RunSpec, *, rewind: bool = False
    ) -> None:
        super().__init__(text)
        self._session = session
        self._spec = spec
        self._rewind = rewind
        self._pair: tuple[str, str] | None = None
        self._before: RunSpec | None = None

    def redo(self) -> None:
        """Start the changed run, or bring it back."""
        session = self._session
        if self._pair and session.exchange(self._pair[0], self._pair[1]):
            return
        if self._pair:
            session.select(self._pair[0])
        self._before = session.current.spec if session.current else None
        self._pair = session.replace(self._spec, rewind=self._rewind)

    def undo(self) -> None:
        """Bring the run before the change back, trained as it was."""
        session = self._session
        if self._pair and session.exchange(self._pair[1], self._pair[0]):
            return
        current = session.current
        if self._pair and current is not None and current.run == self._pair[0]:
            return  # the changed run could not be built: there is nothing to take back
        if self._before is not None:
            if self._pair:
                session.select(self._pair[1])
            replaced = session.replace(self._before)
            self._pair = (replaced[1], replaced[0]) if replaced else None


class AddRun(QUndoCommand):
    """A run beside the others: new, forked, or opened from a file.

    Args:
        session: Where.
        text: What the user did.
        make: Makes the run; called again only if it is gone for good.
    """

    def __init__(self, session: Session, text: str, make: Callable[[], RunView]) -> None:
        super().__init__(text)
        self._session = session
        self._make = make
        self._run = ""

    def redo(self) -> None:
        """Make the run, or bring it back."""
        if not (self._run and self._session.bring_back(self._run)):
            self._run = self._make().run

    def undo(self) -> None:
        """Put it away as it is."""
        view = self._session.find(self._run)
        if view is not None:
            self._session.put_away(view)


class CloseRun(QUndoCommand):
    """A run was closed."""

    def __init__(self, session: Session, view: RunView) -> None:
        super().__init__(f"closing {view.title}")
        self._session = session
        self._run = view.run
        self._spec = view.spec
        self._place = view.place

    def redo(self) -> None:
        """Put it away as it is."""
        view = self._session.find(self._run)
        if view is not None:
            self._session.put_away(view)

    def undo(self) -> None:
        """Bring it back as it was; one that was closed too long ago begins again."""
        session = self._session
        if not session.bring_back(self._run):
            self._run = session.start(self._spec, playing=False, place=self._place).run
            session.notices.info("It was closed too long ago to come back trained: it begins anew")


class ChangeLive(QUndoCommand):
    """A change of settings that need no restart."""

    def __init__(
        self, session: Session, run: str, values: dict[str, Value], before: dict[str, Value]
    ) -> None:
        super().__init__("change " + ", ".join(name.replace("_", " ") for name in values))
        self._session = session
        self._run = run
        self._values = values
        self._before = before
        self._when = time.monotonic()

    def id(self) -> int:
        """Commands of one id may merge, so a slider's drag is one undo."""
        return LIVE_ID

    def mergeWith(self, other: QUndoCommand) -> bool:  # noqa: N802  # Qt's name
        """Join with a later change of the same settings of the same run."""
        if not isinstance(other, ChangeLive) or other._run != self._run:
            return False
        late = other._when - self._when > MERGE_SECONDS
        if late or set(other._values) != set(self._values):
            return False
        self._values, self._when = other._values, other._when
        return True

    def redo(self) -> None:
        """Make the change."""
        self._set(self._values)

    def undo(self) -> None:
        """Take it back."""
        self._set(self._before)

    def _set(self, values: dict[str, Value]) -> None:
        view = self._session.find(self._run)
        if view is not None:
            self._session.set_live(view, values)


class ChangePace(QUndoCommand):
    """A change of the speed limit; a drag of the slider is one undo."""

    def __init__(self, session: Session, view: RunView, pace: float | None) -> None:
        super().__init__("change of speed")
        self._session = session
        self._run = view.run
        self._before, self._after = view.pace, pace
        self._when = time.monotonic()

    def id(self) -> int:
        """Commands of one id may merge."""
        return PACE_ID

    def mergeWith(self, other: QUndoCommand) -> bool:  # noqa: N802  # Qt's name
        """Join with a later change of the same run."""
        if not isinstance(other, ChangePace) or other._run != self._run:
            return False
        if other._when - self._when > MERGE_SECONDS:
            return False
        self._after, self._when = other._after, other._when
        return True

    def redo(self) -> None:
        """Make the change."""
        self._set(self._after)

    def undo(self) -> None:
        """Take it back."""
        self._set(self._before)

    def _set(self, pace: float | None) -> None:
        view = self._session.find(self._run)
        if view is not None:
            self._session.set_pace(view, pace)
            self._session.pace_changed.emit(view)


class PlayRuns(QUndoCommand):
    """Runs were played or paused; undone they do what they did before.

    Playing and pausing the same runs at once takes nothing back: together they are no entry.
    """

    def __init__(
        self, session: Session, text: str, views: Sequence[RunView], *, playing: bool
    ) -> None:
        super().__init__(text)
        self._session = session
        self._before = {view.run: view.wants_to_play for view in views}
        self._after = dict.fromkeys(self._before, playing)
        self._cursor = session.cursor

    def id(self) -> int:
        """Commands of one id may merge."""
        return PLAY_ID

    def mergeWith(self, other: QUndoCommand) -> bool:  # noqa: N802  # Qt's name
        """Join with what follows at once for the same runs; the two may cancel out."""
        if not isinstance(other, PlayRuns) or other._before.keys() != self._before.keys():
            return False
        self._after = other._after
        self.setText(other.text())
        self.setObsolete(self._after == self._before)
        return True

    def redo(self) -> None:
        """Play or pause."""
        self._set(self._after)

    def undo(self) -> None:
        """Play or pause as before; the step that was in view comes back."""
        self._set(self._before)
        if self._cursor is not None:
            self._session.set_cursor(self._cursor)

    def _set(self, playing: dict[str, bool]) -> None:
        for run, plays in playing.items():
            view = self._session.find(run)
            if view is not None:
                (self._session.play if plays else self._session.pause)(view)


class ChangeDevice(QUndoCommand):
    """A run was moved to another device."""

    def __init__(self, session: Session, view: RunView, device: str) -> None:
        super().__init__(f"move to {device}")
        self._session = session
        self._run = view.run
        self._before, self._after = view.spec.device, device

    def redo(self) -> None:
        """Move it."""
        self._move(self._after)

    def undo(self) -> None:
        """Move it back."""
        self._move(self._before)

    def _move(self, device: str) -> None:
        view = self._session.find(self._run)
        if view is not None:
            self._session.set_device(view, device)


__all__ = [
    "AddRun",
    "ChangeDevice",
    "ChangeLive",
    "ChangePace",
    "CloseRun",
    "PlayRuns",
    "ReplaceRun",
]
