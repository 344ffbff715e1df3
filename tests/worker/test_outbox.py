"""The outbox: one record that cannot be packed does not silence the others."""

from __future__ import annotations

import queue

import numpy as np

from engine.outbox import Outbox
from engine.wire.channel import decode, encode
from engine.wire.messages import Ack, Answer, Failed, Slot, ToWindow

SLOT = Slot("density", "run-1", "map")


def test_an_answer_that_cannot_be_packed_becomes_a_failure() -> None:
    sent: queue.SimpleQueue[ToWindow] = queue.SimpleQueue()
    outbox = Outbox(lambda record: sent.put(decode(encode(record), ToWindow)))
    outbox.post(Answer(SLOT, 7, 1, {"a": np.array([object()])}))
    outbox.post(Answer(SLOT, 8, 1, {}, {"n": 2**80}))
    outbox.post(Ack(3))
    outbox.close()
    first, second, third = (sent.get(timeout=5.0) for _ in range(3))
    assert isinstance(first, Failed)
    assert isinstance(second, Failed)
    assert (first.slot, first.generation) == (SLOT, 7)
    assert (second.slot, second.generation) == (SLOT, 8)
    assert "cannot cross the wire" in first.message
    assert third == Ack(3)
