"""A session as a folder, and as one ``.genscope`` file: a ZIP of that folder, nothing compressed.

::

    session.json                     what is open, and how it is looked at
    runs/<run>.safetensors           weights, the keyframe to go on from, the user's own data
    runs/<run>.data-<digest>.safetensors      the user's own data, where a keyframe only names them
    runs/<run>.metrics               training figures: one frame of the wire
    runs/<run>.history/s-<step>.safetensors   a stored step; k-<step> is a keyframe
    runs/<run>.history/changes.msgpack        what the user changed while it trained

Nothing in it is code. The folder is also what autosave keeps, so a crash leaves a session that
opens like any other.
"""

from __future__ import annotations

import os
import re
import secrets
import struct
import time
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from engine.wire.channel import WireError, decode, encode
from engine.wire.fields import Value
from engine.wire.messages import Metrics, RunSpec

SUFFIX = ".genscope"
#: Version of the layout; files of a higher one are refused.
FORMAT = 1
RECORD, RUNS = "session.json", "runs"
WEIGHTS, FIGURES, PAST, DATA = ".safetensors", ".metrics", ".history", ".data-"
CHANGES = "changes.msgpack"
RUN_ID = r"[A-Za-z0-9_-]{1,64}"
#: Longest session.json and longest table of figures accepted, in bytes.
LONGEST_RECORD = 64 * 2**20
LONGEST_FIGURES = 256 * 2**20
#: Id of the extra field with the seal of an entry's name.
SEAL = b"GS"
#: Most runs that a session may name.
MOST_RUNS = 512

_ENTRY = re.compile(
    rf"{RUNS}/(?P<run>{RUN_ID})"
    rf"(?:(?P<part>\.safetensors|\.metrics|\.data-[0-9a-f]{{1,64}}\.safetensors)|\.history/(?P<file>[sk]-\d{{12}}\.safetensors|"
    rf"changes\.msgpack))",
    re.ASCII,
)


class SessionError(ValueError):
    """A session cannot be saved or opened; the sentence says why."""


class RunRecord(msgspec.Struct, frozen=True):
    """One run of a session.

    Attributes:
        run: Its id when it was written; another one when it is open again.
        spec: What decides it, with the data and the live settings then in force.
        place: Its position in the strip.
        title: Model and data in words.
        step: Training steps taken.
        pace: Limit of its speed in steps a second.
        path: The file to which it was saved by itself; only kept on this machine.
        parent, forked_at: Where a fork came from.
        n_steps, n_keyframes: Entries of its past in the file; −1 where nobody counted.
    """

    run: str
    spec: RunSpec
    place: int = 0
    title: str = ""
    step: int = 0
    pace: float | None = None
    path: str = ""
    parent: str = ""
    forked_at: int = 0
    n_steps: int = -1
    n_keyframes: int = -1


class View(msgspec.Struct, frozen=True):
    """How the window is arranged: docks as Qt's own bytes in base64, and the panels' choices."""

    window: str = ""
    docks: str = ""
    panels: dict[str, dict[str, Any]] = {}


class SessionRecord(msgspec.Struct, frozen=True):
    """``session.json``.

    Attributes:
        format: Version of the layout.
        program: Version of the program that wrote it.
        when: Seconds since 1970.
        runs: In the order of the strip.
        current: Id of the run in view.
        cursor: The stored step that is looked at; None for the newest.
        view: Docks and panels.
        sections: What other parts of the window keep, by name.
        path: The session file that was open; only kept on this machine.
    """

    format: int = FORMAT
    program: str = ""
    when: float = 0.0
    runs: tuple[RunRecord, ...] = ()
    current: str = ""
    cursor: int | None = None
    view: View = msgspec.field(default_factory=View)
    sections: dict[str, dict[str, Value]] = {}
    path: str = ""


class _Version(msgspec.Struct):
    """All that is read of a record before its version is known."""

    format: int
    program: str = "unknown"


@cache
def program_version() -> str:
    """The program's version, as ``pyproject.toml`` has it."""
    path = Path(__file__).parents[1] / "pyproject.toml"
    if not path.is_file():
        return "unknown"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])


# --- names ------------------------------------------------------------------------------------


def new_folder(root: Path) -> Path:
    """A session folder that no other process has had, not even one with this number."""
    return root / f"{time.time_ns():x}-{os.getpid()}"


def run_file(folder: Path, run: str) -> Path:
    """Where a session's folder has a run's weights and keyframe."""
    return folder / RUNS / f"{run}{WEIGHTS}"


def past_folder(folder: Path, run: str) -> Path:
    """Where it has a run's stored steps and keyframes."""
    return folder / RUNS / f"{run}{PAST}"


def figures_file(folder: Path, run: str) -> Path:
    """Where it has a run's training figures."""
    return folder / RUNS / f"{run}{FIGURES}"


def entry_of(name: str) -> tuple[str, str] | None:
    """Run and kind of an entry, or None for a name that no session has.

    The kinds are ``.safetensors``, ``.metrics``, ``.data-….safetensors``, and for the past the
    file's own name.
    """
    found = _ENTRY.fullmatch(name)
    return (found["run"], found["part"] or found["file"]) if found else None


def entries_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Entries of a session's folder and where they are; the small and vital ones come first."""
    root = folder / RUNS
    shallow = sorted(root.glob("*")) if root.is_dir() else []
    deep = [path for past in shallow if past.is_dir() for path in sorted(past.glob("*"))]
    for path in [*shallow, *deep]:
        name = path.relative_to(folder).as_posix()
        if path.is_file() and entry_of(name) is not None:
            yield name, path


# --- the record -------------------------------------------------------------------------------


def encode_record(record: SessionRecord) -> bytes:
    """``session.json``."""
    return msgspec.json.encode(record)


def decode_record(name: str, text: bytes) -> SessionRecord:
    """Read ``session.json`` of the session ``name``; raises ``SessionError`` with a sentence."""
    try:
        version = msgspec.json.decode(text, type=_Version)
        if version.format > FORMAT:
            raise SessionError(
                f"{name} was made by a newer version of Genscope ({version.program}, format "
                f"{version.format}; this is {program_version()}, format {FORMAT}); update to open"
            )
        record = msgspec.json.decode(text, type=SessionRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SessionError(f"the list of runs in {name} is damaged: {error}") from None
    runs = [run.run for run in record.runs]
    if len(runs) > MOST_RUNS or len(set(runs)) < len(runs):
        raise SessionError(
            f"the list of runs in {name} is damaged: {len(runs)} runs of {len(set(runs))} names, "
            f"wanted at most {MOST_RUNS}, each once"
        )
    return record


def encode_figures(figures: Metrics) -> bytes:
    """A run's training figures."""
    return encode(figures)


def decode_figures(data: bytes) -> Metrics:
    """Training figures again; raises ``SessionError`` where they are damaged."""
    try:
        figures: Metrics = decode(data, Metrics)
    except WireError as error:
        raise SessionError(f"the training figures are damaged: {error}") from None
    rows = (len(figures.steps), len(figures.columns))
    if figures.steps.ndim != 1 or figures.table.shape != rows:
        raise SessionError(
            f"the training figures are damaged: a table {figures.table.shape}, wanted {rows}"
        )
    return figures


# --- writing ----------------------------------------------------------------------------------


def write_file(path: Path, data: bytes) -> None:
    """Replace a file as a whole; raises ``OSError``."""
    temporary = path.parent / f".genscope-{secrets.token_hex(8)}"
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def count_past(folder: Path, record: SessionRecord) -> SessionRecord:
    """A record that says how much of each run's past there is, so that a loss is noticed."""
    names = [entry for name, _ in entries_below(folder) if (entry := entry_of(name))]
    runs = tuple(
        msgspec.structs.replace(
            run,
            n_steps=sum(of == run.run and kind.startswith("s-") for of, kind in names),
            n_keyframes=sum(of == run.run and kind.startswith("k-") for of, kind in names),
        )
        for run in record.runs
    )
    return msgspec.structs.replace(record, runs=runs)


def write_session(path: Path, folder: Path, record: SessionRecord) -> None:
    """Write a session's folder as one file; an older file is replaced only at the very end.

    Args:
        path: Where to.
        folder: With ``runs/``; what is there of other runs than the record's is left out.
        record: Becomes ``session.json``, with the past counted.

    Raises:
        SessionError: The file cannot be written; an older one of that name is then untouched.
    """
    temporary = path.parent / f".genscope-{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            _pack(file, folder, record)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, zipfile.LargeZipFile, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SessionError(f"{path} cannot be written: {reason}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _pack(file: BinaryIO, folder: Path, record: SessionRecord) -> None:
    """The record first, then the runs, then their past: what a cut costs first comes last."""
    wanted = {run.run for run in record.runs}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, RECORD, encode_record(count_past(folder, record)))
        for name, source in entries_below(folder):
            entry = entry_of(name)
            if entry is not None and entry[0] in wanted:
                _put(archive, name, source.read_bytes())


def name_seal(name: str) -> bytes:
    """An extra field of a ZIP entry that seals its name, which the format's checksum does not."""
    return struct.pack("<2sHI", SEAL, 4, zlib.crc32(name.encode()))


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    about = zipfile.ZipInfo(name, time.localtime()[:6])
    about.extra = name_seal(name)
    about.external_attr = 0o644 << 16
    archive.writestr(about, data)
