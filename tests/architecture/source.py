"""The tracked files of the repository and their syntax trees, for the tests beside this file."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "engine", "widgets")


@cache
def tracked() -> tuple[str, ...]:
    """Paths of all tracked files that exist, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


@cache
def python_files(*tops: str) -> tuple[str, ...]:
    """Tracked Python files below the given top-level entries."""
    return tuple(name for name in tracked() if name.endswith(".py") and name.split("/")[0] in tops)


@cache
def tree(name: str) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(name: str) -> Iterator[Function]:
    """Every function and method of a file, nested ones too."""
    return (node for node in ast.walk(tree(name)) if isinstance(node, Function))


def modules(*packages: str) -> list[str]:
    """Dotted names of all modules below the given packages."""
    names = []
    for name in python_files(*{top for p in packages for top in (p.split(".")[0], f"{p}.py")}):
        dotted = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if any(dotted == package or dotted.startswith(f"{package}.") for package in packages):
            names.append(dotted)
    return names
