"""What the program remembers between starts: one versioned JSON file, with backup and migrations.

Each section is read by itself: a damaged one falls back to its defaults with a notice, and never
keeps the program from starting.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

VERSION = 1
FOLDER_VARIABLE = "GENSCOPE_CONFIG"


class Appearance(msgspec.Struct):
    """Theme and size."""

    theme: str = "dark"
    scale: float = 1.0


class Layout(msgspec.Struct):
    """Geometry and docks, as Qt's own bytes in base64, and each panel's choices."""

    geometry: str = ""
    docks: str = ""
    panels: dict[str, dict[str, Any]] = {}


class Files(msgspec.Struct):
    """Where the user was last."""

    folder: str = ""
    recent: list[str] = []


class Settings(msgspec.Struct):
    """All sections."""

    appearance: Appearance = msgspec.field(default_factory=Appearance)
    layout: Layout = msgspec.field(default_factory=Layout)
    files: Files = msgspec.field(default_factory=Files)


#: From version n to n + 1: pure functions on the whole document.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def default_path() -> Path:
    """The settings file; the environment variable GENSCOPE_CONFIG moves its folder."""
    folder = os.environ.get(FOLDER_VARIABLE) or platformdirs.user_config_dir("genscope", False)
    return Path(folder) / "settings.json"


def load(path: Path) -> tuple[Settings, list[str]]:
    """Settings and sentences about what could not be read."""
    if not path.exists():
        return Settings(), []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document = migrate(document)
    except (OSError, ValueError) as error:
        return Settings(), [f"{path.name} could not be read ({error}); defaults are in force."]
    notes: list[str] = []
    sections = {
        name: _section(document, name, kind, notes)
        for name, kind in (("appearance", Appearance), ("layout", Layout), ("files", Files))
    }
    return Settings(**sections), notes


def save(settings: Settings, path: Path) -> None:
    """Write the file; the one before is kept as ``.bak``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"version": VERSION, **msgspec.to_builtins(settings)}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if path.exists():
        os.replace(path, path.with_suffix(".bak"))
    os.replace(temporary, path)


def migrate(document: dict[str, Any]) -> dict[str, Any]:
    """Bring an older document up to date; raises ``ValueError`` for one from a newer program."""
    if not isinstance(document, dict):
        raise ValueError(f"given a {type(document).__name__}, wanted a table of sections")
    version = document.get("version")
    if not isinstance(version, int) or version < 1:
        raise ValueError("no version number")
    if version > VERSION:
        raise ValueError(f"made by a newer program: version {version}, wanted {VERSION}")
    while version < VERSION:
        document = MIGRATIONS[version](document)
        version += 1
    return document


def _section(document: dict[str, Any], name: str, kind: type[Any], notes: list[str]) -> Any:
    try:
        return msgspec.convert(document.get(name, {}), kind)
    except msgspec.ValidationError as error:
        notes.append(
            f"The settings section '{name}' was damaged ({error}); defaults are in force."
        )
        return kind()
