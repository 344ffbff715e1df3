"""A run's past on disk: one small file per snapshot and keyframe, so that a crash loses nothing.

The folder follows the history: what is thinned out in memory leaves the disk too. Nothing in it is
code, and a damaged entry costs only itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from torch import Tensor

from engine.changes import Changes, StoredChange
from engine.container import CheckpointError, read_container, write_container
from engine.dataset import Dataset
from engine.header import KeyframeMeta
from engine.history import History, Layout, Milestone, Snapshot, layout_of
from engine.model import GenerativeModel
from engine.training import Keyframe, plain_config
from engine.wire.fields import Value, make_config

KEY = "genscope"
LOG = "changes.msgpack"

E = TypeVar("E")


class _Head(msgspec.Struct):
    """The plain values of one file.

    Attributes:
        places: Names and shapes of a keyframe's tensors, by number type in the order in which
            they stand in one vector; empty where each stands by itself.
    """

    step: int
    config: dict[str, Value] = {}
    meta: dict[str, Any] = {}
    n_changes: int = 0
    places: dict[str, list[tuple[str, list[int]]]] = {}


class Log(msgspec.Struct):
    """What the user changed, and the data with which the run began."""

    dataset: str = ""
    config: dict[str, Value] = {}
    changes: list[StoredChange] = []

    @classmethod
    def of(cls, first: Dataset, changes: Changes) -> Log:
        """The log of a run that began with these data."""
        config = plain_config(first.config)
        return cls(type(first).card.name, config, [c.stored() for c in changes.entries])


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

    def before(self, now: History, changes: Changes) -> tuple[History, Changes]:
        """What is on disk up to the step with which ``now`` begins, and all that came since."""
        first = now.keyframes.steps[0]
        self.changes.cut(first)
        n = len(self.changes.entries)
        later = [replace(k, n_changes=k.n_changes + n) for k in now.keyframes.entries]
        history = self.history.until(first - 1)
        history.snapshots.replace([*history.snapshots.entries, *now.snapshots.entries])
        history.keyframes.replace([*history.keyframes.entries, *later])
        history.snapshots.held = now.snapshots.held
        history.set_budget(now.budget)
        return history, Changes([*self.changes.entries, *changes.entries])


class Shelf:
    """Keeps a folder equal to a history.

    Args:
        folder: Made when the first entry is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, object] = {}
        self._log = b""
        self._plain: tuple[object, dict[str, Value]] = (None, {})
        self._lock = threading.Lock()
        self._is_closed = False

    def sync(
        self,
        snapshots: Sequence[Snapshot],
        keyframes: Sequence[Milestone],
        log: Log,
        *,
        seconds: float | None = None,
        others: Sequence[Shelf] = (),
    ) -> None:
        """Write what is new and delete what is gone.

        Args:
            snapshots: All that are to be there.
            keyframes: Likewise; they are written first.
            log: What the user changed.
            seconds: Processor time after which the rest is left for another time, snapshots that
                lie between others first; None writes everything.
            others: Shelves on the same disk that may hold the same entries: those are not
                written again, their files get a second name.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        wanted: dict[str, Snapshot | Milestone] = {_name("k", k.step): k for k in keyframes}
        wanted |= {_name("s", s.step): s for s in coarse_to_fine(snapshots)}
        with self._lock:
            if self._is_closed:
                return
            _make(self.folder)
            if not self._log:
                self._sweep(set(wanted))
            for name in [name for name in self._written if name not in wanted]:
                (self.folder / name).unlink(missing_ok=True)
                del self._written[name]
            self._write_log(log)
            end = None if seconds is None else time.thread_time() + seconds
            for name, entry in wanted.items():
                if self._is_closed or (end is not None and time.thread_time() >= end):
                    return
                if self._written.get(name) is not entry:
                    self._put(name, entry, others)

    def _put(self, name: str, entry: Snapshot | Milestone, others: Sequence[Shelf]) -> None:
        if not self._link(name, entry, others):
            self._write(self.folder / name, entry)
        self._written[name] = entry

    def _write(self, path: Path, entry: Snapshot | Milestone) -> None:
        if isinstance(entry, Snapshot):
            if self._plain[0] is not entry.config:  # most have the same
                self._plain = entry.config, plain_config(entry.config)
            head = _Head(entry.step, self._plain[1])
            tensors = {str(kind): value for kind, value in entry.packed.items()}
        else:
            tensors, places = _joined(entry.keyframe.tensors)
            meta, n_changes = entry.keyframe.meta, entry.n_changes
            head = _Head(entry.step, meta=meta, n_changes=n_changes, places=places)
        text = msgspec.json.encode(head).decode()
        # Not forced to the disk one by one: a power cut may cost an entry, not the run's file.
        write_container(path, tensors, {KEY: text}, durable=False)

    def _link(self, name: str, entry: object, others: Sequence[Shelf]) -> bool:
        """Take over the file of another shelf that has the same entry; False where none has."""
        for other in others:
            if other is not self and other._written.get(name) is entry:
                target = self.folder / name
                target.unlink(missing_ok=True)
                try:
                    os.link(other.folder / name, target)
                except OSError:  # gone by now, on another disk, or a disk that cannot
                    continue
                return True
        return False

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
        """Delete the folder's entries and the folder, for good; what is being written stops."""
        self._is_closed = True
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


def coarse_to_fine(entries: Sequence[E]) -> list[E]:
    """The newest first, then few that are far apart, and those between them ever more densely."""
    last = len(entries) - 1
    # How often the way from the newest can be halved says at which coarseness a place is met.
    order = sorted(range(last + 1), key=lambda i: -((last - i) & (i - last)) or -len(entries))
    return [entries[i] for i in order]


def load_past(folder: Path, model: GenerativeModel) -> Past:
    """Read a folder for a model of the same architecture; what is damaged is left out and said."""
    past = Past(History(), Changes(), Log())
    lost = _load_log(folder, past)
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
        log = msgspec.msgpack.decode((folder / LOG).read_bytes(), type=Log)
        past.changes = Changes.from_stored(log.changes)
        past.log = log
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, RecursionError, ValueError):
        return ["the list of changed settings"]
    return []


def _load_all(folder: Path, kind: str, read: Callable[[Path], Any]) -> tuple[list[Any], int]:
    found, lost = [], 0
    for path in sorted(folder.glob(f"{kind}-*.safetensors")):
        try:
            found.append(read(path))
        except (
            CheckpointError,
            msgspec.MsgspecError,
            KeyError,
            ValueError,
            TypeError,
            RuntimeError,
        ):
            lost += 1
    return found, lost


class _Snapshots:
    """Reads the snapshots of one model; equal configurations are checked once and shared."""

    def __init__(self, model: GenerativeModel) -> None:
        self._kind = type(model).Config
        self._layout = layout_of(model.state_dict().values())
        self._configs: dict[bytes, Any] = {}

    def read(self, path: Path) -> Snapshot:
        head, tensors = _read(path)
        packed = _packed(tensors, self._layout)
        if packed is None:
            raise CheckpointError(f"{path.name} is of another model")
        return Snapshot(head.step, packed, self._layout, self._config(head.config))

    def _config(self, values: dict[str, Value]) -> Any:
        key = msgspec.json.encode(values)
        if key not in self._configs:
            self._configs[key] = make_config(self._kind, values)
        return self._configs[key]


def _milestone(path: Path) -> Milestone:
    head, tensors = _read(path)
    msgspec.convert(head.meta, KeyframeMeta)
    if head.places:
        tensors = _apart(tensors, head.places)
    return Milestone(Keyframe(tensors, head.meta), head.n_changes)


def _read(path: Path) -> tuple[_Head, dict[str, Tensor]]:
    metadata, tensors = read_container(path)
    return msgspec.json.decode(metadata[KEY], type=_Head), tensors


def _packed(tensors: Mapping[str, Tensor], layout: Layout) -> dict[torch.dtype, Tensor] | None:
    """What was read as vectors by type; None where they are not of a layout's sizes and types."""
    needed: dict[torch.dtype, int] = {}
    for kind, shape in layout:
        needed[kind] = needed.get(kind, 0) + shape.numel()
    packed = {value.dtype: value for value in tensors.values()}
    if {str(kind): (n,) for kind, n in needed.items()} != {k: v.shape for k, v in tensors.items()}:
        return None
    return packed if packed.keys() == needed.keys() else None


def _joined(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, list[tuple[str, list[int]]]]]:
    """One vector per number type, which is far cheaper to write, and what stands where in it."""
    places: dict[str, list[tuple[str, list[int]]]] = {}
    parts: dict[str, list[Tensor]] = {}
    for name, value in tensors.items():
        kind = str(value.dtype)
        places.setdefault(kind, []).append((name, list(value.shape)))
        # Not all lie on one device: states of generators are always on the CPU.
        parts.setdefault(kind, []).append(value.detach().reshape(-1).cpu())
    return {kind: torch.cat(values) for kind, values in parts.items()}, places


def _apart(
    joined: Mapping[str, Tensor], places: Mapping[str, list[tuple[str, list[int]]]]
) -> dict[str, Tensor]:
    """The tensors of :func:`_joined` again; raises where the vectors are not as long as that."""
    found = {}
    for kind, entries in places.items():
        shapes = [torch.Size(shape) for _, shape in entries]
        parts = torch.split(joined[kind], [shape.numel() for shape in shapes])
        for (name, _), shape, part in zip(entries, shapes, parts, strict=True):
            found[name] = part.view(shape)
    return found


def _name(kind: str, step: int) -> str:
    return f"{kind}-{step:012d}.safetensors"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be made: {error.strerror}") from None


__all__ = ["Log", "Past", "Shelf", "load_past"]
