"""Posterior: what a bound is made of, the true posterior beside q, collapse, rate, factors."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo
from widgets.controls.chips import ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.look import Look
from widgets.panel import Panel, Point, Question
from widgets.posterior.bars_mode import BarsMode
from widgets.posterior.desk import Desk
from widgets.posterior.factors_mode import FactorsMode
from widgets.posterior.mode import Mode
from widgets.posterior.rate_mode import RateMode
from widgets.posterior.truth_mode import TruthMode
from widgets.posterior.units_mode import UnitsMode

MODES = (
    ("bars", "Bars", "log p = ELBO + KL(q‖posterior), and ELBO = reconstruction − KL"),
    ("truth", "Truth", "The true posterior beside q: amortisation gap, approximation gap"),
    ("units", "Units", "KL and activity of each latent unit; dead ones raise an alarm"),
    ("rate", "Rate", "Rate against distortion, with a sweep over the weight β of the KL"),
    ("factors", "Factors", "Disentanglement scores, and a classifier with few labels"),
)
HINT = (
    "Choose a data set and VAE on the left, then press play (space): what its bound is made of "
    "appears here."
)
#: Pixels at scale 1: the width that one row of tools takes, and the height that has two rows.
ROW_FROM, TWO_ROWS_FROM = 860, 420
EVENTS, UNITS = "events", "units"


class PosteriorPanel(Panel):
    """The bound of any model with latents, taken apart and held against the truth."""

    name = "posterior"
    title = "Posterior"
    summary = "ELBO bars, the true posterior beside q, collapsed units, rate–distortion, factors."
    needs = (
        frozenset({Capability.BOUND, Capability.ENCODING, Capability.DECODING}),
        frozenset({Capability.BOUND}),
    )
    shortcut = "Ctrl+Alt+Q"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk = Desk(self)
        self.switch = Segments(look, MODES, self)
        self.modes: dict[str, Mode] = {
            "bars": BarsMode(look, self.desk),
            "truth": TruthMode(look, self.desk),
            "units": UnitsMode(look, self.desk),
            "rate": RateMode(look, self.desk),
            "factors": FactorsMode(look, self.desk),
        }
        self.chips = ChipRow(look, wrap=True, parent=self)
        self.empty = EmptyState(look)
        self.tool_pages, self.pages = QStackedWidget(), QStackedWidget()
        self.outer = QStackedWidget()
        self._build()
        self.clear()

    def _build(self) -> None:
        for mode in self.modes.values():
            self.pages.addWidget(mode)
            self.tool_pages.addWidget(mode.tools)
            mode.asks_changed.connect(self.asks_changed)
            mode.pointed.connect(self.pointed)
            mode.chips_changed.connect(self._show_chips)
        self._content = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.switch)
        self._top.addWidget(self.tool_pages, 1)
        column.addLayout(self._top)
        column.addWidget(self.pages, 1)
        column.addWidget(self.chips)
        self.outer.addWidget(self.empty)
        self.outer.addWidget(self._content)
        self.body.addWidget(self.outer, 1)
        self.switch.chosen.connect(self.set_mode)
        self.desk.chosen.connect(self._on_chosen)
        self.desk.arrived.connect(self._on_chosen)
        self.desk.alarmed.connect(self._on_alarmed)

    @property
    def mode(self) -> Mode:
        """What is in front."""
        return self.modes[self.switch.current]

    def set_mode(self, name: str) -> None:
        """Bring a mode to the front."""
        before = self.pages.currentWidget()
        self.switch.set_current(name)
        self.pages.setCurrentWidget(self.mode)
        self.tool_pages.setCurrentWidget(self.mode.tools)
        if isinstance(before, Mode) and before is not self.mode:
            before.leave()
        self._show_chips()
        self.asks_changed.emit()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run."""
        super().open_run(info)
        if info is None:
            return
        if info.data.event.kind == "sequence":
            self.run = None
            self.empty.say("These events have no fixed size", "Choose points or pictures.")
            return
        self._open(info)

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self._open(info)

    def _open(self, info: RunInfo) -> None:
        self.desk.open(info)
        for name, mode in self.modes.items():
            mode.open()
            reason = mode.refusal()
            tip = next(tip for key, _, tip in MODES if key == name)
            self.switch.set_usable(name, not reason, f"{tip}: {reason}" if reason else tip)
        if self.mode.refusal():
            self.set_mode("bars")
        self.outer.setCurrentWidget(self._content)
        self._show_chips()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """Held-out events, the units (for the alarm), and what the mode in front asks."""
        if self.run is None or self.desk.info is None:
            return {}
        asked = {EVENTS: self.desk.events_question()} | self.mode.questions(rest=rest)
        if self.desk.watches_units:
            asked[UNITS] = self.desk.units_question(rest=rest)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Events and units go to the desk, the rest to the mode in front."""
        if self.run is None:
            return
        self.banner.clear()
        if part == EVENTS:
            self.desk.take_events(answer)
        elif part == UNITS:
            self.desk.take_units(answer)
        else:
            self.mode.show_answer(part, answer)

    def show_failed(self, part: str, failed: Failed) -> None:
        """A mode may know what to do; else the banner says it."""
        if not self.mode.show_failed(part, failed):
            super().show_failed(part, failed)

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at."""
        self.desk.is_scrubbing = step is not None

    def choose_point(self, point: Point | None) -> None:
        """The window's chosen point is the event that is looked at."""
        self.desk.choose_point(point)

    def clear(self) -> None:
        """Say what to do."""
        self.desk.open(None)
        for mode in self.modes.values():
            mode.open()
        self.chips.set_chips(())
        self.empty.say("No model with latents is open", HINT)
        self.outer.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for mode in self.modes.values():
            mode.restyle()
        self._show_chips()

    def save_state(self) -> dict[str, Value]:
        """The mode in front."""
        return {"mode": self.switch.current}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take it back."""
        if state.get("mode") in self.modes:
            self.set_mode(str(state["mode"]))

    # --- the user -----------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of a mode's own time come before the window's shortcuts, with a run to show."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self.run is not None
        if asked and isinstance(event, QKeyEvent) and self.mode.take_key(event, only_ask=True):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A key that no part of the panel wanted."""
        if self.run is None or not self.mode.take_key(event):
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The tools get a row of their own where there is height but no width."""
        super().resizeEvent(event)
        px, way = self.look.px, QBoxLayout.Direction
        apart = self.width() < px(ROW_FROM) and self.height() >= px(TWO_ROWS_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.mode.leave()
        super().hideEvent(event)

    def _on_chosen(self) -> None:
        self.mode.follow()
        self._show_chips()
        self.asks_changed.emit()

    def _on_alarmed(self) -> None:
        self.modes["units"].follow()
        self._show_chips()

    def _show_chips(self) -> None:
        if self.outer.currentWidget() is self._content:
            alarms = self.desk.alarm_chips(self.look.palette)
            self.chips.set_chips((*alarms, *self.mode.chips()))
