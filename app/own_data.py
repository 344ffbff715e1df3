"""What a file or folder of the user's own is, by its ending and the shape of its arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

#: The data sets that take a path of the user's, and their own words for it.
POINTS, PICTURES = "points", "pictures"


def own_dataset(path: str | Path) -> str:
    """The data set that a path is for: a folder, an array of three axes or more, is pictures."""
    path = Path(path)
    if path.is_dir():
        return PICTURES
    return PICTURES if _axes(path) > 2 else POINTS


def _axes(path: Path) -> int:
    """Axes of an NPY file, or of the first array in an NPZ file that has two or more."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return _axes_of(file)
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                return _first(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return 0  # reading it says what is wrong
    return 0


def _first(archive: zipfile.ZipFile) -> int:
    for name in archive.namelist():
        if not name.endswith(".npy"):
            continue
        with archive.open(name) as file:
            axes = _axes_of(file)
        if axes > 1:
            return axes
    return 0


def _axes_of(file: IO[bytes]) -> int:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    return len(read(file)[0]) if read is not None else 0
