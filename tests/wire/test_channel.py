"""Records over the wire: what goes in comes out, and nothing malformed does any harm."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import struct
import threading
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.wire.channel import EngineEnd, WindowEnd, WireError, decode, encode
from engine.wire.messages import (
    Ack,
    Answer,
    Ask,
    Failed,
    Heartbeat,
    Metrics,
    Play,
    RunSpec,
    RunState,
    Slot,
    StartRun,
    ToEngine,
    ToWindow,
)

SLOT = Slot("density", "run-1", "density")
SPEC = RunSpec("realnvp", "two_moons", {"n_layers": 8, "hidden_features": [64, 64]}, {}, 3)
KINDS = st.sampled_from(["<f4", "<f8", "<i4", "<i8", "|u1", "|b1", "<c8", ">f4"])
ANY_ARRAY = KINDS.flatmap(
    lambda kind: arrays.arrays(np.dtype(kind), arrays.array_shapes(min_dims=0, min_side=0))
)


def same(a: Any, b: Any) -> bool:
    """Equal field by field; arrays bit for bit."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, msgspec.Struct):
        names = a.__struct_fields__
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in names)
    return bool(a == b)


@pytest.mark.parametrize(
    ("record", "union"),
    [
        (StartRun(1, "run-1", SPEC, playing=True), ToEngine),
        (Play(2, "run-1", 500), ToEngine),
        (Ask(SLOT, 7, "density", {"low": [-1.0, 2.0], "size": 64}, {}, cursor=12), ToEngine),
        (Ack(1, None, "done"), ToWindow),
        (Failed("step 3", "ValueError", "No.", slot=SLOT, offer={"batch_size": 8}), ToWindow),
        (
            RunState("run-1", "training", 12, 99.5, (1, 2, 12), live={"learning_rate": 0.1}),
            ToWindow,
        ),
        (Heartbeat("step 1", 0.5, "idle", 0.0, 10**9), ToWindow),
        (Metrics("run-1", ("total",), np.arange(3), np.full((3, 1), math.nan)), ToWindow),
    ],
    ids=lambda value: type(value).__name__,
)
def test_round_trip(record: Any, union: Any) -> None:
    assert same(decode(encode(record), union), record)


@given(st.dictionaries(st.text(max_size=8), ANY_ARRAY, max_size=4))
def test_arrays_cross_bit_for_bit(found: dict[str, np.ndarray]) -> None:
    record = Answer(SLOT, 3, 10, found)
    assert same(decode(encode(record), ToWindow), record)


def test_views_that_are_not_contiguous_cross() -> None:
    array = np.arange(24.0).reshape(4, 6)[::2, ::-3]
    back = decode(encode(Answer(SLOT, 1, 1, {"a": array})), ToWindow).arrays["a"]
    assert np.array_equal(back, array)


def test_what_arrives_is_read_only() -> None:
    back = decode(encode(Answer(SLOT, 1, 1, {"a": np.ones(3)})), ToWindow).arrays["a"]
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 2.0


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["a"]), np.array([b"a"])])
def test_arrays_that_would_need_pickle_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="cannot cross the wire"):
        encode(Answer(SLOT, 1, 1, {"a": array}))


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot cross the wire"):
        encode(Answer(SLOT, 1, 1, {}, {"a": complex(1, 2)}))  # type: ignore[dict-item]


FRAME = encode(Answer(SLOT, 1, 1, {"a": np.arange(6.0), "b": np.ones((2, 2), np.float32)}))


@given(st.integers(0, len(FRAME) - 1))
def test_a_truncated_frame_is_an_error(length: int) -> None:
    with pytest.raises(WireError):
        decode(FRAME[:length], ToWindow)


@given(st.binary(max_size=200))
def test_noise_is_an_error(noise: bytes) -> None:
    with pytest.raises(WireError):
        decode(noise, ToWindow)


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_a_record(place: int, value: int) -> None:
    frame = bytearray(FRAME)
    frame[place] = value
    with contextlib.suppress(WireError):  # any other exception fails
        decode(bytes(frame), ToWindow)


def test_the_other_side_s_records_are_refused() -> None:
    with pytest.raises(WireError):
        decode(encode(Play(1, "run-1")), ToWindow)
    with pytest.raises(WireError):
        decode(encode(Ack(1)), ToEngine)


@pytest.mark.parametrize(
    "head",
    [
        [0, "|O", [1]],
        [0, "<f8", [-1]],
        [0, "<f8", [10**12]],
        [0, "<f8", [2**40, 2**40]],
        [0, "<f8", [2**64 - 1]],
        [0, ",", [1]],
        [0, "(99999999,)f8", [1]],
        [0, "<f8", [0] * 70],
    ],
)
def test_forged_heads_are_refused(head: list[Any]) -> None:
    slot = {"panel": "", "run": "", "part": ""}
    body = {"type": "Answer", "slot": slot, "generation": 0, "step": 0, "arrays": {"a": head}}
    header = msgspec.msgpack.encode(body)
    with pytest.raises(WireError):
        decode(struct.pack("<I", len(header)) + header + bytes(64), ToWindow)


@pytest.mark.parametrize("head", [b"\x81\xa1a", b"\x84\xa4type\xa3Ask\xa1z"])
def test_a_frame_nested_without_end_is_an_error(head: bytes) -> None:
    header = head + b"\x91" * 200_000
    with pytest.raises(WireError):
        decode(struct.pack("<I", len(header)) + header, ToEngine)


def test_two_ends() -> None:
    ours, theirs = multiprocessing.Pipe()
    window, engine = WindowEnd(ours), EngineEnd(theirs)
    assert not window.poll()
    window.send(Play(5, "run-1", 10))
    assert engine.receive() == Play(5, "run-1", 10)
    engine.send(Ack(5))
    assert window.poll(1.0)
    assert window.receive() == Ack(5)
    engine.close()
    with pytest.raises(EOFError):
        window.receive()
    window.close()


def test_several_threads_may_send() -> None:
    ours, theirs = multiprocessing.Pipe()
    window, engine = WindowEnd(ours), EngineEnd(theirs)

    def send(first: int) -> None:
        for number in range(first, first + 50):
            engine.send(Answer(SLOT, number, 0, {"a": np.full(2000, number)}))

    threads = [threading.Thread(target=send, args=(100 * index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    answers = [window.receive() for _ in range(200)]
    for thread in threads:
        thread.join()
    assert all((answer.arrays["a"] == answer.generation).all() for answer in answers)
    assert len({answer.generation for answer in answers}) == 200
    window.close()
    engine.close()
