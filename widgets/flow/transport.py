"""Play, pause, step, scrub and pace of the way through the layers, with the usual keys."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QWidget

from widgets.controls.icons import icon
from widgets.flow.clock import PACES, SLOW_PACE, FlowClock
from widgets.look import Look
from widgets.recall import Recalled

#: Places of the scrubber from one layer to the next.
FINE = 100
#: Below this width (pixels at scale 1) the pace gives way to the scrubber.
PACE_FROM = 430
TIPS = {
    "reset": "Back to the start of the way (Home)",
    "back": "One layer back (Left)",
    "play": "Play (Space)",
    "step": "One layer on (Right)",
    "slow": f"Slow motion: {SLOW_PACE:g} layers a second (S)",
}


class FlowTransport(QWidget, Recalled):
    """Data stand at the left end of the scrubber, the base at the right one."""

    def __init__(self, look: Look, clock: FlowClock, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._clock = look, clock
        self._before_slow = clock.pace
        self.buttons = {name: self._button(tip) for name, tip in TIPS.items()}
        self.buttons["slow"].setCheckable(True)
        self.speed = QSlider(Qt.Orientation.Horizontal)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.speed_label, self.label = QLabel(), QLabel()
        self._set_up()
        self._connect()
        look.changed.connect(self.restyle)
        self.restyle()
        self.show_clock()

    def show_clock(self) -> None:
        """Show where the clock is."""
        clock = self._clock
        with QSignalBlocker(self.slider), QSignalBlocker(self.speed):
            self.slider.setRange(0, max(clock.size, 1) * FINE)
            self.slider.setTickInterval(FINE)
            self.slider.setValue(round(clock.at * FINE))
            near = min(PACES, key=lambda pace: abs(pace - clock.pace))
            self.speed.setValue(PACES.index(near))
        self.speed_label.setText(f"{clock.pace:g} /s")
        whole = f"{clock.at:.0f}" if clock.is_whole else f"{clock.at:.2f}"
        self.label.setText(f"{whole} / {clock.size}")
        self._paint_play()

    def toggle_slow(self) -> None:
        """Slow motion on or off."""
        self.buttons["slow"].click()

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
        return f"{after:g} layers a second"

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        side = self._look.px(18)
        for name, button in self.buttons.items():
            button.setIconSize(QSize(side, side))
            if name != "play":
                button.setIcon(icon(name, self._look.palette, side))
        self.speed.setFixedWidth(self._look.px(60))
        for label in (self.speed_label, self.label):
            label.setFont(self._look.font(0.88))
            label.setStyleSheet(f"color: {self._look.palette.muted}; background: transparent")
        self.speed_label.setFixedWidth(self._look.px(40))
        self.label.setFixedWidth(self.label.fontMetrics().horizontalAdvance("00.00 / 00"))
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
        self.speed.setToolTip("Layers a second")
        self.speed.setAccessibleName("Layers a second")
        self.slider.setToolTip("Scrub: data at the left end, base at the right one; between whole "
                               "layers points move on straight lines")  # fmt: skip
        self.slider.setAccessibleName("Layers passed")
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setPageStep(FINE)
        self.slider.setSingleStep(FINE // 10)
        self.slider.setMinimumWidth(40)
        self.label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        for name in TIPS:
            row.addWidget(self.buttons[name])
        for widget in (self.speed, self.speed_label):
            row.addWidget(widget)
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The pace is shown where there is room."""
        super().resizeEvent(event)
        for widget in (self.speed, self.speed_label):
            widget.setVisible(self.width() >= self._look.px(PACE_FROM))

    def _connect(self) -> None:
        clock = self._clock
        self.buttons["reset"].clicked.connect(lambda: clock.go(clock.start))
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
        button.setToolTip("Stop here (Space)" if playing else TIPS["play"])
        button.setAccessibleName("Pause" if playing else "Play")

    def _on_slow(self, on: bool) -> None:
        if on:
            self._before_slow = self._clock.pace
        self._set_pace(SLOW_PACE if on else self._before_slow)

    def _on_speed(self, place: int) -> None:
        with QSignalBlocker(self.buttons["slow"]):
            self.buttons["slow"].setChecked(False)
        self._set_pace(PACES[place])

    def _set_pace(self, pace: float) -> None:
        self._clock.pace = pace
        self.speed_label.setText(f"{pace:g} /s")

    def _on_jump(self, place: int) -> None:
        self._clock.pause()
        self._clock.go(place / FINE)
