"""The transport of the panel's own time: the same keys as everywhere, while it has the focus."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.controls.clock_bar import PacedBar
from widgets.look import Look
from widgets.pixels.clock import PACES, SLOW_PACE, Clock

#: Below this width (pixels at scale 1) the words beside the slider give way.
WORDS_FROM = 430
TOOLTIPS = {
    "reset": "Back to the empty picture (Home)",
    "back": "The value drawn before (Left)",
    "play": "Draw (Space)",
    "step": "Draw one value (Right)",
    "slow": "Slow motion: two values a second (S)",
}


class PixelTransport(PacedBar):
    """Play, pause, step either way, jump, pace.

    Args:
        look: Palette and scale.
        clock: What is driven.
        tips: The buttons' tooltips by name.
        things: What the clock counts, as a sentence begins.
    """

    PACES = PACES
    SLOW_PACE = SLOW_PACE

    def __init__(
        self,
        look: Look,
        clock: Clock,
        parent: QWidget | None = None,
        *,
        tips: Mapping[str, str] = TOOLTIPS,
        things: str = "Values",
    ) -> None:
        self._clock = clock
        super().__init__(look, clock, tips, things, parent)
        self.speed.setToolTip(f"{things} a second ([ and ])")
        self.slider.setToolTip(f"Jump: {things.lower()} shown so far")
        self.slider.setAccessibleName(f"{things} shown")
        self.label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.restyle()
        self.show_clock()

    def go_to_start(self) -> None:
        """Nothing is drawn yet."""
        self._clock.go(0)

    def jump(self, place: int) -> None:
        """So many values."""
        self._clock.go(place)

    def show_clock(self, words: str = "") -> None:
        """Show where the clock is; ``words`` say what is there."""
        clock = self._clock
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(clock.size, 1))
            self.slider.setValue(clock.place)
        self.label.setText(f"{clock.place} / {clock.size}" + (f"  {words}" if words else ""))
        super().show_clock()

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        super().restyle()
        self.label.setMinimumWidth(self._look.px(70))
