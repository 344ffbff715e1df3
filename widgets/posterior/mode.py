"""The base of the posterior panel's modes: one way of looking at latents and their posterior."""

from __future__ import annotations

from PySide6.QtWidgets import QLayout, QWidget

from widgets.look import Look
from widgets.mode_panel import PanelMode
from widgets.posterior.desk import Desk


class Page(QWidget):
    """A widget around a layout."""

    def __init__(self, layout: QLayout) -> None:
        super().__init__()
        self.setLayout(layout)


class Mode(PanelMode):
    """A page of the panel, with a tool row of its own."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look)
        self.desk = desk
