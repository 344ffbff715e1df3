"""The timeline: stored steps, keyframes, forks, the cursor, and what is being repeated."""

from __future__ import annotations

import bisect
import math

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from engine.wire.messages import RunState
from widgets.look import Look

#: Turns of a mouse wheel's notch.
NOTCH = 120
TOOLTIP = (
    "Timeline: click, drag or turn the wheel to look at a stored step; training goes on meanwhile"
)


class Timeline(QWidget):
    """The stored steps of a run as ticks on a line, and the cursor.

    Signals:
        picked: The stored step nearest to where the user dragged, or None at the live end.
        menu_requested: A global position, and the step under it.
    """

    picked = Signal(object)
    menu_requested = Signal(QPoint, object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._steps: tuple[int, ...] = ()
        self._keyframes: tuple[int, ...] = ()
        self._forks: tuple[tuple[int, str], ...] = ()
        self._repeating: tuple[int, ...] = ()
        self._log = False
        self._hover: int | None = None
        self._turned = 0
        self.newest = 0
        self.shown: int | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(TOOLTIP)
        self.setAccessibleName("Timeline")

    # --- the bar tells ------------------------------------------------------------------------

    def set_state(self, state: RunState) -> None:
        """Stored steps and keyframes, oldest first, the newest step and what is repeated."""
        now = (state.stored, state.keyframes, state.repeating, state.step)
        if now != (self._steps, self._keyframes, self._repeating, self.newest):
            self._steps, self._keyframes, self._repeating, self.newest = now
            self.update()

    def set_forks(self, forks: tuple[tuple[int, str], ...]) -> None:
        """Steps at which forks part from this run or it from its parent, with their words."""
        if forks != self._forks:
            self._forks = forks
            self.update()

    def set_cursor(self, cursor: int | None) -> None:
        """Move the cursor."""
        self.shown = cursor
        self.update()

    def set_log(self, on: bool) -> None:
        """Space steps by powers of ten, so that the first ones, which differ most, have room."""
        self._log = on
        self.update()

    @property
    def repeating(self) -> tuple[int, ...]:
        """First, present and last step of the repetition that is shown."""
        return self._repeating

    def restyle(self) -> None:
        """Take sizes from the look."""
        self.setMinimumSize(self._look.px(80), self._look.px(26))
        self.update()

    # --- places -------------------------------------------------------------------------------

    def place_of(self, step: float) -> float:
        """Where a step lies, in pixels from the left."""
        left, width = self._track()
        return left + width * self._share(step)

    def step_at(self, x: float) -> int | None:
        """The stored step nearest to a place; None at the right end, which is live."""
        left, width = self._track()
        if not self._steps or x >= left + width - self._look.px(3):
            return None
        return self._nearest(self.exact_at(x))

    def exact_at(self, x: float) -> int:
        """The step at a place, stored or not."""
        left, width = self._track()
        share = min(1.0, max(0.0, (x - left) / max(width, 1)))
        if self._log:
            return round(math.expm1(share * math.log1p(max(self.newest, 1))))
        return round(share * max(self.newest, 1))

    def neighbour(self, moves: int) -> int | None:
        """The stored step so many ticks from the cursor; None beyond the newest."""
        if not self._steps:
            return self.shown
        count = len(self._steps)
        here = count if self.shown is None else self._steps.index(self._nearest(self.shown))
        place = here + moves
        return None if place >= count else self._steps[max(0, place)]

    def _nearest(self, step: float) -> int:
        after = bisect.bisect_left(self._steps, step)
        near = self._steps[max(0, after - 1) : after + 1]
        return min(near, key=lambda stored: abs(stored - step))

    def _share(self, step: float) -> float:
        newest = max(self.newest, 1)
        if self._log:
            return math.log1p(max(step, 0.0)) / math.log1p(newest)
        return step / newest

    def _track(self) -> tuple[float, float]:
        margin = self._look.px(9)
        return float(margin), float(max(1, self.width() - 2 * margin))

    # --- drawing ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """The line, a tick for each stored step, keyframes, forks, and the cursor."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, px = self._look.palette, self._look.px
        left, width = self._track()
        middle = self.height() / 2
        painter.setPen(QPen(QColor(palette.border), px(3), c=Qt.PenCapStyle.RoundCap))
        painter.drawLine(QPointF(left, middle), QPointF(left + width, middle))
        self._draw_ticks(painter, middle, self._steps, (palette.muted, 1.0, px(4)))
        self._draw_ticks(painter, middle, self._keyframes, (palette.text, 1.4, px(6)))
        self._draw_forks(painter, middle)
        self._draw_repeating(painter, middle)
        self._draw_hover(painter, middle)
        self._draw_cursor(painter, middle)

    def _draw_ticks(
        self,
        painter: QPainter,
        middle: float,
        steps: tuple[int, ...],
        style: tuple[str, float, float],
    ) -> None:
        colour, width, half = style
        painter.setPen(QPen(QColor(colour), width))
        for place in sorted({round(self.place_of(step)) for step in steps}):
            painter.drawLine(QPointF(place, middle - half), QPointF(place, middle + half))

    def _draw_forks(self, painter: QPainter, middle: float) -> None:
        side, top = self._look.px(4), middle - self._look.px(11)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._look.palette.accent))
        for step, _ in self._forks:
            x = self.place_of(step)
            corners = ((x - side, top), (x + side, top), (x, top + 1.6 * side))
            painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))

    def _draw_repeating(self, painter: QPainter, middle: float) -> None:
        """What is repeated as a track of its own: done in full, the rest faint."""
        if not self._repeating:
            return
        first, now, last = (self.place_of(min(s, self.newest)) for s in self._repeating)
        colour = QColor(self._look.palette.warning)
        done, y = first + (last - first) * _share_done(self._repeating), middle + self._look.px(9)
        for start, end, alpha in ((first, max(last, now), 90), (first, done, 255)):
            colour.setAlpha(alpha)
            painter.setPen(QPen(colour, self._look.px(3), c=Qt.PenCapStyle.RoundCap))
            painter.drawLine(QPointF(start, y), QPointF(max(end, start + 1), y))

    def _draw_hover(self, painter: QPainter, middle: float) -> None:
        if self._hover is not None:
            painter.setPen(QPen(QColor(self._look.palette.accent), 1.6))
            x, half = self.place_of(self._hover), self._look.px(8)
            painter.drawLine(QPointF(x, middle - half), QPointF(x, middle + half))

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

    # --- the user -----------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick where the user clicks."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pick(self.step_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pick while the user drags; else say what is under the pointer."""
        step = self.step_at(event.position().x())
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._pick(step)
        if step != self._hover:
            self._hover = step
            self.update()
        QToolTip.showText(event.globalPosition().toPoint(), self.words_at(step), self)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer any more."""
        self._hover = None
        self.update()
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """One stored step a notch; up is later."""
        self._turned += event.angleDelta().y() or event.angleDelta().x()
        moves = int(self._turned / NOTCH)
        self._turned -= moves * NOTCH
        if moves and not (moves > 0 and self.shown is None):
            self._pick(self.neighbour(moves))
        event.accept()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802  # Qt's name
        """What can be done at this step."""
        self.menu_requested.emit(event.globalPos(), self.step_at(event.pos().x()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Page up and down move by stored steps, Home and End to the ends."""
        moves = {Qt.Key.Key_PageUp: 1, Qt.Key.Key_PageDown: -1}
        key = Qt.Key(event.key())
        if key in moves and self._steps:
            self._pick(self.neighbour(moves[key]))
        elif key == Qt.Key.Key_Home and self._steps:
            self._pick(self._steps[0])
        elif key == Qt.Key.Key_End:
            self._pick(None)
        else:
            super().keyPressEvent(event)

    def words_at(self, step: int | None) -> str:
        """What there is at a stored step."""
        if step is None:
            return f"newest step, {spaced(self.newest)} (live)"
        parts = [f"step {spaced(step)}"]
        if step in self._keyframes:
            parts.append("keyframe: a fork starts here at once")
        near = [
            words for at, words in self._forks if abs(self.place_of(at) - self.place_of(step)) < 4
        ]
        return "\n".join([*parts, *near])

    def _pick(self, step: int | None) -> None:
        if step != self.shown:
            self.picked.emit(step)


def spaced(number: int) -> str:
    """12345 as "12 345"."""
    return f"{number:,}".replace(",", " ")


def _share_done(repeating: tuple[int, ...]) -> float:
    first, now, last = repeating
    return (now - first) / (last - first) if last > first else 1.0
