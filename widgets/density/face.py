"""The common base of the density panel's faces."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QWidget

from engine.wire.capability import Capability
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip
from widgets.look import Look
from widgets.panel import Point, Question

#: The pointer must rest so long before the exact number is asked for.
REST_MS = 60
#: Importance weights drawn while training, and at rest.
N_DRAWS = {False: 32, True: 512}
#: Grid points a side, for cheap and for costly (bound) densities, while training and at rest.
SIZES = {"cheap": {False: 128, True: 512}, "costly": {False: 64, True: 256}}
#: Both while something is dragged or scrubbed.
COARSE: dict[str, dict[str, Value]] = {
    "cheap": {"size": 64, "n_draws": 8},
    "costly": {"size": 48, "n_draws": 8},
}


class Face(QWidget):
    """One way to draw a density.

    Signals:
        asks_changed: Other answers are wanted.
        pointed: A ``Pointed`` or None.
        chips_changed: :meth:`chips` gives something else.
        point_chosen: A ``Point`` or None, by the user.
    """

    asks_changed = Signal()
    pointed = Signal(object)
    chips_changed = Signal()
    point_chosen = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.look = look
        self.info: RunInfo | None = None
        self.shown: frozenset[str] = frozenset()
        self.exact_at: tuple[float, ...] | None = None
        self._pending: tuple[float, ...] | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._on_rested)

    def open(self, info: RunInfo) -> None:
        """Another run is shown."""
        self.info = info

    def renew(self, info: RunInfo) -> None:
        """The same run goes on on other data."""
        self.info = info

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """What this face asks."""
        return {}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""

    def set_shown(self, names: frozenset[str]) -> None:
        """Which layers are switched on."""
        self.shown = names

    def chips(self) -> tuple[Chip, ...]:
        """What kind of number is seen."""
        return ()

    def mark_point(self, point: Point | None) -> None:
        """Mark the place that the user chose, where it lies in what is drawn."""

    def reset_view(self) -> None:
        """Show all data again."""

    def clear(self) -> None:
        """Show nothing."""
        self.info = None
        self.watch(None)

    def restyle(self) -> None:
        """Take colours from the look."""

    def watch(self, point: tuple[float, ...] | None) -> None:
        """The pointer is at these coordinates: ask for the exact number once it rests."""
        had = self.exact_at is not None
        self.exact_at, self._pending = None, point
        if point is None:
            self._rest.stop()
            if had:
                self.asks_changed.emit()
        else:
            self._rest.start()

    def at_question(self) -> dict[str, Question]:
        """The question for the exact number, while the pointer rests."""
        if self.exact_at is None or self.info is None or not has_number(self.info.card):
            return {}
        wanted: dict[str, Value] = {"point": list(self.exact_at), **self.at_plane()}
        return {"at": Question("log_prob_at", wanted)}

    def at_plane(self) -> dict[str, Value]:
        """The plane on which the pointer moves; nothing where it gives the event itself."""
        return {}

    def _on_rested(self) -> None:
        self.exact_at = self._pending
        self.asks_changed.emit()


def has_density(card: ModelCard) -> bool:
    """Whether a model's density, or a stand-in for it, can be computed."""
    kinds = {Capability.LOG_PROB, Capability.BOUND, Capability.ENERGY}
    return bool(kinds & set(card.capabilities))


def has_number(card: ModelCard) -> bool:
    """Whether there is any number to read at a point."""
    return has_density(card) or Capability.CRITIC in card.capabilities


def can_draw(card: ModelCard) -> bool:
    """Whether samples can be drawn, exactly or by a chain."""
    kinds = {Capability.SAMPLING, Capability.CHAIN, Capability.ENERGY}
    return bool(kinds & set(card.capabilities))


def is_costly(card: ModelCard) -> bool:
    """Whether the density is a bound that takes many draws a point."""
    return Capability.LOG_PROB not in card.capabilities and Capability.BOUND in card.capabilities


def grid_size(card: ModelCard, *, rest: bool) -> int:
    """Grid points a side."""
    return SIZES["costly" if is_costly(card) else "cheap"][rest]
