"""Settings survive damage, and say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import settings


def test_round_trip_and_backup(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "settings.json"
    stored = settings.Settings()
    stored.appearance.scale = 1.7
    stored.layout.panels = {"density": {"samples": True}}
    settings.save(stored, path)
    stored.appearance.theme = "light"
    settings.save(stored, path)
    back, notes = settings.load(path)
    assert notes == []
    assert back == stored
    older = json.loads(path.with_suffix(".bak").read_text())
    assert older["appearance"]["theme"] == "dark"


def test_missing_file_gives_defaults(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "none.json") == (settings.Settings(), [])


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"version": "x"}', '{"version": 99}', "null"])
def test_damaged_file_gives_defaults_and_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    back, notes = settings.load(path)
    assert back == settings.Settings()
    assert "could not be read" in notes[0]


def test_one_damaged_section_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    document = {
        "version": 1,
        "appearance": {"theme": "light", "scale": "huge"},
        "files": {"folder": "here"},
    }
    path.write_text(json.dumps(document))
    back, notes = settings.load(path)
    assert back.files.folder == "here"
    assert back.appearance == settings.Appearance()
    assert "'appearance' was damaged" in notes[0]


def test_migrations_run_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "VERSION", 3)
    monkeypatch.setattr(
        settings,
        "MIGRATIONS",
        {
            1: lambda d: {**d, "version": 2, "trail": "a"},
            2: lambda d: {**d, "version": 3, "trail": d["trail"] + "b"},
        },
    )
    assert settings.migrate({"version": 1})["trail"] == "ab"


def test_newer_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="newer program: version 9"):
        settings.migrate({"version": 9})
