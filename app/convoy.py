"""Keeps the racers of a race of equal steps together when they live in processes of their own.

Within one engine the fair sharing of training time does that (``engine/fairness.py``). Between
engines nobody shares anything, so each racer is told how far it may go: a little beyond the
slowest of the others. The little is time, not steps: what the slowest does in 0.3 seconds of its
own training, so that nobody waits only because reports take a while.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QObject

from app.run_view import RunView
from app.session import Session
from engine.wire.messages import SetHold

#: Steps, and seconds of the slowest racer's training, by which a racer may lead the slowest other.
LEAD_STEPS, LEAD_SECONDS = 8, 0.3
#: A racer is told again when what it may do has moved by this share of the lead.
NEWS = 0.25
#: States in which a racer is about to take steps if that is what the user wants.
ABOUT_TO = ("", "ready", "paused")


class Convoy(QObject):
    """Tells racers how far they may go, whenever one of them reports where it is.

    Args:
        session: Whose runs, link and reports.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._members: list[str] = []
        self._told: dict[str, int | None] = {}
        session.state_changed.connect(self._on_state)

    def lead(self, runs: Sequence[str]) -> None:
        """These are the racers from now on, none for a race that is not of equal steps."""
        gone = [run for run in self._told if run not in runs]
        self._members = list(runs)
        for run in gone:
            if self._session.find(run) is not None and self._told[run] is not None:
                self._tell(run, None)
            del self._told[run]
        self.steer()

    def steer(self) -> None:
        """Tell each racer how far it may go now."""
        found = (self._session.find(run) for run in self._members)
        views = [view for view in found if view is not None and not view.parked]
        racing = [view for view in views if _takes_steps(view)]
        if len({self._session.link.engine_of(view.run) for view in racing}) < 2:
            racing = []
        lead = lead_of(racing)
        for view in views:
            others = [other.step for other in racing if other is not view]
            hold = min(others) + lead if view in racing else None
            if self._is_news(view.run, hold, lead):
                self._tell(view.run, hold)

    def _is_news(self, run: str, hold: int | None, lead: int) -> bool:
        told = self._told.get(run)
        if hold is None or told is None:
            return hold is not told
        return abs(hold - told) >= max(1, round(NEWS * lead))

    def _tell(self, run: str, hold: int | None) -> None:
        self._told[run] = hold
        command = SetHold(self._session.link.next_id(), run, hold)
        # A racer whose engine is gone has said so already.
        self._session.command(command, refused=lambda _: None)

    def _on_state(self, view: RunView) -> None:
        if view.run in self._members:
            self.steer()


def lead_of(racing: Sequence[RunView]) -> int:
    """Steps that a racer may be ahead of the slowest other one.

    Rates are of the seconds in which steps were taken, so that waiting never makes them fall.
    """
    states = [view.state for view in racing if view.state is not None]
    rates = [state.step / state.seconds if state.seconds > 0 else 0.0 for state in states]
    return max(LEAD_STEPS, math.ceil(LEAD_SECONDS * min(rates, default=0.0)))


def _takes_steps(view: RunView) -> bool:
    state = view.state
    if state is not None and state.finished:
        return False
    begins = view.wants_to_play and (state.state if state is not None else "") in ABOUT_TO
    return view.info is not None and (view.is_training or begins)
