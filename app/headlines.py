"""The one number of each run in the strip: KL to the truth, asked now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer

from app.engine_pool import EnginePool
from app.run_view import RunView
from app.session import Session
from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Ask, Failed, Slot
from widgets.truth.words import headline

#: Not a panel: the name under which the strip asks.
STRIP = "strip"
#: Milliseconds between two looks at what is due.
TICK_MS = 500
#: Seconds between two numbers of the run in view, and of the others, while they train.
PACE, PACE_OF_OTHERS = 3.0, 10.0
#: A number waits this many times as long as it took, to leave training its time.
DUTY = 40.0
#: Cells a side of the quadrature, and draws of a bound.
SIZE, N_DRAWS = 96, 8
SCORED = (Capability.LOG_PROB, Capability.BOUND, Capability.ENERGY)


@dataclass
class _Number:
    generation: int
    sent: float
    step: int
    in_flight: bool = True
    due: float = 0.0


class Headlines(QObject):
    """Keeps ``RunView.headline`` up to date; the strip reads it when it is drawn."""

    def __init__(self, link: EnginePool, session: Session) -> None:
        super().__init__()
        self._link, self._session = link, session
        self._numbers: dict[str, _Number] = {}
        self._generation = 0
        link.answered.connect(self._on_answered)
        link.failed.connect(self._on_failed)
        link.died.connect(lambda *_: self._numbers.clear())
        session.rewritten.connect(self._forget)
        session.data_changed.connect(lambda view: self._forget(view.run))
        session.live_changed.connect(self._on_live)
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()

    def stop(self) -> None:
        """Ask no more."""
        self._timer.stop()

    def tick(self) -> None:
        """Ask what is due, one run at a time so that panels never wait long."""
        if any(number.in_flight for number in self._numbers.values()):
            return
        for view in self._session.runs:
            if _can_be_asked(view) and self._is_due(view):
                self._ask(view)
                return

    def _is_due(self, view: RunView) -> bool:
        number = self._numbers.get(view.run)
        if number is None:
            return True
        return view.step != number.step and time.monotonic() >= number.due

    def _ask(self, view: RunView) -> None:
        self._generation += 1
        slot = Slot(STRIP, view.run, "headline")
        wanted: dict[str, Value] = {"size": SIZE, "n_draws": N_DRAWS}
        if self._link.send(Ask(slot, self._generation, "divergences", wanted)):
            self._numbers[view.run] = _Number(self._generation, time.monotonic(), view.step)

    def _on_answered(self, answer: Answer) -> None:
        """What a panel was told serves the strip as well, so nothing is asked twice."""
        view = self._session.find(answer.slot.run)
        if view is None or not answer.final or "kl" not in answer.values:
            return
        number = self._match(answer.slot, answer.generation)
        if number is None and self._session.cursor is not None:
            return  # a number of a stored step
        view.headline = headline(answer.values)
        if number is None:
            number = _Number(-1, time.monotonic(), answer.step)
            self._numbers[view.run] = number
        self._land(number, view, answer.elapsed)

    def _on_failed(self, failed: Failed) -> None:
        number = self._match(failed.slot, failed.generation) if failed.slot else None
        view = self._session.find(failed.slot.run) if failed.slot else None
        if number is not None and view is not None:
            view.headline = ""
            self._land(number, view, PACE)

    def _land(self, number: _Number, view: RunView, elapsed: float) -> None:
        pace = PACE if view is self._session.current else PACE_OF_OTHERS
        number.in_flight = False
        number.due = number.sent + (max(pace, DUTY * elapsed) if view.is_training else 0.0)

    def _match(self, slot: Slot, generation: int) -> _Number | None:
        number = self._numbers.get(slot.run) if slot.panel == STRIP else None
        return number if number is not None and number.generation == generation else None

    def _on_live(self, view: RunView) -> None:
        """A run at rest is another one at the same step."""
        if not view.is_training:
            self._forget(view.run)

    def _forget(self, run: str) -> None:
        self._numbers.pop(run, None)
        view = self._session.find(run)
        if view is not None:
            view.headline = ""


def _can_be_asked(view: RunView) -> bool:
    """Whether the truth is known and the model has a number to compare with it."""
    info = view.info
    if info is None or (view.state is not None and view.state.state == "stopped"):
        return False
    known = info.data.has_density and info.data.event.size <= 2
    return known and any(capability in info.card.capabilities for capability in SCORED)
