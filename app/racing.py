"""Races: several runs on the same data under one rule, started, steered and kept together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoStack

from app.convoy import Convoy
from app.layout_undo import Switch
from app.run_view import RunView
from app.runs_strip import COLOURS
from app.session import Session
from app.undo import AddRun, PlayRuns, ReplaceRun
from app.workspace import Workspace
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import Ack, MatchParameters, RunSpec, SetFinish
from engine.wire.race import Matched
from widgets.panel import Panel
from widgets.panels.race import RacePanel
from widgets.race.lineup import FEWEST, MOST, Entry, Lineup, Racer, Rule, Wish, rule_of

#: Event shapes of data of which no run is open, by the first letter of their kind.
SHAPES = {"1": (1,), "2": (2,)}

#: Data set and settings that a race would run on, or None.
Data = Callable[[], RunSpec | None]


class Racing(QObject):
    """Joins the "Race" panel, whenever it is opened, with the session.

    Args:
        session: Owns the runs.
        workspace: Whose panels are watched.
        undo_stack: Takes the start and the reset of a race.
        data: Tells a spec whose data a new race takes.
    """

    def __init__(
        self, session: Session, workspace: Workspace, undo_stack: QUndoStack, data: Data
    ) -> None:
        super().__init__(workspace)
        self._session, self._workspace = session, workspace
        self._notices, self._undo = session.notices, undo_stack
        self._data = data
        self._convoy = Convoy(session)
        self._panel: RacePanel | None = None
        self._rule = Rule()
        self._members: list[str] = []
        self._notes: dict[str, str] = {}
        self._seed, self._apart = 0, False
        self._starting = False
        self._arrived: set[str] = set()
        self._fresh: set[str] = set()
        self._count = 0
        workspace.opened.connect(self._on_opened)
        session.catalogue_changed.connect(lambda _: self._offer())
        session.current_changed.connect(lambda _: self._offer())
        session.data_changed.connect(lambda _: self._show())
        session.runs_changed.connect(self._on_runs_changed)
        session.replaced.connect(self._on_replaced)
        session.state_changed.connect(self._on_state)
        session.link.revived.connect(self._on_revived)
        for panel in workspace.panels.values():
            self._on_opened(panel)

    # --- what there is ------------------------------------------------------------------------

    @property
    def members(self) -> tuple[RunView, ...]:
        """The racers that are still open, in order."""
        found = (self._session.find(run) for run in self._members)
        return tuple(view for view in found if view is not None and not view.parked)

    @property
    def lineup(self) -> Lineup | None:
        """The race as the panel shows it, or None when there is none."""
        views = self.members
        if not views:
            return None
        titles = _titles(views)
        racers = tuple(
            Racer(
                view.run, title, COLOURS[view.place % len(COLOURS)], self._notes.get(view.run, "")
            )
            for view, title in zip(views, titles, strict=True)
        )
        info = next((view.info for view in views if view.info is not None), None)
        data = info.dataset.title if info is not None else views[0].spec.dataset
        return Lineup(self._rule, racers, data, self._seed, self._apart)

    def why_not(self) -> str:
        """Why racers cannot be steered; "" when they can."""
        return "" if self.members else "there is no race"

    # --- wishes -------------------------------------------------------------------------------

    def choose(self) -> None:
        """Show the panel, with the form for a new race."""
        self._workspace.show_panel(RacePanel.name)
        if self._panel is not None:
            self._offer()
            self._panel.show_picker()

    def start(self, wish: Wish) -> None:
        """Build the racers, then let them go together."""
        spec = self._data()
        if spec is None or not FEWEST <= len(wish.entries) <= MOST:
            self._notices.error(f"a race needs data and {FEWEST} to {MOST} models")
            return
        if wish.rule.kind != "parameters":
            self._launch(wish, spec, [entry.config for entry in wish.entries])
            return
        shape = self._event_shape(spec)
        if shape is None:
            self._notices.error("open a run on these data first, so that its size is known")
            return
        models = tuple(entry.card.name for entry in wish.entries)
        command = MatchParameters(
            self._session.link.next_id(), models, shape, wish.rule.parameters
        )
        self._session.command(command, lambda ack: self._on_matched(wish, spec, ack))

    def play(self) -> None:
        """Train all racers up to the finish line."""
        self._steer(playing=True)

    def pause(self) -> None:
        """Stop all racers."""
        self._steer(playing=False)

    def _steer(self, *, playing: bool) -> None:
        """Play or pause them together; undo takes it back."""
        verb = "play" if playing else "pause"
        wish = PlayRuns(self._session, f"{verb} all racers", self.members, playing=playing)
        for view in self.members:
            view.wants_to_play = playing
        self._convoy.steer()  # before anyone goes
        self._undo.push(wish)

    def reset(self) -> None:
        """All racers back to step 0; undo brings them back trained."""
        self._undo.beginMacro("reset all racers")
        for view in self.members:
            self._session.select(view.run)
            self._undo.push(ReplaceRun(self._session, "reset", view.spec, rewind=True))
        self._undo.endMacro()

    def lap(self) -> None:
        """Twice the way, and on."""
        before, after = self._rule, self._rule.lap()
        self._undo.beginMacro("another lap")
        self._put_rule(after)
        self._undo.push(Switch("another lap", self._put_rule, before, after))
        self._steer(playing=True)
        self._undo.endMacro()

    def _put_rule(self, rule: Rule) -> None:
        self._rule = rule
        self._send_rule(self._members)
        self._show()

    def _go(self) -> None:
        """A new race begins: that is part of its start."""
        for view in self.members:
            view.wants_to_play = True
        self._convoy.steer()  # before anyone goes
        for view in self.members:
            self._session.play(view)

    # --- the session file ---------------------------------------------------------------------

    def save(self) -> dict[str, Value]:
        """The race as plain values; empty when there is none."""
        views = self.members
        if not views:
            return {}
        members: list[int | float | str] = [view.run for view in views]
        notes: list[int | float | str] = [self._notes.get(view.run, "") for view in views]
        return self._rule.save() | {
            "members": members,
            "notes": notes,
            "seed": self._seed,
            "apart": self._apart,
        }

    def restore(self, saved: Mapping[str, Value]) -> None:
        """Take back what :meth:`save` gave; ids of runs are those of this session."""
        members, notes = saved.get("members"), saved.get("notes")
        if not isinstance(members, list) or not members:
            return
        try:
            self._rule = rule_of(dict(saved))
        except ValueError as error:
            self._notices.error(str(error))
            return
        words = notes if isinstance(notes, list) else [""] * len(members)
        self._members = [str(run) for run in members]
        self._notes = dict(zip(self._members, map(str, words), strict=False))
        seed = saved.get("seed")
        self._seed = seed if isinstance(seed, int) else 0
        self._apart = saved.get("apart") is True
        self._count += 1
        self._send_rule(self._members)
        self._show()

    # --- starting -----------------------------------------------------------------------------

    def _on_matched(self, wish: Wish, spec: RunSpec, ack: Ack) -> None:
        found = msgspec.json.decode(ack.text, type=list[Matched])
        pairs = list(zip(wish.entries, found, strict=True))
        refused = [matched.refusal for _, matched in pairs if matched.refusal]
        for sentence in refused:
            self._notices.warning(f"{sentence}; it does not race.")
        taken = [(entry, matched) for entry, matched in pairs if not matched.refusal]
        if len(taken) < FEWEST:
            self._notices.error("fewer than two of these models can be brought to that size")
            return
        notes = [
            f" ({100 * matched.difference:+.1f} % from the wanted number)" for _, matched in taken
        ]
        entries = tuple(entry for entry, _ in taken)
        slimmer = Wish(entries, wish.rule, wish.seed, wish.apart)
        self._launch(slimmer, spec, [matched.config for _, matched in taken], notes)

    def _launch(
        self,
        wish: Wish,
        spec: RunSpec,
        configs: Sequence[dict[str, Value]],
        notes: Sequence[str] = (),
    ) -> None:
        self._count += 1
        self._rule, self._seed, self._apart = wish.rule, wish.seed, wish.apart
        self._members, self._notes = [""] * len(wish.entries), {}
        self._starting = True
        self._undo.beginMacro("start a race")
        for index, (entry, config) in enumerate(zip(wish.entries, configs, strict=True)):
            own = RunSpec(
                *(entry.card.name, spec.dataset, config, spec.dataset_config),
                seed=wish.seed, device=spec.device,
            )  # fmt: skip
            enter = partial(self._enter, index, own, notes[index] if notes else "")
            self._undo.push(AddRun(self._session, f"racer {index + 1}", enter))
        self._undo.endMacro()
        self._show()

    def _enter(self, index: int, spec: RunSpec, note: str) -> RunView:
        """Build one racer; undone and redone, it may be another run than before."""
        engine = f"racer-{self._count}-{index + 1}" if self._apart else ""
        view = self._session.start(spec, playing=False, engine=engine, select=index == 0)
        self._members[index], self._notes[view.run] = view.run, note
        self._fresh.add(view.run)
        self._send_rule([view.run])
        return view

    def _send_rule(self, runs: Sequence[str]) -> None:
        rule = self._rule
        by_time = rule.kind == "seconds"
        steps, seconds = (None, rule.seconds) if by_time else (rule.steps, None)
        convoy = "" if by_time else f"race-{self._count}"
        for run in runs:
            name = self._session.link.next_id()
            command = SetFinish(name, run, steps, seconds, convoy)
            # A run that could not be built has said so already.
            self._session.command(command, refused=lambda _: None)
        self._convoy.lead([] if by_time else self._members)

    def _event_shape(self, spec: RunSpec) -> tuple[int, ...] | None:
        for view in self._session.runs:
            same = view.spec.dataset == spec.dataset
            if same and view.info is not None and view.spec.dataset_config == spec.dataset_config:
                return tuple(side for side in view.info.data.event.shape if side is not None)
        hello = self._session.hello
        kinds = {card.name: card.kind for card in hello.datasets} if hello is not None else {}
        return SHAPES.get(kinds.get(spec.dataset, "")[:1])

    # --- the session speaks -------------------------------------------------------------------

    def _on_runs_changed(self) -> None:
        if not self._members:
            return
        views = self.members
        for view in views:
            if view.info is not None and view.run in self._fresh:
                self._fresh.discard(view.run)
                self._session.set_pace(view, None)  # sweeps of EM are slowed down otherwise
        if self._starting and views and all(view.info is not None for view in views):
            self._starting = False
            self._go()
        self._show()

    def _on_replaced(self, away: str, back: str) -> None:
        """A racer that was reset or changed, or came back by undo, is another run."""
        old, new = self._session.find(away), self._session.find(back)
        if away not in self._members or old is None or new is None:
            return
        self._members[self._members.index(away)] = back
        self._notes.setdefault(back, self._notes.get(away, ""))
        self._fresh.add(back)
        self._send_rule([back])
        self._show()

    def _on_state(self, view: RunView) -> None:
        """At the finish line a run stands still, however often it is played."""
        state = view.state
        if view.run not in self._members or state is None:
            return
        if not state.finished:
            self._arrived.discard(view.run)
            return
        if view.wants_to_play and view.run in self._arrived:
            words = f"{view.title} stands at the finish line of its race."
            self._notices.warning(words, another_lap=self.lap)
        view.wants_to_play = False
        self._arrived.add(view.run)

    def _on_revived(self, engine: str) -> None:
        """Runs that came back after their engine died have lost their finish line."""
        link = self._session.link
        self._send_rule([run for run in self._members if link.engine_of(run) == engine])

    # --- the panel ----------------------------------------------------------------------------

    def _on_opened(self, panel: Panel) -> None:
        if not isinstance(panel, RacePanel) or panel is self._panel:
            return
        self._panel = panel
        panel.race_wished.connect(self.start)
        panel.command_wished.connect(lambda name: getattr(self, name)())
        panel.run_chosen.connect(self._session.select)
        panel.decided.connect(self._notices.info)
        self._offer()
        self._show()

    def _show(self) -> None:
        if self._panel is not None:
            lineup = self.lineup
            if lineup != self._panel.lineup:
                self._panel.show_lineup(lineup)

    def _offer(self) -> None:
        hello = self._session.hello
        if self._panel is None or hello is None:
            return
        entries = [Entry(card.name, card.title, card) for card in hello.models]
        current = self._session.current
        if current is not None and current.info is not None:
            config = _changed(current.info.card, current.spec.model_config)
            if config:
                card = current.info.card
                entries.append(
                    Entry(f"{card.name} in view", f"{card.title} in view", card, config)
                )
        spec = self._data()
        titles = {card.name: card.title for card in hello.datasets}
        data = titles.get(spec.dataset, spec.dataset) if spec is not None else ""
        self._panel.offer(entries, data)


def _changed(card: ModelCard, config: Mapping[str, Value]) -> dict[str, Value]:
    """The settings that differ from their defaults."""
    defaults = {spec.name: spec.default for spec in card.fields}
    return {name: v for name, v in config.items() if defaults.get(name) != v}


def _titles(views: Sequence[RunView]) -> list[str]:
    """What racers are called; several of one model are numbered."""
    bare = [v.info.card.title if v.info is not None else v.spec.model for v in views]
    seen: dict[str, int] = {}
    titles = []
    for title in bare:
        seen[title] = seen.get(title, 0) + 1
        titles.append(f"{title} {seen[title]}" if bare.count(title) > 1 else title)
    return titles
