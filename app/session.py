"""What the user has open: runs, the one in view, the cursor; and every wish sent to the engine."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Signal

from app.engine_pool import MAIN, EnginePool
from app.notices import Notices
from app.reviving import revive
from app.run_view import RunView
from engine.wire.fields import Value
from engine.wire.messages import (
    Ack,
    Array,
    CloseRun,
    Command,
    Failed,
    ForkRun,
    Hello,
    Metrics,
    OpenRun,
    Pause,
    Play,
    PreviewTable,
    Recall,
    RunSpec,
    RunState,
    SampleDataset,
    SaveRun,
    SetData,
    SetDevice,
    SetLive,
    SetPace,
    StartRun,
    StepOnce,
)

log = logging.getLogger(__name__)

#: Runs kept for undo: those that a change of set-up replaced, for each place, and closed ones.
PARKED, PUT_AWAY = 4, 4

Answered = Callable[[Ack], None]
Refused = Callable[[Failed], None]


class Session(QObject):
    """Owns the runs; panels and docks follow its signals.

    Signals:
        catalogue_changed: The engine said what it can do (a ``Hello``).
        runs_changed: A run came, went or was renamed.
        current_changed: Another run is in view (a :class:`RunView` or None), or it was rebuilt.
        state_changed: A run moved on.
        metrics_changed: A run has new figures.
        cursor_changed: The window looks at a stored step, or None for the newest.
        run_refused: A run could not be built; what was in view still is.
        run_failed: A training step failed (:class:`RunView`, ``Failed``).
        data_changed: A run goes on training on other data (:class:`RunView`).
        live_changed: Settings of a run are others now, its step is the same (:class:`RunView`).
        rewritten: The stored steps of a run (its id) are no longer what they were.
        replaced: One run stands in the place of another (the old and the new id).
        pace_changed: Undo changed a run's speed limit (:class:`RunView`).
    """

    catalogue_changed = Signal(object)
    runs_changed = Signal()
    current_changed = Signal(object)
    state_changed = Signal(object)
    metrics_changed = Signal(object)
    cursor_changed = Signal(object)
    run_failed = Signal(object, object)
    run_refused = Signal()
    rewritten = Signal(str)
    replaced = Signal(str, str)
    pace_changed = Signal(object)
    data_changed = Signal(object)
    live_changed = Signal(object)

    def __init__(self, link: EnginePool, notices: Notices) -> None:
        super().__init__()
        self.link = link
        self.notices = notices
        self.hello: Hello | None = None
        self.cursor: int | None = None
        self._runs: dict[str, RunView] = {}
        self._current: str | None = None
        self._looked_at: int | None = None
        self._put_away: list[str] = []
        self._names = itertools.count(1)
        self._places = itertools.count(0)
        self._waiting: dict[int, tuple[Answered | None, Refused | None]] = {}
        link.greeted.connect(self._on_greeted)
        link.acknowledged.connect(self._on_acknowledged)
        link.failed.connect(self._on_failed)
        link.state_changed.connect(self._on_state)
        link.metrics.connect(self._on_metrics)
        link.died.connect(self._on_died)

    # --- what there is ------------------------------------------------------------------------

    @property
    def runs(self) -> tuple[RunView, ...]:
        """Runs in the strip, by place."""
        shown = [view for view in self._runs.values() if not view.parked]
        return tuple(sorted(shown, key=lambda view: view.place))

    @property
    def current(self) -> RunView | None:
        """The run in view."""
        return self._runs.get(self._current) if self._current else None

    def find(self, run: str) -> RunView | None:
        """A run by id, parked ones too."""
        return self._runs.get(run)

    def runs_of(self, engine: str) -> list[RunView]:
        """Runs that live in an engine, parked ones too."""
        return [v for v in self._runs.values() if self.link.engine_of(v.run) == engine]

    # --- wishes: runs -------------------------------------------------------------------------

    def start(
        self,
        spec: RunSpec,
        *,
        playing: bool,
        place: int | None = None,
        engine: str = "",
        data_of: str = "",
        select: bool = True,
    ) -> RunView:
        """Start a run in a new place, or instead of what is shown in ``place``.

        Args:
            spec: What to build.
            playing: Whether to train at once.
            place: Where it stands in the strip.
            engine: Id of the engine in which it lives; "" is the one of its device.
            data_of: Id of a run in the same engine whose data are taken.
            select: Whether it comes into view once it is built.
        """
        view = self._new(spec, place)
        self.link.assign(view.run, engine or self._engine_for(spec.device))
        command = StartRun(self.link.next_id(), view.run, spec, playing, data_of=data_of)
        self.command(command, self.admit(view, select=select))
        return view

    def open_file(self, path: str, *, playing: bool = False) -> RunView:
        """Open a saved run in a new place."""
        view = self._new(RunSpec(Path(path).stem, "…"), None)
        view.path = path
        command = OpenRun(self.link.next_id(), view.run, path, "auto", playing, fetches=False)
        self.command(command, self.admit(view))
        return view

    def fork(
        self, view: RunView, step: int, values: dict[str, Value], *, playing: bool
    ) -> RunView:
        """Start a second run that parts from another one at a step (see ``ForkRun``).

        Step −1 is the newest.
        """
        config = {**view.spec.model_config, **values}
        spec = msgspec.structs.replace(view.spec, model_config=config)
        new = self._new(spec, None)
        self.link.assign(new.run, self.link.engine_of(view.run))
        new.metrics = view.metrics.until(step if step >= 0 else float("inf"))
        name = self.link.next_id()
        command = ForkRun(name, new.run, view.run, step, values, playing)
        self.command(command, self.admit(new))
        return new

    def _engine_for(self, device: str) -> str:
        if self.hello is None or device in ("auto", *self.hello.devices[:1]):
            return MAIN
        return f"{MAIN}-{device}"

    def replace(self, spec: RunSpec, *, rewind: bool = False) -> tuple[str, str] | None:
        """Start a run with another spec in the current run's place; the old one is parked.

        Args:
            spec: What to build.
            rewind: The spec is the same: the same initial weights, data and pace, not playing.

        Returns:
            Ids of the old and the new run, for undo.
        """
        old = self.current
        if old is None:
            self.start(spec, playing=False)
            return None
        playing = not rewind and (old.is_training or old.wants_to_play)
        self.pause(old)
        like, engine = (old.run, self.link.engine_of(old.run)) if rewind else ("", "")
        new = self.start(spec, playing=playing, place=old.place, engine=engine, data_of=like)
        new.wants_to_play = playing
        new.pace = old.pace if rewind else None
        for other in self._runs.values():
            if other.place == old.place and other is not new:
                other.parked = True
        self._evict(old.place)
        self.runs_changed.emit()
        self.replaced.emit(old.run, new.run)
        return old.run, new.run

    def exchange(self, away: str, back: str) -> bool:
        """Park ``away`` and show ``back`` in its place again; False if it is gone."""
        leaving, coming = self._runs.get(away), self._runs.get(back)
        if leaving is None or coming is None:
            return False
        self.pause(leaving)
        leaving.parked, coming.parked = True, False
        self.select(back)
        self.runs_changed.emit()
        self.replaced.emit(away, back)
        return True

    def select(self, run: str) -> None:
        """Bring a run into view; the cursor stays at its step where this run has been there."""
        if run in self._runs and run != self._current:
            self._show(self._runs[run])

    def _show(self, view: RunView | None) -> None:
        self._current = view.run if view is not None else None
        self._move_cursor(view.nearest(self._looked_at) if view is not None else None)
        self.current_changed.emit(view)

    def close(self, view: RunView) -> None:
        """Forget a run and what is parked in its place."""
        for other in [v for v in self._runs.values() if v.place == view.place]:
            self._close(other)
        if self._current not in self._runs:
            left = self.runs
            self._show(left[-1] if left else None)
        self.runs_changed.emit()

    def put_away(self, view: RunView) -> None:
        """Close a run so that :meth:`bring_back` finds it as it was; only so many are kept."""
        self.pause(view)
        view.parked = True
        self._put_away = [*(run for run in self._put_away if run != view.run), view.run]
        for run in self._put_away[:-PUT_AWAY]:
            if run in self._runs:
                self.close(self._runs[run])
        self._put_away = self._put_away[-PUT_AWAY:]
        if self._current == view.run:
            self._show(self.runs[-1] if self.runs else None)
        self.runs_changed.emit()

    def bring_back(self, run: str) -> bool:
        """Show a run that was put away; False if it is gone."""
        view = self._runs.get(run)
        if view is None:
            return False
        self._put_away = [other for other in self._put_away if other != run]
        view.parked = False
        self.select(run)
        self.runs_changed.emit()
        return True

    def close_all(self) -> None:
        """Forget every run, parked ones too."""
        for view in list(self._runs.values()):
            self._close(view)
        self._places = itertools.count(0)
        self.set_cursor(None)
        self._show(None)
        self.runs_changed.emit()

    def next_name(self) -> str:
        """An id that no run has had; may be called from any thread."""
        return f"run-{next(self._names)}"

    def take_in(self, view: RunView) -> None:
        """A run of a session that is opened; its command follows."""
        self._runs[view.run] = view
        self._places = itertools.count(max(v.place for v in self._runs.values()) + 1)
        self.link.assign(view.run, self._engine_for(view.spec.device))

    # --- wishes: training ---------------------------------------------------------------------

    def play(self, view: RunView) -> None:
        """Train without end."""
        view.wants_to_play = True
        self.set_cursor(None)
        self.command(Play(self.link.next_id(), view.run), partial(self._take_data, view))

    def pause(self, view: RunView) -> None:
        """Stop after the step in hand."""
        view.wants_to_play = False
        self.command(Pause(self.link.next_id(), view.run))

    def step(self, view: RunView, count: int = 1) -> None:
        """Train some steps, then pause."""
        view.wants_to_play = False
        self.set_cursor(None)
        command = StepOnce(self.link.next_id(), view.run, count)
        self.command(command, partial(self._take_data, view))

    def set_pace(self, view: RunView, steps_per_second: float | None) -> None:
        """Limit the speed of training, or lift the limit."""
        view.pace = steps_per_second
        self.command(SetPace(self.link.next_id(), view.run, steps_per_second))

    def set_live(self, view: RunView, values: dict[str, Value]) -> None:
        """Change settings that need no restart."""
        config = view.spec.model_config | values
        view.spec = msgspec.structs.replace(view.spec, model_config=config)
        command = SetLive(self.link.next_id(), view.run, values)
        self.command(command, lambda _: self.live_changed.emit(view))

    def set_data(self, view: RunView, dataset: str, config: dict[str, Value]) -> None:
        """Go on training on other data of the same event shape."""
        view.spec = msgspec.structs.replace(view.spec, dataset=dataset, dataset_config=config)
        command = SetData(self.link.next_id(), view.run, dataset, config)
        self.command(command, partial(self._take_data, view))

    def _take_data(self, view: RunView, ack: Ack) -> None:
        """The run's data are others now, or are here at last."""
        if ack.info is not None:
            view.info = ack.info
            self.rewritten.emit(view.run)
            self.data_changed.emit(view)

    def recall(
        self, view: RunView, step: int, done: Callable[[], None], refused: Refused | None = None
    ) -> None:
        """Make a step between two stored ones showable; ``done`` is called when it is."""
        command = Recall(self.link.next_id(), view.run, step)
        self.command(command, lambda _: done(), refused or (lambda _: None))

    def set_device(self, view: RunView, device: str) -> None:
        """Move a run to another device."""

        def done(ack: Ack) -> None:
            view.info = ack.info or view.info
            view.spec = msgspec.structs.replace(view.spec, device=device)
            if view is self.current:
                self.current_changed.emit(view)

        self.command(SetDevice(self.link.next_id(), view.run, device), done)

    def save(self, view: RunView, path: str, done: Callable[[], None] | None = None) -> None:
        """Write a run to a file."""

        def saved(_: Ack) -> None:
            view.path = path
            self.notices.info(f"Saved as {path}")
            self.runs_changed.emit()
            if done:
                done()

        self.command(SaveRun(self.link.next_id(), view.run, path), saved)

    def preview_table(self, path: str, key: str, done: Callable[[str], None]) -> None:
        """Look into a user's file; ``done`` gets the preview as JSON."""
        self.command(PreviewTable(self.link.next_id(), path, key), lambda ack: done(ack.text))

    def sample_dataset(self, name: str, done: Callable[[Array], None]) -> None:
        """A few observations of a data set; ``done`` gets points or one picture."""
        command = SampleDataset(self.link.next_id(), name)
        self.command(command, lambda ack: done(ack.arrays["sample"]), lambda _: None)

    def set_cursor(self, step: int | None) -> None:
        """Look at a stored step in all panels, or at the newest."""
        self._looked_at = step
        self._move_cursor(step)

    def _move_cursor(self, step: int | None) -> None:
        if step != self.cursor:
            self.cursor = step
            self.cursor_changed.emit(step)

    # --- the engine died ----------------------------------------------------------------------

    def _on_died(self, engine: str, _: str) -> None:
        """Nothing trains there any more, and nothing may look as if it did."""
        for view in self.runs_of(engine):
            if view.state is not None:
                view.state = msgspec.structs.replace(
                    view.state, state="stopped", steps_per_second=0.0
                )
                self.state_changed.emit(view)

    def restart_engine(self, engine: str = MAIN) -> None:
        """Start a fresh engine; its runs come back from their last keyframe on disk."""
        self.link.restart(engine)
        for view in self.runs_of(engine):
            revive(self, view)

    # --- bookkeeping --------------------------------------------------------------------------

    def _new(self, spec: RunSpec, place: int | None) -> RunView:
        name = self.next_name()
        view = RunView(name, spec, next(self._places) if place is None else place)
        self._runs[name] = view
        return view

    def _evict(self, place: int) -> None:
        parked = [v for v in self._runs.values() if v.place == place and v.parked]
        for view in parked[:-PARKED]:
            self._close(view)

    def _close(self, view: RunView) -> None:
        del self._runs[view.run]
        self.command(CloseRun(self.link.next_id(), view.run))
        self.link.forget(view.run)
        self.rewritten.emit(view.run)

    def admit(self, view: RunView, select: bool = True) -> Answered:
        """What takes in the answer to the command that builds a run."""

        def done(ack: Ack) -> None:
            if ack.info is None:
                return
            view.info, view.spec = ack.info, ack.info.spec
            view.pace = view.pace or ack.info.natural_pace
            if view.pace is not None:
                self.set_pace(view, view.pace)
            self.runs_changed.emit()
            if view.parked:
                self.pause(view)
            elif select or view is self.current:
                self._current = view.run
                self.set_cursor(None)
                self.current_changed.emit(view)

        return done

    def command(
        self, command: Command, done: Answered | None = None, refused: Refused | None = None
    ) -> None:
        """Send a command; without ``refused`` a failure becomes a notice."""
        self._waiting[command.id] = (done, refused)
        if not self.link.send(command):
            self._waiting.pop(command.id, None)

    # --- records from the engine --------------------------------------------------------------

    def _on_greeted(self, hello: Hello) -> None:
        self.hello = hello
        self.catalogue_changed.emit(hello)

    def _on_acknowledged(self, ack: Ack) -> None:
        done, _ = self._waiting.pop(ack.id, (None, None))
        if done:
            done(ack)

    def _on_failed(self, failed: Failed) -> None:
        if failed.traceback:
            log.info("%s\n%s", failed.message, failed.traceback)
        if failed.slot is not None:
            return  # the asker shows it on the panel that asked
        if failed.id is not None:
            self._on_refused(failed)
            return
        view = self._runs.get(failed.run)
        if view is not None:
            view.wants_to_play = False
            self.run_failed.emit(view, failed)

    def _on_refused(self, failed: Failed) -> None:
        _, refused = self._waiting.pop(failed.id or 0, (None, None))
        view = self._runs.get(failed.run)
        if view is not None and view.info is None:
            self._drop(view)
        if refused:
            refused(failed)
        elif failed.kind != "cancelled":
            self.notices.error(failed.message)

    def _drop(self, view: RunView) -> None:
        """A run that could not be built leaves, and what it replaced comes back."""
        del self._runs[view.run]
        for other in [v for v in self._runs.values() if v.place == view.place and v.parked][-1:]:
            other.parked = False
        self.runs_changed.emit()
        self.run_refused.emit()

    def _on_state(self, state: RunState) -> None:
        view = self._runs.get(state.run)
        if view is None:
            return
        if state.state == "diverged" and view.is_training:
            self.rewritten.emit(view.run)
        view.state = state
        self.state_changed.emit(view)

    def _on_metrics(self, metrics: Metrics) -> None:
        if (view := self._runs.get(metrics.run)) is not None:
            view.metrics.append(metrics)
            self.metrics_changed.emit(view)
