"""What all modes of the posterior panel share: held-out events, the chosen one, alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip
from widgets.figures import number
from widgets.look import Palette
from widgets.panel import Point, Question
from widgets.pixels.cells import Cells
from widgets.posterior.words import numbers, spaced, unit_name, value_name

Floats: TypeAlias = npt.NDArray[Any]

#: Held-out events to choose from: pictures, and points.
N_PICTURES, N_POINTS = 24, 400
#: The least activity of a living unit.
ACTIVE_FROM = 0.01
#: Dead units that are named one by one in an alarm.
MOST_NAMED = 3
DEAD_TIP = (
    "A unit is dead when its posterior mean does not move with x: Var over x of E_q[z] is at most "
    "0.01 (Burda et al. 2016); or when the decoder ignores it: exchanged between observations it "
    "changes log p(x given z) by less than 0.0001 nats."
)
UNUSED_TIP = "None of the held-out observations uses this value of the code."


class Desk(QObject):
    """The chosen event and what is known of the latents.

    Signals:
        chosen: Another event is chosen.
        arrived: The held-out events are there.
        alarmed: What is known of the units is new.
    """

    chosen = Signal()
    arrived = Signal()
    alarmed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.is_scrubbing = False
        self.open(None)

    # --- run ------------------------------------------------------------------------------------

    def open(self, info: RunInfo | None) -> None:
        """Another run: its events are yet to come."""
        self.info = info
        self.cells = None if info is None else Cells.of(info)
        self.events: Floats = np.zeros((0, 1), np.float32)
        self.labels: tuple[int, ...] = ()
        self.index = 0
        self.point: Point | None = None
        self.units: Answer | None = None

    def has(self, *capabilities: Capability) -> bool:
        """Whether the model has all of them."""
        return self.info is not None and set(capabilities) <= set(self.info.card.capabilities)

    @property
    def is_picture(self) -> bool:
        """Whether events are pictures."""
        return self.cells is not None and self.cells.is_picture and self.cells.size > 2

    @property
    def is_plane(self) -> bool:
        """Whether events are points of a line or a plane."""
        return self.cells is not None and self.cells.size <= 2

    # --- the chosen event -----------------------------------------------------------------------

    @property
    def x(self) -> Floats | None:
        """The chosen event (D,), or None while there is none."""
        if self.point is not None:
            return np.asarray(self.point.at, np.float32)
        return self.events[self.index] if self.index < len(self.events) else None

    @property
    def words(self) -> str:
        """What it is: "test picture 3", "the point (0.3, −1.2)"."""
        event = self.x
        if event is None:
            return "no event yet"
        values = ", ".join(number(float(value), 3) for value in event[:3])
        place = f"({values}{', …' if len(event) > 3 else ''})"
        if self.point is not None:
            return f"the chosen point {place}"
        kind = "picture" if self.is_picture else "observation"
        label = self.label_words
        extra = f" ({label})" if label else "" if self.is_picture else f" {place}"
        return f"held-out {kind} {self.index + 1}{extra}"

    @property
    def label_words(self) -> str:
        """The class of the chosen event by name, or ""."""
        names = self.info.data.labels if self.info is not None else ()
        known = self.labels[self.index] if self.index < len(self.labels) else -1
        return names[known] if self.point is None and 0 <= known < len(names) else ""

    def choose(self, index: int) -> None:
        """Choose a held-out event; the window's point is let go."""
        if len(self.events):
            self.index = index % len(self.events)
            self.point = None
            self.chosen.emit()

    def choose_point(self, point: Point | None) -> None:
        """The window's point is looked at, where it is an event of its own."""
        fits = point is None or (
            self.cells is not None and len(point.at) == self.cells.size and not point.plane
        )
        if fits and point != self.point:
            self.point = point
            self.chosen.emit()

    def event_question(
        self, probe: str, arguments: dict[str, Value], *, live: bool = True
    ) -> Question | None:
        """A question about the chosen event, or None while there is none."""
        event = self.x
        if event is None:
            return None
        known = self.labels[self.index] if self.index < len(self.labels) else -1
        label = known if self.point is None else -1
        wanted = {**arguments, "label": max(label, -1)}
        return Question(probe, wanted, {"event": event}, live=live)

    # --- asking ---------------------------------------------------------------------------------

    def events_question(self) -> Question:
        """Held-out events to choose from."""
        n = N_PICTURES if not self.is_plane else N_POINTS
        has_test = self.info is not None and self.info.data.n_test > 0
        split = "test" if has_test else "train"
        return Question("data_examples", {"n": n, "split": split}, live=False)

    def take_events(self, answer: Answer) -> None:
        """Take in the held-out events."""
        given = answer.arrays.get("examples")
        if given is None or self.cells is None or not len(given):
            return
        if given[0].size != self.cells.size or not np.isfinite(given).all():
            return
        self.events = given.reshape(len(given), -1).astype(np.float32)
        labels = answer.arrays.get("labels")
        self.labels = () if labels is None else tuple(int(k) for k in labels)
        self.index = min(self.index, len(self.events) - 1)
        self.arrived.emit()

    @property
    def watches_units(self) -> bool:
        """Whether collapse can be looked for."""
        return self.has(Capability.BOUND, Capability.ENCODING, Capability.DECODING)

    def units_question(self, *, rest: bool) -> Question:
        """KL and activity of every unit."""
        return Question("latent_units", {"n": 512 if rest else 128, "n_draws": 8}, coarse=None)

    def take_units(self, answer: Answer) -> None:
        """Take in what the units carry."""
        if "unit_dead" in answer.arrays:
            self.units = answer
            self.alarmed.emit()

    @property
    def no_grid(self) -> str:
        """Why the true posterior cannot be drawn, as far as the units tell; "" otherwise."""
        if self.units is None:
            return ""
        values = self.units.values
        kinds = values.get("kinds")
        if isinstance(kinds, list) and any(kind != "real" for kind in kinds):
            return "The latents of this model are discrete; Bars has their exact gap."
        return ""

    # --- alarms ---------------------------------------------------------------------------------

    def alarm_chips(self, palette: Palette) -> tuple[Chip, ...]:
        """One filled chip for each level with dead units, named while they are few."""
        if self.units is None:
            return ()
        arrays, values = self.units.arrays, self.units.values
        names, kinds = values.get("latents"), values.get("kinds")
        levels = dict(enumerate(map(int, numbers(values, "levels"))))
        if not isinstance(names, list) or not isinstance(kinds, list):
            return ()
        found = []
        for level, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            mine = arrays["unit_latent"] == level
            dead = arrays["unit_dead"][mine].astype(bool)
            if not dead.any():
                continue
            at = np.flatnonzero(dead)
            fact = _fact(arrays, mine, int(at[0]))
            text = _alarm_words(str(name), str(kind), at, len(dead), fact)
            if kind == "category" and len(at) <= MOST_NAMED:
                text = _unused_words(str(name), at, len(dead), levels.get(level, 0))
            tip = UNUSED_TIP if kind == "category" else DEAD_TIP
            found.append(Chip(text, tip, palette.error, alarm=True, framed=True))
        return tuple(found)


def _fact(arrays: Mapping[str, Floats], mine: npt.NDArray[np.bool_], unit: int) -> str:
    """Why a unit counts as dead."""
    activity = float(arrays["unit_activity"][mine][unit])
    if activity > ACTIVE_FROM:
        return "the decoder ignores it"
    return f"activity {number(activity, 2)}"


def _unused_words(name: str, dead: Floats, total: int, levels: int) -> str:
    which = ", ".join(value_name(name, int(i), total, levels) for i in dead)
    which = which if total > levels > 0 else f"{name} {which}"
    return f"{which} {'is' if len(dead) == 1 else 'are'} unused"


def _alarm_words(name: str, kind: str, dead: Floats, total: int, fact: str) -> str:
    if kind == "category":
        return f"{spaced(len(dead))} of {total} values of {name} are unused"
    if len(dead) == total and total > 1:
        return f"{name} has collapsed: all {total} units are dead"
    if len(dead) > MOST_NAMED:
        return f"{spaced(len(dead))} of {total} units of {name} are dead"
    which = ", ".join(unit_name(name, int(i), total) for i in dead)
    if len(dead) == 1:
        return f"{which} is dead: {fact}"
    return f"{which} are dead"
