"""Streams: long answers in numbered pieces, with credit and cancel, each on a thread of its own.

A stream asks the same probes as an ordinary ask does, but every result arrives, in order. Pieces
wait until the window has room for them, so a slow window slows the stream and nothing piles up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from engine.failures import describe
from engine.probe import Result, View
from engine.registry import find, probes
from engine.wire.messages import STREAM_CREDIT, Answer, Ask, Slot, ToWindow

#: Makes the view that a stream's probe sees, given how to know that nobody wants the rest.
MakeView = Callable[[Callable[[], bool]], View]


@dataclass
class _Stream:
    ask: Ask
    credit: int = STREAM_CREDIT
    cancelled: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def cancel(self) -> None:
        with self.changed:
            self.cancelled = True
            self.changed.notify_all()

    def give(self, n: int) -> None:
        with self.changed:
            self.credit += n
            self.changed.notify_all()

    def take(self) -> bool:
        """Wait for room for one piece; False when nobody wants it any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.credit > 0 or self.cancelled)
            self.credit -= 1
            return not self.cancelled


class Streams:
    """The open streams of an engine, at most one per slot.

    Args:
        post: Queues a record for the window; pieces carry no key, so none replaces another.
    """

    def __init__(self, post: Callable[[ToWindow], None]) -> None:
        self._post = post
        self._open: dict[Slot, _Stream] = {}
        self._lock = threading.Lock()

    def start(self, ask: Ask, make_view: MakeView) -> None:
        """Begin a stream; an older one of the same slot ends."""
        stream = _Stream(ask)
        with self._lock:
            older = self._open.get(ask.slot)
            self._open[ask.slot] = stream
        if older is not None:
            older.cancel()
        name = f"stream {ask.probe}"
        threading.Thread(
            target=self._run, args=(stream, make_view), name=name, daemon=True
        ).start()

    def credit(self, slot: Slot, generation: int, n: int) -> None:
        """The window takes ``n`` more pieces."""
        stream = self._find(slot, generation)
        if stream is not None:
            stream.give(n)

    def cancel(self, slot: Slot, generation: int) -> None:
        """End a stream before its time; nothing more of it is sent."""
        stream = self._find(slot, generation)
        if stream is not None:
            stream.cancel()

    def forget(self, run: str) -> None:
        """End all streams of a run."""
        with self._lock:
            streams = [stream for slot, stream in self._open.items() if slot.run == run]
        for stream in streams:
            stream.cancel()

    def _find(self, slot: Slot, generation: int) -> _Stream | None:
        with self._lock:
            stream = self._open.get(slot)
        return stream if stream is not None and stream.ask.generation == generation else None

    def _run(self, stream: _Stream, make_view: MakeView) -> None:
        ask = stream.ask
        try:
            self._send_all(stream, make_view)
        except Exception as error:  # whatever a probe raises becomes a record
            failed = describe(error, ask.probe)
            if not stream.cancelled:
                self._post(
                    msgspec.structs.replace(
                        failed, slot=ask.slot, generation=ask.generation, run=ask.slot.run
                    )
                )
        finally:
            with self._lock:
                if self._open.get(ask.slot) is stream:
                    del self._open[ask.slot]

    def _send_all(self, stream: _Stream, make_view: MakeView) -> None:
        ask, began = stream.ask, time.perf_counter()
        view = make_view(lambda: stream.cancelled)
        results = find(probes(), ask.probe, "probe").ask(view, ask.arguments, ask.arrays)
        number = 0
        for result in results:
            if not self._send(stream, result, (number, view.step), began):
                return
            if result.final:
                return
            number += 1
        self._send(stream, Result(), (number, view.step), began)

    def _send(
        self,
        stream: _Stream,
        result: Result,
        place: tuple[int, int],
        began: float,
    ) -> bool:
        if not stream.take():
            return False
        ask = stream.ask
        number, step = place
        elapsed = time.perf_counter() - began
        arrays, values = result.numpy(), dict(result.values)
        self._post(
            Answer(ask.slot, ask.generation, step, arrays, values, result.final, elapsed, number)
        )
        return True
