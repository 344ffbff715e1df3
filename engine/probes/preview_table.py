"""A look into a user's file before it becomes a data set."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine.probe import Result, View, probe
from engine.tables import preview
from engine.wire.fields import Value


class Arguments(msgspec.Struct, frozen=True):
    """The file, and which array of an NPZ archive."""

    path: str
    key: str = ""


@probe(summary="Columns, kinds and first rows of a file.", arguments=Arguments)
def preview_table(view: View, arguments: Arguments) -> Iterator[Result]:
    """``columns``, ``kinds``, ``missing``, ``rows`` (their count), ``keys`` and ``sample`` rows.

    Raises:
        ValueError: The file is not there, or not a table.
    """
    found = preview(arguments.path, key=arguments.key)
    values: dict[str, Value] = {
        "columns": [column.name for column in found.columns],
        "kinds": [column.kind for column in found.columns],
        "missing": [column.n_missing for column in found.columns],
        "rows": found.n_rows,
        "keys": list(found.arrays),
        "key": found.key,
        "format": found.format,
        "sample": ["  ".join(row) for row in found.rows],
    }
    yield Result({}, values)
