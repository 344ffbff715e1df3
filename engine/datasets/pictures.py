"""The user's own pictures: a folder of them, or an array in an NPY or NPZ file.

They become 256 levels of grey (Rec. 601: 0.299 R + 0.587 G + 0.114 B) or of red, green and blue,
in a seeded random order, split into three. Folders within the folder are classes. What could not
be read is left out and told in ``notes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.datasets.pixels import SPLITS, Binarisation, Levels, Pixels, Seed
from engine.download import Cancelled, Told, never, told_nobody
from engine.picture_arrays import read_arrays
from engine.picture_files import LARGEST_SIDE, Found, Shaping, listed, read_folder
from engine.wire.cards import DatasetCard
from engine.wire.fields import Field

#: Fewest pictures that can be trained on, and most bytes of all together.
FEWEST, MOST_BYTES = 2, 2**27
#: Smallest and largest side of a picture.
SMALLEST, LARGEST = 4, LARGEST_SIDE
MOST_CLASSES = 1000


class Pictures(Pixels):
    """Pictures (N, C, H, W) from a folder or an array."""

    card = DatasetCard(
        name="pictures",
        title="Your own pictures",
        summary="A folder of pictures of your own, or an array of them as NPY or NPZ.",
        kind="own",
        icon="pictures",
    )

    @dataclass(frozen=True)
    class Config:
        """Where they are, what becomes of them, and the split."""

        path: Annotated[
            str, Field(help="Folder of pictures, or an NPY or NPZ file."), "folder"
        ] = ""
        size: Annotated[
            int | None,
            Field(SMALLEST, LARGEST, symbol="S", help="Pixels a side; none keeps their own."),
        ] = 28
        fit: Annotated[
            str,
            Field(
                choices=("crop", "stretch", "pad"),
                help="How they become square: the middle, all of it stretched, or with a margin.",
            ),
        ] = "crop"
        colour: Annotated[bool, Field(help="Keep red, green and blue; else one grey value.")] = (
            False
        )
        invert: Annotated[bool, Field(help="Swap black and white.")] = False
        levels: Levels = 256
        binarisation: Binarisation = "dynamic"
        key: Annotated[
            str, Field(help="Array of an NPZ archive; empty takes the first of pictures.")
        ] = ""
        white: Annotated[
            float | None,
            Field(
                1.0,
                65_535.0,
                help="Value of white in an array; none takes 1, 255 or 65,535, what fits.",
            ),
        ] = None
        valid_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share held out for the held-out curve.")
        ] = 0.1
        test_fraction: Annotated[
            float, Field(0.0, 0.9, step=0.05, help="Share kept for the final evaluation.")
        ] = 0.1
        seed: Seed = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        remembered = _REMEMBERED.get(config)
        if remembered is not None and not Path(config.path).exists():
            self._restore(*remembered)
        else:
            self._read()

    @classmethod
    def from_embedded(
        cls, config: Any, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
    ) -> Pictures:
        """The data set as it was saved within a run's file, whatever became of its own files.

        Building it again from the same settings gives the same data while the files are missing.

        Raises:
            ValueError: The tensors are not those of :meth:`embedded`.
        """
        dataset = cls.__new__(cls)
        Dataset.__init__(dataset, config)
        dataset._restore(tensors, meta)
        _REMEMBERED[config] = (dict(tensors), dict(meta))
        return dataset

    def embedded(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values from which :meth:`from_embedded` makes the same data set."""
        tensors = dict(zip(SPLITS, self._pictures, strict=True))
        labels = {f"{name}_labels": getattr(self, f"{name}_labels") for name in SPLITS}
        tensors |= {name: value for name, value in labels.items() if value is not None}
        return tensors, {"labels": list(self.labels), "notes": list(self.notes)}

    @classmethod
    def needs_loading(cls, config: Any) -> bool:
        """A folder may hold thousands of photographs."""
        return config not in _REMEMBERED or Path(config.path).exists()

    @classmethod
    def load(cls, config: Any, told: Told = told_nobody, cancelled: Cancelled = never) -> None:
        """Read the pictures; the next building with the same settings takes them."""
        _LOADED.clear()
        _LOADED[config] = find_pictures(config, told, cancelled)

    def _read(self) -> None:
        config = self.config
        found = _LOADED.pop(config, None) or find_pictures(config)
        pixels = torch.from_numpy(found.pictures).permute(0, 3, 1, 2).contiguous()
        self._check(pixels)
        if config.invert:
            pixels = 255 - pixels
        generator = torch.Generator().manual_seed(config.seed)
        order = torch.randperm(len(pixels), generator=generator)
        classes = self._classes(found)
        self.notes = self._notes(found)
        sizes = self._split_sizes(len(pixels))
        self._take(
            torch.split(pixels[order], sizes),
            None if classes is None else torch.split(classes[order], sizes),
        )

    def _check(self, pixels: Tensor) -> None:
        name = Path(self.config.path).name
        n, _, height, width = pixels.shape
        if n < FEWEST:
            raise ValueError(f"{name} holds {n} picture, wanted at least {FEWEST}")
        if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
            raise ValueError(
                f"the pictures have {width}×{height} pixels, wanted {SMALLEST} to {LARGEST} a "
                "side; choose a size"
            )
        if pixels.numel() > MOST_BYTES:
            raise ValueError(
                f"{n} pictures of {width}×{height} pixels take {pixels.numel() / 1e6:.0f} MB, "
                f"wanted at most {MOST_BYTES / 1e6:.0f}; choose a smaller size or fewer pictures"
            )

    def _classes(self, found: Found) -> Tensor | None:
        names = sorted(set(found.classes), key=lambda word: (len(word), word))
        if len(names) < 2 or len(names) > MOST_CLASSES:
            return None
        self.labels = tuple(names)
        return torch.tensor([names.index(word) for word in found.classes])

    def _notes(self, found: Found) -> tuple[str, ...]:
        if not found.broken:
            return ()
        n, total = len(found.broken), len(found.broken) + len(found.pictures)
        were = "was" if n == 1 else "were"
        return (f"{n} of {total} pictures {were} left out: {listed(found.broken)}",)

    def _take(self, grey: Any, labels: Any = None) -> None:
        self._pictures = tuple(grey)
        self._fill(self._pictures, labels)

    def _restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        try:
            parts = [tensors[name] for name in SPLITS]
            self.labels, self.notes = tuple(meta["labels"]), tuple(meta["notes"])
        except KeyError as error:
            raise ValueError(f"the data saved with the run lack {error}") from None
        if any(part.ndim != 4 or part.dtype != torch.uint8 for part in parts):
            raise ValueError(
                f"the data saved with the run have shape {tuple(parts[0].shape)}, wanted "
                "(N, C, H, W) of bytes"
            )
        names = [f"{name}_labels" for name in SPLITS]
        labels = [tensors[name] for name in names] if all(n in tensors for n in names) else None
        self._take(parts, labels)


#: Data that came within a saved run, by their settings, for when their own files are not here.
_REMEMBERED: dict[Pictures.Config, tuple[dict[str, Tensor], dict[str, Any]]] = {}
#: What :meth:`Pictures.load` has read, until it is taken.
_LOADED: dict[Pictures.Config, Found] = {}


def find_pictures(
    config: Pictures.Config, told: Told = told_nobody, cancelled: Cancelled = never
) -> Found:
    """All pictures that some settings name, as bytes of one size.

    Raises:
        ValueError: There are none, or they cannot be read; the sentence says why.
    """
    shaping = Shaping(config.size, config.fit, config.colour)
    if not config.path.strip() or "\0" in config.path:
        raise ValueError("no folder was given; wanted a folder of pictures, or NPY or NPZ")
    path = Path(config.path)
    if path.is_dir():
        return read_folder(path, shaping, told, cancelled)
    if not path.is_file():
        raise ValueError(f"there is no folder or file {path}; wanted pictures")
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"{path.name}: wanted a folder of pictures, or an NPY or NPZ file")
    return read_arrays(path, shaping, key=config.key, white=config.white)
