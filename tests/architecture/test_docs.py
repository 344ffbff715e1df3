"""What is written for people is short, complete and true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

from tests.architecture.source import ROOT, python_files, tree

README_LINES = 150


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= README_LINES


def test_readme_begins_with_a_moving_picture() -> None:
    pictures = re.findall(r"assets/[\w.-]+\.gif", "\n".join(read("README.md").splitlines()[:8]))
    assert pictures
    assert (ROOT / pictures[0]).read_bytes()[:4] == b"GIF8"


def test_readme_table_is_generated() -> None:
    listed = subprocess.run(
        [sys.executable, "main.py", "list", "--markdown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    between = re.search(r"<!-- models -->\n(.*?)<!-- /models -->", read("README.md"), re.S)
    assert between
    assert between.group(1).strip() == listed.stdout.strip()


def test_one_test_command() -> None:
    assert "make test" in read("README.md")
    commands = [line for line in read(".ci/run").splitlines() if re.search(r"\bmake\b", line)]
    assert [line.removeprefix("exec ") for line in commands] == ["make test"]


def test_links() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        targets = re.findall(r"\]\(([^)#:]+)\)", read(name))
        assert [t for t in targets if not (ROOT / t).exists()] == [], name


def test_named_files_exist() -> None:
    names = re.findall(r"`((?:app|engine|widgets|tests)/[\w/]+\.py)`", read("ARCHITECTURE.md"))
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_docstrings() -> None:
    names = python_files("app", "engine", "widgets")
    assert [n for n in names if tree(n).body and not ast.get_docstring(tree(n))] == []
    silent = [
        f"{name}: {node.name} (line {node.lineno})"
        for name in names
        for node in tree(name).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []
