"""Which picture is looked at: one of the data, one of the samples, or one's own."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QWidget

from widgets.look import Look
from widgets.pixels.cells import Cells
from widgets.pixels.desk import Desk
from widgets.pixels.wall import PictureWall
from widgets.recall import Recalled

Floats: TypeAlias = npt.NDArray[Any]

#: Height at scale 1.
HEIGHT = 50
SOURCES = (("data", "data"), ("samples", "samples"), ("own picture", "own"))
TOOLTIP = "Where the picture x comes from; drop a picture file on the panel for one of your own"


class PicturePicker(QWidget, Recalled):
    """A strip of pictures and where they come from.

    Signals:
        changed: Another picture is chosen, or the chosen one has changed.
    """

    changed = Signal()

    def __init__(self, look: Look, desk: Desk, source: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._desk = look, desk
        self._source = source
        self.index = 0
        self.box = QComboBox(self)
        for text, name in SOURCES:
            self.box.addItem(text, name)
        self.box.setToolTip(TOOLTIP)
        self.box.setAccessibleName("Where the picture comes from")
        self.box.setCurrentIndex(self.box.findData(source))
        self.strip = PictureWall(look, one_row=True, parent=self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box)
        row.addWidget(self.strip, 1)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.box.activated.connect(lambda _: self.set_source(str(self.box.currentData())))
        self.strip.chosen.connect(self._on_chosen)
        desk.arrived.connect(self._on_arrived)
        desk.grown.connect(self._on_grown)
        self.restyle()

    @property
    def source(self) -> str:
        """``"data"``, ``"samples"`` or ``"own"``."""
        return self._source

    @property
    def wants_samples(self) -> bool:
        """Whether samples must be drawn for it."""
        return self._source == "samples"

    @property
    def values(self) -> Floats | None:
        """The chosen picture (D,), or None while there is none."""
        pictures = self._pictures()
        return pictures[min(self.index, len(pictures) - 1)] if len(pictures) else None

    @property
    def label(self) -> int:
        """Its class; where none is known the one that is chosen, else 0, as the probes take it."""
        known = self._known_label
        return max(known, self._desk.label, 0) if known < 0 else known

    @property
    def _known_label(self) -> int:
        """Its class, or −1."""
        labels: tuple[int, ...] = ()
        if self._source == "data":
            labels = self._desk.example_labels
        elif self._source == "samples" and self._desk.film is not None:
            labels = self._desk.film.labels
        return labels[self.index] if self.index < len(labels) else -1

    @property
    def words(self) -> str:
        """What it is: "test picture 3", "sample 5"."""
        words = {"data": "test picture", "samples": "sample", "own": "own picture"}[self._source]
        return words + ("" if self._source == "own" else f" {self.index + 1}")

    @property
    def words_with_class(self) -> str:
        """The same, and which class it is taken for where a model wants one and none is known."""
        if not self._desk.has_labels or self._known_label >= 0:
            return self.words
        return f"{self.words} taken for class {self._desk.class_words(self.label)}"

    @property
    def colour(self) -> str:
        """The data's or the model's colour."""
        palette = self._look.palette
        return {"data": palette.data, "samples": palette.model}.get(self._source, palette.accent)

    def open(self) -> None:
        """Another run."""
        self.index = 0
        if self._source == "own" and self._desk.own is None:
            self._source = "data"
        if self._source == "samples" and self._desk.leaks:
            self._source = "data"
        if self._source == "data" and self._desk.absence:
            self._source = "samples"
        self.box.setCurrentIndex(self.box.findData(self._source))
        self._show()

    def set_source(self, source: str, index: int = 0) -> None:
        """Choose where the picture comes from."""
        self._source, self.index = source, index
        self.box.setCurrentIndex(self.box.findData(source))
        self._show()
        self.changed.emit()

    def kept(self) -> tuple[str, int]:
        """Which picture, for undo."""
        return self._source, self.index

    def keep(self, value: tuple[str, int]) -> None:
        """Look at it again."""
        self.set_source(*value)

    def what_changed(self, before: tuple[str, int], after: tuple[str, int]) -> str:
        """What was chosen."""
        return "another picture" if before[0] == after[0] else f"pictures: {after[0]}"

    def restyle(self) -> None:
        """Take sizes from the look."""
        self.setFixedHeight(self._look.px(HEIGHT))
        self.box.setFont(self._look.font(0.9))
        self.strip.restyle()
        self._show()

    def _pictures(self) -> Floats:
        desk = self._desk
        none = np.zeros((0, 1), np.float32)
        if self._source == "own":
            return none if desk.own is None else desk.own[None]
        if self._source == "samples":
            return desk.film.values if desk.film is not None and desk.film.is_whole else none
        return desk.examples

    def _show(self) -> None:
        cells, pictures = self._desk.cells, self._pictures()
        self.strip.set_hint(self._hint())
        if cells is None or not len(pictures):
            self.strip.clear()
            return
        everything = np.ones(cells.size, dtype=bool)
        pixels = cells.pixels(pictures, everything, self._look.palette.raised)
        self.strip.set_pictures(pixels)
        self.index = min(self.index, len(pictures) - 1)
        self.strip.set_current(self.index)

    def _hint(self) -> str:
        """What is said while there is no picture."""
        if self._source == "own":
            return "Drop a picture file here"
        waits = "The pictures are coming …"
        return (self._source == "data" and self._desk.absence) or waits

    def _on_chosen(self, index: int) -> None:
        self.index = index
        self.changed.emit()

    def _on_arrived(self) -> None:
        if self._source == "data":
            self._show()
            self.changed.emit()

    def _on_grown(self) -> None:
        film = self._desk.film
        if self._source == "samples" and film is not None and film.is_whole:
            self._show()
            self.changed.emit()


def read_own(path: str, cells: Cells) -> Floats:
    """A picture file as one event (D,): cut square, resized, grey or colour, in the data's levels.

    Raises:
        ValueError: The file cannot be read, or the events are no pictures.
    """
    if not cells.is_picture:
        raise ValueError("the data are no pictures, so none can be dropped here")
    image = QImage(path)
    if image.isNull():
        raise ValueError(f"'{path}' could not be read as a picture, wanted a PNG or JPEG")
    side = min(image.width(), image.height())
    left, top = (image.width() - side) // 2, (image.height() - side) // 2
    image = image.copy(left, top, side, side).scaled(
        cells.columns, cells.rows, Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )  # fmt: skip
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    data = np.frombuffer(image.constBits(), np.uint8).reshape(cells.rows, image.bytesPerLine())
    rgb = data[:, : 3 * cells.columns].reshape(cells.rows, cells.columns, 3) / 255.0
    unit = rgb.transpose(2, 0, 1) if cells.channels == 3 else rgb.mean(2)[None]
    if cells.levels is None:
        flat = cells.low + unit * (cells.high - cells.low)
    else:
        flat = np.minimum(np.floor(unit * cells.levels), cells.levels - 1)
    return flat.reshape(-1).astype(np.float32)
