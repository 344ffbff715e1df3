"""Play, pause and scrub the time of the flow itself, from the data at 0 to the base at 1."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QSlider, QWidget

from widgets.controls.clock_bar import ClockBar
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


class TimeTransport(ClockBar):
    """Data stand at the left end of the scrubber, the base at the right one."""

    def __init__(self, look: Look, clock: FlowClock, parent: QWidget | None = None) -> None:
        self._clock = clock
        super().__init__(look, clock, TIPS, parent)
        self.slider.setRange(0, TENTHS * FINE)
        self.slider.setTickInterval(FINE)
        self.slider.setPageStep(FINE)
        self.slider.setSingleStep(FINE // 10)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setToolTip("Scrub: the data at t = 0, the base at t = 1")
        self.slider.setAccessibleName("Time of the flow")
        self.restyle()
        self.show_clock()

    def go_to_start(self) -> None:
        """Data or base, whichever way it goes."""
        self._clock.go(self._clock.start)

    def jump(self, place: int) -> None:
        """A time."""
        self._clock.go(place / FINE)

    def show_clock(self) -> None:
        """Show where the clock is."""
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(self._clock.at * FINE))
        self.label.setText(f"t = {self._clock.at / TENTHS:.2f}")

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        super().restyle()
        self.label.setFixedWidth(self.label.fontMetrics().horizontalAdvance("t = 0.000"))
