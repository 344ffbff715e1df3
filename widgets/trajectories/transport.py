"""Play, pause and scrub the time of the flow itself, from the data at 0 to the base at 1."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QWidget

from widgets.controls.icons import icon
from widgets.flow.clock import FlowClock
from widgets.look import Look

#: The clock counts tenths, so that a step of the arrow keys is one tenth.
TENTHS = 10
#: Places of the scrubber from one tenth to the next.
FINE = 100
TIPS = {
    "reset": "Back to the start of the way (Home)",
    "back": "A tenth of the time back (Left)",
    "play": "Play (Space)",
    "step": "A tenth of the time on (Right)",
}


class TimeTransport(QWidget):
    """Data stand at the left end of the scrubber, the base at the right one."""

    def __init__(self, look: Look, clock: FlowClock, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._clock = look, clock
        self.buttons = {name: self._button(tip) for name, tip in TIPS.items()}
        self.slider, self.label = QSlider(Qt.Orientation.Horizontal), QLabel()
        self.slider.setRange(0, TENTHS * FINE)
        self.slider.setTickInterval(FINE)
        self.slider.setPageStep(FINE)
        self.slider.setSingleStep(FINE // 10)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setMinimumWidth(40)
        self.slider.setToolTip("Scrub: the data at t = 0, the base at t = 1")
        self.slider.setAccessibleName("Time of the flow")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        for button in self.buttons.values():
            row.addWidget(button)
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._connect()
        look.changed.connect(self.restyle)
        self.restyle()
        self.show_clock()

    def show_clock(self) -> None:
        """Show where the clock is."""
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(self._clock.at * FINE))
        self.label.setText(f"t = {self._clock.at / TENTHS:.2f}")

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        side = self._look.px(18)
        for name, button in self.buttons.items():
            button.setIconSize(QSize(side, side))
            if name != "play":
                button.setIcon(icon(name, self._look.palette, side))
        self.label.setFont(self._look.font(0.88))
        self.label.setStyleSheet(f"color: {self._look.palette.muted}; background: transparent")
        self.label.setFixedWidth(self.label.fontMetrics().horizontalAdvance("t = 0.000"))
        self._paint_play()

    def _button(self, tooltip: str) -> QToolButton:
        button = QToolButton(self)
        button.setAutoRaise(True)
        button.setToolTip(tooltip)
        button.setAccessibleName(tooltip.split(" (")[0])
        return button

    def _connect(self) -> None:
        clock = self._clock
        self.buttons["reset"].clicked.connect(lambda: clock.go(clock.start))
        self.buttons["back"].clicked.connect(lambda: clock.step(-1))
        self.buttons["play"].clicked.connect(clock.toggle)
        self.buttons["step"].clicked.connect(lambda: clock.step(1))
        self.slider.valueChanged.connect(self._on_jump)
        clock.playing_changed.connect(lambda _: self._paint_play())

    def _paint_play(self) -> None:
        playing = self._clock.is_playing
        button = self.buttons["play"]
        name = "pause" if playing else "play"
        button.setIcon(icon(name, self._look.palette, self._look.px(18)))
        button.setToolTip("Stop here (Space)" if playing else TIPS["play"])
        button.setAccessibleName("Pause" if playing else "Play")

    def _on_jump(self, place: int) -> None:
        self._clock.pause()
        self._clock.go(place / FINE)
