"""CIFAR-10: 60,000 colour photographs of ten kinds of things, 32×32 pixels.

Split 45,000 / 5,000 / 10,000: the first and the other ones of the five training batches, and the
test batch. Values are 256 levels of red, green and blue.

References:
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from engine.datasets.pixels import Binarisation, Levels, Pixels, Seed
from engine.download import (
    Cancelled,
    RemoteFile,
    Told,
    fetch_all,
    find_file,
    never,
    told_nobody,
)
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

N_TRAIN, N_VALID, N_TEST = 45_000, 5_000, 10_000
SHAPE = (3, 32, 32)
ROW = 1 + 3 * 32 * 32
BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
ARCHIVE = RemoteFile(
    name="cifar10/cifar-10-binary.tar.gz",
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    size=170_052_171,
    instead=("cifar-10-binary.tar.gz",),
)


class Cifar10(Pixels):
    """Pictures (N, 3, 32, 32) with the labels of ten kinds of things."""

    card = DatasetCard(
        name="cifar10",
        title="CIFAR-10",
        summary="60,000 colour photographs, 32×32; fetched at first use (170 MB).",
        kind="pictures",
    )

    @dataclass(frozen=True)
    class Config:
        """Training pictures and levels."""

        n_samples: Annotated[
            int,
            Field(10, N_TRAIN, scale="log", symbol="N", help="Training pictures, the first ones."),
        ] = N_TRAIN
        levels: Levels = 256
        binarisation: Binarisation = "dynamic"
        seed: Seed = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        pictures, labels = _read()
        cuts = ((0, config.n_samples), (N_TRAIN, N_TRAIN + N_VALID), (N_TRAIN + N_VALID, None))
        parts = [slice(*cut) for cut in cuts]
        self.labels = (
            "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
            "truck",
        )  # fmt: skip
        self._fill([pictures[part] for part in parts], [labels[part] for part in parts])

    @classmethod
    def sources(cls, config: Any) -> tuple[RemoteFile, ...]:
        """The archive that it is read from."""
        return (ARCHIVE,)

    @classmethod
    def load(cls, config: Any, told: Told = told_nobody, cancelled: Cancelled = never) -> None:
        """Fetch the files and read them into memory, where building finds them."""
        super().load(config, told, cancelled)
        _read()

    @classmethod
    def thumbnail(cls) -> Tensor | None:
        """One picture (3, 32, 32), 0 … 1; None where the archive is not there."""
        path = find_file(ARCHIVE)
        if path is None:
            return None
        return _parsed(_batches(path, most=1)[0][:ROW])[0][0].to(torch.float32) / 255.0


def _read() -> tuple[Tensor, Tensor]:
    path = fetch_all((ARCHIVE,))[0]
    return _cached(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _cached(path: Path, stamp: int) -> tuple[Tensor, Tensor]:
    parts = [_parsed(batch) for batch in _batches(path)]
    pictures, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    if len(pictures) != N_TRAIN + N_VALID + N_TEST:
        raise ValueError(
            f"{path.name} holds {len(pictures)} pictures, wanted {N_TRAIN + N_VALID + N_TEST}"
        )
    return pictures, labels


def _batches(path: Path, *, most: int = len(BATCHES)) -> list[bytes]:
    """The archive's files in order; they are read where they lie, nothing is unpacked to disk."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            found = dict(islice(_members(archive), most))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged ({error}); delete it to fetch it anew") from None
    if len(found) < most:
        lost = ", ".join(name for name in BATCHES if name not in found)
        raise ValueError(f"{path.name} lacks {lost}; delete it to fetch it anew")
    return [found[name] for name in BATCHES if name in found]


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        name = Path(member.name).name
        content = archive.extractfile(member) if name in BATCHES else None
        if content is not None:
            yield name, content.read()


def _parsed(batch: bytes) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, 32, 32) and labels (N,) of one file: a label, then red, green and blue."""
    if len(batch) % ROW:
        raise ValueError(f"CIFAR-10: a batch of {len(batch)} bytes, wanted rows of {ROW}")
    table = torch.from_numpy(np.frombuffer(batch, np.uint8).reshape(-1, ROW).copy())
    return table[:, 1:].reshape(-1, *SHAPE), table[:, 0].to(torch.int64)
