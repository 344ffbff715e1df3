"""The JSON header of a saved model: what the file says about itself."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.container import CheckpointError
from engine.training import CHUNK
from engine.wire.fields import Value

#: Version of the header; files of a higher one are refused.
FORMAT = 1


class DataHeader(msgspec.Struct, frozen=True):
    """The data set of a run, and what belongs to its tensors where they are kept.

    Attributes:
        embedded: Plain values of data of the user's own; the tensors are ``data.…`` in the file.
        beside: Digest of those tensors where they lie in another file (``engine.beside``), or "".
    """

    name: str
    config: dict[str, Value] = {}
    embedded: dict[str, Any] | None = None
    beside: str = ""


class KeyframeHeader(msgspec.Struct, frozen=True):
    """The plain values of a keyframe, and those of its tensors that equal the weights."""

    meta: dict[str, Any]
    shared: list[str] = []


class KeyframeMeta(msgspec.Struct, frozen=True):
    """What the plain values of a keyframe must hold."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    position: Annotated[int, msgspec.Meta(ge=0, le=CHUNK)]
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=2**24)]
    learning_rate: Annotated[float, msgspec.Meta(ge=0.0)]


class Header(msgspec.Struct, frozen=True):
    """What the file says about itself."""

    format: int
    program: str
    model: str
    event_shape: tuple[int, ...]
    config: dict[str, Value]
    data: DataHeader | None = None
    step: int = 0
    seed: int = 0
    device: str = "auto"
    keyframe: KeyframeHeader | None = None
    notes: dict[str, str] = {}


class _Version(msgspec.Struct):
    """All that is read of a header before its version is known."""

    format: int
    program: str = "unknown"


def parse_header(name: str, text: str) -> Header:
    """Read the header of the file ``name``; raises ``CheckpointError`` with a sentence."""
    try:
        version = msgspec.json.decode(text, type=_Version)
        if version.format > FORMAT:
            raise CheckpointError(
                f"{name} was made by a newer version of Genscope ({version.program}, format "
                f"{version.format}; this is {program_version()}, format {FORMAT}); update to open"
            )
        return msgspec.json.decode(text, type=Header)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CheckpointError(f"the header of {name} is damaged: {error}") from None


@cache
def program_version() -> str:
    """The program's version, as ``pyproject.toml`` has it."""
    path = Path(__file__).parents[1] / "pyproject.toml"
    if not path.is_file():
        return "unknown"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])
