"""Undo and redo of set-up changes; a run that a change replaced comes back with its training."""

from __future__ import annotations

import time

from PySide6.QtGui import QUndoCommand

from app.session import Session
from engine.wire.fields import Value
from engine.wire.messages import RunSpec

#: Changes of the same settings closer together than this are one undo.
MERGE_SECONDS = 1.0


class ReplaceRun(QUndoCommand):
    """A change of data, model, architecture or seed, which started another run."""

    def __init__(self, session: Session, text: str, spec: RunSpec) -> None:
        super().__init__(text)
        self._session = session
        self._spec = spec
        self._pair: tuple[str, str] | None = None
        self._before: RunSpec | None = None

    def redo(self) -> None:
        """Start the changed run, or bring it back."""
        session = self._session
        if self._pair and session.exchange(self._pair[0], self._pair[1]):
            return
        self._before = session.current.spec if session.current else None
        self._pair = session.replace(self._spec)

    def undo(self) -> None:
        """Bring the run before the change back, trained as it was."""
        session = self._session
        if self._pair and session.exchange(self._pair[1], self._pair[0]):
            return
        current = session.current
        if self._pair and current is not None and current.run == self._pair[0]:
            return  # the changed run could not be built: there is nothing to take back
        if self._before is not None:
            replaced = session.replace(self._before)
            self._pair = (replaced[1], replaced[0]) if replaced else None


class ChangeLive(QUndoCommand):
    """A change of settings that need no restart."""

    def __init__(
        self, session: Session, run: str, values: dict[str, Value], before: dict[str, Value]
    ) -> None:
        super().__init__("change " + ", ".join(values))
        self._session = session
        self._run = run
        self._values = values
        self._before = before
        self._when = time.monotonic()

    def id(self) -> int:
        """Commands of one id may merge, so a slider's drag is one undo."""
        return 1

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
