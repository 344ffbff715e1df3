"""Panels and controls are tested without an engine: numpy stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import shiboken6
from pytestqt.qtbot import QtBot

from widgets.look import DARK, Look
from widgets.panel import Panel


@pytest.fixture
def look(qapp: object) -> Look:
    return Look(DARK)


@pytest.fixture
def show_panel(qtbot: QtBot, look: Look) -> Iterator[Callable[[type[Panel]], Panel]]:
    """Builds a panel, shows it, and destroys it at the end of the test."""
    made: list[Panel] = []

    def show(kind: type[Panel]) -> Panel:
        panel = kind(look)  # type: ignore[call-arg]
        panel.resize(640, 480)
        panel.show()
        qtbot.waitExposed(panel)
        made.append(panel)
        return panel

    yield show
    for panel in made:
        if shiboken6.isValid(panel):
            panel.close()
            panel.deleteLater()
