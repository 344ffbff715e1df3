"""Gibbs: the units of a Boltzmann machine, drawn layer by layer, each half-step."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent
from PySide6.QtGui import QKeyEvent

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.gibbs.complete_page import CompletePage
from widgets.gibbs.desk import Desk, is_machine
from widgets.gibbs.filters_page import FiltersPage
from widgets.gibbs.layers_page import LayersPage
from widgets.gibbs.log_z_page import LogZPage
from widgets.gibbs.page import Page
from widgets.gibbs.rows_page import RowsPage
from widgets.gibbs.units_page import UnitsPage
from widgets.look import Look
from widgets.mode_panel import ModePanel
from widgets.panel import Question
from widgets.pixels.canvas import ARROWS

MODES = (
    ("units", "Units", "Visible and hidden units of one chain, drawn in turn, each half-step"),
    ("rows", "Rows", "Rows of pictures: each row a chain, a column every k sweeps"),
    ("filters", "Filters", "The weights of every hidden unit as a picture, and dead units"),
    ("complete", "Complete", "Paint over a part of a picture: the chains complete it"),
    ("layers", "Layers", "Mean-field in a deep machine; the pass down a belief network"),
    (
        "log_z",
        "log Z",
        "log Z, exact and by AIS with its interval, and what hangs on it",
    ),
)
HINT = (
    "Choose Digits 8×8 with 2 levels and the restricted Boltzmann machine on the left, then press "
    "play (space)."
)
#: Parts that go to the desk.
SHARED = ("examples", "points")


class GibbsPanel(ModePanel):
    """Chains of any Boltzmann machine."""

    name = "gibbs"
    title = "Gibbs"
    summary = "A Boltzmann machine's units drawn in turn: chains, filters, completions."
    needs = (frozenset({Capability.CHAIN}),)
    shortcut = "Ctrl+Alt+B"

    MODES = MODES
    HINT = HINT
    NOTHING = "No Boltzmann machine is open"
    ROW_FROM, TWO_ROWS_FROM, WRAPS_CHIPS = 860, 420, True

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk: Desk = Desk(self)
        self.own_pages: dict[str, Page] = {
            "units": UnitsPage(look, self.desk),
            "rows": RowsPage(look, self.desk),
            "filters": FiltersPage(look, self.desk),
            "complete": CompletePage(look, self.desk),
            "layers": LayersPage(look, self.desk),
            "log_z": LogZPage(look, self.desk),
        }
        self.set_up(self.own_pages)

    def unfit(self, info: RunInfo) -> tuple[str, str]:
        """Models whose chain walks on an energy."""
        if is_machine(info):
            return "", ""
        words = f"Its chain walks on an energy, which the panel Chains shows. {HINT}"
        return f"{info.card.title} has no units that are drawn in turn", words

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """What the page in front asks, and observations."""
        if self.run is None or self.desk.info is None:
            return {}
        return self.desk.questions() | self.mode.questions(rest=rest)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Observations go to the desk, the rest to the page in front."""
        if self.run is None or part not in SHARED:
            super().show_answer(part, answer)
            return
        known = len(self.desk.events)
        self.desk.take(part, answer)
        if len(self.desk.events) != known:
            self.asks_changed.emit()

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at: chains are asked of it at once."""
        self.desk.is_scrubbing = step is not None

    def save_state(self) -> dict[str, Value]:
        """The page in front, the chains' name, and the settings of all pages."""
        state = super().save_state() | self.desk.save()
        for page in self.own_pages.values():
            state |= page.save()
        return state

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state)
        for page in self.own_pages.values():
            page.restore(state)
        super().restore_state(state)
        self.desk.changed.emit()

    def event(self, event: QEvent) -> bool:
        """Arrows move over the pictures too."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and event.key() in ARROWS:
            event.accept()
            return True
        return super().event(event)
