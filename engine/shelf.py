"""A run's past on disk: one small file per snapshot and keyframe, so that a crash loses nothing.

The folder follows the history: what is thinned out in memory leaves the disk too. Nothing in it is
code, and a damaged entry costs only itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from engine.changes import Change, Changes
from engine.container import CheckpointError, read_container, write_container
from engine.header import KeyframeMeta
from engine.history import History, Milestone, Snapshot
from engine.model import GenerativeModel
from engine.training import Keyframe, plain_config
from engine.wire.fields import Value, make_config

KEY = "genscope"
LOG = "changes.msgpack"


class _Head(msgspec.Struct):
    """The plain values of one file."""

    step: int
    config: dict[str, Value] = {}
    meta: dict[str, Any] = {}
    n_changes: int = 0


class Log(msgspec.Struct):
    """What the user changed, and the data with which the run began."""

    dataset: str = ""
    config: dict[str, Value] = {}
    changes: list[Change] = []


@dataclass
class Past:
    """What was found on disk.

    Attributes:
        history: Entries that could be read.
        changes: What the user changed.
        log: As written, with the data at the beginning.
        missing: One sentence about what could not be read, or "".
    """

    history: History
    changes: Changes
    log: Log
    missing: str = ""


class Shelf:
    """Keeps a folder equal to a history.

    Args:
        folder: Made when the first entry is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, object] = {}
        self._log = b""
        self._lock = threading.Lock()

    def sync(
        self, snapshots: Sequence[Snapshot], keyframes: Sequence[Milestone], log: Log
    ) -> None:
        """Write what is new and delete what is gone.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        wanted: dict[str, Snapshot | Milestone] = {_name("s", s.step): s for s in snapshots}
        wanted |= {_name("k", k.step): k for k in keyframes}
        with self._lock:
            _make(self.folder)
            if not self._log:
                self._sweep(set(wanted))
            for name in [name for name in self._written if name not in wanted]:
                (self.folder / name).unlink(missing_ok=True)
                del self._written[name]
            for name, entry in wanted.items():
                if self._written.get(name) is not entry:
                    _write(self.folder / name, entry)
                    self._written[name] = entry
            self._write_log(log)

    def _sweep(self, wanted: set[str]) -> None:
        """Delete what an earlier process left and nobody wants any more."""
        for path in self.folder.glob("*.safetensors"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def adopt(self, history: History) -> None:
        """What was just read from this folder need not be written again."""
        with self._lock:
            entries: dict[str, object] = {_name("s", s.step): s for s in history.snapshots.entries}
            entries |= {_name("k", k.step): k for k in history.keyframes.entries}
            there = {path.name for path in self.folder.glob("*.safetensors")}
            self._written = {name: entry for name, entry in entries.items() if name in there}

    def clear(self) -> None:
        """Delete the folder's entries and the folder."""
        with self._lock:
            self._written = {}
            self._log = b""
            if self.folder.is_dir():
                for path in [*self.folder.glob("*.safetensors"), self.folder / LOG]:
                    path.unlink(missing_ok=True)
                if not any(self.folder.iterdir()):
                    self.folder.rmdir()

    def _write_log(self, log: Log) -> None:
        packed = msgspec.msgpack.encode(log)
        if packed != self._log:
            temporary = self.folder / f"{LOG}.new"
            try:
                temporary.write_bytes(packed)
                temporary.replace(self.folder / LOG)
            except OSError as error:
                raise CheckpointError(f"{self.folder} cannot be written: {error}") from None
            self._log = packed


def load_past(folder: Path, model: GenerativeModel) -> Past:
    """Read a folder for a model of the same architecture; what is damaged is left out and said."""
    past = Past(History(), Changes(), Log())
    lost = _load_log(folder, past)
    past.changes = Changes(list(past.log.changes))
    reader = _Snapshots(model)
    snapshots, lost_snapshots = _load_all(folder, "s", reader.read)
    keyframes, lost_keyframes = _load_all(folder, "k", _milestone)
    past.history.snapshots.replace(snapshots)
    past.history.keyframes.replace(keyframes)
    if lost_snapshots:
        lost.append(f"{lost_snapshots} stored steps")
    if lost_keyframes:
        lost.append(f"{lost_keyframes} keyframes")
    past.missing = f"could not be read: {', '.join(lost)}" if lost else ""
    return past


def _load_log(folder: Path, past: Past) -> list[str]:
    try:
        past.log = msgspec.msgpack.decode((folder / LOG).read_bytes(), type=Log)
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, RecursionError):
        return ["the list of changed settings"]
    return []


def _load_all(folder: Path, kind: str, read: Callable[[Path], Any]) -> tuple[list[Any], int]:
    found, lost = [], 0
    for path in sorted(folder.glob(f"{kind}-*.safetensors")):
        try:
            found.append(read(path))
        except (CheckpointError, msgspec.MsgspecError, KeyError, ValueError, TypeError):
            lost += 1
    return found, lost


class _Snapshots:
    """Reads the snapshots of one model; equal configurations are checked once and shared."""

    def __init__(self, model: GenerativeModel) -> None:
        self._kind = type(model).Config
        self._pattern = list(model.state_dict().values())
        self._configs: dict[bytes, Any] = {}

    def read(self, path: Path) -> Snapshot:
        head, tensors = _read(path)
        ordered = _unpacked(tensors, self._pattern)
        if ordered is None:
            raise CheckpointError(f"{path.name} is of another model")
        return Snapshot(head.step, ordered, self._config(head.config))

    def _config(self, values: dict[str, Value]) -> Any:
        key = msgspec.json.encode(values)
        if key not in self._configs:
            self._configs[key] = make_config(self._kind, values)
        return self._configs[key]


def _milestone(path: Path) -> Milestone:
    head, tensors = _read(path)
    msgspec.convert(head.meta, KeyframeMeta)
    return Milestone(Keyframe(tensors, head.meta), head.n_changes)


def _read(path: Path) -> tuple[_Head, dict[str, Tensor]]:
    metadata, tensors = read_container(path)
    return msgspec.json.decode(metadata[KEY], type=_Head), tensors


def _packed(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """One flat tensor per number type: writing few large ones is several times cheaper."""
    groups: dict[str, list[Tensor]] = {}
    for value in tensors:
        groups.setdefault(str(value.dtype), []).append(value.reshape(-1).cpu())
    return {name: torch.cat(parts) for name, parts in groups.items()}


def _unpacked(
    packed: Mapping[str, Tensor], pattern: Sequence[Tensor]
) -> tuple[Tensor, ...] | None:
    """Tensors shaped like a pattern; None where they are not of that size and type."""
    needed: dict[str, int] = {}
    for value in pattern:
        needed[str(value.dtype)] = needed.get(str(value.dtype), 0) + value.numel()
    if {name: value.numel() for name, value in packed.items()} != needed:
        return None
    taken = dict.fromkeys(needed, 0)
    found = []
    for value in pattern:
        name, start = str(value.dtype), taken[str(value.dtype)]
        taken[name] = start + value.numel()
        found.append(packed[name][start : taken[name]].reshape(value.shape))
    return tuple(found)


def _write(path: Path, entry: Snapshot | Milestone) -> None:
    tensors: Mapping[str, Tensor]
    if isinstance(entry, Snapshot):
        head = _Head(entry.step, plain_config(entry.config))
        tensors = _packed(entry.tensors)
    else:
        head = _Head(entry.step, meta=entry.keyframe.meta, n_changes=entry.n_changes)
        tensors = entry.keyframe.tensors
    text = msgspec.json.encode(head).decode()
    # Not forced to the disk one by one: a power cut may cost an entry, not the run's file.
    write_container(path, tensors, {KEY: text}, durable=False)


def _name(kind: str, step: int) -> str:
    return f"{kind}-{step:012d}.safetensors"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be made: {error.strerror}") from None


__all__ = ["Log", "Past", "Shelf", "load_past"]
