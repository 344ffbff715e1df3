"""Runs the benchmarks beside this file and prints their figures against their bars.

A benchmark is a module with ``NAME`` (words for the table), ``SECONDS`` (roughly how long it
takes), ``LONG`` (whether it needs a training budget) and ``figures(quick=False)``, which returns
or yields mappings with ``name``, ``value``, ``unit``, ``bar``, ``met`` and ``note``. With a
parameter ``done`` it is given the names of the figures that need not be measured again, with a
parameter ``model`` the one that ``--model`` asks for. Each
module runs in a fresh process; every figure is written down as soon as it is there, so a long run
can be resumed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "bench" / "results.json"
#: A module may take this many times as long as it says before it is stopped.
PATIENCE = 4
GRACE_SECONDS = 120

Figure = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """What a module says about itself, read without importing it."""

    module: str
    name: str
    seconds: float
    long: bool


def discover() -> list[Benchmark]:
    """All modules beside this one that have a ``NAME``."""
    found = []
    for file in sorted(HERE.glob("[!_]*.py")):
        words = constants(file)
        if "NAME" in words:
            seconds, long = float(words.get("SECONDS", 60)), bool(words.get("LONG", False))
            found.append(Benchmark(file.stem, str(words["NAME"]), seconds, long))
    return found


def constants(file: Path) -> dict[str, Any]:
    """Literal assignments at the top of a module."""
    found = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


class Results:
    """The JSON file of figures, by module and name; a figure counts for one commit."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.commit = _git_commit()
        self.figures: dict[str, Figure] = {}
        if file.is_file():
            self.figures = json.loads(file.read_text(encoding="utf-8"))["figures"]

    def done(self, module: str) -> list[str]:
        """Names of the module's figures that stand for this commit."""
        return [
            figure["name"]
            for figure in self.figures.values()
            if figure["module"] == module and figure["commit"] == self.commit
        ]

    def forget(self, module: str) -> None:
        """Drop the figures of a module."""
        self.figures = {k: f for k, f in self.figures.items() if f["module"] != module}

    def add(self, module: str, figure: Figure) -> None:
        """Write one figure down."""
        stamp = {
            "module": module,
            "commit": self.commit,
            "when": time.strftime("%FT%TZ", time.gmtime()),
        }
        self.figures[f"{module}: {figure['name']}"] = {**figure, **stamp}
        self._file.parent.mkdir(exist_ok=True)
        (self._file.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        record = {"machine": machine(), "figures": self.figures}
        self._file.write_text(json.dumps(record, indent=1, default=float), encoding="utf-8")


def machine() -> dict[str, object]:
    """Where the figures were measured."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def main() -> int:
    """Run what was asked for; 1 if a module failed."""
    arguments = parse()
    if arguments.child:
        return run_child(arguments)
    chosen = choose(arguments.long, arguments.figure)
    if not chosen:
        names = ", ".join(b.module for b in discover() if b.long or not arguments.long)
        sys.stderr.write(f"there is no benchmark '{arguments.figure}'; there are: {names}\n")
        return 2
    results = Results(arguments.out)
    with virtual_display():
        failed = [b.module for b in chosen if not run_one(b, results, arguments)]
    report(results, [b.module for b in chosen])
    if failed:
        sys.stderr.write(f"these failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--long", action="store_true", help="those that need a training budget")
    parser.add_argument("--figure", default="", help="one module by file name or NAME")
    parser.add_argument("--model", default="", help="one model, where a module measures several")
    parser.add_argument("--fresh", action="store_true", help="measure finished figures again")
    parser.add_argument("--quick", action="store_true", help="a short look, not to be quoted")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--done", nargs="*", default=[], help=argparse.SUPPRESS)
    return parser.parse_args()


def choose(long: bool, figure: str) -> list[Benchmark]:
    """The benchmarks asked for."""
    if figure:
        return [b for b in discover() if figure in (b.module, b.name)]
    return [b for b in discover() if b.long == long]


def run_one(benchmark: Benchmark, results: Results, arguments: argparse.Namespace) -> bool:
    """Run one module in a fresh process and write its figures down; False if it failed."""
    resumes = benchmark.long and not arguments.fresh
    if not resumes:
        results.forget(benchmark.module)
    done = results.done(benchmark.module) if resumes else []
    sys.stderr.write(f"{benchmark.name} (about {benchmark.seconds:.0f} s) …\n")
    command = [sys.executable, "-m", "tests.benchmarks", "--child", benchmark.module]
    command += ["--quick"] if arguments.quick else []
    command += ["--model", arguments.model] if arguments.model else []
    command += ["--done", *done] if done else []
    limit = PATIENCE * benchmark.seconds + GRACE_SECONDS
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        end = time.monotonic() + limit
        for line in child.stdout:
            if line.startswith("{"):
                results.add(benchmark.module, json.loads(line))
            if time.monotonic() > end:
                child.kill()
        return child.wait() == 0


def run_child(arguments: argparse.Namespace) -> int:
    """In the fresh process: measure, one figure a line."""
    found = importlib.import_module(f"tests.benchmarks.{arguments.child}")
    offered = {"done": frozenset(arguments.done), "model": arguments.model}
    wanted = inspect.signature(found.figures).parameters
    given = {name: value for name, value in offered.items() if name in wanted}
    measured = found.figures(quick=arguments.quick, **given)
    for figure in measured:
        sys.stdout.write(json.dumps(plain(figure), default=float) + "\n")
        sys.stdout.flush()
    return 0


def plain(figure: Mapping[str, Any]) -> Figure:
    """A figure with every entry that the table wants."""
    blank = {"unit": "", "bar": "", "met": None, "note": ""}
    return {**blank, **figure}


def report(results: Results, modules: list[str]) -> None:
    """The table of figures."""
    table = Table(title="Figures", title_justify="left")
    for head, justify in (("figure", "left"), ("value", "right"), ("bar", "right")):
        table.add_column(head, justify=justify)  # type: ignore[arg-type]
    table.add_column("met")
    table.add_column("note", overflow="fold")
    for figure in results.figures.values():
        if figure["module"] in modules:
            met = {True: "yes", False: "NO", None: ""}[figure["met"]]
            value = f"{number(figure['value'])} {figure['unit']}".strip()
            table.add_row(figure["name"], value, str(figure["bar"]), met, figure["note"])
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def number(value: object) -> str:
    """Four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def virtual_display() -> Iterator[None]:
    """A display for benchmarks that open the window, where there is none."""
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        yield
        return
    from pyvirtualdisplay.display import Display

    with Display(backend="xvfb", size=(1920, 1080), color_depth=24):
        yield


def _git_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
