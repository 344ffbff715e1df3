"""Racers in processes of their own stay together: each is told how far it may go."""

from __future__ import annotations

from typing import Any

import pytest

from app.convoy import LEAD_SECONDS, LEAD_STEPS, Convoy
from app.run_view import RunView
from app.session import Session
from engine.wire import messages as m
from tests.app.conftest import FakeLink


class Race:
    """Racers on a link without engines, which report and obey as engines do.

    Attributes:
        views: The racers.
        held: By run: the step at which it waits, or None.
    """

    def __init__(self, session: Session, link: FakeLink, n: int, *, apart: bool = True) -> None:
        self.session, self.link = session, link
        self.convoy = Convoy(session)
        self.views: list[RunView] = []
        for index in range(n):
            engine = f"racer-{index}" if apart else ""
            view = session.start(m.RunSpec("toy", "points"), playing=False, engine=engine)
            link.admit()
            view.wants_to_play = True
            self.views.append(view)
        self.runs = [view.run for view in self.views]
        self._read = 0
        self.held: dict[str, int | None] = {}

    def obey(self) -> dict[str, int | None]:
        """Take in what was sent by now; only what is new is returned."""
        new = [r for r in self.link.sent[self._read :] if isinstance(r, m.SetHold)]
        self._read = len(self.link.sent)
        found = {record.run: record.step for record in new}
        self.held |= found
        return found

    def run(self, steps_per_tick: list[int], ticks: int) -> list[int]:
        """Let all run, reports coming once a tick of 0.1 s; the widest gap of each tick."""
        steps = [0] * len(self.runs)
        gaps = []
        for _ in range(ticks):
            for place, (run, speed) in enumerate(zip(self.runs, steps_per_tick, strict=True)):
                self.obey()
                hold = self.held.get(run)
                free = steps[place] + speed
                steps[place] = free if hold is None else max(steps[place], min(free, hold))
                gaps.append(max(steps) - min(steps))
                worked = 0.1 * steps[place] / speed
                self.link.tell(run, "training", steps[place], seconds=worked)
        return gaps


def test_fast_racers_wait_for_the_slowest(session: Session, link: FakeLink) -> None:
    race = Race(session, link, 3)
    race.convoy.lead(race.runs)
    assert set(race.obey().values()) == {LEAD_STEPS}
    gaps = race.run([200, 6, 40], 100)
    lead = max(LEAD_STEPS, round(60 * LEAD_SECONDS))
    assert max(gaps) <= lead + 6
    assert race.views[1].step == 600  # the slowest never waits
    assert min(view.step for view in race.views) >= 600


def test_racers_of_one_speed_do_not_slow_each_other_down(session: Session, link: FakeLink) -> None:
    race = Race(session, link, 2)
    race.convoy.lead(race.runs)
    race.run([30, 30], 50)
    assert min(view.step for view in race.views) >= 0.9 * 30 * 50


def test_news_are_told_only_when_they_matter(session: Session, link: FakeLink) -> None:
    race = Race(session, link, 2)
    race.convoy.lead(race.runs)
    race.obey()
    for view in race.views:
        link.tell(view.run, "training", 100, seconds=0.25)
    race.obey()
    link.tell(race.runs[0], "training", 103, seconds=103 / 400)
    assert race.obey() == {}
    link.tell(race.runs[0], "training", 180, seconds=180 / 400)
    assert race.obey() == {race.runs[1]: 180 + round(400 * LEAD_SECONDS)}


@pytest.mark.parametrize("state", ["diverged", "failed", "stopped"])
def test_who_is_out_holds_nobody_up(session: Session, link: FakeLink, state: str) -> None:
    race = Race(session, link, 2)
    race.convoy.lead(race.runs)
    race.obey()
    link.tell(race.runs[1], state, 3)
    assert race.obey() == dict.fromkeys(race.runs, None)


def test_who_has_arrived_or_is_paused_holds_nobody_up(session: Session, link: FakeLink) -> None:
    race = Race(session, link, 3)
    race.convoy.lead(race.runs)
    for view in race.views:
        link.tell(view.run, "training", 90, seconds=9.0)
    link.tell(race.runs[0], "paused", 100, finished=True)
    race.views[1].wants_to_play = False
    link.tell(race.runs[1], "paused", 95)
    race.obey()
    assert race.held[race.runs[2]] is None


def test_one_engine_keeps_its_runs_together_by_itself(session: Session, link: FakeLink) -> None:
    race = Race(session, link, 3, apart=False)
    race.convoy.lead(race.runs)
    link.tell(race.runs[0], "training", 50)
    assert race.obey() == {}


def test_another_race_lets_the_old_racers_go(session: Session, link: FakeLink) -> None:
    race = Race(session, link, 2)
    race.convoy.lead(race.runs)
    race.obey()
    race.convoy.lead([])
    assert race.obey() == dict.fromkeys(race.runs, None)
    link.tell(race.runs[0], "training", 50)
    assert race.obey() == {}


def test_racing_holds_before_anyone_goes(session: Session, link: FakeLink) -> None:
    race = Race(session, link, 2)
    race.convoy.lead(race.runs)
    kinds: list[Any] = [type(record) for record in link.sent]
    assert m.SetHold in kinds
    assert m.Play not in kinds
