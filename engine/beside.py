"""The user's own data in a file of its own beside a run's keyframes, written once.

Up to 128 MB of pictures would otherwise go into every keyframe, every few seconds. The file is
called by what is in it, ``<run>.data-<digest>.safetensors``, and the keyframe names the digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.container import CheckpointError, read_container, write_container

DIGEST_BYTES = 16


class Source(Protocol):
    """A data set that cannot be built again elsewhere."""

    def embedded(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Its tensors and plain values."""
        ...


class Beside:
    """What lies beside one run's keyframe; a data set is immutable, so its identity will do.

    Args:
        path: The keyframe's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source: Source | None = None
        self._digest = ""
        self._meta: dict[str, Any] = {}

    def keep(self, source: Source) -> tuple[str, dict[str, Any]]:
        """Write a data set unless it lies there; its digest and its plain values.

        Raises:
            CheckpointError: It cannot be written.
        """
        if source is not self._source:
            tensors, self._meta = source.embedded()
            self._digest = digest_of(tensors)
            place = data_file(self._path, self._digest)
            if not place.is_file():
                write_container(place, tensors, {})
            self._source = source
        return self._digest, self._meta

    def sweep(self, keep: str = "") -> None:
        """Delete all data but those of one digest: what the keyframe now there does not name."""
        wanted = data_file(self._path, keep)
        for path in self._path.parent.glob(f"{self._path.stem}.data-*.safetensors"):
            if path != wanted:
                path.unlink(missing_ok=True)
        if not keep:
            self._source = None


def data_file(path: Path, digest: str) -> Path:
    """Where the data of a digest lie beside a keyframe."""
    return path.with_name(f"{path.stem}.data-{digest}.safetensors")


def read_beside(path: Path, digest: str) -> dict[str, Tensor]:
    """The tensors that a keyframe names.

    Raises:
        CheckpointError: They are not there, or not what was written.
    """
    if not re.fullmatch(r"[0-9a-f]+", digest):  # it becomes part of a path
        raise CheckpointError(f"{path.name} is damaged: it names data '{digest}'")
    place = data_file(path, digest)
    _, tensors = read_container(place)
    if digest_of(tensors) != digest:
        raise CheckpointError(f"{place.name} is damaged: it is not what was written")
    return tensors


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """A name for what tensors hold: their names, number types, shapes and bytes."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


__all__ = ["Beside", "data_file", "digest_of", "read_beside"]
