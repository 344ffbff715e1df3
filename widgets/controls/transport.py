"""The transport bar: play, pause, single step, slow motion, speed, reset, and the timeline."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QToolButton, QWidget

from engine.wire.messages import RunState
from widgets.controls.icons import icon
from widgets.controls.step_box import StepBox
from widgets.controls.timeline import Timeline
from widgets.look import Look

#: Steps a second that the speed slider offers, left to right; None is as fast as it goes.
PACES: tuple[float | None, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, None)
SLOW_PACE = 4.0


class TransportBar(QWidget):
    """Controls of time.

    Signals:
        play_toggled: Whether to train.
        step_requested: So many training steps (1), or −1 for the stored step before.
        reset_requested: Back to step 0.
        pace_changed: Steps a second, or None for as fast as it goes.
        cursor_changed: A stored step, or None for live.
        step_entered: A step that the user typed, stored or not.
        history_toggled: Whether to play through the stored steps.
        fork_requested: Start a second run from the step in view.
        menu_requested: A global position, and the stored step under it on the timeline.
    """

    play_toggled = Signal(bool)
    step_requested = Signal(int)
    reset_requested = Signal()
    pace_changed = Signal(object)
    cursor_changed = Signal(object)
    step_entered = Signal(int)
    history_toggled = Signal(bool)
    fork_requested = Signal()
    menu_requested = Signal(QPoint, object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._playing = False
        self._pace: float | None = None
        self.buttons = {
            "reset": self._button("Back to step 0 with the same initial weights (Ctrl+R)"),
            "back": self._button("The stored step before (Left)"),
            "play": self._button("Train (Space)"),
            "step": self._button("One training step (Right)"),
            "slow": self._button("Slow motion: a few steps a second (S)"),
            "history": self._button(
                "Play through the stored steps, from the cursor or the first (Shift+Space)"
            ),
            "fork": self._button("Fork here: a second run from the step in view (Ctrl+F)"),
        }
        for name in ("slow", "history"):
            self.buttons[name].setCheckable(True)
        self.speed = QSlider(Qt.Orientation.Horizontal)
        self.speed_label = QLabel()
        self.timeline = Timeline(look)
        self.step_label = StepBox(look)
        self.live = QPushButton("LIVE")
        self._set_up()
        self._lay_out()
        self._connect()
        look.changed.connect(self.restyle)
        self.restyle()
        self.setEnabled(False)

    # --- the window tells ---------------------------------------------------------------------

    def set_state(self, state: RunState) -> None:
        """Where the run is and which steps are stored."""
        self.setEnabled(True)
        self._playing = state.state == "training"
        self._paint_play()
        self.timeline.set_state(state)
        for name in ("back", "history", "fork"):
            self.buttons[name].setEnabled(len(state.stored) > 0)
        self._write_step()

    def set_cursor(self, cursor: int | None) -> None:
        """Show the window's cursor: a stored step, or None for live."""
        self.timeline.set_cursor(cursor)
        self.live.setChecked(cursor is None)
        self._write_step()

    def set_playing_history(self, on: bool) -> None:
        """Show whether the cursor runs through the stored steps; emits nothing."""
        self.buttons["history"].setChecked(on)

    @property
    def pace(self) -> float | None:
        """Steps a second as the slider stands, or None for as fast as it goes."""
        return self._pace

    def set_pace(self, pace: float | None) -> None:
        """Show a run's speed limit, rounded to the slider's scale; emits nothing."""
        limits = [entry for entry in PACES if entry is not None]
        place = len(PACES) - 1
        if pace is not None:
            place = PACES.index(min(limits, key=lambda entry: abs(entry - pace)))
        with QSignalBlocker(self.speed), QSignalBlocker(self.buttons["slow"]):
            self.buttons["slow"].setChecked(False)
            self.speed.setValue(place)
        self._write_pace()

    # --- actions call -------------------------------------------------------------------------

    def toggle_slow(self) -> None:
        """Slow motion on or off."""
        self.buttons["slow"].click()

    def nudge_pace(self, places: int) -> None:
        """Some places up or down on the speed scale."""
        self.speed.setValue(self.speed.value() + places)

    def restyle(self) -> None:
        """Take icons and sizes from the look."""
        side = self._look.px(20)
        for name, button in self.buttons.items():
            button.setIconSize(QSize(side, side))
            if name != "play":
                button.setIcon(icon(name, self._look.palette, side))
        self._paint_play()
        self.speed.setFixedWidth(self._look.px(96))
        self.speed_label.setFixedWidth(self._look.px(74))
        self.step_label.restyle()
        accent, muted = self._look.palette.accent, self._look.palette.muted
        self.live.setStyleSheet(
            f"QPushButton:checked {{ color: {accent}; border-color: {accent}; }}"
            f"QPushButton {{ color: {muted}; font-weight: 600; }}"
        )
        self.timeline.restyle()

    # --- making -------------------------------------------------------------------------------

    def _button(self, tooltip: str) -> QToolButton:
        button = QToolButton(self)
        button.setAutoRaise(True)
        button.setToolTip(tooltip)
        button.setAccessibleName(tooltip.split(" (")[0])
        return button

    def _set_up(self) -> None:
        self.speed.setRange(0, len(PACES) - 1)
        self.speed.setValue(len(PACES) - 1)
        self.speed.setPageStep(1)
        self.speed.setToolTip("Speed limit in training steps a second ([ and ])")
        self.speed.setAccessibleName("Speed limit")
        self.live.setCheckable(True)
        self.live.setChecked(True)
        self.live.setToolTip("Follow the newest step (End)")
        self._write_pace()

    def _lay_out(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        row.setSpacing(4)
        for name in ("reset", "back", "play", "step", "slow"):
            row.addWidget(self.buttons[name])
        for widget in (self.speed, self.speed_label, self.buttons["history"]):
            row.addWidget(widget)
        row.addWidget(self.timeline, 1)
        row.addWidget(self.buttons["fork"])
        row.addWidget(self.step_label)
        row.addWidget(self.live)

    def _connect(self) -> None:
        self.buttons["reset"].clicked.connect(self.reset_requested)
        self.buttons["back"].clicked.connect(lambda: self.step_requested.emit(-1))
        self.buttons["play"].clicked.connect(self._on_play_clicked)
        self.buttons["step"].clicked.connect(lambda: self.step_requested.emit(1))
        self.buttons["slow"].toggled.connect(self._on_slow_toggled)
        self.speed.valueChanged.connect(self._on_speed_changed)
        self.timeline.picked.connect(self._on_picked)
        self.live.clicked.connect(lambda: self._on_picked(None))
        self.buttons["history"].clicked.connect(self.history_toggled)
        self.buttons["fork"].clicked.connect(lambda: self.fork_requested.emit())
        self.step_label.entered.connect(self.step_entered)
        self.timeline.menu_requested.connect(self.menu_requested)

    # --- showing ------------------------------------------------------------------------------

    def _paint_play(self) -> None:
        name = "pause" if self._playing else "play"
        button = self.buttons["play"]
        button.setIcon(icon(name, self._look.palette, self._look.px(20)))
        button.setToolTip("Stop after this step (Space)" if self._playing else "Train (Space)")
        button.setAccessibleName("Pause" if self._playing else "Play")

    def _write_pace(self) -> None:
        slow = self.buttons["slow"].isChecked()
        pace = SLOW_PACE if slow else PACES[self.speed.value()]
        self._pace = pace
        self.speed_label.setText("max speed" if pace is None else f"{pace:g} steps/s")

    def _write_step(self) -> None:
        cursor, newest = self.timeline.shown, self.timeline.newest
        self.step_label.set_step(newest if cursor is None else cursor, newest)

    # --- the user -----------------------------------------------------------------------------

    def _on_play_clicked(self) -> None:
        self.play_toggled.emit(not self._playing)

    def _on_slow_toggled(self, _: bool) -> None:
        self._write_pace()
        self.pace_changed.emit(self._pace)

    def _on_speed_changed(self, _: int) -> None:
        with QSignalBlocker(self.buttons["slow"]):
            self.buttons["slow"].setChecked(False)
        self._write_pace()
        self.pace_changed.emit(self._pace)

    def _on_picked(self, cursor: int | None) -> None:
        self.set_cursor(cursor)
        self.cursor_changed.emit(cursor)
