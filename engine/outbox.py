"""What the engine sends, from a thread of its own, so that a slow window never stops training."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import msgspec

from engine.failures import describe
from engine.wire.messages import Failed, ToWindow


class Outbox:
    """Records in order; one posted under a key replaces an unsent one of the same key.

    A record that cannot be packed goes as a ``Failed`` that says so, in its place.

    Args:
        send: Sends one record; raises ``OSError`` when the window is gone.
    """

    def __init__(self, send: Callable[[ToWindow], None]) -> None:
        self._send = send
        self._pending: OrderedDict[Hashable, ToWindow] = OrderedDict()
        self._changed = threading.Condition()
        self._serial = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def post(self, record: ToWindow, key: Hashable | None = None) -> None:
        """Queue a record; returns at once."""
        with self._changed:
            self._serial += 1
            name = ("", self._serial) if key is None else ("key", key)
            if key is not None:
                self._pending.pop(name, None)
            self._pending[name] = record
            self._changed.notify()

    def close(self, timeout: float = 1.0) -> None:
        """Send what is queued, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closed)
                if not self._pending:
                    return
                _, record = self._pending.popitem(last=False)
            try:
                self._send(record)
            except OSError:
                return
            except Exception as error:  # what one probe made must not silence all others
                self._send(_unsendable(record, error))


def _unsendable(record: ToWindow, error: Exception) -> Failed:
    failed = describe(error, f"sending {type(record).__name__}")
    return msgspec.structs.replace(
        failed,
        slot=getattr(record, "slot", None),
        generation=getattr(record, "generation", 0),
        run=getattr(record, "run", ""),
        id=getattr(record, "id", None),
    )
