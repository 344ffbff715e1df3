"""The base of the panel's modes: one way of looking at chains and their energy."""

from __future__ import annotations

from widgets.chains.desk import Desk
from widgets.look import Look
from widgets.mode_panel import PanelMode


class Mode(PanelMode):
    """A page of the panel, with a tool row of its own."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look)
        self.desk = desk
