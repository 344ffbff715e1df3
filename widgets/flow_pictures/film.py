"""One picture large, and below it the row of pictures of which it is one."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.latent.picture_table import PictureTable, Spot
from widgets.look import Look
from widgets.pixels.cells import Pixels


class Film(QWidget):
    """Pictures (R, S) in a table, and the chosen one above.

    Signals:
        chosen: (row, column) of the picture that was clicked.
    """

    chosen = Signal(object)

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.big, self.table = PictureTable(look), PictureTable(look)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.big, 3)
        column.addWidget(self.table, 2)
        self.table.chosen.connect(self.chosen)

    def clear(self, hint: str) -> None:
        """Nothing to show yet."""
        for part in (self.big, self.table):
            part.clear()
        self.big.set_title("")
        self.big.set_hint(hint)

    def set_pictures(
        self, pixels: Pixels, rows: tuple[str, ...], columns: tuple[str, ...]
    ) -> None:
        """Pictures (R, S, H, W) of the table."""
        self.table.set_pictures(pixels, rows, columns)

    def show_one(self, pixels: Pixels, title: str, colour: str, spot: Spot | None) -> None:
        """Show one picture (H, W) large; frame its place in the table."""
        self.big.set_pictures(pixels[None, None])
        self.big.set_title(title, colour)
        self.table.set_current(spot)

    def restyle(self) -> None:
        """Take fonts from the look."""
        self.big.restyle()
        self.table.restyle()
