"""What all modes of the pixels panel share: the run, how it samples, the samples, the data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.panel import Question
from widgets.pixels.cells import Cells, leaks, takes_any_order, uses_labels
from widgets.pixels.film import Film, Reel
from widgets.pixels.words import sharpened

Floats: TypeAlias = npt.NDArray[Any]

TEMPERATURES = (0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
TOP_PS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
COUNTS = (1, 4, 9, 16, 25, 36, 64)
ORDERS = ("raster", "column", "spiral", "random", "reversed")
#: Pictures of the data that can be chosen, and the pause between two draws while a run trains.
N_EXAMPLES, REDRAW_SECONDS = 24, 2.0
SETTINGS = ("n", "seed", "temperature", "top_p", "label", "order")


class Desk(QObject):
    """Settings of sampling, the newest samples, and examples of the data.

    Signals:
        changed: A setting is another: everything that samples must ask again.
        grown: More of the samples' film is there.
        arrived: The examples of the data are there.
    """

    changed = Signal()
    grown = Signal()
    arrived = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.info: RunInfo | None = None
        self.cells: Cells | None = None
        self.n, self.seed, self.label, self.order = 16, 0, -1, ""
        self.temperature, self.top_p = 1.0, 1.0
        self.watch = 0
        self.reel = Reel()
        self.examples: Floats = np.zeros((0, 1), np.float32)
        self.example_labels: tuple[int, ...] = ()
        self.own: Floats | None = None
        self.is_scrubbing = False
        self._whole_at = 0.0

    # --- run ----------------------------------------------------------------------------------

    def open(self, info: RunInfo | None) -> None:
        """Another run: its samples and data are yet to come."""
        before = self.cells
        self.info = info
        self.cells = None if info is None else Cells.of(info)
        self.reel.clear()
        self.examples = np.zeros((0, 1), np.float32)
        self.example_labels = ()
        self._whole_at = 0.0
        if before != self.cells:
            self.own = None
        if info is None:
            return
        if not self.has_labels or self.label >= len(info.data.labels):
            self.label = -1
        if not self.has_orders:
            self.order = ""

    @property
    def film(self) -> Film | None:
        """The samples that are shown."""
        return self.reel.shown

    @property
    def absence(self) -> str:
        """Why the run's data are not here, as a sentence, or ""."""
        words = self.info.data.absent if self.info is not None else ""
        return f"{words[:1].upper()}{words[1:]}." if words else ""

    @property
    def has_labels(self) -> bool:
        """Whether the model is given a class."""
        return self.info is not None and uses_labels(self.info)

    @property
    def has_orders(self) -> bool:
        """Whether the model takes any order."""
        return self.info is not None and takes_any_order(self.info)

    @property
    def leaks(self) -> bool:
        """Whether each value sees itself, so that none can be drawn."""
        return self.info is not None and leaks(self.info)

    @property
    def is_plain(self) -> bool:
        """Whether the model is sampled as it is, without temperature and top-p."""
        return not self.sharp_words

    def class_words(self, label: int) -> str:
        """A class by name, or "" without one."""
        names = self.info.data.labels if self.info is not None else ()
        return names[label] if 0 <= label < len(names) else ""

    # --- settings -----------------------------------------------------------------------------

    def set(self, **values: Any) -> None:
        """Change settings by name; emits ``changed`` when one is new."""
        before = [getattr(self, name) for name in values]
        for name, value in values.items():
            setattr(self, name, value)
        if before != list(values.values()):
            self.changed.emit()

    def save(self) -> dict[str, Value]:
        """The settings, for the layout file."""
        return {name: getattr(self, name) for name in SETTINGS}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""
        allowed: dict[str, tuple[Any, ...]] = {
            "n": COUNTS, "temperature": TEMPERATURES, "top_p": TOP_PS, "order": ("", *ORDERS),
        }  # fmt: skip
        for name, values in allowed.items():
            if state.get(name) in values:
                setattr(self, name, state[name])
        for name, least in (("seed", 0), ("label", -1)):
            value = state.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= least:
                setattr(self, name, value)

    def sharpening(self) -> dict[str, Value]:
        """Temperature and top-p, as probes take them; densities have no most probable levels."""
        return {"temperature": self.temperature, "top_p": self.used_top_p}

    @property
    def sharp_words(self) -> str:
        """The same in words, or "" where the model is sampled as it is."""
        return sharpened(self.temperature, self.used_top_p)

    @property
    def used_top_p(self) -> float:
        """top-p, where there are levels."""
        return self.top_p if self.has_levels else 1.0

    @property
    def has_levels(self) -> bool:
        """Whether the values are levels, of which the most probable ones can be kept."""
        return self.cells is None or self.cells.levels is not None

    def ordering(self) -> dict[str, Value]:
        """The order of the samples, with the seed that a random one comes from."""
        return {"order": self.order if self.has_orders else "", "seed": self.seed}

    # --- asking -------------------------------------------------------------------------------

    def samples_question(self, *, rest: bool) -> Question:
        """The samples' film; while a run trains it is drawn anew every few seconds."""
        due = time.monotonic() - self._whole_at > REDRAW_SECONDS
        arguments: dict[str, Value] = {
            "n": self.n,
            "watch": min(self.watch, self.n - 1),
            "label": self.label if self.has_labels else -1,
        }
        arguments |= self.ordering() | self.sharpening()
        live = rest or self.is_scrubbing or due
        return Question("pixel_stream", arguments, live=live, stream=True)

    def data_questions(self) -> dict[str, Question]:
        """Pictures of the data, where they are on this machine."""
        if self.absence:
            return {}
        arguments: dict[str, Value] = {"n": N_EXAMPLES, "split": "test"}
        return {"examples": Question("data_examples", arguments, live=False)}

    def show_samples(self, answer: Answer, place: int) -> bool:
        """Take in a piece of the film; True when it can be seen at ``place``."""
        seen = self.reel.take(answer, place)
        if answer.final:
            self._whole_at = time.monotonic()
        self.grown.emit()
        return seen

    def show_examples(self, answer: Answer) -> None:
        """Take in the data's pictures."""
        given = answer.arrays.get("examples")
        if given is None or self.cells is None or not len(given):
            return
        if given[0].size != self.cells.size:
            return
        self.examples = given.reshape(-1, self.cells.size).astype(np.float32)
        labels = answer.arrays.get("labels")
        self.example_labels = () if labels is None else tuple(int(k) for k in labels)
        self.arrived.emit()
