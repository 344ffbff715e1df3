"""A long list of equal rows, written as base64, by its difference from another such text.

While one paints, dabs are added, thinned or taken away, and all others stay: of each change only
the new rows are kept, and runs of rows that are taken over.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

#: Bytes of a row: four numbers of four bytes, as ``engine.wire.painting`` has them.
ROW = 16
#: Texts of fewer rows are not worth it.
FEWEST_ROWS = 24
#: A start that means "the next new rows" and not "old rows from here".
NEW = -1

Rows: TypeAlias = npt.NDArray[np.void]
_VOID = np.dtype((np.void, ROW))


class Splice(msgspec.Struct, frozen=True, array_like=True):
    """How rows are made from older ones.

    Attributes:
        runs: Pairs (start, count) of little-endian int32: so many old rows from ``start`` on, or,
            where that is −1, so many of the new ones.
        new: The new rows.
    """

    runs: bytes
    new: bytes

    @property
    def n_bytes(self) -> int:
        """Memory that it holds."""
        return len(self.runs) + len(self.new)

    def count(self, n_old: int) -> int:
        """How many rows it makes of so many; raises ``ValueError`` where it does not fit them."""
        if len(self.runs) % 8 or len(self.new) % ROW:
            raise ValueError("a difference between two paintings is cut off")
        start, count = self._runs().T
        fits = (count > 0).all() and (start >= NEW).all() and (start + count <= n_old).all()
        if not fits or int(count[start == NEW].sum()) != len(self.new) // ROW:
            raise ValueError(f"a difference between two paintings does not fit {n_old} rows")
        return int(count.sum())

    def apply(self, old: Rows) -> Rows:
        """The rows; raises ``ValueError`` where it does not fit the old ones."""
        self.count(len(old))
        new, taken, parts = np.frombuffer(self.new, _VOID), 0, [old[:0]]
        for start, count in self._runs().tolist():
            if start == NEW:
                parts.append(new[taken : taken + count])
                taken += count
            else:
                parts.append(old[start : start + count])
        return np.concatenate(parts)

    def _runs(self) -> npt.NDArray[np.int64]:
        return np.frombuffer(self.runs, "<i4").reshape(-1, 2).astype(np.int64)


def rows_of(text: object) -> Rows | None:
    """The rows of a text; None where it is none of many rows in base64."""
    if not isinstance(text, str) or len(text) < FEWEST_ROWS * ROW:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) % ROW or len(data) // ROW < FEWEST_ROWS:
        return None
    rows = np.frombuffer(data, _VOID)
    return rows if text_of(rows) == text else None


def text_of(rows: Rows) -> str:
    """Rows as text."""
    return base64.b64encode(rows.tobytes()).decode("ascii")


def splice(old: Rows, new: Rows) -> Splice | None:
    """How ``new`` is made from ``old``; None where that is hardly shorter than the rows."""
    place = _places(old, new)
    # A run ends where the next row is not the one that follows in the old rows.
    follows = np.where(place[:-1] == NEW, place[1:] == NEW, place[1:] == place[:-1] + 1)
    first = np.concatenate([[0], np.flatnonzero(~follows) + 1])
    count = np.diff(np.concatenate([first, [len(new)]]))
    runs = np.stack([place[first], count], axis=1).astype("<i4")
    found = Splice(runs.tobytes(), new[place == NEW].tobytes())
    return found if 2 * found.n_bytes < new.nbytes else None


def _places(old: Rows, new: Rows) -> npt.NDArray[np.int64]:
    """For each new row the place of an equal old one, in its own place where that is so; or −1."""
    n = min(len(old), len(new))
    place = np.full(len(new), NEW)
    place[:n] = np.where(old[:n] == new[:n], np.arange(n), NEW)
    moved = np.flatnonzero(place == NEW)
    a, b = _keys(old), _keys(new[moved])
    if not len(a) or not len(b):
        return place
    # Few rows have moved as a rule, so it is the old ones that are looked for among those.
    few = np.sort(b)
    known = np.flatnonzero(few[np.minimum(np.searchsorted(few, a), len(few) - 1)] == a)
    if len(known):
        known = known[np.argsort(a[known], kind="stable")]
        keys = a[known]
        found = known[np.minimum(np.searchsorted(keys, b), len(keys) - 1)]
        place[moved] = np.where(old[found] == new[moved], found, NEW)
    return place


def _keys(rows: Rows) -> npt.NDArray[np.uint64]:
    """One number for each row; that two rows are equal is looked at besides."""
    halves = rows.view(np.uint64).reshape(-1, 2)
    return halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ halves[:, 1]


__all__ = ["Rows", "Splice", "rows_of", "splice", "text_of"]
