"""The transport bar: play, pause, single step, slow motion, speed, reset, and the timeline."""

from __future__ import annotations

import bisect

from PySide6.QtCore import QPointF, QRectF, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QToolButton,
    QWidget,
)

from engine.wire.messages import RunState
from widgets.controls.icons import icon
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
    """

    play_toggled = Signal(bool)
    step_requested = Signal(int)
    reset_requested = Signal()
    pace_changed = Signal(object)
    cursor_changed = Signal(object)

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
        }
        self.buttons["slow"].setCheckable(True)
        self.speed = QSlider(Qt.Orientation.Horizontal)
        self.speed_label = QLabel()
        self.timeline = Timeline(look)
        self.step_label = QLabel("step 0")
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
        self.timeline.set_steps(state.stored, state.step)
        self.buttons["back"].setEnabled(len(state.stored) > 0)
        self._write_step()

    def set_cursor(self, cursor: int | None) -> None:
        """Show the window's cursor: a stored step, or None for live."""
        self.timeline.set_cursor(cursor)
        self.live.setChecked(cursor is None)
        self._write_step()

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
        metrics = self.step_label.fontMetrics()
        self.step_label.setMinimumWidth(metrics.horizontalAdvance("step 8 888 888"))
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
        for button in self.buttons.values():
            row.addWidget(button)
        for widget in (self.speed, self.speed_label):
            row.addWidget(widget)
        row.addWidget(self.timeline, 1)
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
        cursor = self.timeline.shown
        step = self.timeline.newest if cursor is None else cursor
        self.step_label.setText(f"step {step:,}".replace(",", " "))

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


class Timeline(QWidget):
    """The stored steps of a run as ticks on a line, and the cursor.

    Signals:
        picked: The stored step nearest to where the user dragged, or None at the live end.
    """

    picked = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._steps: tuple[int, ...] = ()
        self.newest = 0
        self.shown: int | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Timeline: drag to look at a stored step; training goes on meanwhile")
        self.setAccessibleName("Timeline")

    def set_steps(self, steps: tuple[int, ...], newest: int) -> None:
        """Stored steps, oldest first, and the step the run has reached."""
        if (steps, newest) != (self._steps, self.newest):
            self._steps, self.newest = steps, newest
            self.update()

    def set_cursor(self, cursor: int | None) -> None:
        """Move the cursor."""
        self.shown = cursor
        self.update()

    def restyle(self) -> None:
        """Take sizes from the look."""
        self.setMinimumSize(self._look.px(80), self._look.px(26))
        self.update()

    def place_of(self, step: int) -> float:
        """Where a step lies, in pixels from the left."""
        left, width = self._track()
        return left + width * step / max(self.newest, 1)

    def step_at(self, x: float) -> int | None:
        """The stored step nearest to a place; None at the right end, which is live."""
        left, width = self._track()
        if not self._steps or x >= left + width - self._look.px(3):
            return None
        step = (x - left) / max(width, 1) * max(self.newest, 1)
        after = bisect.bisect_left(self._steps, step)
        near = self._steps[max(0, after - 1) : after + 1]
        return min(near, key=lambda stored: abs(stored - step))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The line, a tick for each stored step, and the cursor."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, px = self._look.palette, self._look.px
        left, width = self._track()
        middle = self.height() / 2
        painter.setPen(QPen(QColor(palette.border), px(3), c=Qt.PenCapStyle.RoundCap))
        painter.drawLine(QPointF(left, middle), QPointF(left + width, middle))
        painter.setPen(QPen(QColor(palette.muted), 1))
        for place in sorted({round(self.place_of(step)) for step in self._steps}):
            painter.drawLine(QPointF(place, middle - px(4)), QPointF(place, middle + px(4)))
        self._draw_cursor(painter, middle)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick where the user clicks."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pick(self.step_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pick while the user drags."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._pick(self.step_at(event.position().x()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Page up and down move by stored steps."""
        moves = {Qt.Key.Key_PageUp: 1, Qt.Key.Key_PageDown: -1}
        move = moves.get(Qt.Key(event.key()))
        if move is None or not self._steps:
            super().keyPressEvent(event)
            return
        here = len(self._steps) if self.shown is None else self._steps.index(
            min(self._steps, key=lambda s: abs(s - (self.shown or 0)))
        )  # fmt: skip
        index = here + move
        self._pick(None if index >= len(self._steps) else self._steps[max(0, index)])

    def _pick(self, step: int | None) -> None:
        if step != self.shown:
            self.picked.emit(step)

    def _track(self) -> tuple[float, float]:
        margin = self._look.px(9)
        return float(margin), float(max(1, self.width() - 2 * margin))

    def _draw_cursor(self, painter: QPainter, middle: float) -> None:
        palette, radius = self._look.palette, self._look.px(6)
        x = self.place_of(self.newest if self.shown is None else self.shown)
        painter.setPen(QPen(QColor(palette.panel), 1.5))
        painter.setBrush(QColor(palette.accent if self.shown is None else palette.warning))
        painter.drawEllipse(QRectF(x - radius, middle - radius, 2 * radius, 2 * radius))
        if self.hasFocus():
            painter.setPen(QPen(QColor(palette.accent), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            ring = radius + 2
            painter.drawEllipse(QRectF(x - ring, middle - ring, 2 * ring, 2 * ring))
