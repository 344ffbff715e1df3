"""Limits that keep every piece readable: 500 lines a file, 60 a function, three levels deep."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import ROOT, Function, functions, python_files

FILE_LINES = 500
FUNCTION_LINES = 60
NESTING = 3
POSITIONAL = 6
#: "file:function" or "file" and the reason why it may be larger.
EXCEPTIONS: dict[str, str] = {}

BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)
FILES = python_files("app", "engine", "widgets", "tests", "main.py")


def test_files() -> None:
    lines = {n: len((ROOT / n).read_text(encoding="utf-8").splitlines()) for n in FILES}
    long = [f"{n}: {k} lines" for n, k in lines.items() if k > FILE_LINES and n not in EXCEPTIONS]
    assert long == []


def test_functions() -> None:
    faults = [
        f"{name}: {fault}"
        for name in FILES
        for function in functions(name)
        if f"{name}:{function.name}" not in EXCEPTIONS
        for fault in faults_of(function)
    ]
    assert faults == []


def faults_of(function: Function) -> list[str]:
    """What is too large about one function."""
    where = f"{function.name} (line {function.lineno})"
    found = []
    if (lines := length(function)) > FUNCTION_LINES:
        found.append(f"{where}: {lines} lines")
    if (depth := nesting(function)) > NESTING:
        found.append(f"{where}: {depth} levels of nesting")
    if (count := n_positional(function)) > POSITIONAL:
        found.append(f"{where}: {count} positional parameters")
    return found


def length(function: Function) -> int:
    """Lines from the signature to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def nesting(node: ast.AST) -> int:
    """Depth of blocks inside a node; ``elif`` and nested functions start no deeper level."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        own = isinstance(child, BLOCKS) and not is_elif
        deepest = max(deepest, own + nesting(child))
    return deepest


def n_positional(function: Function) -> int:
    """Parameters that may be given by position, without self and cls."""
    names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize(
    ("code", "depth"),
    [
        ("if a:\n  for b in c:\n    while d:\n      with e:\n        pass", 4),
        ("if a:\n  pass\nelif b:\n  pass\nelif c:\n  pass\nelse:\n  pass", 1),
    ],
)
def test_nesting_counts(code: str, depth: int) -> None:
    assert nesting(ast.parse(code)) == depth
