"""For pictures: samples of the model beside examples of the data, on one grey scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QWidget

from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip
from widgets.density.face import Face, can_draw
from widgets.density.words import exact_reading
from widgets.look import Look
from widgets.panel import Point, Pointed, Question
from widgets.plots.image_grid import ImageGrid

N_PICTURES = 36


class PictureFace(Face):
    """Two grids of pictures; the pointer on one asks for its log-density."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.grids = {name: ImageGrid(look, parent=self) for name in ("samples", "data")}
        self._pictures: dict[str, npt.NDArray[Any]] = {}
        self._ends = (0.0, 1.0)
        self._words = ""
        self._heading = ""
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(look.px(10))
        for name, grid in self.grids.items():
            self._layout.addWidget(grid, 1)
            grid.hovered.connect(lambda index, own=name: self._on_hovered(own, index))
            grid.clicked.connect(lambda index, own=name: self._on_clicked(own, index))
        self.restyle()

    def open(self, info: RunInfo) -> None:
        """Another run is shown."""
        super().open(info)
        self._write_titles()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Samples and examples."""
        if self.info is None:
            return {}
        asked = {}
        if "data" in self.shown:
            asked["data"] = Question("data_examples", {"n": N_PICTURES}, live=False)
        if "samples" in self.shown and can_draw(self.info.card):
            asked["samples"] = Question("draw", {"n": N_PICTURES})
        return asked | self.at_question()

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "at":
            if self.exact_at is not None:
                reading = exact_reading((), (), answer.values)
                self.pointed.emit(Pointed(f"{self._heading}: {reading.heading}", reading.rows))
            return
        key = {"samples": "samples", "data": "examples"}.get(part, "")
        if key not in answer.arrays:
            return
        if part == "data":
            self._note_ends(answer.arrays[key])
        elif answer.values.get("kind") != "exact":
            self._words = str(answer.values.get("label", ""))
        self._pictures[part] = answer.arrays[key]
        self._draw(part)
        self.chips_changed.emit()

    def set_shown(self, names: frozenset[str]) -> None:
        """Show one grid or both."""
        super().set_shown(names)
        for name, grid in self.grids.items():
            grid.setVisible(name in names)

    def chips(self) -> tuple[Chip, ...]:
        """How the samples came about, and the grey scale."""
        low, high = self._ends
        scale = f"black {low:.3g}, white {high:.3g}".replace("-", "−")
        chips = [Chip(scale, "The fixed grey scale of both grids", framed=True)]
        if self._words:
            chips.append(Chip(self._words, "How the samples were drawn", framed=True))
        return tuple(chips) if self._pictures else ()

    def clear(self) -> None:
        """No pictures."""
        super().clear()
        self._pictures, self._words = {}, ""
        for grid in self.grids.values():
            grid.clear()

    def restyle(self) -> None:
        """Take colours from the look."""
        for grid in self.grids.values():
            grid.restyle()
        self._write_titles()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Side by side where there is width, else one above the other."""
        super().resizeEvent(event)
        wide = self.width() >= self.height()
        self._layout.setDirection(
            QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        )

    def _draw(self, part: str) -> None:
        low, high = self._ends
        pictures = self._pictures[part]
        if pictures.ndim in (3, 4) and len(pictures):
            self.grids[part].set_pictures(pictures, low=low, high=high)

    def _note_ends(self, examples: npt.NDArray[Any]) -> None:
        levels = self.info.data.event.levels if self.info is not None else None
        if levels is not None:
            examples = np.array([0.0, levels - 1.0])
        finite = examples[np.isfinite(examples)]
        if len(finite) and finite.max() > finite.min():
            self._ends = (float(np.floor(finite.min())), float(np.ceil(finite.max())))
            if "samples" in self._pictures:
                self._draw("samples")

    def _write_titles(self) -> None:
        palette = self.look.palette
        title = self.info.card.title if self.info is not None else "the model"
        self.grids["samples"].set_title(f"drawn by {title}", palette.model)
        self.grids["data"].set_title("data", palette.data)

    def _on_clicked(self, part: str, index: int) -> None:
        flat = tuple(float(value) for value in self._pictures[part][index].ravel())
        if all(np.isfinite(flat)):
            self.point_chosen.emit(Point(flat))

    def _on_hovered(self, part: str, index: int | None) -> None:
        pictures = self._pictures.get(part)
        if index is None or pictures is None or index >= len(pictures):
            self.watch(None)
            self.pointed.emit(None)
            return
        self._heading = f"{'Sample' if part == 'samples' else 'Example'} {index + 1}"
        flat = tuple(float(value) for value in pictures[index].ravel())
        if all(np.isfinite(flat)):
            self.watch(flat)
        self.pointed.emit(Pointed(self._heading))
