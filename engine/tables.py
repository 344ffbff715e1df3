"""Tables of the user's own: NPY, NPZ, CSV and TSV files as named columns of numbers or text.

No file is ever unpickled. Everything that is wrong with a file is a ``ValueError`` with one
sentence that names the file and what was wanted.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from engine.textfile import read_text_columns

Array: TypeAlias = npt.NDArray[Any]

WANTED = "wanted a table as CSV, TSV, NPY or NPZ"
#: Largest size of one NPZ archive once unpacked, in bytes.
LARGEST = 8 * 2**30
N_PREVIEW = 5


@dataclass(frozen=True)
class Column:
    """One column: float64 values with NaN where there is none, or words.

    ``kind`` is ``"number"``, ``"text"`` or ``"empty"`` (without a single finite number or word).
    """

    name: str
    kind: str
    values: Array


@dataclass(frozen=True)
class Table:
    """The columns of a file, all of one length.

    ``arrays`` are the arrays of an NPZ archive by name with their shapes, ``key`` the one read.
    """

    format: str
    columns: tuple[Column, ...]
    arrays: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    key: str = ""

    @property
    def n_rows(self) -> int:
        """Rows of data."""
        return len(self.columns[0].values) if self.columns else 0


class ColumnPreview(msgspec.Struct, frozen=True):
    """A column's name, kind and how many of its rows hold no usable value."""

    name: str
    kind: str
    n_missing: int


class FilePreview(msgspec.Struct, frozen=True):
    """What the window shows before the user imports a file.

    Attributes:
        path: The file.
        format: ``"csv"``, ``"tsv"``, ``"npy"`` or ``"npz"``.
        n_rows: Rows of data.
        columns: In the file's order.
        rows: The first five rows, as text.
        arrays: Arrays of an NPZ archive, such as ``"points (500, 2)"``.
        key: The array that was read.
    """

    path: str
    format: str
    n_rows: int
    columns: tuple[ColumnPreview, ...]
    rows: tuple[tuple[str, ...], ...]
    arrays: tuple[str, ...] = ()
    key: str = ""


def preview(path: str | Path, *, key: str = "") -> FilePreview:
    """Look into a file; raises ``ValueError`` as :func:`read_table` does."""
    table = read_table(path, key=key)
    texts = [[_text(value) for value in c.values[:N_PREVIEW]] for c in table.columns]
    return FilePreview(
        path=str(path),
        format=table.format,
        n_rows=table.n_rows,
        columns=tuple(ColumnPreview(c.name, c.kind, _n_missing(c)) for c in table.columns),
        rows=tuple(zip(*texts, strict=True)),
        arrays=tuple(f"{name} {shape}" for name, shape in table.arrays.items()),
        key=table.key,
    )


def read_table(path: str | Path, *, key: str = "") -> Table:
    """Read a whole file.

    Args:
        path: The file.
        key: The array of an NPZ archive; empty takes the only one or the first two-dimensional.

    Raises:
        ValueError: The file is not there, or not a table.
    """
    path = Path(path)
    start = _start(path)
    if start.startswith(b"\x93NUMPY"):
        array = _read_npy(path)
        return Table("npy", _array_columns(array, path.name))
    if start.startswith(b"PK\x03\x04"):
        return _read_npz(path, key)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ValueError(
            f"{path.name} is a pickle; Genscope never runs code from a file; {WANTED}"
        )
    if path.suffix.lower() in (".npy", ".npz"):
        raise ValueError(f"{path.name} is not a NumPy file, or it is damaged; {WANTED}")
    names, columns = read_text_columns(path)
    kind = "tsv" if path.suffix.lower() in (".tsv", ".tab") else "csv"
    return Table(kind, tuple(_column(n, c) for n, c in zip(names, columns, strict=True)))


def _start(path: Path) -> bytes:
    if not str(path).strip() or str(path) == "." or "\0" in str(path):
        raise ValueError(f"no file was given; {WANTED}")
    try:
        if path.is_dir():
            raise ValueError(f"{path.name} is a folder; {WANTED}")
        if not stat.S_ISREG(path.stat().st_mode):  # a device or a pipe may never end
            raise ValueError(f"{path.name} is no ordinary file; {WANTED}")
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}; {WANTED}") from None
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror}); {WANTED}") from None
    if not start:
        raise ValueError(f"{path.name} is empty; {WANTED}")
    return start


# --- NumPy's formats --------------------------------------------------------------------------


def _read_npy(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            return np.asarray(np.load(file, allow_pickle=False))
    except Exception as error:  # NumPy's parser lets many kinds through on damaged headers.
        raise ValueError(_numpy_trouble(path.name, error)) from None


def _read_npz(path: Path, key: str) -> Table:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST:
                raise ValueError(f"{path.name} unpacks to more than 8 GiB, which is too large")
            if not any(name.endswith(".npy") for name in archive.namelist()):
                raise ValueError(
                    f"{path.name} is an archive without NumPy arrays (a workbook or a torch "
                    f"file?); {WANTED}"
                )
        return _choose(path, key)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, KeyError):
        raise ValueError(f"{path.name} is a damaged archive; {WANTED}") from None


def _choose(path: Path, key: str) -> Table:
    with np.load(path, allow_pickle=False) as archive:
        names = list(archive.files)
        if key and key not in names:
            raise ValueError(f"{path.name} has no array '{key}'; it has: {', '.join(names)}")
        found = {name: _member(archive, name) for name in names}
    arrays = {name: item for name, item in found.items() if not isinstance(item, Exception)}
    chosen = key or _first_table(arrays) or names[0]
    if chosen not in arrays:
        trouble = found[chosen]
        assert isinstance(trouble, Exception)
        raise ValueError(_numpy_trouble(f"{path.name}: {chosen}", trouble))
    shapes = {name: array.shape for name, array in arrays.items()}
    columns = _array_columns(arrays[chosen], f"{path.name}: {chosen}")
    return Table("npz", columns, shapes, chosen)


def _member(archive: Any, name: str) -> Array | Exception:
    """One array of an archive, or why it cannot be read; the others may still do."""
    try:
        return np.asarray(archive[name])
    except Exception as error:  # As in _read_npy.
        return error


def _first_table(arrays: Mapping[str, Array]) -> str:
    """The first array of two axes, else the first of one, else the first."""
    by_axes = [n for axes in (2, 1) for n, array in arrays.items() if array.ndim == axes]
    return next(iter([*by_axes, *arrays]), "")


def _numpy_trouble(name: str, error: Exception) -> str:
    if "allow_pickle" in str(error) or "pickle" in str(error):
        return f"{name} holds Python objects, and Genscope never runs code from a file; {WANTED}"
    return f"{name} is damaged or truncated; {WANTED}"


def _array_columns(array: Array, name: str) -> tuple[Column, ...]:
    if array.dtype.names:
        if array.ndim != 1:
            raise ValueError(f"{name} has records in {array.ndim} axes; wanted one axis of rows")
        return tuple(_column(field, array[field]) for field in array.dtype.names)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{name} has shape {array.shape}; wanted rows and columns, that is (N, D)"
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds values of type {array.dtype}; wanted real numbers")
    if not array.size:
        raise ValueError(f"{name} has shape {array.shape}, which is empty; wanted rows of numbers")
    table = array.reshape(len(array), -1)
    return tuple(_column(f"x{i}", table[:, i]) for i in range(table.shape[1]))


# --- columns ----------------------------------------------------------------------------------


def _column(name: str, values: Array) -> Column:
    """A column with its kind; whole and truth values become float64."""
    if values.ndim != 1 or values.dtype.kind not in "biufU":
        return Column(name, "text", np.array([str(value) for value in values]))
    if values.dtype.kind == "U":
        return Column(name, "text" if (values != "").any() else "empty", values)
    numbers = values.astype(np.float64)
    return Column(name, "number" if np.isfinite(numbers).any() else "empty", numbers)


def _n_missing(column: Column) -> int:
    if column.values.dtype.kind == "U":
        return int((column.values == "").sum())
    return int((~np.isfinite(column.values)).sum())


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
