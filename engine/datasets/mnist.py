"""MNIST: 70,000 handwritten digits, 28×28 pixels with 256 grey levels.

Two conventions of black and white give different figures, and the screen says which is in force:
*static*, the fixed draws that Larochelle published (50,000 / 10,000 / 10,000, without labels), and
*dynamic*, fresh draws for every batch. The split of the original files is the first 50,000 / the
other 10,000 of the training file / the test file.

References:
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
    1998. Salakhutdinov and Murray, "On the quantitative analysis of deep belief networks", 2008.
    Larochelle and Murray, "The neural autoregressive distribution estimator", 2011.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.datasets.idx import N_TRAIN, SIDE, IdxPictures, Sample, idx_files
from engine.datasets.pixels import SPLITS, Levels, Seed
from engine.download import Cancelled, RemoteFile, Told, fetch_all, never, told_nobody
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = (
    (
        "train-images-idx3-ubyte",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    (
        "train-labels-idx1-ubyte",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    (
        "t10k-images-idx3-ubyte",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    (
        "t10k-labels-idx1-ubyte",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
STATIC_MIRROR = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
STATIC_FILES = (
    ("train", 78_400_000, "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
    ("valid", 15_680_000, "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
    ("test", 15_680_000, "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
)
#: The same three splits as packed bits in one file.
PACKED = "binarized_mnist.npz"
SIZES = {"train": N_TRAIN, "valid": 10_000, "test": 10_000}


class Mnist(IdxPictures):
    """Pictures (N, 1, 28, 28) with the labels 0 … 9; the static ones have none."""

    card = DatasetCard(
        name="mnist",
        title="MNIST",
        summary="70,000 handwritten digits, 28×28; fetched at first use (12 MB, static 110 MB).",
        kind="pictures",
    )
    files = idx_files("mnist", MIRRORS, FILES)
    names = tuple("0123456789")

    @dataclass(frozen=True)
    class Config:
        """Training pictures, levels and the kind of black and white."""

        n_samples: Sample = N_TRAIN
        levels: Levels = 2
        binarisation: Annotated[
            str,
            Field(
                choices=("static", "dynamic", "threshold"),
                when=("levels", 2),
                help="How two levels come about: the published fixed draws, drawn anew for every "
                "batch with the grey value as probability, or cut at the middle.",
            ),
        ] = "static"
        seed: Seed = 0

    def __init__(self, config: Any) -> None:
        if not _is_static(config):
            super().__init__(config)
            return
        super(IdxPictures, self).__init__(config)
        train, valid, test = (_static(split) for split in SPLITS)
        self._fill([train[: config.n_samples], valid, test])

    @classmethod
    def sources(cls, config: Any) -> tuple[RemoteFile, ...]:
        """The grey files, or those of the fixed draws."""
        return STATIC if _is_static(config) else cls.files

    @classmethod
    def class_names(cls, config: Any) -> tuple[str, ...]:
        """The digits; the fixed draws have none."""
        return () if _is_static(config) else cls.names

    @classmethod
    def load(cls, config: Any, told: Told = told_nobody, cancelled: Cancelled = never) -> None:
        """Fetch the files and read them into memory, where building finds them."""
        if not _is_static(config):
            super().load(config, told, cancelled)
            return
        fetch_all(STATIC, told=told, cancelled=cancelled)
        for split in SPLITS:
            _static(split)

    def _cut(self, grey: Tensor) -> Tensor:
        return grey if _is_static(self.config) else super()._cut(grey)


STATIC = tuple(
    RemoteFile(
        name=f"binarized_mnist/binarized_mnist_{split}.amat",
        urls=(f"{STATIC_MIRROR}binarized_mnist_{split}.amat",),
        sha256=sha256,
        size=size,
        instead=(PACKED, f"binarized_mnist/{PACKED}"),
    )
    for split, size, sha256 in STATIC_FILES
)


def _is_static(config: Any) -> bool:
    return bool(config.levels == 2 and config.binarisation == "static")


def _static(split: str) -> Tensor:
    path = fetch_all(STATIC[SPLITS.index(split) :][:1])[0]
    return _read_static(path, path.stat().st_mtime_ns, split)


@lru_cache(maxsize=3)
def _read_static(path: Path, stamp: int, split: str) -> Tensor:
    """One split of the fixed draws, uint8 (N, 1, 28, 28) of 0 and 1."""
    bits = _unpacked(path, split) if path.suffix == ".npz" else read_amat(path)
    if bits.shape != (SIZES[split], SIDE * SIDE):
        raise ValueError(
            f"{path.name} holds {split} pictures of shape {bits.shape}, wanted "
            f"({SIZES[split]}, {SIDE * SIDE}); delete it to fetch it anew"
        )
    return torch.from_numpy(bits).reshape(-1, 1, SIDE, SIDE)


def _unpacked(path: Path, split: str) -> npt.NDArray[np.uint8]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.unpackbits(archive[split], axis=1)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path.name} does not hold the fixed draws ({error}); delete it to fetch them anew"
        ) from None


def read_amat(path: Path) -> npt.NDArray[np.uint8]:
    """A text of 0 and 1 between blanks, one picture a line, as bytes (N, 784).

    Raises:
        ValueError: It is anything else.
    """
    text = np.fromfile(path, np.uint8)
    width = 2 * SIDE * SIDE
    if len(text) % width:
        raise ValueError(f"{path.name} is truncated; delete it to fetch it anew")
    bits = text.reshape(-1, width)[:, ::2] - ord("0")
    if bits.size and bits.max() > 1:
        raise ValueError(f"{path.name} holds other signs than 0 and 1; delete it to fetch it anew")
    return np.ascontiguousarray(bits)
