"""Buttons, scrubber and pace over a panel's own time: the same keys and icons everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from PySide6.QtCore import QSignalBlocker, QSize, Qt, SignalInstance
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QWidget

from widgets.controls.icons import icon
from widgets.look import Look
from widgets.recall import Recalled


class Driven(Protocol):
    """A clock that can be played, stepped and moved."""

    pace: float

    @property
    def playing_changed(self) -> SignalInstance:
        """Emitted when it begins or ceases to play."""
        ...

    @property
    def is_playing(self) -> bool:
        """Whether it runs."""
        ...

    def toggle(self) -> None:
        """Play or pause."""
        ...

    def pause(self) -> None:
        """Stay here."""
        ...

    def step(self, by: int) -> None:
        """To the next place, or back; stops the play."""
        ...


class ClockBar(QWidget):
    """Back to the start, one back, play, one on, and a scrubber with words beside it.

    A subclass says where the start is and what a place of the scrubber means, in
    :meth:`go_to_start` and :meth:`jump`, and shows the clock in :meth:`show_clock`.

    Args:
        look: Palette and scale.
        clock: What is driven.
        tips: The buttons' tooltips by name: ``reset``, ``back``, ``play``, ``step`` and, where
            there is a pace, ``slow``.
    """

    def __init__(
        self, look: Look, clock: Driven, tips: Mapping[str, str], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._look, self._driven, self._tips = look, clock, tips
        self.buttons = {name: self._button(tip) for name, tip in tips.items()}
        self.slider, self.label = QSlider(Qt.Orientation.Horizontal), QLabel()
        self.slider.setMinimumWidth(40)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(3)
        for button in self.buttons.values():
            self.row.addWidget(button)
        self.row.addWidget(self.slider, 1)
        self.row.addWidget(self.label)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.buttons["reset"].clicked.connect(self.go_to_start)
        self.buttons["back"].clicked.connect(lambda: clock.step(-1))
        self.buttons["play"].clicked.connect(clock.toggle)
        self.buttons["step"].clicked.connect(lambda: clock.step(1))
        self.slider.valueChanged.connect(self._on_jump)
        clock.playing_changed.connect(lambda _: self._paint_play())
        look.changed.connect(self.restyle)

    def go_to_start(self) -> None:
        """Move the clock to where its play begins."""
        raise NotImplementedError

    def jump(self, place: int) -> None:
        """Move the clock to a place of the scrubber."""
        raise NotImplementedError

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        side = self._look.px(18)
        for name, button in self.buttons.items():
            button.setIconSize(QSize(side, side))
            if name != "play":
                button.setIcon(icon(name, self._look.palette, side))
        self._style_label(self.label)
        self._paint_play()

    def _style_label(self, label: QLabel) -> None:
        label.setFont(self._look.font(0.88))
        label.setStyleSheet(f"color: {self._look.palette.muted}; background: transparent")

    def _button(self, tooltip: str) -> QToolButton:
        button = QToolButton(self)
        button.setAutoRaise(True)
        button.setToolTip(tooltip)
        button.setAccessibleName(tooltip.split(" (")[0])
        return button

    def _paint_play(self) -> None:
        playing, button = self._driven.is_playing, self.buttons["play"]
        name = "pause" if playing else "play"
        button.setIcon(icon(name, self._look.palette, self._look.px(18)))
        button.setToolTip("Stop here (Space)" if playing else self._tips["play"])
        button.setAccessibleName("Pause" if playing else self._tips["play"].split(" (")[0])

    def _on_jump(self, place: int) -> None:
        self._driven.pause()
        self.jump(place)


class PacedBar(ClockBar, Recalled):
    """The same with a pace on a slider of its own, and slow motion.

    Attributes:
        PACES: Places a second that the slider offers.
        SLOW_PACE: That of slow motion.
        SPEED_WIDTHS: Pixels at scale 1 of the slider, and of the number beside it.
    """

    PACES: ClassVar[Sequence[float]]
    SLOW_PACE: ClassVar[float]
    SPEED_WIDTHS: ClassVar[tuple[int, int]] = (70, 46)

    def __init__(
        self,
        look: Look,
        clock: Driven,
        tips: Mapping[str, str],
        things: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(look, clock, tips, parent)
        self._things = things
        self._before_slow = clock.pace
        self.buttons["slow"].setCheckable(True)
        self.speed, self.speed_label = QSlider(Qt.Orientation.Horizontal), QLabel()
        self.speed.setRange(0, len(self.PACES) - 1)
        self.speed.setPageStep(1)
        self.speed.setToolTip(f"{things} a second")
        self.speed.setAccessibleName(f"{things} a second")
        place = self.row.indexOf(self.slider)
        self.row.insertWidget(place, self.speed)
        self.row.insertWidget(place + 1, self.speed_label)
        self.buttons["slow"].toggled.connect(self._on_slow)
        self.speed.valueChanged.connect(self._on_speed)

    def toggle_slow(self) -> None:
        """Slow motion on or off."""
        self.buttons["slow"].click()

    def nudge(self, by: int) -> None:
        """Some places up or down on the speed scale."""
        self.speed.setValue(self.speed.value() + by)

    def show_clock(self) -> None:
        """Show the pace; subclasses show where the clock is too."""
        pace = self._driven.pace
        with QSignalBlocker(self.speed):
            self.speed.setValue(self.PACES.index(min(self.PACES, key=lambda p: abs(p - pace))))
        self.speed_label.setText(f"{pace:g} /s")
        self._paint_play()

    def kept(self) -> float:
        """The pace, for undo."""
        return self._driven.pace

    def keep(self, value: float) -> None:
        """Go on at this pace."""
        with QSignalBlocker(self.buttons["slow"]):
            self.buttons["slow"].setChecked(value == self.SLOW_PACE)
        self._set_pace(value)
        self.show_clock()

    def what_changed(self, before: float, after: float) -> str:
        """What was set."""
        return f"{after:g} {self._things.lower()} a second"

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        super().restyle()
        slider, words = self.SPEED_WIDTHS
        self.speed.setFixedWidth(self._look.px(slider))
        self._style_label(self.speed_label)
        self.speed_label.setFixedWidth(self._look.px(words))

    def _on_slow(self, on: bool) -> None:
        if on:
            self._before_slow = self._driven.pace
        self._set_pace(self.SLOW_PACE if on else self._before_slow)

    def _on_speed(self, place: int) -> None:
        with QSignalBlocker(self.buttons["slow"]):
            self.buttons["slow"].setChecked(False)
        self._set_pace(float(self.PACES[place]))

    def _set_pace(self, pace: float) -> None:
        self._driven.pace = pace
        self.speed_label.setText(f"{pace:g} /s")
