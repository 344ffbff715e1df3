"""Watches over the engine: says when it hangs, falls silent or dies, and lets the user decide."""

from __future__ import annotations

from PySide6.QtCore import QObject

from app.notices import Notices
from app.session import Session
from engine.wire.messages import Heartbeat, Hello

#: A step or an answer that takes longer than this is worth a word.
LONG_SECONDS = 5.0


class EngineWatch(QObject):
    """Turns heartbeats and deaths into notices with buttons."""

    def __init__(self, session: Session, notices: Notices) -> None:
        super().__init__()
        self._session = session
        self._notices = notices
        self._waiting_for = ""
        self._dismissed = ""
        session.link.beat.connect(self._on_beat)
        session.link.silent.connect(self._on_silent)
        session.link.died.connect(self._on_died)
        session.link.greeted.connect(self._on_greeted)

    def _on_beat(self, beat: Heartbeat) -> None:
        slow = [
            (phase, elapsed)
            for phase, elapsed in (
                (beat.training, beat.training_elapsed),
                (beat.answering, beat.answering_elapsed),
            )
            if elapsed > LONG_SECONDS
        ]
        if not slow:
            self._recover()
            return
        phase, elapsed = slow[0]
        if phase == self._dismissed:
            return
        self._waiting_for = phase
        self._notices.warning(
            f"The engine has been at “{phase}” for {elapsed:.0f} s.",
            keep_waiting=lambda: self._dismiss(phase),
            stop_the_engine=self._session.restart_engine,
        )

    def _on_silent(self, seconds: float) -> None:
        if self._dismissed == "silence":
            return
        self._waiting_for = "silence"
        self._notices.warning(
            f"The engine has given no sign of life for {seconds:.0f} s.",
            keep_waiting=lambda: self._dismiss("silence"),
            stop_the_engine=self._session.restart_engine,
        )

    def _on_died(self, how: str) -> None:
        kept = [view for view in self._session.runs if view.state and view.state.keyframe]
        steps = ", ".join(f"{v.title} at step {v.state.keyframe_step}" for v in kept if v.state)
        saved = f" Kept on disk: {steps}." if steps else ""
        self._notices.error(f"{how}{saved}", restart=self._session.restart_engine)

    def _on_greeted(self, _: Hello) -> None:
        self._dismissed = self._waiting_for = ""
        self._notices.withdraw()

    def _dismiss(self, phase: str) -> None:
        self._dismissed = phase
        self._waiting_for = ""

    def _recover(self) -> None:
        self._dismissed = ""
        if self._waiting_for:
            self._waiting_for = ""
            self._notices.withdraw()
