"""From what panels ask to what they show: stamping, pacing, and dropping what is out of date.

A slot (panel, run, part) has at most one ask on its way. What the user changes is asked at once,
or as soon as the answer on its way is there, so a drag never starves the picture: coarse while
something moves, in full when it has come to rest. While a run trains, live questions are asked
again at a pace that leaves the training its time.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal

from app.ahead import Ahead, Wish
from app.answer_cache import AnswerCache
from app.backfill import Backfill, Missing
from app.engine_pool import EnginePool
from app.run_view import RunView
from app.session import Session
from engine.wire.messages import Answer, Ask, Cancel, Credit, Failed, RunInfo, Slot
from widgets.panel import Panel, Question

#: Milliseconds between two looks at what is due.
TICK_MS = 15
#: Fewest seconds between two live asks of one slot.
LIVE_SECONDS = 1 / 15
#: A live ask waits this many times as long as its last answer took, to leave training its time.
DUTY = 1.15
#: An ask on its way for longer than this is superseded when the user changes something.
SUPERSEDE_SECONDS = 0.12
#: Pictures are made ahead once nothing was dragged or scrubbed for so many seconds.
IDLE_SECONDS = 1.0
#: Detail is asked for once nothing was dragged, zoomed or scrubbed for so many seconds.
SETTLE_SECONDS = 0.3
#: Detail waits for the coarse picture that is on its way, but not longer than so many seconds.
COARSE_SECONDS = 2.0
#: After a failure a live question rests for so many seconds.
FAILURE_SECONDS = 1.0


@dataclass
class _Flight:
    """What was last asked for a slot, and what came of it."""

    key: str
    generation: int
    sent: float
    detailed: bool
    question: Question
    in_flight: bool = True
    step: int = -1
    due: float = 0.0
    stored: int | None = None
    urgent: bool = False


class Asker(QObject):
    """Stands between panels and link.

    Signals:
        pictured: A panel has shown an answer (the panel's name, the part, the ``Answer``).
    """

    pictured = Signal(str, str, object)

    def __init__(self, link: EnginePool, session: Session) -> None:
        super().__init__()
        self._link = link
        self._session = session
        self._panels: dict[str, Panel] = {}
        self._flights: dict[Slot, _Flight] = {}
        self._cache = AnswerCache()
        self._generation = 0
        self._moved: dict[str, float] = {}
        self._wishes: dict[str, Callable[[], None]] = {}
        link.answered.connect(self._on_answered)
        link.failed.connect(self._on_failed)
        link.died.connect(self._on_died)
        session.current_changed.connect(self._on_current)
        session.runs_changed.connect(self._on_runs)
        session.rewritten.connect(self._cache.forget)
        session.data_changed.connect(self._on_data)
        session.live_changed.connect(self._on_live)
        session.state_changed.connect(self._on_state)
        session.metrics_changed.connect(self._on_metrics)
        session.cursor_changed.connect(self._on_cursor)
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()
        self._ahead = Ahead(link, session, self._cache, self._wishes_ahead, _key)
        self._backfill = Backfill(link, session, self._missing_past)

    def stop(self) -> None:
        """Ask no more."""
        self._timer.stop()
        self._ahead.stop()
        self._backfill.stop()

    def add(self, panel: Panel) -> None:
        """Serve a panel from now on."""
        self._panels[panel.name] = panel
        self._wishes[panel.name] = lambda: self._on_asks_changed(panel)
        panel.asks_changed.connect(self._wishes[panel.name])
        panel.open_run(self._info_for(panel, self._session.current))
        self._refuse(panel)
        self._catch_up(panel)
        if panel.compares:
            self._open_all(panel)

    def remove(self, panel: Panel) -> None:
        """Serve a panel no longer."""
        if self._panels.pop(panel.name, None) is not None:
            panel.asks_changed.disconnect(self._wishes.pop(panel.name))
        self._drop([slot for slot in self._flights if slot.panel == panel.name])

    def question(self, slot: Slot) -> Question | None:
        """What was last asked for a slot."""
        flight = self._flights.get(slot)
        return flight.question if flight is not None else None

    def tick(self) -> None:
        """Ask what is due."""
        if not self._link.is_alive:
            return
        for panel in self._panels.values():
            if _is_seen(panel):
                self._consider(panel)

    # --- asking -------------------------------------------------------------------------------

    def _consider(self, panel: Panel) -> None:
        if panel.run is None and not panel.compares:
            return
        moved = self._moved.get(panel.name, -SETTLE_SECONDS)
        hurried = time.monotonic() - moved <= SETTLE_SECONDS
        rest = not hurried and not self._is_live(panel)
        asked: set[Slot] = set()
        for part, question in panel.asks(rest=rest).items():
            view = self._view(question)
            if view is None or view.info is None:
                continue
            slot = Slot(panel.name, view.run, part)
            asked.add(slot)
            self._consider_one(slot, question, view, hurried, rest)
        self._end_streams(panel.name, asked)

    def _consider_one(
        self, slot: Slot, question: Question, view: RunView, hurried: bool, rest: bool
    ) -> None:
        cursor = self._session.cursor
        if hurried:
            question = _coarse(question)
        key = _key(question, cursor if question.live else None)
        live = view.is_training and cursor is None
        if not self._is_due(slot, key, question, view, (live, hurried)):
            return
        flight = self._flights.get(slot)
        changed = flight is None or flight.key != key
        urgent = hurried and changed and question.coarse is not None
        if not question.stream and self._show_stored(slot, key, question, rest):
            return
        self._send(slot, key, question, rest, urgent)

    def _wishes_ahead(self) -> list[Wish]:
        """What a scrub would ask of the run in view, while nothing trains, moves or is awaited."""
        newest = max(self._moved.values(), default=0.0)
        busy = any(view.is_training or _repeats(view) for view in self._session.runs)
        view = self._session.current
        if busy or view is None or time.monotonic() - newest < IDLE_SECONDS:
            return []
        if any(f.in_flight and not f.question.stream for f in self._flights.values()):
            return []
        seen = [p for p in self._panels.values() if p.run is not None and _is_seen(p)]
        asked = [(p.name, *entry) for p in seen for entry in p.asks(rest=False).items()]
        return [
            Wish(Slot(panel, view.run, part), _coarse(question))
            for panel, part, question in asked
            if question.coarse and question.live and not question.run
        ]

    def _missing_past(self) -> list[Missing]:
        """What curves on screen lack of the run in view, while nothing is dragged or scrubbed."""
        newest = max(self._moved.values(), default=0.0)
        view = self._session.current
        if view is None or view.state is None or time.monotonic() - newest < IDLE_SECONDS:
            return []
        seen = [p for p in self._panels.values() if p.run is not None and _is_seen(p)]
        found = [(panel, panel.missing_past(view.state.stored)) for panel in seen]
        return [Missing(panel, *lack) for panel, lack in found if lack is not None]

    def _view(self, question: Question) -> RunView | None:
        return self._session.find(question.run) if question.run else self._session.current

    def _is_live(self, panel: Panel) -> bool:
        """Whether what the panel shows moves by itself."""
        if self._session.cursor is not None:
            return False
        current = self._session.current
        views = self._session.runs if panel.compares else ((current,) if current else ())
        return any(view.is_training for view in views)

    def _is_due(
        self,
        slot: Slot,
        key: str,
        question: Question,
        view: RunView,
        moving: tuple[bool, bool],
    ) -> bool:
        live, hurried = moving
        flight = self._flights.get(slot)
        if flight is None:
            return True
        now = time.monotonic()
        changed = flight.key != key
        if flight.in_flight and flight.urgent and not hurried:
            return changed and now - flight.sent > COARSE_SECONDS
        if flight.in_flight:
            overdue = now - flight.sent > SUPERSEDE_SECONDS
            gentle = flight.detailed or question.stream or (hurried and not flight.urgent)
            return changed and (gentle or overdue)
        if changed:
            return hurried or not live or now >= flight.due
        if not question.live:
            return False
        if live:
            return now >= flight.due
        wanted = view.step if self._session.cursor is None else None
        return wanted is not None and flight.step != wanted and now >= flight.due

    def _show_stored(self, slot: Slot, key: str, question: Question, rest: bool) -> bool:
        """Show a stored step that was answered before; True if nothing need be asked."""
        if self._session.cursor is None or not question.live:
            return False
        answer = self._cache.get(slot, key)
        panel = self._panels.get(slot.panel)
        if answer is None or panel is None:
            return False
        self._generation += 1
        flight = _Flight(key, self._generation, time.monotonic(), rest, question)
        self._flights[slot] = flight
        self._land(flight, 0.0)
        flight.step = answer.step
        panel.show_answer(slot.part, answer)
        self.pictured.emit(panel.name, slot.part, answer)
        return True

    def _send(self, slot: Slot, key: str, question: Question, rest: bool, urgent: bool) -> None:
        self._generation += 1
        ask = Ask(
            slot,
            self._generation,
            question.probe,
            dict(question.arguments),
            dict(question.arrays),
            self._session.cursor if question.live else None,
            urgent,
            question.stream,
        )
        if self._link.send(ask):
            flight = _Flight(key, self._generation, time.monotonic(), rest, question)
            flight.stored = None if question.stream else ask.cursor
            flight.urgent = urgent
            self._flights[slot] = flight

    def _end_streams(self, panel: str, asked: set[Slot]) -> None:
        """Streams that a panel asks no more are cancelled; other parts are just forgotten."""
        gone = [slot for slot in self._flights if slot.panel == panel and slot not in asked]
        self._drop([slot for slot in gone if self._flights[slot].question.stream])

    def _drop(self, slots: list[Slot]) -> None:
        for slot in slots:
            flight = self._flights.pop(slot)
            if flight.question.stream and flight.in_flight:
                self._link.send(Cancel(slot, flight.generation))

    # --- answers ------------------------------------------------------------------------------

    def _on_answered(self, answer: Answer) -> None:
        panel, flight = self._match(answer.slot, answer.generation)
        if panel is None or flight is None:
            return
        if answer.final:
            self._land(flight, answer.elapsed)
            flight.step = answer.step
            if flight.stored == answer.step:
                self._cache.put(answer.slot, flight.key, answer)
        elif answer.number >= 0:
            self._link.send(Credit(answer.slot, answer.generation))
        panel.show_answer(answer.slot.part, answer)
        self.pictured.emit(panel.name, answer.slot.part, answer)

    def _on_failed(self, failed: Failed) -> None:
        if failed.slot is None:
            return
        panel, flight = self._match(failed.slot, failed.generation)
        if panel is None or flight is None:
            return
        self._land(flight, 0.0)
        view = self._session.find(failed.slot.run)
        flight.step = view.step if view is not None else -1
        flight.due = time.monotonic() + FAILURE_SECONDS
        panel.show_failed(failed.slot.part, failed)

    def _land(self, flight: _Flight, elapsed: float) -> None:
        flight.in_flight = False
        flight.due = flight.sent + max(LIVE_SECONDS, DUTY * elapsed)

    def _match(self, slot: Slot, generation: int) -> tuple[Panel | None, _Flight | None]:
        flight = self._flights.get(slot)
        if flight is None or flight.generation != generation:
            return None, None
        current = self._session.current
        if not flight.question.run and (current is None or current.run != slot.run):
            flight.in_flight = False
            return None, None
        return self._panels.get(slot.panel), flight

    def _on_died(self, engine: str, _: str) -> None:
        """What was asked of a dead engine is never answered; others still answer."""
        for slot in [s for s in self._flights if self._link.engine_of(s.run) == engine]:
            del self._flights[slot]

    # --- session ------------------------------------------------------------------------------

    def _on_cursor(self, step: int | None) -> None:
        """A scrub: coarse pictures at once, detail when it comes to rest."""
        self._moved = dict.fromkeys(self._panels, time.monotonic())
        self.tick()
        for panel in self._panels.values():
            panel.show_cursor(step)

    def _on_asks_changed(self, panel: Panel) -> None:
        self._moved[panel.name] = time.monotonic()
        if self._link.is_alive and _is_seen(panel):
            self._consider(panel)

    def _on_current(self, view: RunView | None) -> None:
        if self._flights:  # from one run to another: coarse pictures at once, as in a scrub
            self._moved = dict.fromkeys(self._panels, time.monotonic())
        self._drop([slot for slot, flight in self._flights.items() if not flight.question.run])
        for panel in self._panels.values():
            panel.open_run(self._info_for(panel, view))
            self._refuse(panel)
            self._catch_up(panel)
        self.tick()

    def _on_data(self, view: RunView) -> None:
        """A run goes on on other data: everything that was asked of it is asked again."""
        self._drop([slot for slot in self._flights if slot.run == view.run])
        for panel in self._panels.values():
            if panel.run is not None and panel.run.run == view.run and view.info is not None:
                panel.renew(view.info)
            if panel.compares:
                self._open_all(panel)

    def _on_live(self, view: RunView) -> None:
        """A run at rest is another one at the same step; one that trains is asked again anyway."""
        if not view.is_training:
            self._drop([s for s, f in self._flights.items() if s.run == view.run and (
                f.question.live and not f.question.stream)])  # fmt: skip

    def _on_runs(self) -> None:
        known = {view.run for view in self._session.runs}
        self._drop([s for s, f in self._flights.items() if f.question.run and s.run not in known])
        for panel in self._panels.values():
            if panel.compares:
                self._open_all(panel)

    def _open_all(self, panel: Panel) -> None:
        infos = tuple(view.info for view in self._session.runs if view.info is not None)
        panel.open_runs(infos)
        for view in self._session.runs:
            if view.state is not None:
                panel.show_run_state(view.state)
            panel.show_run_metrics(view.run, view.metrics)

    def _info_for(self, panel: Panel, view: RunView | None) -> RunInfo | None:
        if view is None or view.info is None or panel.refusal(view.info.card):
            return None
        return view.info

    def _refuse(self, panel: Panel) -> None:
        """Say on a panel why it cannot serve the model in view: the refusal teaches."""
        view = self._session.current
        if view is None or view.info is None:
            return
        reason = panel.refusal(view.info.card)
        if reason:
            panel.banner.show_info(f"{panel.title} {reason}")

    def _catch_up(self, panel: Panel) -> None:
        view = self._session.current
        if view is None or panel.run is None:
            return
        if view.state is not None:
            panel.show_state(view.state)
        panel.show_metrics(view.metrics)
        panel.show_cursor(self._session.cursor)

    def _on_state(self, view: RunView) -> None:
        if view.state is None:
            return
        for panel in self._panels.values():
            if view is self._session.current:
                panel.show_state(view.state)
            if panel.compares:
                panel.show_run_state(view.state)

    def _on_metrics(self, view: RunView) -> None:
        for panel in self._panels.values():
            if view is self._session.current:
                panel.show_metrics(view.metrics)
            if panel.compares:
                panel.show_run_metrics(view.run, view.metrics)


def _is_seen(panel: Panel) -> bool:
    """Whether any of it is on screen: Qt calls a dock behind another tab visible too."""
    return panel.isVisible() and not panel.visibleRegion().isEmpty()


def _coarse(question: Question) -> Question:
    """The question as it is asked while something is dragged or scrubbed."""
    if not question.coarse:
        return question
    return dataclasses.replace(question, arguments={**question.arguments, **question.coarse})


def _repeats(view: RunView) -> bool:
    return view.state is not None and bool(view.state.repeating)


def _key(question: Question, cursor: int | None) -> str:
    arrays = [(name, array.tobytes()) for name, array in question.arrays.items()]
    return repr((question.run, question.probe, sorted(question.arguments.items()), arrays, cursor))
