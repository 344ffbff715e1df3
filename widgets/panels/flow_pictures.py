"""Flow pictures: pictures on their way through a flow, and what its base is good for."""

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
from widgets.flow_pictures.attribute_page import AttributePage
from widgets.flow_pictures.between_page import BetweenPage
from widgets.flow_pictures.desk import PicturesDesk
from widgets.flow_pictures.grow_page import GrowPage
from widgets.flow_pictures.page import Page
from widgets.flow_pictures.picker import FlowPicturePicker
from widgets.flow_pictures.sum_page import SumPage
from widgets.look import Look
from widgets.panel import Panel, Question

MODES = (
    ("grow", "Grow", "Noise becomes a picture, from the coarsest scale to the finest"),
    ("between", "Between", "From one held-out picture to the next through the base"),
    ("attribute", "Attribute", "A picture moved along the direction from one label to another"),
    ("sum", "Sum", "The likelihood of a picture as a sum: base, layers, logit, dequantisation"),
)
NO_RUN = "Choose the data set Digits 8×8 and the model Glow on the left, then press play (space)."
NO_PICTURES = "Choose a data set of pictures, such as Digits 8×8, on the left, then press play."
#: Pixels at scale 1: the width from which tools stand beside the modes.
ROW_FROM = 700
EXAMPLES = "examples"


class FlowPicturesPanel(Panel):
    """Pictures through any flow over pictures."""

    name = "flow_pictures"
    title = "Flow pictures"
    summary = "Pictures through a flow: growing scale by scale, between, attributes, likelihood."
    needs = (frozenset({Capability.FLOW_PATH}),)
    shortcut = "Ctrl+Alt+G"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk = PicturesDesk(self)
        self.switch = Segments(look, MODES, self)
        self.pages: dict[str, Page] = {
            "grow": GrowPage(look, self.desk),
            "between": BetweenPage(look, self.desk),
            "attribute": AttributePage(look, self.desk),
            "sum": SumPage(look, self.desk),
        }
        self.picker = FlowPicturePicker(look, self.desk)
        self.chips = ChipRow(look, wrap=True, parent=self)
        self.empty = EmptyState(look)
        self._tool_pages, self._stack = QStackedWidget(), QStackedWidget()
        self._outer = QStackedWidget()
        self._build()
        self.clear()

    def _build(self) -> None:
        for page in self.pages.values():
            self._stack.addWidget(page)
            self._tool_pages.addWidget(page.tools)
            page.asks_changed.connect(self.asks_changed)
            page.chips_changed.connect(self._show_chips)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._top.setSpacing(4)
        self._top.addWidget(self.switch)
        self._top.addWidget(self._tool_pages, 1)
        self._middle = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._middle.setSpacing(8)
        self._middle.addWidget(self.picker, 1)
        self._middle.addWidget(self._stack, 4)
        self._content = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._top)
        column.addLayout(self._middle, 1)
        column.addWidget(self.chips)
        self._outer.addWidget(self.empty)
        self._outer.addWidget(self._content)
        self.body.addWidget(self._outer, 1)
        self.picker.setVisible(bool(self.page.picks))
        self.switch.chosen.connect(self.set_mode)
        self.desk.chosen.connect(self._on_picked)

    @property
    def page(self) -> Page:
        """What is in front."""
        return self.pages[self.switch.current]

    def set_mode(self, name: str) -> None:
        """Bring a page to the front."""
        before = self._stack.currentWidget()
        self.switch.set_current(name)
        if isinstance(before, Page) and before is not self.page:
            before.leave()
        self._stack.setCurrentWidget(self.page)
        self._tool_pages.setCurrentWidget(self.page.tools)
        self.picker.setVisible(bool(self.page.picks))
        self.picker.set_picks(self.page.picks)
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

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """What the page in front asks, and the held-out pictures where it wants them."""
        if not self._has_pictures:
            return {}
        asked = {EXAMPLES: self.desk.question()} if self.page.picks else {}
        question = self.page.question(rest=rest)
        return asked if question is None else asked | {self.switch.current: question}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Pictures go to the desk, the rest to its page."""
        if not self._has_pictures:
            return
        self.banner.clear()
        if part in self.pages:
            self.pages[part].take(answer)
            return
        known = len(self.desk.events)
        self.desk.take(answer)
        if len(self.desk.events) != known:
            self.asks_changed.emit()

    def clear(self) -> None:
        """Say what to do."""
        self.desk.open(None)
        for page in self.pages.values():
            page.open()
        self.picker.show_pictures()
        self.chips.set_chips(())
        if self.run is None:
            self.empty.say("No flow is open", NO_RUN)
        else:
            self.empty.say("These events are no pictures", NO_PICTURES)
        self._outer.setCurrentWidget(self.empty)

    @property
    def _has_pictures(self) -> bool:
        return self.run is not None and self.run.data.event.kind == "picture"

    def _open(self) -> None:
        if not self._has_pictures or self.run is None:
            self.clear()
            return
        self.desk.open(self.run)
        self.picker.show_pictures()
        for name, page in self.pages.items():
            page.open()
            reason = page.refusal()
            words = next(tip for own, _, tip in MODES if own == name)
            self.switch.set_usable(name, not reason, reason or words)
        if self.page.refusal():
            self.set_mode("grow")
        self._outer.setCurrentWidget(self._content)
        self._show_chips()

    # --- look ---------------------------------------------------------------------------------

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for page in self.pages.values():
            page.restyle()
        self.picker.restyle()
        self._show_chips()

    @property
    def own_frames(self) -> int:
        """Those of the interpolation, while it is in front."""
        return self.page.own_frames

    def show_own_frame(self, index: int) -> None:
        """Scrub to one of them."""
        self.page.show_own_frame(index)

    def save_state(self) -> dict[str, Value]:
        """The page in front, and the settings of all."""
        state: dict[str, Value] = {"mode": self.switch.current}
        for page in self.pages.values():
            state |= page.save()
        return state

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        for page in self.pages.values():
            page.restore(state)
        if state.get("mode") in self.pages:
            self.set_mode(str(state["mode"]))
        self.asks_changed.emit()

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the page in front come before the window's while the panel has the focus."""
        asked = event.type() == QEvent.Type.ShortcutOverride and self._has_pictures
        if asked and isinstance(event, QKeyEvent) and self.page.take_key(event, only_ask=True):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A key that no part of the panel wanted."""
        if not self._has_pictures or not self.page.take_key(event):
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Tools below the modes where it is narrow; pictures above the page where it is high."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        narrow = self.width() < self.look.px(ROW_FROM)
        self._top.setDirection(way.TopToBottom if narrow else way.LeftToRight)
        tall = self.height() > 1.1 * self.width()
        self._middle.setDirection(way.TopToBottom if tall else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.page.leave()
        super().hideEvent(event)

    def _on_picked(self) -> None:
        self._show_chips()
        self.asks_changed.emit()

    def _show_chips(self) -> None:
        if self._outer.currentWidget() is self._content:
            self.chips.set_chips(self.page.chips())
