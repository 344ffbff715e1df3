"""The transport of the panel's own time: the same keys as everywhere, while it has the focus."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QSignalBlocker, QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QWidget

from widgets.controls.icons import icon
from widgets.look import Look
from widgets.pixels.clock import PACES, SLOW_PACE, Clock
from widgets.recall import Recalled

#: Below this width (pixels at scale 1) the words beside the slider give way.
WORDS_FROM = 430
TOOLTIPS = {
    "reset": "Back to the empty picture (Home)",
    "back": "The value drawn before (Left)",
    "play": "Draw (Space)",
    "step": "Draw one value (Right)",
    "slow": "Slow motion: two values a second (S)",
}


class PixelTransport(QWidget, Recalled):
    """Play, pause, step either way, jump, pace.

    Args:
        look: Palette and scale.
        clock: What is driven.
        tips: The buttons' tooltips by name.
        things: What the clock counts, as a sentence begins.
    """

    def __init__(
        self,
        look: Look,
        clock: Clock,
        parent: QWidget | None = None,
        *,
        tips: Mapping[str, str] = TOOLTIPS,
        things: str = "Values",
    ) -> None:
        super().__init__(parent)
        self._look, self._clock = look, clock
        self._tips, self._things = tips, things
        self._before_slow = clock.pace
        self.buttons = {name: self._button(tip) for name, tip in tips.items()}
        self.buttons["slow"].setCheckable(True)
        self.speed, self.slider = (
            QSlider(Qt.Orientation.Horizontal),
            QSlider(Qt.Orientation.Horizontal),
        )
        self.speed_label, self.label = QLabel(), QLabel()
        self._set_up()
        self._connect()
        look.changed.connect(self.restyle)
        self.restyle()
        self.show_clock()

    def show_clock(self, words: str = "") -> None:
        """Show where the clock is; ``words`` say what is there."""
        clock = self._clock
        with QSignalBlocker(self.slider), QSignalBlocker(self.speed):
            self.slider.setRange(0, max(clock.size, 1))
            self.slider.setValue(clock.place)
            near = min(PACES, key=lambda pace: abs(pace - clock.pace))
            self.speed.setValue(PACES.index(near))
        self.speed_label.setText(f"{clock.pace:g} /s")
        self.label.setText(f"{clock.place} / {clock.size}" + (f"  {words}" if words else ""))
        self._paint_play()

    def toggle_slow(self) -> None:
        """Slow motion on or off."""
        self.buttons["slow"].click()

    def nudge(self, by: int) -> None:
        """Some places up or down on the speed scale."""
        self.speed.setValue(self.speed.value() + by)

    def kept(self) -> float:
        """The pace, for undo."""
        return self._clock.pace

    def keep(self, value: float) -> None:
        """Go on at this pace."""
        with QSignalBlocker(self.buttons["slow"]):
            self.buttons["slow"].setChecked(value == SLOW_PACE)
        self._set_pace(value)
        self.show_clock()

    def what_changed(self, before: float, after: float) -> str:
        """What was set."""
        return f"{after:g} {self._things.lower()} a second"

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        side = self._look.px(18)
        for name, button in self.buttons.items():
            button.setIconSize(QSize(side, side))
            if name != "play":
                button.setIcon(icon(name, self._look.palette, side))
        self.speed.setFixedWidth(self._look.px(70))
        for label in (self.speed_label, self.label):
            label.setFont(self._look.font(0.88))
            label.setStyleSheet(f"color: {self._look.palette.muted}; background: transparent")
        self.speed_label.setFixedWidth(self._look.px(46))
        self.label.setMinimumWidth(self._look.px(70))
        self._paint_play()

    def _button(self, tooltip: str) -> QToolButton:
        button = QToolButton(self)
        button.setAutoRaise(True)
        button.setToolTip(tooltip)
        button.setAccessibleName(tooltip.split(" (")[0])
        return button

    def _set_up(self) -> None:
        self.speed.setRange(0, len(PACES) - 1)
        self.speed.setPageStep(1)
        self.speed.setToolTip(f"{self._things} a second ([ and ])")
        self.speed.setAccessibleName(f"{self._things} a second")
        self.slider.setToolTip(f"Jump: {self._things.lower()} shown so far")
        self.slider.setAccessibleName(f"{self._things} shown")
        self.slider.setMinimumWidth(40)
        self.label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        for name in ("reset", "back", "play", "step", "slow"):
            row.addWidget(self.buttons[name])
        for widget in (self.speed, self.speed_label):
            row.addWidget(widget)
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)

    def _connect(self) -> None:
        clock = self._clock
        self.buttons["reset"].clicked.connect(lambda: clock.go(0))
        self.buttons["back"].clicked.connect(lambda: clock.step(-1))
        self.buttons["play"].clicked.connect(clock.toggle)
        self.buttons["step"].clicked.connect(lambda: clock.step(1))
        self.buttons["slow"].toggled.connect(self._on_slow)
        self.speed.valueChanged.connect(self._on_speed)
        self.slider.valueChanged.connect(self._on_jump)
        clock.playing_changed.connect(lambda _: self._paint_play())

    def _paint_play(self) -> None:
        playing = self._clock.is_playing
        button = self.buttons["play"]
        name = "pause" if playing else "play"
        button.setIcon(icon(name, self._look.palette, self._look.px(18)))
        button.setToolTip("Stop here (Space)" if playing else self._tips["play"])
        button.setAccessibleName("Pause" if playing else self._tips["play"].split(" (")[0])

    def _on_slow(self, on: bool) -> None:
        if on:
            self._before_slow = self._clock.pace
        self._set_pace(SLOW_PACE if on else self._before_slow)

    def _on_speed(self, place: int) -> None:
        with QSignalBlocker(self.buttons["slow"]):
            self.buttons["slow"].setChecked(False)
        self._set_pace(float(PACES[place]))

    def _set_pace(self, pace: float) -> None:
        self._clock.pace = pace
        self.speed_label.setText(f"{pace:g} /s")

    def _on_jump(self, place: int) -> None:
        self._clock.pause()
        self._clock.go(place)
