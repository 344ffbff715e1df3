"""Watches over the engine: says when it hangs, falls silent or dies, and lets the user decide."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject

from app.notices import Notices
from app.session import Session
from engine.wire.messages import Heartbeat

#: A step or an answer that takes longer than this is worth a word.
LONG_SECONDS = 5.0
SILENCE = "silence"


class EngineWatch(QObject):
    """Turns heartbeats and deaths into notices with buttons."""

    def __init__(self, session: Session, notices: Notices) -> None:
        super().__init__()
        self._session = session
        self._notices = notices
        self._waiting_for: tuple[str, str] | None = None
        self._dismissed: set[tuple[str, str]] = set()
        session.link.beat.connect(self._on_beat)
        session.link.silent.connect(self._on_silent)
        session.link.died.connect(self._on_died)
        session.link.revived.connect(self._on_revived)

    def _on_beat(self, engine: str, beat: Heartbeat) -> None:
        slow = [
            (phase, elapsed)
            for phase, elapsed in (
                (beat.training, beat.training_elapsed),
                (beat.answering, beat.answering_elapsed),
            )
            if elapsed > LONG_SECONDS
        ]
        if not slow:
            self._recover(engine)
            return
        phase, elapsed = slow[0]
        if (engine, phase) in self._dismissed:
            return
        self._waiting_for = (engine, phase)
        self._notices.warning(
            f"The engine has been at “{phase}” for {elapsed:.0f} s.",
            keep_waiting=lambda: self._dismiss(engine, phase),
            stop_the_engine=lambda: self._session.restart_engine(engine),
        )

    def _on_silent(self, engine: str, seconds: float) -> None:
        if (engine, SILENCE) in self._dismissed:
            return
        self._waiting_for = (engine, SILENCE)
        self._notices.warning(
            f"The engine has given no sign of life for {seconds:.0f} s.",
            keep_waiting=lambda: self._dismiss(engine, SILENCE),
            stop_the_engine=lambda: self._session.restart_engine(engine),
        )

    def _on_died(self, engine: str, how: str) -> None:
        runs = self._session.runs_of(engine)
        kept = [view for view in runs if view.state and view.state.keyframe]
        steps = ", ".join(f"{v.title} at step {v.state.keyframe_step}" for v in kept if v.state)
        saved = f" Kept on disk: {steps}." if steps else ""
        others = len(self._session.runs) > len([view for view in runs if not view.parked])
        rest = " The other runs go on." if others else ""
        restart = partial(self._session.restart_engine, engine)
        self._notices.error(f"{how}{saved}{rest}", restart=restart)

    def _on_revived(self, engine: str) -> None:
        self._forget(engine)
        self._notices.withdraw()

    def _dismiss(self, engine: str, phase: str) -> None:
        self._dismissed.add((engine, phase))
        self._waiting_for = None

    def _recover(self, engine: str) -> None:
        waiting = self._waiting_for
        self._forget(engine)
        if waiting is not None and waiting[0] == engine:
            self._notices.withdraw()

    def _forget(self, engine: str) -> None:
        self._dismissed = {entry for entry in self._dismissed if entry[0] != engine}
        if self._waiting_for is not None and self._waiting_for[0] == engine:
            self._waiting_for = None
