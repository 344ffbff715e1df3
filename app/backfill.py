"""Fills in what curves over training steps lack: one stored step at a time, in idle moments.

The engine answers these asks only while no other waits, and lays one down when another comes, so
nothing that is live, dragged or scrubbed is ever slower for it. Beside training they are rare.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from PySide6.QtCore import QObject, QTimer

from app.engine_pool import EnginePool
from app.session import Session
from engine.wire.messages import Answer, Ask, Failed, Slot
from widgets.panel import Panel, Question

#: Added to the part of a slot, so that nobody takes such an answer for one of its own.
MARK = " past"
#: Milliseconds between two looks whether there is anything to do.
TICK_MS = 50
#: Pauses between two asks, as so many times what the last answer took: at rest, beside training.
REST_PAUSE, TRAINING_PAUSE = 1.0, 40.0
#: Seconds until the next look when nothing is missing.
COMPLETE_SECONDS = 0.5
#: An answer that has not come for so long will not; the window asks for another.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Missing:
    """What a panel on screen lacks."""

    panel: Panel
    part: str
    question: Question
    step: int

    def is_like(self, other: Missing) -> bool:
        """Whether the same is lacking."""
        own = self.panel.name, self.part, self.step
        return own == (other.panel.name, other.part, other.step)


class Backfill(QObject):
    """Asks for one missing number at a time.

    Args:
        link: Takes the asks.
        session: Says which run is in view and whether anything trains.
        missing: What panels lack now; empty while anything is dragged or scrubbed.
    """

    def __init__(
        self, link: EnginePool, session: Session, missing: Callable[[], list[Missing]]
    ) -> None:
        super().__init__()
        self._link, self._session, self._missing = link, session, missing
        self._asked: tuple[Missing, str, int, float] | None = None
        self._failed: set[tuple[str, str, str]] = set()
        self._generation = 0
        self._due = 0.0
        link.answered.connect(self._on_answered)
        link.failed.connect(self._on_failed)
        link.died.connect(lambda *_: self._forget())
        session.rewritten.connect(lambda _: self._forget())
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()

    def stop(self) -> None:
        """Ask no more."""
        self._timer.stop()

    def tick(self) -> None:
        """Ask for the next number, if it is time."""
        now = time.monotonic()
        if self._asked is not None and now - self._asked[3] < PATIENCE_SECONDS:
            return
        current = self._session.current
        if now < self._due or current is None or not self._link.is_alive:
            return
        for missing in self._missing():
            if (current.run, missing.panel.name, missing.part) not in self._failed:
                self._ask(missing, current.run)
                return
        self._due = now + COMPLETE_SECONDS

    def _ask(self, missing: Missing, run: str) -> None:
        self._generation += 1
        question = missing.question
        ask = Ask(
            Slot(missing.panel.name, run, missing.part + MARK),
            self._generation,
            question.probe,
            dict(question.arguments),
            dict(question.arrays),
            missing.step,
            idle=True,
        )
        if self._link.send(ask):
            self._asked = missing, run, self._generation, time.monotonic()

    def _on_answered(self, answer: Answer) -> None:
        if not self._is_own(answer) or not answer.final or self._asked is None:
            return
        missing, run, *_ = self._asked
        self._asked = None
        trains = any(view.is_training for view in self._session.runs)
        pause = answer.elapsed * (TRAINING_PAUSE if trains else REST_PAUSE)
        self._due = time.monotonic() + pause
        if answer.step != missing.step:
            return  # it has been thinned out of history meanwhile
        if missing.panel.run is not None and missing.panel.run.run == run:
            slot = msgspec.structs.replace(answer.slot, part=missing.part)
            missing.panel.show_past(missing.part, msgspec.structs.replace(answer, slot=slot))
            if any(missing.is_like(other) for other in self._missing()):
                # It was of no use, and would be asked for ever.
                self._failed.add((run, missing.panel.name, missing.part))

    def _on_failed(self, failed: Failed) -> None:
        if self._is_own(failed) and self._asked is not None:
            missing, run, *_ = self._asked
            self._failed.add((run, missing.panel.name, missing.part))
            self._asked = None

    def _is_own(self, record: Answer | Failed) -> bool:
        slot = record.slot
        asked = self._asked is not None and record.generation == self._asked[2]
        return asked and slot is not None and slot.part.endswith(MARK)

    def _forget(self) -> None:
        self._asked = None
        self._failed.clear()
