"""Pictures of the user's own from a folder: every kind that Pillow reads, as bytes (H, W, 3 or 1).

Sixteen-bit and floating values are brought to 0 … 255, transparent parts become white, the
camera's rotation is undone, and of moving pictures the first one counts. What cannot be read is
left out and named.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from engine.download import Cancelled, DownloadCancelledError, Told, never, told_nobody

Bytes: TypeAlias = npt.NDArray[np.uint8]
#: Endings of files that are looked into.
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
#: Most pixels of one file, most files of a folder, and most folders deep.
MOST_PIXELS, MOST_FILES = 2**26, 200_000
#: Largest side that a picture may keep.
LARGEST_SIDE = 128
#: Names listed in a sentence.
LISTED = 3
#: Values of a PNG or TIFF of sixteen bits.
WIDE = 65_535.0


@dataclass(frozen=True)
class Shaping:
    """How a picture is brought to its size.

    Attributes:
        size: Pixels a side; None leaves pictures as they are.
        fit: ``"crop"`` takes the largest square in the middle, ``"stretch"`` all of it, ``"pad"``
            adds a margin of the corner's colour.
        colour: Whether red, green and blue are kept; else one grey value.
    """

    size: int | None = None
    fit: str = "crop"
    colour: bool = False


class SizeError(ValueError):
    """Pictures that are left as they are differ in size, or are too large."""


@dataclass
class Found:
    """Pictures of one size (N, H, W, C), class names by folder, and what could not be read."""

    pictures: Bytes
    classes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def read_folder(
    folder: Path, shaping: Shaping, told: Told = told_nobody, cancelled: Cancelled = never
) -> Found:
    """All pictures of a folder in the order of their names; folders within it are classes.

    Raises:
        ValueError: It is empty, nothing in it can be read, or sizes differ and none was chosen.
        DownloadCancelledError: ``cancelled()`` was true between two files.
    """
    paths = list(_paths(folder))
    name = folder.name or str(folder)
    if not paths:
        endings = ", ".join(ending.removeprefix(".") for ending in ENDINGS)
        raise ValueError(f"{name} holds no pictures; wanted files that end in {endings}")
    found: list[Bytes] = []
    classes, broken, first = [], [], ""
    for place, path in enumerate(paths):
        if cancelled():
            raise DownloadCancelledError
        told(place, len(paths))
        try:
            pixels = read_picture(path, shaping)
        except ValueError as error:
            broken.append(str(error))
            continue
        first = first or path.name
        found.append(pixels)
        _check_size(found, first, path.name)
        classes.append(path.parent.relative_to(folder).as_posix())
    if not found:
        raise ValueError(f"none of the {len(paths)} pictures in {name} can be read: {broken[0]}")
    return Found(np.stack(found), classes if len(set(classes)) > 1 else [], broken)


def read_picture(path: Path, shaping: Shaping) -> Bytes:
    """One picture as bytes (H, W, 3 or 1); raises ``ValueError`` with a sentence that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd headers
            return _decoded(path, shaping)
    except Image.DecompressionBombError:
        raise ValueError(f"{path.name} has more pixels than {MOST_PIXELS:,}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path.name} is no picture, or it is damaged") from None
    except (OSError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from None


def _decoded(path: Path, shaping: Shaping) -> Bytes:
    with Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(
                f"{path.name} has {image.width}×{image.height} pixels, wanted at most "
                f"{MOST_PIXELS:,}"
            )
        if shaping.size is not None:  # a JPEG need not be decoded in full
            image.draft(None, (2 * shaping.size, 2 * shaping.size))
        return shaped(_plain(image), shaping)


def shaped(image: Image.Image, shaping: Shaping) -> Bytes:
    """A plain picture (mode L or RGB) at its size, as bytes (H, W, C)."""
    if shaping.size is not None:
        image = _fitted(image, shaping.size, shaping.fit)
    image = image.convert("RGB" if shaping.colour else "L")
    pixels = np.asarray(image, np.uint8)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _fitted(image: Image.Image, size: int, fit: str) -> Image.Image:
    sides = (size, size)
    if fit == "stretch":
        return image.resize(sides, Image.Resampling.LANCZOS)
    if fit == "pad":
        corner: Any = image.getpixel((0, 0))
        return ImageOps.pad(image, sides, Image.Resampling.LANCZOS, color=corner)
    return ImageOps.fit(image, sides, Image.Resampling.LANCZOS)


def _plain(image: Image.Image) -> Image.Image:
    """Mode L or RGB, whatever it was: upright, opaque, eight bits."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image, np.float64)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, clear)
    return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")


def _eight_bits(values: npt.NDArray[np.float64]) -> Bytes:
    """Sixteen-bit or floating values as bytes: white is 65,535, 255 or 1, what fits."""
    top = float(values.max(initial=0.0))
    white = next((w for w in (1.0, 255.0) if top <= w), WIDE)
    if values.size and not np.isfinite(values).all():
        raise TypeError("it holds values that are no numbers")
    return np.rint(np.clip(values / white, 0.0, 1.0) * 255.0).astype(np.uint8)


def _paths(folder: Path) -> Iterator[Path]:
    """Picture files in and below a folder, by name; hidden ones are left out."""
    found = islice(_walked(folder), MOST_FILES + 1)
    for count, path in enumerate(found):
        if count == MOST_FILES:
            raise ValueError(f"{folder.name} holds more than {MOST_FILES:,} pictures")
        yield path


def _walked(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = sorted(name for name in files if not name.startswith("."))
        yield from (Path(place, name) for name in shown if name.lower().endswith(ENDINGS))


def _check_size(found: list[Bytes], first: str, name: str) -> None:
    """Raise unless the last picture has the size of the first, and not too large a one."""
    one, last = found[0].shape, found[-1].shape
    if one != last:
        raise SizeError(
            f"the pictures have different sizes: {first} has {_sides(one)} pixels, "
            f"{name} {_sides(last)}; choose a size"
        )
    if max(one[:2]) > LARGEST_SIDE:
        raise SizeError(
            f"{first} has {_sides(one)} pixels, wanted at most {LARGEST_SIDE} a side; "
            "choose a size"
        )


def _sides(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]}"


def listed(sentences: list[str]) -> str:
    """The first few of them, and how many more there are."""
    more = len(sentences) - LISTED
    return "; ".join(sentences[:LISTED]) + (f"; and {more} more" if more > 0 else "")
