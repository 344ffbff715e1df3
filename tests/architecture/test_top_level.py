"""The top level is fixed: a newcomer finds the same few doors for years."""

from __future__ import annotations

from tests.architecture.source import tracked

TOP_LEVEL = {
    ".ci",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "app",
    "assets",
    "engine",
    "main.py",
    "pyproject.toml",
    "tests",
    "widgets",
}


def test_top_level() -> None:
    assert {name.split("/")[0] for name in tracked()} == TOP_LEVEL


def test_test_files_have_unique_names() -> None:
    names = [n.rsplit("/", 1)[-1] for n in tracked() if "/test_" in n and n.endswith(".py")]
    assert sorted(names) == sorted(set(names))
