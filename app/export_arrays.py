"""What a panel shows as numbers: its latest answers, kept with what was asked, and as one NPZ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QObject

from app.asking import Asker
from app.export_pictures import ExportError
from engine.wire.messages import Answer, Array, RunSpec
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Question

#: The entry of an NPZ that says what the others are.
ABOUT = "about"
FORMAT = 1
#: Entries with the training figures of the panels that draw them.
METRICS = "metrics"


@dataclass(frozen=True)
class Taken:
    """One part of a panel: what was asked of which run, and all that came of it.

    Attributes:
        question: As the panel asked it.
        run: Id of the run that was asked.
        answers: One, or the pieces of a stream in order.
    """

    question: Question
    run: str
    answers: tuple[Answer, ...]

    @property
    def step(self) -> int:
        """Training step of the snapshot that was asked."""
        return self.answers[-1].step

    def arrays(self) -> dict[str, Array]:
        """All arrays by name; those of a stream's piece as ``number.name``."""
        found: dict[str, Array] = {}
        for answer in self.answers:
            prefix = f"{answer.number}." if answer.number >= 0 else ""
            found |= {f"{prefix}{name}": array for name, array in answer.arrays.items()}
        return found

    def values(self) -> Mapping[str, Any]:
        """The plain values of the last answer."""
        return self.answers[-1].values


@dataclass(frozen=True)
class Shown:
    """All that a panel shows, as numbers.

    Attributes:
        panel: The panel's name.
        run: Id of the run in view.
        parts: What it asked and got.
        metrics: Training figures, where it draws them.
        specs: By run id: what decided it, with the settings now in force.
    """

    panel: str
    run: str
    parts: Mapping[str, Taken]
    metrics: MetricsTable | None = None
    specs: Mapping[str, RunSpec] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs that were asked, the one in view first."""
        return tuple(dict.fromkeys([self.run, *(taken.run for taken in self.parts.values())]))

    @property
    def is_empty(self) -> bool:
        """Whether there is no number to take away."""
        return not self.parts and (self.metrics is None or not len(self.metrics.steps))


class Recorder(QObject):
    """Keeps the latest answer to each part of each panel.

    Args:
        asker: Tells of what panels show.
    """

    def __init__(self, asker: Asker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._asker = asker
        self._taken: dict[tuple[str, str], Taken] = {}
        asker.pictured.connect(self._on_pictured)

    def parts(self, panel: Panel, run: str) -> dict[str, Taken]:
        """What a panel asks now and has got, for the run in view."""
        found: dict[str, Taken] = {}
        for part, question in panel.asks(rest=True).items():
            taken = self._taken.get((panel.name, part))
            if taken is not None and taken.run == (question.run or run):
                found[part] = taken
        return found

    def _on_pictured(self, panel: str, part: str, answer: Answer) -> None:
        question = self._asker.question(answer.slot)
        if question is None:
            return
        before = self._taken.get((panel, part))
        self._taken[panel, part] = take(question, answer, before)


def take(question: Question, answer: Answer, before: Taken | None = None) -> Taken:
    """Keep an answer; a stream's piece joins those before it."""
    pieces: tuple[Answer, ...] = ()
    if answer.number > 0 and before is not None:
        pieces = tuple(a for a in before.answers if a.generation == answer.generation)
    return Taken(question, answer.slot.run, (*pieces, answer))


def draws_metrics(panel: Panel) -> bool:
    """Whether a panel draws training figures."""
    return type(panel).show_metrics is not Panel.show_metrics


def write_npz(shown: Shown, path: Path) -> None:
    """Write every array as ``part.array``, and ``about``: a JSON text that says what they are.

    ``about`` holds, by part, the probe, its arguments, the training step, the run's specification
    and the plain values, so that each array can be had again. The same numbers give the same file,
    byte for byte.

    Raises:
        ExportError: The panel shows no numbers, or the file cannot be written.
    """
    if shown.is_empty:
        raise ExportError("there are no numbers to take away yet; wanted a panel with a picture")
    entries = {ABOUT: np.array(json.dumps(about(shown), indent=1)), **arrays(shown)}
    try:
        with path.open("wb") as file:
            np.savez_compressed(file, **entries)  # type: ignore[arg-type]
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from None


def arrays(shown: Shown) -> dict[str, Array]:
    """All arrays as ``part.array``; what was asked with as ``part.asked.array``."""
    found: dict[str, Array] = {}
    for part, taken in shown.parts.items():
        found |= {f"{part}.{name}": array for name, array in taken.arrays().items()}
        asked = taken.question.arrays.items()
        found |= {f"{part}.asked.{name}": np.asarray(array) for name, array in asked}
    if shown.metrics is not None:
        found[f"{METRICS}.steps"] = shown.metrics.steps
        found |= {f"{METRICS}.{name}": full_column(shown.metrics, name)
                  for name in shown.metrics.names}  # fmt: skip
    return found


def about(shown: Shown) -> dict[str, Any]:
    """What the arrays are, as plain values."""
    return {
        "format": FORMAT,
        "panel": shown.panel,
        "run": shown.run,
        "runs": {run: msgspec.to_builtins(spec) for run, spec in shown.specs.items()},
        "parts": {
            part: {
                "probe": taken.question.probe,
                "arguments": dict(taken.question.arguments),
                "run": taken.run,
                "step": taken.step,
                "final": taken.answers[-1].final,
                "values": dict(taken.values()),
            }
            for part, taken in shown.parts.items()
        },
    }


def full_column(table: MetricsTable, name: str) -> Array:
    """A column over all recorded steps, NaN where it has no entry."""
    steps, values = table.column(name)
    column = np.full(len(table.steps), np.nan)
    column[np.searchsorted(table.steps, steps)] = values
    return column
