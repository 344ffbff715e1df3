"""What the modes of the Gibbs panel share: run, held-out observations, the chain's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.panel import Question
from widgets.pixels.cells import Cells, Pixels, setting

Floats: TypeAlias = npt.NDArray[Any]

#: Held-out observations to choose from, and points drawn behind a chain.
N_EXAMPLES, N_POINTS = 24, 1500
STARTS = (("from noise", "noise"), ("from data", "data"), ("from the training", "training"))
START_TIP = (
    "Where the chains begin: noise draws every unit by its bias alone; data begins at held-out "
    "observations, and what is to be seen is how long a chain stays near them; the training goes "
    "on from its own persistent chains, as they stand in the newest keyframe"
)


class Desk(QObject):
    """Settings of the chains, and observations.

    Signals:
        changed: A setting is another: chains must be asked for again.
        arrived: Observations are there.
    """

    changed = Signal()
    arrived = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.start, self.seed, self.index = "noise", 0, 0
        self.is_scrubbing = False
        self.open(None)

    def open(self, info: RunInfo | None) -> None:
        """Another run: its observations are yet to come."""
        self.info = info
        if self.start == "training" and not self.has_chains:
            self.start = "noise"
        self.cells = None if info is None else Cells.of(info)
        self.events: Floats = np.zeros((0, 1))
        self.labels: Floats = np.zeros(0, np.int32)
        self.points: Floats = np.zeros((0, 2))

    # --- what the run is ----------------------------------------------------------------------

    @property
    def is_plane(self) -> bool:
        """Whether the visible units are a place in the plane."""
        return self.info is not None and self.info.data.event.size == 2 and not self.is_picture

    @property
    def is_picture(self) -> bool:
        """Whether the visible units are a picture."""
        return self.cells is not None and self.cells.is_picture

    @property
    def is_gaussian(self) -> bool:
        """Whether the visible units are real."""
        return self.cells is not None and self.cells.levels is None

    @property
    def is_settling(self) -> bool:
        """Whether the hidden layers settle by mean-field."""
        return self.info is not None and "mean_field" in self.info.card.features

    @property
    def is_directed(self) -> bool:
        """Whether only the top two layers are joined both ways."""
        return self.info is not None and "directed" in self.info.card.features

    @property
    def has_chains(self) -> bool:
        """Whether the training keeps persistent chains."""
        if self.info is None or setting(self.info, "n_chains") is None:
            return False
        return setting(self.info, "algorithm") in (None, "pcd")

    @property
    def starts(self) -> tuple[tuple[str, str], ...]:
        """Where chains of this run can begin."""
        return STARTS if self.has_chains else STARTS[:2]

    @property
    def absence(self) -> str:
        """Why the run's data are not here, as a sentence, or ""."""
        words = self.info.data.absent if self.info is not None else ""
        return f"{words[:1].upper()}{words[1:]}." if words else ""

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden units of each layer."""
        given = setting(self.info, "hidden_units") if self.info is not None else None
        if isinstance(given, list | tuple):
            return tuple(int(n) for n in given)
        return (int(given),) if isinstance(given, int) else ()

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
        return {"start": self.start, "seed": self.seed, "picture": self.index}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""
        if state.get("start") in [name for _, name in STARTS]:
            self.start = str(state["start"])
        for key, name in (("seed", "seed"), ("picture", "index")):
            value = state.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                setattr(self, name, value)

    # --- observations -------------------------------------------------------------------------

    def questions(self) -> dict[str, Question]:
        """Observations, where they are on this machine."""
        if self.absence:
            return {}
        wanted: dict[str, Value] = {"n": N_EXAMPLES, "split": "test"}
        asked = {"examples": Question("data_examples", wanted, live=False)}
        if self.is_plane:
            asked["points"] = Question("data_points", {"n": N_POINTS}, live=False)
        return asked

    def take(self, part: str, answer: Answer) -> None:
        """Take them in."""
        if part == "points":
            points = answer.arrays.get("points")
            if points is not None and points.ndim == 2 and points.shape[1] == 2:
                self.points = points
                self.arrived.emit()
            return
        given = answer.arrays.get("examples")
        if given is None or self.cells is None or not len(given):
            return
        if given[0].size != self.cells.size:
            return
        self.events = given.reshape(len(given), -1).astype(np.float64)
        labels = answer.arrays.get("labels")
        self.labels = np.zeros(0, np.int32) if labels is None else np.asarray(labels)
        self.index = min(self.index, len(given) - 1)
        self.arrived.emit()

    @property
    def picture(self) -> Floats | None:
        """The chosen observation (D,)."""
        return self.events[self.index] if self.index < len(self.events) else None

    def pixels(self, flat: Floats, empty: str) -> Pixels | None:
        """Visible units (…, V) as cells 0xffRRGGBB; None where they do not fit."""
        cells = self.cells
        if cells is None or not flat.size or flat.shape[-1] != cells.size:
            return None
        return cells.pixels(flat.astype(np.float32), np.ones(cells.size, dtype=bool), empty)


def is_machine(info: RunInfo | None) -> bool:
    """Whether a run's model has layers of units that are drawn in turn."""
    if info is None or Capability.CHAIN not in info.card.capabilities:
        return False
    return setting(info, "hidden_units") is not None
