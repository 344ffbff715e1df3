"""Play, pause, step, scrub and pace of the way through the layers, with the usual keys."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QSlider, QWidget

from widgets.controls.clock_bar import PacedBar
from widgets.flow.clock import PACES, SLOW_PACE, FlowClock
from widgets.look import Look

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


class FlowTransport(PacedBar):
    """Data stand at the left end of the scrubber, the base at the right one."""

    PACES = PACES
    SLOW_PACE = SLOW_PACE
    SPEED_WIDTHS = (60, 40)

    def __init__(self, look: Look, clock: FlowClock, parent: QWidget | None = None) -> None:
        self._clock = clock
        super().__init__(look, clock, TIPS, "Layers", parent)
        self.slider.setToolTip("Scrub: data at the left end, base at the right one; between whole "
                               "layers points move on straight lines")  # fmt: skip
        self.slider.setAccessibleName("Layers passed")
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setPageStep(FINE)
        self.slider.setSingleStep(FINE // 10)
        self.label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.restyle()
        self.show_clock()

    def go_to_start(self) -> None:
        """Data or base, whichever way it goes."""
        self._clock.go(self._clock.start)

    def jump(self, place: int) -> None:
        """A place that need not be a whole layer."""
        self._clock.go(place / FINE)

    def show_clock(self) -> None:
        """Show where the clock is."""
        clock = self._clock
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(clock.size, 1) * FINE)
            self.slider.setTickInterval(FINE)
            self.slider.setValue(round(clock.at * FINE))
        whole = f"{clock.at:.0f}" if clock.is_whole else f"{clock.at:.2f}"
        self.label.setText(f"{whole} / {clock.size}")
        super().show_clock()

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        super().restyle()
        self.label.setFixedWidth(self.label.fontMetrics().horizontalAdvance("00.00 / 00"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The pace is shown where there is room."""
        super().resizeEvent(event)
        for widget in (self.speed, self.speed_label):
            widget.setVisible(self.width() >= self._look.px(PACE_FROM))
