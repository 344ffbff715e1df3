"""The base of the latent panel's modes: one way of looking at a latent space."""

from __future__ import annotations

from widgets.latent.desk import Desk
from widgets.look import Look
from widgets.mode_panel import PanelMode


class Mode(PanelMode):
    """A page of the panel, with a tool row of its own."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look)
        self.desk = desk
