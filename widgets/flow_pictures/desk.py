"""What the pages of the panel share: the run, held-out pictures, and those that are chosen."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from engine.wire.messages import Answer, RunInfo
from widgets.panel import Question
from widgets.pixels.cells import Cells, Pixels

Floats: TypeAlias = npt.NDArray[Any]

#: Held-out pictures to choose from, and fewest and most keyframes of a path.
N_EXAMPLES, LEAST_KEYS, MOST_KEYS = 24, 2, 4


class PicturesDesk(QObject):
    """The run and its pictures.

    Signals:
        arrived: Other pictures are there.
        chosen: Another picture, or other keyframes, are chosen.
    """

    arrived = Signal()
    chosen = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.index = 0
        self.keys: tuple[int, ...] = ()
        self.open(None)

    def open(self, info: RunInfo | None) -> None:
        """Another run: its pictures are yet to come."""
        self.info = info
        self.cells = None if info is None else Cells.of(info)
        self.events: Floats = np.zeros((0, 0))
        self.labels: Floats = np.zeros(0, np.int32)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes by name; () without labels."""
        return self.info.data.labels if self.info is not None else ()

    def question(self) -> Question:
        """The pictures to choose from."""
        return Question("data_examples", {"n": N_EXAMPLES, "split": "test"}, live=False)

    def take(self, answer: Answer) -> None:
        """Take them in."""
        given = answer.arrays.get("examples")
        size = self.cells.size if self.cells is not None else -1
        if given is None or not len(given) or given[0].size != size:
            return
        self.events = given.reshape(len(given), -1).astype(np.float64)
        labels = answer.arrays.get("labels")
        known = labels is not None and len(labels) == len(given)
        self.labels = np.asarray(labels) if known else np.full(len(given), -1, np.int32)
        self.index = min(self.index, len(given) - 1)
        self.keys = tuple(key for key in self.keys if key < len(given))
        if len(self.keys) < LEAST_KEYS:
            other = np.flatnonzero(self.labels != self.labels[0])
            self.keys = (0, int(other[0]) if len(other) else min(1, len(given) - 1))
        self.arrived.emit()

    @property
    def picture(self) -> Floats | None:
        """The chosen picture (D,)."""
        return self.events[self.index] if self.index < len(self.events) else None

    def choose(self, index: int) -> None:
        """Another picture."""
        self.set(index, self.keys)

    def toggle_key(self, index: int) -> None:
        """One keyframe more, or one less while two are left; the oldest of too many goes."""
        if index not in self.keys:
            keys = (*self.keys, index)[-MOST_KEYS:]
        elif len(self.keys) > LEAST_KEYS:
            keys = tuple(key for key in self.keys if key != index)
        else:
            return
        self.set(self.index, keys)

    def set(self, index: int, keys: tuple[int, ...]) -> None:
        """Choose a picture and keyframes."""
        if (index, keys) != (self.index, self.keys):
            self.index, self.keys = index, keys
            self.chosen.emit()

    def words(self, index: int) -> str:
        """The number of a picture and its class."""
        label = int(self.labels[index]) if index < len(self.labels) else -1
        name = self.names[label] if 0 <= label < len(self.names) else ""
        return f"held-out picture {index + 1}" + (f", class {name}" if name else "")

    def pixels(self, flat: Floats, empty: str) -> Pixels | None:
        """Pictures (…, D) or (…, *E) with as many axes in front as there are; None if misfit.

        Args:
            flat: (N, *E), or (R, S, *E) as ``flat.reshape(R, S, -1)``.
            empty: The colour of what is not there.
        """
        cells = self.cells
        if cells is None or not flat.size or flat.shape[-1] != cells.size:
            return None
        return cells.pixels(flat.astype(np.float32), np.ones(cells.size, dtype=bool), empty)
