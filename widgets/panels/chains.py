"""Chains: Markov chains that walk on an energy, step by step, and what they tell of it."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed, RunInfo
from widgets.chains.buffer_mode import LONGEST, BufferMode
from widgets.chains.desk import Desk
from widgets.chains.forces_mode import ForcesMode
from widgets.chains.mode import Mode
from widgets.chains.moves_bar import MovesBar
from widgets.chains.truth_mode import TruthMode
from widgets.chains.walk_mode import ARROWS, TOGGLES, VIEWS, WalkMode
from widgets.controls.chips import ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.segments import Segments
from widgets.look import Look
from widgets.panel import Panel, Question

MODES = (
    ("walk", "Walk", "Chains on the energy, one step at a time: drift, noise, accept or refuse"),
    ("forces", "Forces", "Training as two forces: data pull the energy down, chains push it up"),
    ("buffer", "Long run", "The training's replay buffer, and chains far beyond its length"),
    ("truth", "Truth", "Have the chains mixed? R-hat, occupancy, and the bias of their law"),
)
HINT = "Choose 2-D data and the energy-based model on the left, then press play (space)."
#: Pixels at scale 1: the width that one row of tools takes.
ROW_FROM = 900


class ChainsPanel(Panel):
    """Chains on the energy of a model, or of a target."""

    name = "chains"
    title = "Chains"
    summary = "Markov chains on the energy: Langevin, MALA, HMC, step by step, and their bias."
    needs = (frozenset({Capability.ENERGY}), frozenset({Capability.LOG_PROB}))
    shortcut = "Ctrl+Alt+C"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk = Desk(self)
        self.walk = WalkMode(look, self.desk)
        self.forces, self.buffer = (
            ForcesMode(look, self.desk, self.walk), BufferMode(look, self.desk)
        )  # fmt: skip
        self.truth = TruthMode(look, self.desk)
        self.modes: dict[str, Mode] = {
            "walk": self.walk, "forces": self.forces, "buffer": self.buffer, "truth": self.truth,
        }  # fmt: skip
        self.switch = Segments(look, MODES, self)
        self.bar = MovesBar(look, self.desk)
        self.chips = ChipRow(look, parent=self)
        self.empty = EmptyState(look)
        self.tool_pages, self.pages = QStackedWidget(), QStackedWidget()
        self.outer = QStackedWidget()
        self._build()
        self.clear()

    # --- building -----------------------------------------------------------------------------

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
        column.addWidget(self.bar)
        column.addWidget(self.pages, 1)
        column.addWidget(self.chips)
        self.outer.addWidget(self.empty)
        self.outer.addWidget(self._content)
        self.body.addWidget(self.outer, 1)
        self.switch.chosen.connect(self.set_mode)
        self.bar.chosen.connect(self._on_chosen)
        self.bar.again.connect(lambda: self._on_chosen("seed", self.desk.seed + 1))
        self.desk.changed.connect(self._on_changed)

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
            self.mode.enter()
        self._show_chips()
        self.asks_changed.emit()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Show another run, or say why nothing can walk on it."""
        super().open_run(info)
        if info is None:
            return
        reason = _reason(info)
        if reason:
            self.run = None
            self.empty.say(f"Nothing walks on {info.card.title} here", reason)
            return
        self._open(info)

    def renew(self, info: RunInfo) -> None:
        """The run goes on on other data."""
        super().renew(info)
        self._open(info)

    def _open(self, info: RunInfo) -> None:
        self.desk.open(info)
        for mode in self.modes.values():
            mode.open()
        self.bar.show_desk()
        self.outer.setCurrentWidget(self._content)
        self._show_chips()

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """What the mode in front asks."""
        if self.run is None or self.desk.info is None:
            return {}
        return self.mode.questions(rest=rest)

    def show_answer(self, part: str, answer: Answer) -> None:
        """All answers go to the mode in front."""
        if self.run is None:
            return
        self.banner.clear()
        self.mode.show_answer(part, answer)
        if part == "surface" and self.desk.surface is not None:
            self._offer(self.desk.surface.kernels)
        self._show_chips()

    def show_failed(self, part: str, failed: Failed) -> None:
        """A mode may know what to do; else the banner says it."""
        if not self.mode.show_failed(part, failed):
            super().show_failed(part, failed)

    def _offer(self, kernels: tuple[str, ...]) -> None:
        """A kernel that this energy has not got gives way to the first."""
        if kernels and self.desk.kernel not in kernels:
            self.desk.set(0, kernel=kernels[0])
        self.bar.set_kernels(kernels)

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at: walks are asked of it at once."""
        self.desk.is_scrubbing = step is not None

    def clear(self) -> None:
        """Say what to do."""
        self.desk.open(None)
        for mode in self.modes.values():
            mode.open()
        self.chips.set_chips(())
        self.empty.say("No energy is open", HINT)
        self.outer.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.bar.restyle()
        for mode in self.modes.values():
            mode.restyle()
        self._show_chips()

    def save_state(self) -> dict[str, Value]:
        """The mode, how chains walk, and what is drawn."""
        switches: dict[str, Value] = {
            f"show_{toggle.name}": self.walk.tools.is_checked(toggle.name) for toggle in TOGGLES
        }
        return {
            "mode": self.switch.current, "view": self.walk.switch.current,
            "n_arrows": self.walk.stage.n_arrows, **switches, **self.desk.save(),
            "points": self.forces.tools.is_checked("points"), "longest": self.buffer.longest,
            "log": self.buffer.tools.is_checked("log"), "which": self.truth.which,
            "compare": self.truth.tools.is_checked("compare"),
        }  # fmt: skip

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        self.desk.restore(state)
        for toggle in TOGGLES:
            on = state.get(f"show_{toggle.name}")
            if isinstance(on, bool):
                self.walk.set_shown(toggle.name, on)
        arrows = state.get("n_arrows")
        if arrows in dict(ARROWS).values() and isinstance(arrows, int):
            self.walk.set_arrows(arrows)
        self._restore_pages(state)
        if state.get("view") in [name for name, *_ in VIEWS]:
            self.walk.set_view(str(state["view"]))
        if state.get("mode") in self.modes:
            self.set_mode(str(state["mode"]))
        self.bar.show_desk()
        self.desk.begin_again()

    def _restore_pages(self, state: Mapping[str, Value]) -> None:
        switches = (
            ("points", self.forces.set_shown), ("log", self.buffer.set_log),
            ("compare", self.truth.set_compared),
        )  # fmt: skip
        for name, switch in switches:
            on = state.get(name)
            if isinstance(on, bool):
                switch(name, on)
        longest, which = state.get("longest"), state.get("which")
        if isinstance(longest, int) and longest in dict(LONGEST).values():
            self.buffer.set_longest(longest)
        if isinstance(which, int) and which in (0, 1, 2):
            self.truth.set_which(which)

    @property
    def own_frames(self) -> int:
        """Frames of a film of the whole walk."""
        return self.walk.clock.size + 1 if self.walk.clock.size else 0

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self.walk.clock.pause()
        self.walk.clock.go(index)

    # --- by hand ------------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        """A setting: the walk goes on with it from here, or begins anew."""
        if name == "start" and value == "click":
            self.banner.show_info("Click into the picture: all chains begin there.")
            self.desk.at = self.desk.at or self._middle()
        self.desk.set(self.walk.clock.place, **{name: value})
        self.bar.show_desk()

    def _middle(self) -> tuple[float, float]:
        window = self.desk.window
        if window is None:
            return 0.0, 0.0
        (x0, y0), (x1, y1) = window
        return (x0 + x1) / 2, (y0 + y1) / 2

    def _on_changed(self) -> None:
        self.walk.side.draw()
        self.asks_changed.emit()

    def _show_chips(self) -> None:
        if self.outer.currentWidget() is self._content:
            self.chips.set_chips(self.mode.chips())

    # --- Qt -----------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys of the mode in front come before the window's while the panel has the focus."""
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
        """The tools get a row of their own where there is no width."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        apart = self.width() < self.look.px(ROW_FROM)
        self._top.setDirection(way.TopToBottom if apart else way.LeftToRight)

    def hideEvent(self, event: QHideEvent) -> None:
        """Time stands still while nobody looks."""
        self.mode.leave()
        super().hideEvent(event)


def _reason(info: RunInfo) -> str:
    """Why no chain can walk, as a sentence, or ""."""
    event = info.data.event
    if event.support != "real":
        return (
            "Its values are levels, not real numbers: there is no gradient to follow. Models of "
            "binary units walk by Gibbs steps, block by block."
        )
    if None in event.shape or event.kind == "sequence":
        return "Its events have no fixed size."
    if event.size < 2:
        return "Its events have one value; the landscape needs two."
    if "continuous" in info.card.features:
        return (
            "Every log p(x) of a continuous flow is a solve of a differential equation, too slow "
            "for chains of many steps; RealNVP, NSF or a mixture walk."
        )
    return ""
