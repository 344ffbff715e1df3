"""Gibbs: the units of a Boltzmann machine, drawn layer by layer, each half-step."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.gibbs.complete_page import CompletePage
from widgets.gibbs.desk import Desk, is_machine
from widgets.gibbs.filters_page import FiltersPage
from widgets.gibbs.page import Page
from widgets.gibbs.rows_page import RowsPage
from widgets.gibbs.units_page import UnitsPage
from widgets.look import Look
from widgets.panel import Panel, Question
from widgets.pixels.canvas import ARROWS

MODES = (
    ("units", "Units", "Visible and hidden units of one chain, drawn in turn, each half-step"),
    ("rows", "Rows", "Rows of pictures: each row a chain, a column every k sweeps"),
    ("filters", "Filters", "The weights of every hidden unit as a picture, and dead units"),
    ("complete", "Complete", "Paint over a part of a picture: the chains complete it"),
)
HINT = (
    "Choose Digits 8×8 with 2 levels and the restricted Boltzmann machine on the left, then press "
    "play (space)."
)
#: Parts that go to the desk.
SHARED = ("examples", "points")
#: Pixels at scale 1: the width that one row of tools takes, and the height that has two rows.
ROW_FROM, TWO_ROWS_FROM = 860, 420


class GibbsPanel(Panel):
    """Chains of any Boltzmann machine."""

    name = "gibbs"
    title = "Gibbs"
    summary = "A Boltzmann machine's units drawn in turn: chains, filters, completions."
    needs = (frozenset({Capability.CHAIN}),)
    shortcut = "Ctrl+Alt+B"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk = Desk(self)
        self.switch = Segments(look, MODES, self)
        self.pages: dict[str, Page] = {
            "units": UnitsPage(look, self.desk),
            "rows": RowsPage(look, self.desk),
            "filters": FiltersPage(look, self.desk),
            "complete": CompletePage(look, self.desk),
        }
        self.chips = ChipRow(look, wrap=True, parent=self)
        self.empty = EmptyState(look)
        self.tool_pages, self.stack = QStackedWidget(), QStackedWidget()
        self.outer = QStackedWidget()
        self._build()
        self.clear()

    def _build(self) -> None:
        for page in self.pages.values():
            self.stack.addWidget(page)
            self.tool_pages.addWidget(page.tools)
            page.asks_changed.connect(self.asks_changed)
            page.pointed.connect(self.pointed)
            page.chips_changed.connect(self._show_chips)
        self._content = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.switch)
        self._top.addWidget(self.tool_pages, 1)
        column.addLayout(self._top)
        column.addWidget(self.stack, 1)
        column.addWidget(self.chips)
        self.outer.addWidget(self.empty)
        self.outer.addWidget(self._content)
        self.body.addWidget(self.outer, 1)
        self.switch.chosen.connect(self.set_mode)

    @property
    def page(self) -> Page:
        """What is in front."""
        return self.pages[self.switch.current]

    def set_mode(self, name: str) -> None:
        """Bring a page to the front."""
        before = self.stack.currentWidget()
        self.switch.set_current(name)
        if isinstance(before, Page) and before is not self.page:
            before.leave()
        self.stack.setCurrentWidget(self.page)
        self.tool_pages.setCurrentWidget(self.page.tools)
        self._show_chips()
        self.asks_changed.emit()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run."""
        super().open_run(info)
        self._open()

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self._open()

    def _open(self) -> None:
        if not is_machine(self.run):
            self.clear()
            return
        self.desk.open(self.run)
        for name, page in self.pages.items():
            page.open()
            reason = page.refusal()
            words = next(tip for own, _, tip in MODES if own == name)
            self.switch.set_usable(name, not reason, reason or words)
        if self.page.refusal():
            self.set_mode("units")
        self.outer.setCurrentWidget(self._content)
        self._show_chips()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """What the page in front asks, and observations."""
        if not is_machine(self.run) or self.desk.info is None:
            return {}
        return self.desk.questions() | self.page.questions(rest=rest)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Observations go to the desk, the rest to the page in front."""
        if not is_machine(self.run):
            return
        self.banner.clear()
        if part in SHARED:
            known = len(self.desk.events)
            self.desk.take(part, answer)
            if len(self.desk.events) != known:
                self.asks_changed.emit()
        else:
            self.page.show_answer(part, answer)

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at: chains are asked of it at once."""
        self.desk.is_scrubbing = step is not None

    def clear(self) -> None:
        """Say what to do."""
        self.desk.open(None)
        for page in self.pages.values():
            page.open()
        self.chips.set_chips(())
        if self.run is None:
            self.empty.say("No Boltzmann machine is open", HINT)
        else:
            title = self.run.card.title
            words = f"Its chain walks on an energy, which the panel Chains shows. {HINT}"
            self.empty.say(f"{title} has no units that are drawn in turn", words)
        self.outer.setCurrentWidget(self.empty)

    # --- look ---------------------------------------------------------------------------------

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for page in self.pages.values():
            page.restyle()
        self._show_chips()

    @property
    def own_frames(self) -> int:
        """Frames of the chains in front."""
        return self.page.own_frames

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.page.show_own_frame(index)

    def save_state(self) -> dict[str, Value]:
        """The page in front, the chains' name, and the settings of all pages."""
        state: dict[str, Value] = {"mode": self.switch.current, **self.desk.save()}
        for page in self.pages.values():
            state |= page.save()
        return state

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state)
        for page in self.pages.values():
            page.restore(state)
        if state.get("mode") in self.pages:
            self.set_mode(str(state["mode"]))
        self.desk.changed.emit()

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the page in front come before the window's while the panel has the focus."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.desk.info is not None
        if asked and isinstance(event, QKeyEvent) and self._wants(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A key that no part of the panel wanted."""
        if self.desk.info is None or not self.page.take_key(event):
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The tools get a row of their own where there is height but no width."""
        super().resizeEvent(event)
        px, way = self.look.px, QBoxLayout.Direction
        apart = self.width() < px(ROW_FROM) and self.height() >= px(TWO_ROWS_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.page.leave()
        super().hideEvent(event)

    def _wants(self, event: QKeyEvent) -> bool:
        return self.page.take_key(event, only_ask=True) or event.key() in ARROWS

    def _show_chips(self) -> None:
        if self.outer.currentWidget() is self._content:
            self.chips.set_chips(self.page.chips())
