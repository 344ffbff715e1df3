"""``doctor``: what this machine has, and whether a saved model obeys the laws."""

from __future__ import annotations

import os
import platform
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from platformdirs import user_config_path, user_data_path
from rich.console import Console
from rich.table import Table

from app.cli import has_display
from app.shell_engine import ShellEngine, ShellError, to_json
from app.shell_files import RUN, opened

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("PySide6_Essentials", "pyqtgraph", "vispy", "torch", "numpy", "msgspec", "safetensors")


def versions() -> dict[str, str]:
    """Versions of the program and of its parts; "missing" where one is not installed."""
    found = {"genscope": _own_version(), "python": platform.python_version()}
    for name in PARTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _own_version() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def describe(*, json: bool) -> int:
    """Versions, devices, display, OpenGL and folders; 1 if the engine does not start."""
    report: dict[str, object] = dict(versions())
    report["system"] = platform.platform()
    report["cores"] = os.cpu_count() or 1
    report["display"] = _display()
    report["opengl"] = opengl()
    report["settings"] = str(user_config_path("genscope"))
    report["data"] = str(user_data_path("genscope"))
    code = 0
    try:
        with ShellEngine() as engine:
            report["devices"] = list(engine.hello.devices)
            report["threads"] = engine.hello.threads
            report["engine"] = "answers"
    except ShellError as error:
        report["engine"] = str(error)
        code = 1
    if json:
        typer.echo(to_json(report))
    else:
        _print({name: _line(value) for name, value in report.items()})
    return code


def _line(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _display() -> str:
    if not has_display():
        return "none"
    names = ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY", "DISPLAY")
    return next((f"{n}={os.environ[n]}" for n in names if os.environ.get(n)), sys.platform)


def opengl() -> str:
    """The driver's name and version, or why there is none."""
    if not has_display():
        return "none: there is no display"
    from PySide6.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext

    application = QGuiApplication.instance() or QGuiApplication([])
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    if not (context.create() and context.makeCurrent(surface)):
        return f"none: {QGuiApplication.platformName()} gives no context"
    major, minor = context.format().version()
    renderer = context.functions().glGetString(0x1F01)
    context.doneCurrent()
    del application
    return f"{renderer}, OpenGL {major}.{minor}"


def examine(file: Path, *, json: bool) -> int:
    """Check every law of the model in a file; 1 if one fails."""
    with opened(file, "auto") as (engine, info):
        values = engine.ask(RUN, "laws").values
    columns = [_strings(values[key]) for key in ("names", "passed", "messages")]
    laws = [
        {"law": law, "passed": passed in ("1", "True"), "message": message}
        for law, passed, message in zip(*columns, strict=True)
    ]
    failed = [law for law in laws if not law["passed"]]
    if json:
        typer.echo(to_json({"file": str(file), "model": info.card.name, "laws": laws}))
    else:
        table = Table(title=f"{info.card.title}, step {info.step}", title_justify="left")
        for head in ("law", "holds", "found"):
            table.add_column(head)
        for law in laws:
            table.add_row(str(law["law"]), "yes" if law["passed"] else "NO", str(law["message"]))
        Console().print(table)
    return 1 if failed else 0


def _strings(value: object) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, list) else []


def _print(rows: dict[str, str]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)
