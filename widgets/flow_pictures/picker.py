"""The held-out pictures to choose from: one, or the keyframes of a path."""

from __future__ import annotations

from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from widgets.flow_pictures.desk import PicturesDesk
from widgets.look import Look
from widgets.pixels.wall import PictureWall
from widgets.recall import Recalled

TITLES = {"one": "data: click one", "keys": "data: click 2 to 4"}


class FlowPicturePicker(QWidget, Recalled):
    """A wall of pictures; what is chosen is framed."""

    def __init__(self, look: Look, desk: PicturesDesk) -> None:
        super().__init__()
        self._look, self._desk, self._picks = look, desk, "one"
        self.wall = PictureWall(look)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.wall)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(30, 20)
        self.wall.chosen.connect(self._on_chosen)
        desk.arrived.connect(self.show_pictures)
        desk.chosen.connect(self.show_chosen)

    def set_picks(self, picks: str) -> None:
        """What a click chooses: ``"one"`` or ``"keys"``."""
        self._picks = picks or self._picks
        self.show_pictures()

    def show_pictures(self) -> None:
        """Other pictures, or another theme."""
        self.wall.set_hint("Held-out pictures are coming …")
        self.wall.set_title(TITLES[self._picks], self._look.palette.data)
        pixels = self._desk.pixels(self._desk.events, self._look.palette.raised)
        if pixels is None:
            self.wall.clear()
        else:
            words = tuple(self._desk.words(i) for i in range(len(pixels)))
            self.wall.set_pictures(pixels, words)
        self.show_chosen()

    def show_chosen(self) -> None:
        """Frame what is chosen."""
        desk, count = self._desk, self.wall.count
        keys = desk.keys if self._picks == "keys" else (desk.index,)
        shown = tuple(key for key in keys if key < count)
        self.wall.set_current(None)
        self.wall.set_framed(shown, numbered=self._picks == "keys")

    def kept(self) -> tuple[int, tuple[int, ...]]:
        """The chosen picture and the keyframes, for undo."""
        return self._desk.index, self._desk.keys

    def keep(self, value: tuple[int, tuple[int, ...]]) -> None:
        """Take them back."""
        if max(value[0], *value[1], 0) < max(len(self._desk.events), 1):
            self._desk.set(*value)

    def what_changed(self, before: object, after: object) -> str:
        """What the user did."""
        return "choose a picture"

    def restyle(self) -> None:
        """Take fonts and colours from the look."""
        self.wall.restyle()
        self.show_pictures()

    def _on_chosen(self, index: int) -> None:
        if self._picks == "keys":
            self._desk.toggle_key(index)
        else:
            self._desk.choose(index)
        self.show_chosen()
