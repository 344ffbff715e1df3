"""Pictures in the IDX format of MNIST, and the base of the sets that come in it.

A file begins with two zero bytes, the type (8 for bytes), the number of axes and their lengths as
big-endian 32-bit numbers; then the values. 60,000 pictures are split 50,000 / 10,000 in their
order; the 10,000 test pictures are the test split.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.datasets.pixels import Pixels
from engine.download import (
    Cancelled,
    RemoteFile,
    Told,
    fetch_all,
    find_file,
    never,
    told_nobody,
)
from engine.wire.fields import Field

#: Pictures in the training and the validation split.
N_TRAIN, N_VALID = 50_000, 10_000
SIDE = 28
BYTES = 8
GZIP = b"\x1f\x8b"

Sample = Annotated[
    int, Field(10, N_TRAIN, scale="log", symbol="N", help="Training pictures, the first ones.")
]


class IdxPictures(Pixels):
    """Pictures (N, 1, 28, 28) with labels, of four IDX files.

    A subclass sets ``files``: training pictures and labels, test pictures and labels.
    """

    files: ClassVar[tuple[RemoteFile, ...]]
    names: ClassVar[tuple[str, ...]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        pictures, labels, test, test_labels = self._read()
        ends = (config.n_samples, N_TRAIN, N_TRAIN + N_VALID)
        grey = (pictures[: ends[0]], pictures[ends[1] : ends[2]], test)
        self.labels = self.class_names(config)
        self._fill(
            [part[:, None] for part in grey],
            (labels[: ends[0]], labels[ends[1] : ends[2]], test_labels),
        )

    @classmethod
    def sources(cls, config: Any) -> tuple[RemoteFile, ...]:
        """The files that it is read from."""
        return cls.files

    @classmethod
    def class_names(cls, config: Any) -> tuple[str, ...]:
        """Names of the classes."""
        return cls.names

    @classmethod
    def load(cls, config: Any, told: Told = told_nobody, cancelled: Cancelled = never) -> None:
        """Fetch the files and read them into memory, where building finds them."""
        super().load(config, told, cancelled)
        cls._read()

    @classmethod
    def thumbnail(cls) -> Tensor | None:
        """The first picture, 0 … 1, without reading all of them; None where the file is not."""
        path = find_file(cls.files[0])
        if path is None:
            return None
        first = read_idx(path, most=1)[0]
        return torch.from_numpy(first).to(torch.float32) / 255.0

    @classmethod
    def _read(cls) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        paths = fetch_all(cls.files)
        train, labels, test, test_labels = (_cached(path, _stamp(path)) for path in paths)
        for pictures, classes, path in ((train, labels, paths[0]), (test, test_labels, paths[2])):
            if pictures.shape[1:] != (SIDE, SIDE) or len(pictures) != len(classes):
                raise ValueError(
                    f"{path.name} holds pictures of shape {tuple(pictures.shape)} with "
                    f"{len(classes)} labels, wanted (N, {SIDE}, {SIDE}) and a label for each"
                )
        if len(train) < N_TRAIN + N_VALID:
            raise ValueError(
                f"{paths[0].name} holds {len(train)} pictures, wanted {N_TRAIN + N_VALID}"
            )
        return train, labels, test, test_labels


@lru_cache(maxsize=8)
def _cached(path: Path, stamp: int) -> Tensor:
    return torch.from_numpy(read_idx(path))


def _stamp(path: Path) -> int:
    """Changes when the file does."""
    return path.stat().st_mtime_ns


def read_idx(path: Path, *, most: int | None = None) -> npt.NDArray[np.uint8]:
    """The bytes of an IDX file, gzipped or not, in their shape; at most the first so many rows.

    Raises:
        ValueError: It is of another format, of another type than bytes, truncated or damaged.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:2] != b"\0\0" or start[2] != BYTES or not start[3]:
                raise ValueError(
                    f"{path.name} is no IDX file of bytes; delete it to fetch it anew"
                )
            lengths = file.read(4 * start[3])
            shape = struct.unpack(f">{len(lengths) // 4}I", lengths[: len(lengths) // 4 * 4])
            if most is not None:
                shape = (*(min(most, n) for n in shape[:1]), *shape[1:])
            values = file.read(math.prod(shape))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged ({error}); delete it to fetch it anew") from None
    if len(shape) != start[3] or len(values) != math.prod(shape):
        raise ValueError(f"{path.name} is truncated; delete it to fetch it anew")
    return np.frombuffer(values, np.uint8).reshape(shape).copy()


def idx_files(
    folder: str, mirrors: tuple[str, ...], files: tuple[tuple[str, int, str], ...]
) -> tuple[RemoteFile, ...]:
    """Files by name, size and SHA-256; unpacked ones serve too, as do those of torchvision."""
    return tuple(
        RemoteFile(
            name=f"{folder}/{name}.gz",
            urls=tuple(f"{mirror}{name}.gz" for mirror in mirrors),
            sha256=sha256,
            size=size,
            instead=(f"{folder}/{name}", f"{_torchvision(folder)}/raw/{name}"),
        )
        for name, size, sha256 in files
    )


def _torchvision(folder: str) -> str:
    return {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}.get(folder, folder)
