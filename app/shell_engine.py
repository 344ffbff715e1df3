"""A blocking client of the engine process, for the shell: no Qt, no torch."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

import msgspec
import typer

from engine.launch import EngineProcess, launch
from engine.wire.channel import WireError
from engine.wire.fields import Value
from engine.wire.messages import (
    Ack,
    Answer,
    Array,
    Ask,
    Command,
    Credit,
    Failed,
    Heartbeat,
    Hello,
    Metrics,
    Pause,
    Play,
    Progress,
    RunState,
    Slot,
    ToEngine,
    ToWindow,
)

#: Seconds that a fresh child may take to say hello (torch's first import on a cold disk).
START_SECONDS = 120.0
PANEL = "shell"


class ShellError(Exception):
    """What went wrong, as one sentence for stderr.

    ``diverged`` is True when training is paused at its last finite snapshot.
    """

    def __init__(self, sentence: str, *, diverged: bool = False) -> None:
        super().__init__(sentence)
        self.diverged = diverged


class ShellEngine:
    """The engine process as a context manager.

    Args:
        threads: Threads of one training step; None leaves the choice to the engine.
        plugins: Modules with further models, data sets or probes.

    Example::

        with ShellEngine() as engine:
            engine.command(StartRun(engine.next_id(), "run", RunSpec("realnvp", "two_moons")))
            answer = engine.ask("run", "evaluate", {"split": "test"})
    """

    def __init__(self, *, threads: int | None = None, plugins: Sequence[str] = ()) -> None:
        self._options = (threads, tuple(plugins))
        self._ids = itertools.count(1)
        self._engine: EngineProcess | None = None
        self._hello: Hello | None = None
        self._events: deque[Metrics | RunState] = deque()
        self._announced: set[int] = set()

    def __enter__(self) -> ShellEngine:
        threads, plugins = self._options
        self._engine = launch(threads=threads, plugins=plugins)
        try:
            self._hello = self._wait_for_hello()
        except BaseException:
            self._engine.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._engine is not None:
            self._engine.stop()
            self._engine = None

    @property
    def hello(self) -> Hello:
        """What the engine can do and where it runs."""
        if self._hello is None:
            raise RuntimeError("the engine is used outside its 'with' block")
        return self._hello

    def next_id(self) -> int:
        """A fresh number for a command."""
        return next(self._ids)

    def command(self, record: Command) -> Ack:
        """Send a command and wait until it is carried out.

        Raises:
            ShellError: The engine could not, or is gone.
        """
        self._send(record)
        while True:
            answer = self._receive()
            if isinstance(answer, Ack) and answer.id == record.id:
                return answer
            if isinstance(answer, Failed) and answer.id in (record.id, None):
                raise ShellError(explain(answer))
            self._keep(answer)

    def ask(
        self,
        run: str,
        probe: str,
        arguments: Mapping[str, Value] | None = None,
        *,
        panel: str = PANEL,
        part: str = "",
        arrays: Mapping[str, Array] | None = None,
    ) -> Answer:
        """Ask a probe about a run and wait for its full answer.

        Raises:
            ShellError: The probe failed, or the engine is gone.
        """
        slot = Slot(panel, run, part or probe)
        return self.answers(
            Ask(slot, self.next_id(), probe, dict(arguments or {}), dict(arrays or {}))
        )[-1]

    def answers(self, ask: Ask) -> list[Answer]:
        """Send an ask and wait: its full answer, or all pieces of a stream in order.

        Raises:
            ShellError: The probe failed, or the engine is gone.
        """
        self._send(ask)
        found: list[Answer] = []
        while True:
            answer = self._receive()
            if isinstance(answer, Answer) and answer.slot == ask.slot:
                if answer.final or ask.stream:
                    found.append(answer)
                if answer.final:
                    return found
                if ask.stream:
                    self._send(Credit(ask.slot, ask.generation))
            elif isinstance(answer, Failed) and answer.slot in (ask.slot, None):
                raise ShellError(explain(answer))
            else:
                self._keep(answer)

    def state(self, run: str) -> RunState:
        """Where a run is, as the engine said last; waits for its first word.

        Raises:
            ShellError: The engine is gone.
        """
        while True:
            told = [e for e in self._events if isinstance(e, RunState) and e.run == run]
            if told:
                return told[-1]
            self._keep(self._receive())

    def play(
        self, run: str, until: int, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Metrics | RunState]:
        """Train up to ``until`` steps in all; yields figures and states as they come.

        Args:
            run: The run's id.
            until: Steps in all.
            stop: Looked at several times a second; True pauses the run and ends the iteration.

        Raises:
            ShellError: A training step failed or diverged, or the engine is gone.
        """
        self.command(Play(self.next_id(), run, until))
        pausing = False
        for event in self._events_of(run):
            yield event
            if isinstance(event, RunState) and event.state != "training":
                if event.step >= until or pausing:
                    return
            elif stop() and not pausing:
                pausing = True
                self.command(Pause(self.next_id(), run))

    def _events_of(self, run: str) -> Iterator[Metrics | RunState]:
        while True:
            while self._events:
                event = self._events.popleft()
                if event.run == run:
                    yield event
            record = self._receive()
            if isinstance(record, Failed):
                raise ShellError(explain(record), diverged=record.kind == "diverged")
            self._keep(record)

    def _keep(self, record: ToWindow) -> None:
        if isinstance(record, (Metrics, RunState)):
            self._events.append(record)
        elif isinstance(record, Progress) and record.id not in self._announced:
            self._announced.add(record.id)
            size = f" ({record.total / 1e6:.1f} MB)" if record.unit == "bytes" else ""
            typer.echo(f"{record.what}{size} …", err=True)

    def _send(self, record: ToEngine | Command) -> None:
        try:
            self._live().channel.send(record)  # type: ignore[arg-type]
        except OSError:
            raise ShellError(self._obituary()) from None

    def _receive(self) -> ToWindow:
        while True:
            try:
                record = self._live().channel.receive()
            except (EOFError, OSError):
                raise ShellError(self._obituary()) from None
            except WireError as error:
                raise ShellError(f"the engine sent {error}") from None
            if not isinstance(record, Heartbeat):
                return record

    def _wait_for_hello(self) -> Hello:
        end = time.monotonic() + START_SECONDS
        while not self._live().channel.poll(min(1.0, max(0.0, end - time.monotonic()))):
            if time.monotonic() > end:
                raise ShellError(f"the engine did not start within {START_SECONDS:.0f} s")
        record = self._receive()
        if not isinstance(record, Hello):
            raise ShellError(f"the engine began with {type(record).__name__}, wanted Hello")
        return record

    def _live(self) -> EngineProcess:
        if self._engine is None:
            raise RuntimeError("the engine is used outside its 'with' block")
        return self._engine

    def _obituary(self) -> str:
        process = self._live().process
        process.join(1.0)
        code = process.exitcode
        return "the engine process ended" + (f" (exit code {code})" if code is not None else "")


def explain(failed: Failed) -> str:
    """A failure as one sentence, with what would probably help."""
    offer = " ".join(f"--set {name}={value}" for name, value in failed.offer.items())
    return failed.message.rstrip(".") + (f"; try {offer}" if offer else "")


def to_json(value: object) -> str:
    """One JSON text on one line; figures that are not finite become ``null``."""
    return msgspec.json.encode(value).decode()
