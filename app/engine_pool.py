"""The engines of a window: one by default, more where a run is to live or die by itself.

Records find their engine by the run that they are about; what has no run goes to the main one.
A further engine is started when the first run is assigned to it, and leaves with the last.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Signal

from app.engine_link import EngineLink, Launcher, Outgoing
from engine.launch import EngineProcess
from engine.wire.messages import Ask, Cancel, Credit

#: Id of the engine that is always there.
MAIN = "main"


#: Signals of one engine that are those of the pool.
PASSED_ON = ("answered", "failed", "acknowledged", "metrics", "state_changed", "progressed")


class EnginePool(QObject):
    """The window's side of all engines, with one set of signals.

    Args:
        launcher: Starts a child; called for every engine and every restart.
        engine: A child that was started earlier, to save time.

    Signals:
        greeted: ``Hello`` of a fresh main engine.
        answered: An ``Answer``.
        failed: A ``Failed`` of a probe, a step or a command.
        acknowledged: An ``Ack``.
        metrics: A ``Metrics``.
        state_changed: A ``RunState``.
        progressed: A ``Progress`` of data that a command waits for.
        beat: An engine's id and its ``Heartbeat``.
        silent: An engine's id; no sign of life of it for so many seconds.
        revived: The id of an engine that was started again and speaks.
        died: The id of an engine whose child is gone; the text says how.
    """

    greeted = Signal(object)
    answered = Signal(object)
    failed = Signal(object)
    acknowledged = Signal(object)
    metrics = Signal(object)
    state_changed = Signal(object)
    progressed = Signal(object)
    beat = Signal(str, object)
    silent = Signal(str, float)
    revived = Signal(str)
    died = Signal(str, str)

    def __init__(self, launcher: Launcher, engine: EngineProcess | None = None) -> None:
        super().__init__()
        self._launcher = launcher
        self._links: dict[str, EngineLink] = {}
        self._places: dict[str, str] = {}
        self._last_command = 0
        self._add(MAIN, engine)

    # --- life ---------------------------------------------------------------------------------

    @property
    def engines(self) -> tuple[str, ...]:
        """Ids of all engines, the main one first."""
        return tuple(self._links)

    @property
    def is_alive(self) -> bool:
        """Whether any child runs."""
        return any(link.is_alive for link in self._links.values())

    def pid(self, engine: str = MAIN) -> int | None:
        """Process id of an engine's child."""
        return self._links[engine].pid

    def lives(self, engine: str) -> bool:
        """Whether an engine's child runs."""
        return engine in self._links and self._links[engine].is_alive

    def restart(self, engine: str = MAIN) -> None:
        """Stop what is left of an engine's child and start a fresh one."""
        self._links[engine].restart()

    def stop(self) -> None:
        """Stop all children for good."""
        for link in self._links.values():
            link.stop()

    # --- where runs are -----------------------------------------------------------------------

    def assign(self, run: str, engine: str = MAIN) -> None:
        """Say where a run lives, before its first command; starts the engine if need be."""
        if engine not in self._links:
            self._add(engine, None)
        self._places[run] = engine

    def engine_of(self, run: str) -> str:
        """Where a run lives."""
        return self._places.get(run, MAIN)

    def forget(self, run: str) -> None:
        """A run is closed; an engine that has none left goes, the main one stays."""
        engine = self._places.pop(run, MAIN)
        if engine != MAIN and engine not in self._places.values():
            link = self._links.pop(engine)
            link.stop()
            link.deleteLater()

    def _add(self, engine: str, process: EngineProcess | None) -> None:
        link = EngineLink(self._launcher, process)
        self._links[engine] = link
        for name in PASSED_ON:
            getattr(link, name).connect(getattr(self, name))
        link.beat.connect(partial(self.beat.emit, engine))
        link.silent.connect(partial(self.silent.emit, engine))
        link.died.connect(partial(self.died.emit, engine))
        link.greeted.connect(lambda hello: self._on_greeted(engine, hello))

    def _on_greeted(self, engine: str, hello: object) -> None:
        if engine == MAIN:
            self.greeted.emit(hello)
        self.revived.emit(engine)

    # --- out ----------------------------------------------------------------------------------

    def next_id(self) -> int:
        """An id for a command, unique over all engines."""
        self._last_command += 1
        return self._last_command

    def send(self, record: Outgoing) -> bool:
        """Send a record to the engine of its run; False when that engine is gone."""
        if isinstance(record, Ask | Credit | Cancel):
            run = record.slot.run
        else:
            run = str(getattr(record, "run", ""))
        return self._links[self.engine_of(run)].send(record)
