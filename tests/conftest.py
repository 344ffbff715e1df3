"""Strictness for the whole suite: no unexpected log record, nothing left alive, one thread."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Read by torch when it is first imported: the same sums in the same order on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("genscope", deadline=None, database=None, derandomize=True)
settings.load_profile("genscope")

#: Seconds granted to threads and children that are on their way out.
GRACE = 3.0
#: Top-level widgets of libraries that outlive their windows by design.
SURVIVORS = ("QMenu", "CanvasBackendDesktop", "QDesktopWidget", "QTipLabel")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Pick Qt's platform: the virtual display if pytest-xvfb started one, else off-screen."""
    if sys.platform != "linux":
        return
    os.environ.pop("WAYLAND_DISPLAY", None)
    os.environ["QT_QPA_PLATFORM"] = "xcb" if os.environ.get("DISPLAY") else "offscreen"


@pytest.fixture(autouse=True, scope="module")
def _nothing_old_in_sight() -> None:
    """Put what earlier modules and the imports left behind out of the collector's sight.

    It lives as long as the process, and every look for timers, and every collection, would walk
    through its hundreds of thousands of objects again.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest folder; skip what needs OpenGL where the platform has none.

    Two processes share the files, so long ones that come last would leave one of them idle.
    """
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return
    for item in items:
        if item.get_closest_marker("gl"):
            item.add_marker(pytest.mark.skip(reason="the off-screen platform has no OpenGL"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Remember whether the test itself passed, for the fixtures below."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


PASSED = pytest.StashKey[bool]()


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the user's own folders, and nothing is downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GENSCOPE_DATA", raising=False)
        patch.setenv("GENSCOPE_OFFLINE", "1")
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            folder: Path = tmp_path_factory.mktemp(name.lower())
            patch.setenv(f"XDG_{name}_HOME", str(folder))
        yield


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.name}: {record.levelname}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def _no_unexpected_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """A warning or error in the log fails a test, unless it looks at ``caplog`` itself."""
    handler = _Records()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    if handler.texts and passed(request) and "caplog" not in request.fixturenames:
        pytest.fail("unexpected log records:\n" + "\n".join(handler.texts))


@pytest.fixture(autouse=True)
def _nothing_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads, child processes, timers and windows of a test end with it."""
    kinds: dict[str, Callable[[], set[Any]]] = {
        "threads": lambda: set(threading.enumerate()),
        "child processes": lambda: set(multiprocessing.active_children()),
    }
    if {"qtbot", "qapp"} & set(request.fixturenames):
        kinds |= {"windows": _windows, "timers": _timers}
    before = {name: found() for name, found in kinds.items()}
    yield
    if not passed(request):
        return
    left = {name: _left(found, before[name]) for name, found in kinds.items()}
    if any(left.values()):
        pytest.fail(f"left alive: { {name: found for name, found in left.items() if found} }")


def passed(request: pytest.FixtureRequest) -> bool:
    """Whether the test's own body passed."""
    return bool(request.node.stash.get(PASSED, False))


def _left(found: Callable[[], set[Any]], before: set[Any]) -> list[str]:
    """What is new and stays, named; things on their way out are waited for."""
    end = time.monotonic() + GRACE
    while (left := found() - before) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.02)
    return sorted(repr(item) for item in left)


def _windows() -> set[Any]:
    from PySide6.QtCore import QCoreApplication, QEvent
    from PySide6.QtWidgets import QApplication

    if QApplication.instance() is None:
        return set()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    return {w for w in QApplication.topLevelWidgets() if type(w).__name__ not in SURVIVORS}


def _timers() -> set[Any]:
    import shiboken6
    from PySide6.QtCore import QTimer

    timers = [item for item in gc.get_objects() if type(item) is QTimer]
    return {timer for timer in timers if shiboken6.isValid(timer) and timer.isActive()}
