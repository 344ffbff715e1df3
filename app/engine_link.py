"""Owns the engine process: start, send, stop, restart; what it sends becomes Qt signals.

A plain thread reads the wire; the window's thread takes the records in small portions, so that a
flood of answers never holds up an event.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress

from PySide6.QtCore import QObject, QTimer, Signal

from engine.launch import EngineProcess
from engine.wire.channel import WireError
from engine.wire.messages import (
    Ack,
    Answer,
    Ask,
    Cancel,
    Command,
    Credit,
    Failed,
    Heartbeat,
    Hello,
    Metrics,
    Progress,
    RunState,
    ToWindow,
)

log = logging.getLogger(__name__)

#: Seconds of the window's thread that one portion of records may take.
PORTION_SECONDS = 0.006
#: Milliseconds between two looks at whether the engine still gives signs of life.
LISTEN_MS = 500
#: Without a sign of life for so long the engine counts as silent.
SILENT_SECONDS = 3.0

Launcher = Callable[[], EngineProcess]
Outgoing = Command | Ask | Credit | Cancel


class EngineLink(QObject):
    """The window's side of the engine.

    Args:
        launcher: Starts a child; called again by :meth:`restart`.
        engine: A child that was started earlier, to save time; None starts one.

    Signals:
        greeted: ``Hello`` of a fresh engine.
        answered: An ``Answer``.
        failed: A ``Failed`` of a probe, a step or a command.
        acknowledged: An ``Ack``.
        metrics: A ``Metrics``.
        state_changed: A ``RunState``.
        progressed: A ``Progress`` of data that a command waits for.
        beat: A ``Heartbeat``.
        silent: No sign of life for so many seconds.
        died: The child is gone; the text says how.
    """

    greeted = Signal(object)
    answered = Signal(object)
    failed = Signal(object)
    acknowledged = Signal(object)
    metrics = Signal(object)
    state_changed = Signal(object)
    progressed = Signal(object)
    beat = Signal(object)
    silent = Signal(float)
    died = Signal(str)

    _arrived = Signal()
    _lost = Signal(int)

    def __init__(self, launcher: Launcher, engine: EngineProcess | None = None) -> None:
        super().__init__()
        self._launcher = launcher
        self._inbox: OrderedDict[Hashable, ToWindow] = OrderedDict()
        self._lock = threading.Lock()
        self._signalled = False
        self._serial = 0
        self._epoch = 0
        self._stopping = False
        self._heard = time.monotonic()
        self._arrived.connect(self._drain)
        self._lost.connect(self._on_lost)
        self._watch = QTimer(self)
        self._watch.setInterval(LISTEN_MS)
        self._watch.timeout.connect(self._listen)
        self._engine = engine or launcher()
        self._begin()

    # --- life ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """Process id of the child."""
        return self._engine.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the child runs."""
        return self._engine.is_alive

    def restart(self) -> None:
        """Stop what is left of the child and start a fresh one."""
        self._end()
        self._engine = self._launcher()
        self._begin()

    def stop(self) -> None:
        """Stop the child for good."""
        self._watch.stop()
        self._end()

    def _begin(self) -> None:
        self._epoch += 1
        self._stopping = False
        self._heard = time.monotonic() + 10.0  # importing torch takes a while
        args = (self._engine, self._epoch)
        threading.Thread(target=self._read, args=args, name="wire", daemon=True).start()
        self._watch.start()

    def _end(self) -> None:
        self._stopping = True
        self._epoch += 1
        self._engine.stop()
        with self._lock:
            self._inbox.clear()

    # --- out ----------------------------------------------------------------------------------

    def send(self, record: Outgoing) -> bool:
        """Send a record; False when the engine is gone (``died`` says so)."""
        try:
            self._engine.channel.send(record)  # type: ignore[arg-type]
        except (OSError, ValueError):
            log.info("the engine is gone; %s was not sent", type(record).__name__)
            return False
        return True

    # --- in -----------------------------------------------------------------------------------

    def _read(self, engine: EngineProcess, epoch: int) -> None:
        while epoch == self._epoch:
            try:
                record = engine.channel.receive()
            except (EOFError, OSError, TypeError):
                break
            except WireError:
                log.exception("a record from the engine could not be read")
                continue
            self._take_in(record)
        if epoch == self._epoch:
            with suppress(RuntimeError):  # the link itself may be gone by now
                self._lost.emit(epoch)

    def _take_in(self, record: ToWindow) -> None:
        with self._lock:
            self._serial += 1
            self._inbox[self._key(record)] = record
            wake = not self._signalled
            self._signalled = True
        if wake:
            with suppress(RuntimeError):  # as in _read
                self._arrived.emit()

    def _key(self, record: ToWindow) -> Hashable:
        """Records that a newer one makes void share a key."""
        if isinstance(record, Answer) and record.number < 0:
            return ("answer", record.slot)
        if isinstance(record, Heartbeat):
            return "heartbeat"
        return self._serial

    def _drain(self) -> None:
        end = time.perf_counter() + PORTION_SECONDS
        while time.perf_counter() < end:
            with self._lock:
                if not self._inbox:
                    self._signalled = False
                    return
                _, record = self._inbox.popitem(last=False)
            self._heard = max(self._heard, time.monotonic())
            self._emit(record)
        QTimer.singleShot(0, self._drain)

    def _emit(self, record: ToWindow) -> None:
        signals = {
            Hello: self.greeted,
            Answer: self.answered,
            Failed: self.failed,
            Ack: self.acknowledged,
            Metrics: self.metrics,
            RunState: self.state_changed,
            Progress: self.progressed,
            Heartbeat: self.beat,
        }
        signals[type(record)].emit(record)

    def _listen(self) -> None:
        quiet = time.monotonic() - self._heard
        if quiet > SILENT_SECONDS and self.is_alive:
            self.silent.emit(quiet)

    def _on_lost(self, epoch: int) -> None:
        if epoch != self._epoch or self._stopping:
            return
        self._watch.stop()
        process = self._engine.process
        process.join(1.0)
        code = process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self.died.emit(f"The engine process stopped ({how}).")
