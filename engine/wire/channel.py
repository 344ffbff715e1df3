"""Records over a pipe: a msgpack header and the raw buffers of its arrays. No pickle crosses.

A frame is ``[u32 header length][header][buffer 0][padding][buffer 1]…``. The header is a msgpack
map with the record and, for each array, its dtype and shape; buffers start at multiples of 16.
"""

from __future__ import annotations

import math
import re
import struct
import threading
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from engine.wire.messages import ToEngine, ToWindow

S = TypeVar("S")
R = TypeVar("R")
_ALIGN = 16
_KINDS = frozenset("biufc")
_DTYPE = re.compile(r"[<>|]?[biufc]\d{1,2}")


class WireError(ValueError):
    """A frame that this end cannot read."""


class _ArrayHead(msgspec.Struct, array_like=True):
    """Stands in the header for an array."""

    index: int
    dtype: str
    shape: tuple[int, ...]


def encode(record: object) -> bytes:
    """Pack a record and its arrays into one frame.

    Raises:
        TypeError: An array holds objects, which would need pickle.
    """
    buffers: list[np.ndarray[Any, Any]] = []

    def hook(value: object) -> object:
        if not isinstance(value, np.ndarray):
            raise TypeError(f"a {type(value).__name__} cannot cross the wire")
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {value.dtype} cannot cross the wire")
        buffers.append(np.ascontiguousarray(value))
        return _ArrayHead(len(buffers) - 1, value.dtype.str, value.shape)

    header = msgspec.msgpack.encode(record, enc_hook=hook)
    parts: list[bytes | memoryview] = [struct.pack("<I", len(header)), header]
    position = 4 + len(header)
    for buffer in buffers:
        padding = -position % _ALIGN
        parts += [bytes(padding), buffer.reshape(-1).view(np.uint8).data]
        position += padding + buffer.nbytes
    return b"".join(parts)


def decode(frame: bytes, kind: Any) -> Any:
    """Unpack a frame into a record of ``kind``; its arrays are read-only views of the frame.

    Raises:
        WireError: The frame is malformed or of another kind.
    """
    if len(frame) < 4:
        raise WireError("a frame without a header")
    (length,) = struct.unpack_from("<I", frame)
    cursor = 4 + length

    def hook(_: type, value: object) -> object:
        nonlocal cursor
        head = msgspec.convert(value, _ArrayHead)
        if not _DTYPE.fullmatch(head.dtype) or any(side < 0 for side in head.shape):
            raise ValueError("an array of a kind that may not cross")
        dtype = np.dtype(head.dtype)
        cursor += -cursor % _ALIGN
        count = math.prod(head.shape)
        if cursor + count * dtype.itemsize > len(frame):
            raise ValueError("an array that is longer than its frame")
        array = np.frombuffer(frame, dtype, count, cursor).reshape(head.shape)
        cursor += array.nbytes
        return array

    try:
        return msgspec.msgpack.decode(memoryview(frame)[4 : 4 + length], type=kind, dec_hook=hook)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise WireError(f"a frame that cannot be read: {error}") from error


class Channel(Generic[S, R]):
    """One end of the wire: sends records of one union, receives records of the other.

    ``send`` may be called from several threads; ``receive`` from one.
    """

    def __init__(self, connection: Connection[Any, Any], receives: Any) -> None:
        self._connection = connection
        self._receives = receives
        self._lock = threading.Lock()

    def send(self, record: S) -> None:
        """Send one record; raises ``OSError`` when the other end is gone."""
        frame = encode(record)
        with self._lock:
            self._connection.send_bytes(frame)

    def receive(self) -> R:
        """Wait for the next record; raises ``EOFError`` when the other end is gone."""
        record: R = decode(self._connection.recv_bytes(), self._receives)
        return record

    def poll(self, timeout: float = 0.0) -> bool:
        """Whether a record has arrived within ``timeout`` seconds."""
        return self._connection.poll(timeout)

    def close(self) -> None:
        """Close this end; the other end reads ``EOFError``."""
        self._connection.close()


class WindowEnd(Channel[ToEngine, ToWindow]):
    """The window's end of the wire."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        super().__init__(connection, ToWindow)


class EngineEnd(Channel[ToWindow, ToEngine]):
    """The engine's end of the wire."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        super().__init__(connection, ToEngine)
