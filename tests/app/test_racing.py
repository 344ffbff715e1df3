"""Races in the session: built together, kept together, undone, saved and taken back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from PySide6.QtGui import QUndoStack

from app.notices import Notice
from app.racing import Racing
from app.session import Session
from app.workspace import Workspace
from engine.wire import messages as m
from engine.wire.cards import DatasetCard
from engine.wire.race import Matched
from tests.app.conftest import CARD, FakeLink, make_info
from widgets.look import Look
from widgets.panels.race import RacePanel
from widgets.race.lineup import Entry, Rule, Wish

CARDS = tuple(
    msgspec.structs.replace(CARD, name=name, title=name.title())
    for name in ("one", "two", "three")
)
SPEC = m.RunSpec("one", "moons", {}, {"noise": 0.1}, seed=9)


class Desk:
    """A session, its races and a panel, on a link without an engine."""

    def __init__(self, session: Session, link: FakeLink, workspace: Workspace) -> None:
        self.session, self.link = session, link
        self.undo = QUndoStack(workspace)
        self.spec: m.RunSpec | None = SPEC
        self.racing = Racing(session, workspace, self.undo, lambda: self.spec)
        data = (DatasetCard("moons", "Two moons", "", "2-D"),)
        link.greeted.emit(m.Hello(1, 1, "2", ("cpu",), 1, CARDS, data, ()))
        workspace.show_panel("race")
        panel = workspace.panels["race"]
        assert isinstance(panel, RacePanel)
        self.panel = panel

    def wish(self, rule: Rule, n: int = 3, **more: Any) -> Wish:
        return Wish(tuple(Entry(c.name, c.title, c) for c in CARDS[:n]), rule, **more)

    def start(self, rule: Rule, **more: Any) -> list[str]:
        """Start a race and let the engine build all racers."""
        self.racing.start(self.wish(rule, **more))
        return self.admit_all()

    def admit_all(self) -> list[str]:
        for view in self.session.runs:
            if view.info is None:
                card = next(c for c in CARDS if c.name == view.spec.model)
                command = next(r for r in self.link.sent
                               if isinstance(r, m.StartRun) and r.run == view.run)  # fmt: skip
                info = make_info(view.run, view.spec, card)
                self.link.acknowledged.emit(m.Ack(command.id, info))
        return [view.run for view in self.racing.members]

    def sent(self, kind: type) -> list[Any]:
        return [record for record in self.link.sent if isinstance(record, kind)]


@pytest.fixture
def desk(session: Session, link: FakeLink, qtbot: Any) -> Desk:
    workspace = Workspace(Look())
    qtbot.addWidget(workspace)
    return Desk(session, link, workspace)


def test_racers_share_data_and_seed_and_go_together(desk: Desk) -> None:
    desk.racing.start(desk.wish(Rule("steps", steps=70), seed=4))
    started = desk.sent(m.StartRun)
    assert [record.spec.model for record in started] == ["one", "two", "three"]
    assert {record.spec.seed for record in started} == {4}
    assert {repr(record.spec.dataset_config) for record in started} == {repr({"noise": 0.1})}
    assert not desk.sent(m.Play)
    runs = desk.admit_all()
    assert [record.run for record in desk.sent(m.Play)] == runs
    lines = desk.sent(m.SetFinish)
    assert [(line.run, line.steps, line.seconds) for line in lines] == [
        (run, 70, None) for run in runs
    ]
    assert len({line.convoy for line in lines}) == 1
    assert lines[0].convoy
    assert desk.session.current is not None
    assert desk.session.current.run == runs[0]


def test_equal_time_has_no_convoy_and_two_races_none_in_common(desk: Desk) -> None:
    desk.start(Rule("seconds", seconds=2.5))
    assert {(line.steps, line.seconds, line.convoy) for line in desk.sent(m.SetFinish)} == {
        (None, 2.5, "")
    }
    desk.start(Rule("steps", steps=5))
    first = desk.sent(m.SetFinish)[-1].convoy
    desk.start(Rule("steps", steps=5))
    assert desk.sent(m.SetFinish)[-1].convoy != first


def test_the_panel_learns_of_racers_with_colours_and_titles(desk: Desk) -> None:
    runs = desk.start(Rule("steps", steps=70))
    lineup = desk.panel.lineup
    assert lineup is not None
    assert [racer.run for racer in lineup.racers] == runs
    assert [racer.title for racer in lineup.racers] == ["One", "Two", "Three"]
    assert len({racer.colour for racer in lineup.racers}) == 3
    assert lineup.data == "Data"


def test_apart_each_has_an_engine_of_its_own_and_one_that_dies_is_out(desk: Desk) -> None:
    runs = desk.start(Rule("steps", steps=70), apart=True)
    engines = [desk.link.engine_of(run) for run in runs]
    assert len(set(engines)) == 3
    assert all(engine.startswith("racer-") for engine in engines)
    for run in runs:
        desk.link.tell(run, "training", 5)
    desk.link.died.emit(engines[1], "killed")
    states = [view.state.state for view in desk.racing.members if view.state]
    assert states == ["training", "stopped", "training"]
    before = len(desk.sent(m.SetFinish))
    desk.link.revived.emit(engines[1])
    assert [line.run for line in desk.sent(m.SetFinish)[before:]] == [runs[1]]


def test_equal_parameters_asks_for_sizes_and_leaves_out_who_cannot(
    desk: Desk, said: list[Notice]
) -> None:
    desk.racing.start(desk.wish(Rule("parameters", steps=9, parameters=500)))
    asked = desk.link.last(m.MatchParameters)
    assert asked.models == ("one", "two", "three")
    assert (asked.event_shape, asked.parameters) == ((2,), 500)
    found = [
        Matched("one", {"n_layers": 3}, 505, 0.01),
        Matched("two", {}, 7, -0.986, "Two comes no nearer to 500 than 7 parameters"),
        Matched("three", {"width": 9}, 490, -0.02),
    ]
    text = msgspec.json.encode(found).decode()
    desk.link.acknowledged.emit(m.Ack(asked.id, None, text))
    runs = desk.admit_all()
    specs = [desk.session.find(run).spec for run in runs]  # type: ignore[union-attr]
    assert [(spec.model, spec.model_config) for spec in specs] == [
        ("one", {"n_layers": 3}), ("three", {"width": 9})
    ]  # fmt: skip
    assert "no nearer to 500" in said[0].text
    assert desk.panel.lineup is not None
    assert "+1.0 %" in desk.panel.lineup.racers[0].note


def test_fewer_than_two_that_fit_is_no_race(desk: Desk, said: list[Notice]) -> None:
    desk.racing.start(desk.wish(Rule("parameters", parameters=500)))
    found = [Matched(c.name, refusal=f"{c.title} is too small") for c in CARDS]
    asked = desk.link.last(m.MatchParameters)
    desk.link.acknowledged.emit(m.Ack(asked.id, None, msgspec.json.encode(found).decode()))
    assert not desk.sent(m.StartRun)
    assert said[-1].kind == "error"
    desk.spec = None
    desk.racing.start(desk.wish(Rule()))
    assert not desk.sent(m.StartRun)


def test_all_are_played_paused_and_given_another_lap(desk: Desk) -> None:
    runs = desk.start(Rule("steps", steps=70))
    desk.panel.command_wished.emit("pause")
    assert [record.run for record in desk.sent(m.Pause)] == runs
    desk.panel.command_wished.emit("lap")
    assert {line.steps for line in desk.sent(m.SetFinish)[-3:]} == {140}
    assert [record.run for record in desk.sent(m.Play)[-3:]] == runs
    assert desk.panel.lineup is not None
    assert desk.panel.lineup.rule.steps == 140
    assert desk.undo.undoText() == "another lap"
    desk.undo.undo()
    assert desk.panel.lineup.rule.steps == 70
    assert [record.run for record in desk.sent(m.Pause)[-3:]] == runs
    assert desk.undo.undoText() == "pause all racers"
    desk.undo.undo()
    assert [record.run for record in desk.sent(m.Play)[-3:]] == runs


def test_a_racer_played_at_the_finish_line_offers_another_lap(
    desk: Desk, said: list[Notice]
) -> None:
    runs = desk.start(Rule("steps", steps=70))
    desk.link.tell(runs[0], "paused", 70, finished=True)
    assert not said
    view = desk.session.find(runs[0])
    assert view is not None
    desk.session.play(view)
    desk.link.tell(runs[0], "paused", 70, finished=True)
    assert "finish line" in said[-1].text
    said[-1].offers["another_lap"]()
    assert desk.sent(m.SetFinish)[-1].steps == 140


def test_one_that_cannot_be_built_does_not_hold_up_the_others(
    desk: Desk, said: list[Notice]
) -> None:
    desk.racing.start(desk.wish(Rule("steps", steps=70)))
    second = desk.sent(m.StartRun)[1]
    desk.link.failed.emit(m.Failed("StartRun", "ValueError", "no", run=second.run, id=second.id))
    runs = desk.admit_all()
    assert len(runs) == 2
    assert second.run not in runs
    assert [record.run for record in desk.sent(m.Play)] == runs
    line = next(line for line in desk.sent(m.SetFinish) if line.run == second.run)
    n_said = len(said)
    desk.link.failed.emit(m.Failed("SetFinish", "ValueError", "no run", run=line.run, id=line.id))
    assert len(said) == n_said


def test_reset_is_one_undo_and_keeps_the_rule(desk: Desk) -> None:
    runs = desk.start(Rule("steps", steps=70))
    n_undo = desk.undo.count()
    before = len(desk.sent(m.SetFinish))
    desk.racing.reset()
    fresh = desk.admit_all()
    assert desk.undo.count() == n_undo + 1
    assert not set(fresh) & set(runs)
    lines = desk.sent(m.SetFinish)[before:]
    assert {line.run for line in lines} == set(fresh)
    assert {line.steps for line in lines} == {70}
    desk.undo.undo()
    assert [view.run for view in desk.racing.members] == runs


def test_starting_a_race_is_one_undo(desk: Desk) -> None:
    runs = desk.start(Rule("steps", steps=70))
    desk.undo.undo()
    assert desk.racing.members == ()
    assert desk.panel.lineup is None
    assert desk.racing.why_not()
    desk.undo.redo()
    assert [view.run for view in desk.racing.members] == runs


def test_a_race_comes_back_from_plain_values(desk: Desk) -> None:
    assert desk.racing.save() == {}
    runs = desk.start(Rule("seconds", seconds=12.5), seed=5)
    saved = msgspec.json.decode(msgspec.json.encode(desk.racing.save()))
    before = len(desk.sent(m.SetFinish))
    desk.racing.restore(saved | {"members": runs[::-1]})
    assert [view.run for view in desk.racing.members] == runs[::-1]
    assert [(line.run, line.seconds) for line in desk.sent(m.SetFinish)[before:]] == [
        (run, 12.5) for run in runs[::-1]
    ]
    assert desk.panel.lineup is not None
    assert (desk.panel.lineup.rule, desk.panel.lineup.seed) == (Rule("seconds", seconds=12.5), 5)
    n_played = len(desk.sent(m.Play))
    desk.session.runs_changed.emit()
    assert len(desk.sent(m.Play)) == n_played


def test_a_damaged_race_is_said_and_left_out(desk: Desk, said: list[Notice]) -> None:
    desk.racing.restore({"members": ["run-9"], "kind": "luck"})
    assert desk.racing.members == ()
    assert "rule" in said[-1].text
    desk.racing.restore({"members": "all"})
    desk.racing.restore({"members": ["gone"]})
    assert desk.racing.lineup is None


def test_the_model_in_view_may_race_with_its_own_settings(desk: Desk) -> None:
    view = desk.session.start(
        msgspec.structs.replace(SPEC, model_config={"n_layers": 12}), playing=False
    )
    desk.admit_all()
    command = desk.sent(m.StartRun)[-1]
    desk.link.acknowledged.emit(m.Ack(command.id, make_info(view.run, view.spec, CARDS[0])))
    entries = [*desk.panel.picker._entries.values()]
    assert [entry.title for entry in entries] == ["One", "Two", "Three", "One in view"]
    assert entries[-1].config == {"n_layers": 12}
