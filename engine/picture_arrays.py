"""Pictures of the user's own from NPY and NPZ files, as bytes (N, H, W, 3 or 1).

Arrays may be (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4 (the fourth channel is
left out). White is the smallest of 1, 255 and 65,535 that no value exceeds, unless the user names
it. No file is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.picture_files import Bytes, Found, Shaping, shaped

Array: TypeAlias = npt.NDArray[Any]
WHITES = (1.0, 255.0, 65_535.0)
CHANNELS = (1, 3, 4)
#: Names of arrays that hold a class for each picture.
LABEL_NAMES = ("labels", "label", "y", "targets", "classes")
#: Largest array that is unpacked, in bytes.
LARGEST = 2**31
MAGIC = b"\x93NUMPY"
WANTED = "wanted pictures as (N, H, W), (N, H, W, C) or (N, C, H, W)"


def read_arrays(
    path: Path, shaping: Shaping, *, key: str = "", white: float | None = None
) -> Found:
    """All pictures of a file.

    Args:
        path: NPY or NPZ.
        shaping: Size and colour.
        key: The array of an archive; empty takes the first that may be pictures.
        white: The value that is white; None finds it (see the module's docstring).

    Raises:
        ValueError: It holds no pictures, or values that are out of range.
    """
    name, array, labels = _load(path, key)
    pixels = _bytes(_channels_last(array, name), name, white)
    if shaping.size is None and pixels.shape[3] == (3 if shaping.colour else 1):
        return Found(pixels, labels)
    pictures = [shaped(_image(picture), shaping) for picture in pixels]
    return Found(np.stack(pictures), labels)


def _load(path: Path, key: str) -> tuple[str, Array, list[str]]:
    """The array's name in words, the array, and class names where there are some."""
    try:
        if path.suffix.lower() == ".npz":
            return _from_archive(path, key)
        _check_magic(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise ValueError(f"{path.name} is damaged or no NumPy file: {error}") from None
    except ValueError as error:
        raise ValueError(_trouble(path.name, error)) from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path.name} is no array; {WANTED}")
    return path.name, array, []


def _from_archive(path: Path, key: str) -> tuple[str, Array, list[str]]:
    with zipfile.ZipFile(path) as content:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in content.infolist()
                 if info.filename.endswith(".npy")}  # fmt: skip
    if not sizes:
        raise _RefusedError(f"{path.name} holds no arrays; {WANTED}")
    if key and key not in sizes:
        raise _RefusedError(f"{path.name} has no array '{key}'; it has: {', '.join(sizes)}")
    with np.load(path, allow_pickle=False) as archive:
        for name in (key,) if key else sizes:
            if sizes[name] > LARGEST:
                raise _RefusedError(f"{path.name}: {name} is larger than 2 GiB, wanted less")
            array = archive[name]
            if key or array.ndim in (3, 4):
                return f"{path.name}: {name}", array, _labels(archive, sizes, len(array))
    raise _RefusedError(f"{path.name} has no array of three or four axes; {WANTED}")


def _check_magic(path: Path) -> None:
    """Raise unless an NPY file begins as one: numpy takes every other for a pickle."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise _RefusedError(f"{path.name} is damaged or no NumPy file; {WANTED}")


class _RefusedError(ValueError):
    """A sentence that is complete as it stands."""


def _trouble(name: str, error: ValueError) -> str:
    if isinstance(error, _RefusedError):
        return str(error)
    if "pickle" in str(error) or "Python objects" in str(error):
        return f"{name} holds Python objects, and Genscope never runs code from a file; {WANTED}"
    return f"{name} is damaged or no NumPy file; {WANTED}"


def _labels(archive: Any, sizes: dict[str, int], n: int) -> list[str]:
    name = next((name for name in LABEL_NAMES if name in sizes), None)
    if name is None or sizes[name] > LARGEST:
        return []
    labels = np.asarray(archive[name]).squeeze()
    if labels.shape != (n,) or labels.dtype.kind not in "iubU":
        return []
    return [str(label) for label in labels.tolist()]


def _channels_last(array: Array, name: str) -> Array:
    """(N, H, W, C) with C = 1 or 3."""
    if array.ndim == 3:
        array = array[:, :, :, None]
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; {WANTED}")
    if array.shape[3] not in CHANNELS:
        if array.shape[1] not in CHANNELS:
            raise ValueError(f"{name} has shape {array.shape}; {WANTED}, with C = 1, 3 or 4")
        array = np.moveaxis(array, 1, 3)
    return array[..., :3]


def _bytes(array: Array, name: str, white: float | None) -> Bytes:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds values of type {array.dtype}; wanted numbers")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} holds values that are no finite numbers; wanted 0 … white")
    top = white if white is not None else next((w for w in WHITES if high <= w), None)
    if low < 0.0 or top is None or high > top:
        wanted = f"0 … {top:g}" if top is not None else "0 … 65,535 at most"
        raise ValueError(f"{name} holds values from {low:g} to {high:g}; wanted {wanted}")
    if array.dtype == np.uint8 and top == 255.0:
        return np.array(array)  # a copy of its own, not the file that is looked into
    pixels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), 1024):  # a copy in float64 has eight bytes a value
        part = array[start : start + 1024].astype(np.float64)
        pixels[start : start + 1024] = np.rint(part / top * 255.0)
    return pixels


def _image(picture: Bytes) -> Image.Image:
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
