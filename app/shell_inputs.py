"""From the words of a command line to records: data sets, settings, files. No Qt, no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from app.own_data import own_dataset
from app.shell_engine import ShellError
from app.shell_sessions import is_session, run_out_of
from engine.wire.cards import DatasetCard, ModelCard
from engine.wire.fields import FieldSpec, Value, check_value

Card = TypeVar("Card", ModelCard, DatasetCard)
#: Files that the data set ``points`` reads.
TABLE_SUFFIXES = (".csv", ".tsv", ".npy", ".npz", ".txt")


def find_card(cards: Sequence[Card], name: str, noun: str) -> Card:
    """The card of that name.

    Raises:
        ShellError: There is none; the sentence lists what there is.
    """
    for card in cards:
        if card.name == name:
            return card
    raise ShellError(f"there is no {noun} '{name}'; there are: {', '.join(c.name for c in cards)}")


def parse_settings(words: Iterable[str], fields: Sequence[FieldSpec]) -> dict[str, Value]:
    """``key=value`` words, checked against the fields of a configuration.

    Raises:
        ShellError: A word has no ``=``, names no setting, or its value is out of range.
    """
    specs = {spec.name: spec for spec in fields}
    found: dict[str, Value] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ShellError(f"given '{word}', wanted a setting as key=value")
        if name not in specs:
            known = ", ".join(specs) or "none"
            raise ShellError(f"there is no setting '{name}'; the settings are: {known}")
        try:
            found[name] = check_value(specs[name], text)
        except ValueError as error:
            raise ShellError(str(error)) from None
    return found


def parse_data(
    data: str, words: Iterable[str], cards: Sequence[DatasetCard]
) -> tuple[str, dict[str, Value]]:
    """A data set's name or a user's file, and its settings.

    Raises:
        ShellError: There is no such data set or file.
    """
    path = Path(data)
    known = any(card.name == data for card in cards)
    is_file = path.suffix.lower() in TABLE_SUFFIXES or path.is_file()
    is_file |= not known and path.is_dir()
    if is_file and not path.exists():
        raise ShellError(f"given '{data}', wanted a file that exists")
    name = own_dataset(path) if is_file else data
    card = find_card(cards, name, "data set")
    settings = parse_settings(words, card.fields)
    if is_file:
        settings["path"] = str(path.resolve())
    return name, settings


def readable_file(path: Path) -> str:
    """The absolute path of a file that exists, of a session the chosen run's.

    Raises:
        ShellError: There is no such file, or it is a session without that run.
    """
    if not path.is_file():
        raise ShellError(f"given '{path}', wanted a file that exists")
    if is_session(path):
        return run_out_of(path)
    return str(path.resolve())


def writable_file(path: Path, suffixes: Sequence[str]) -> Path:
    """A path that can be written to, checked before the work is done.

    Raises:
        ShellError: The suffix is none of those wanted, or the folder is not there or closed.
    """
    if path.suffix.lower() not in suffixes:
        raise ShellError(f"--out: given '{path}', wanted a file ending in {' or '.join(suffixes)}")
    if not path.resolve().parent.is_dir():
        raise ShellError(f"--out: given '{path}', wanted a folder that exists")
    if path.is_dir():
        raise ShellError(f"--out: given '{path}', which is a folder; wanted a file")
    try:
        tempfile.TemporaryFile(dir=path.resolve().parent).close()
    except OSError as error:
        raise ShellError(
            f"--out: given '{path}', wanted a folder that can be written to ({error.strerror})"
        ) from None
    return path
