"""Tables written as text: encoding, delimiter, header and decimal sign are found by looking.

A cell is missing when it is empty or one of :data:`MISSING`. A column is one of numbers when more
than half of the cells that are there are numbers; the other cells of it then count as missing.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Row: TypeAlias = list[str]

#: Words that stand for "no value", in lower case.
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", "."})
#: Rows converted at a time, to bound memory.
CHUNK = 50_000
#: Lines looked at to find the delimiter.
N_SAMPLE = 50
DELIMITERS = (",", "\t", ";", "|")
WHITESPACE = ""
COMMA_NUMBER = re.compile(r"[+-]?\d*,(\d+)([eE][+-]?\d+)?")
#: Score of a delimiter that does not occur.
NO_SCORE = (0.0, 0.0, 0)


@dataclass(frozen=True)
class Dialect:
    """How a file is written: its delimiter (empty: any white space) and its decimal sign."""

    delimiter: str
    decimal_comma: bool = False


def read_text_columns(path: Path) -> tuple[tuple[str, ...], list[Array]]:
    """Names and columns of a delimited text file; float64 with NaN, or words.

    Raises:
        ValueError: The file is no text, has no rows, or its rows differ in length.
    """
    text = _decode(path)
    comments, skip = _leading_comments(text)
    body = text[skip:]
    dialect = _sniff(body, path)
    rows = _rows(body, dialect, path.name)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path.name} has no rows; wanted a table with at least one")
    ahead = list(itertools.islice(rows, N_SAMPLE))
    head = _head(first, ahead, comments, dialect)
    data = itertools.chain([first] if head is not first else [], ahead, rows)
    columns = _columns(data, dialect)
    if not columns:
        raise ValueError(f"{path.name} has a header but no rows of data; wanted at least one")
    return _names(head, len(first)), columns


# --- reading lines ----------------------------------------------------------------------------


def _decode(path: Path) -> str:
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in raw:
        raise ValueError(f"{path.name} is not text; wanted a table as CSV, TSV, NPY or NPZ")
    else:
        encoding = "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _leading_comments(text: str) -> tuple[list[str], int]:
    """The lines before the table that begin with #, and where the table begins."""
    comments: list[str] = []
    position = 0
    for match in re.finditer(r"[^\r\n]*(?:\r\n|\r|\n|$)", text):
        line = match.group().strip()
        if line and not line.startswith("#"):
            break
        if line:
            comments.append(line.lstrip("# ").strip())
        position = match.end()
    return comments, position


def _rows(text: str, dialect: Dialect, name: str) -> Iterator[Row]:
    """Rows of one length, blank lines left out."""
    if dialect.delimiter == WHITESPACE:
        rows: Iterator[Row] = (line.split() for line in io.StringIO(text))
    else:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter)
    width, n_seen = 0, 0
    try:
        for row in rows:
            if not row or (len(row) != width and not any(cell.strip() for cell in row)):
                continue
            n_seen += 1
            width = width or len(row)
            if len(row) != width:
                raise ValueError(
                    f"{name}: row {n_seen} has {len(row)} values where the first has {width}; "
                    "wanted rows of one length"
                )
            yield row
    except csv.Error as error:
        raise ValueError(f"{name}: row {n_seen + 1} cannot be read ({error})") from None


def _sniff(text: str, path: Path) -> Dialect:
    """The delimiter under which rows agree in length and most cells are numbers."""
    sample = "".join(itertools.islice(io.StringIO(text, newline=""), N_SAMPLE))
    if path.suffix.lower() in (".tsv", ".tab"):
        return _candidate(sample, "\t")[1]
    score, best = max(
        (_candidate(sample, delimiter) for delimiter in DELIMITERS), key=lambda pair: pair[0]
    )
    if score == NO_SCORE:
        widths = {len(line.split()) for line in sample.splitlines() if line.strip()}
        if len(widths) == 1 and widths != {1} and '"' not in sample:
            return Dialect(WHITESPACE)
        return Dialect(",")
    return best


def _candidate(sample: str, delimiter: str) -> tuple[tuple[float, float, int], Dialect]:
    """How well a delimiter suits: share of rows of one length, share of numbers, columns."""
    try:
        lines = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        rows = [row for row in lines if row]
    except csv.Error:
        rows = []
    dialect = Dialect(delimiter, _has_decimal_comma(rows, delimiter))
    width = len(rows[0]) if rows else 0
    if width < 2:
        return NO_SCORE, dialect
    agreement = sum(len(row) == width for row in rows) / len(rows)
    cells = [_is_number(cell, dialect.decimal_comma) for row in rows for cell in row]
    return (round(agreement, 2), round(sum(cells) / len(cells), 2), width), dialect


def _has_decimal_comma(rows: Sequence[Row], delimiter: str) -> bool:
    """Whether numbers are written 1,5: none has a point, and 1,234 alone is no evidence."""
    if delimiter == ",":
        return False
    cells = [cell.strip() for row in rows for cell in row]
    if any("." in cell and _is_number(cell, False) for cell in cells):
        return False
    matches = [match for cell in cells if (match := COMMA_NUMBER.fullmatch(cell))]
    return any(delimiter == ";" or len(match.group(1)) != 3 for match in matches)


# --- header -----------------------------------------------------------------------------------


def _head(
    first: Row, ahead: Sequence[Row], comments: Sequence[str], dialect: Dialect
) -> Row | None:
    """The row of names: the first one, or a comment of the same width, or none."""
    if _is_header(first, ahead, dialect):
        return first
    for line in reversed(comments):
        cells = line.split(dialect.delimiter or None)
        if len(cells) == len(first) and not any(map(_looks_numeric, cells)):
            return cells
    return None


def _is_header(first: Row, ahead: Sequence[Row], dialect: Dialect) -> bool:
    """Whether the first row holds a word above numbers, or words alone above other words."""
    words = [not _is_missing(c) and not _is_number(c, dialect.decimal_comma) for c in first]
    if not any(words):
        return False
    bodies = list(zip(*ahead, strict=True)) if ahead else [()] * len(first)
    numeric = [_convert(body, dialect.decimal_comma) for body in bodies]
    above = [2 * piece.n_numbers > piece.n_there for piece in numeric]
    if any(word and number for word, number in zip(words, above, strict=True)):
        return True
    return all(words) and not any(above)


def _names(head: Row | None, width: int) -> tuple[str, ...]:
    """Names that differ; where none is given it is x0, x1 and so on."""
    names: list[str] = []
    for index, cell in enumerate(head or [""] * width):
        stem = cell.strip() or f"x{index}"
        name, count = stem, 2
        while name in names:
            name, count = f"{stem} ({count})", count + 1
        names.append(name)
    return tuple(names)


# --- cells ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    """Part of a column: numbers (NaN elsewhere), counts, and the words unless all are numbers."""

    numbers: Array
    n_there: int
    n_numbers: int
    words: tuple[str, ...] | None


def _looks_numeric(cell: str) -> bool:
    return _is_number(cell, decimal_comma=True)


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _is_number(cell: str, decimal_comma: bool) -> bool:
    if "_" in cell or _is_missing(cell):
        return False
    try:
        float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return False
    return True


def _columns(rows: Iterator[Row], dialect: Dialect) -> list[Array]:
    """Columns of all rows, converted piece by piece."""
    pieces: list[list[_Piece]] = []
    while chunk := list(itertools.islice(rows, CHUNK)):
        cells = zip(*chunk, strict=True)
        pieces.append([_convert(column, dialect.decimal_comma) for column in cells])
    return [_join(column) for column in zip(*pieces, strict=True)]


def _convert(cells: tuple[str, ...], decimal_comma: bool) -> _Piece:
    joined = "".join(cells)
    if "_" not in joined and not decimal_comma:
        try:
            numbers = np.array(list(map(float, cells)), dtype=np.float64)
        except ValueError:
            pass
        else:
            return _Piece(numbers, len(cells), len(cells), None)
    good = [_is_number(cell, decimal_comma) for cell in cells]
    texts = [cell.replace(",", ".") for cell in cells] if decimal_comma else cells
    values = [float(t) if ok else np.nan for t, ok in zip(texts, good, strict=True)]
    n_there = sum(not _is_missing(cell) for cell in cells)
    return _Piece(np.array(values, dtype=np.float64), n_there, sum(good), cells)


def _join(pieces: Sequence[_Piece]) -> Array:
    """Numbers when more than half of the cells that are there are, or when none is there."""
    n_there = sum(piece.n_there for piece in pieces)
    if not n_there or 2 * sum(piece.n_numbers for piece in pieces) > n_there:
        return np.concatenate([piece.numbers for piece in pieces])
    words: list[str] = []
    for piece in pieces:
        cells = piece.words if piece.words is not None else map(str, piece.numbers.tolist())
        words += ["" if _is_missing(cell) else cell.strip() for cell in cells]
    return np.array(words)
