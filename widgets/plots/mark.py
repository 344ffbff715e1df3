"""A place that the user chose in a frame: a cross with lines that can be dragged and nudged."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Layer

#: Pixels at scale 1: half the cross, how near the pointer must come to a line, side of a handle.
ARM, NEAR, HANDLE = 8, 6, 7
#: Pixels from which a press is a drag and no click; once begun it stays one.
DRAG_FROM, FAR = 3, 1e6
#: A nudge is this share of what is visible; with Shift a tenth of that.
NUDGE = 0.01
STEPS = {
    Qt.Key.Key_Left: (-1.0, 0.0),
    Qt.Key.Key_Right: (1.0, 0.0),
    Qt.Key.Key_Down: (0.0, -1.0),
    Qt.Key.Key_Up: (0.0, 1.0),
}

Place = tuple[float, float]


class MarkLayer(Layer):
    """Lines through the place across the view, handles at their ends, a cross where they meet."""

    def __init__(self, look: Look, *, flat: bool) -> None:
        super().__init__(50.0)
        self._look = look
        self._flat = flat
        self.place: Place | None = None

    def set_place(self, place: Place | None) -> None:
        """Mark a place in data units, or none; a flat mark has a line upwards only."""
        self.place = place
        self.update()

    def clear(self) -> None:
        """Mark nothing."""
        self.set_place(None)

    def paint(  # noqa: D102 - Qt's
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        if self.place is None:
            return
        transform = painter.worldTransform()
        view = transform.mapRect(self._view)
        at = transform.map(QPointF(*self.place))
        painter.save()
        painter.resetTransform()
        painter.setClipRect(view)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw(painter, view, at)
        painter.restore()

    def _draw(self, painter: QPainter, view: QRectF, at: QPointF) -> None:
        palette, px = self._look.palette, self._look.px
        lines = [(QPointF(at.x(), view.top()), QPointF(at.x(), view.bottom()))]
        if not self._flat:
            lines.append((QPointF(view.left(), at.y()), QPointF(view.right(), at.y())))
        painter.setPen(QPen(with_alpha(palette.text, 0.55), 1.0, Qt.PenStyle.DotLine))
        for line in lines:
            painter.drawLine(*line)
        half = px(HANDLE) / 2
        painter.setPen(QPen(QColor(palette.panel), 1.0))
        painter.setBrush(QColor(palette.accent))
        ends = [QPointF(at.x(), view.bottom() - half)]
        ends += [] if self._flat else [QPointF(view.left() + half, at.y())]
        for end in ends:
            painter.drawRect(QRectF(end.x() - half, end.y() - half, 2 * half, 2 * half))
        if not self._flat:
            for colour, width in ((palette.panel, 5.0), (palette.text, 2.0)):
                painter.setPen(QPen(QColor(colour), width * self._look.scale))
                arm = px(ARM)
                painter.drawLine(QPointF(at.x() - arm, at.y()), QPointF(at.x() + arm, at.y()))
                painter.drawLine(QPointF(at.x(), at.y() - arm), QPointF(at.x(), at.y() + arm))


class Mark(QObject):
    """Chooses a place in a frame: a click sets it, lines and cross are dragged, keys nudge it.

    Escape takes it away. A double click resets the view and leaves the place as it was.

    Signals:
        moved: ``(x, y)`` in data units, or None, by the user only.
    """

    moved = Signal(object)

    def __init__(self, look: Look, frame: Frame, *, flat: bool = False) -> None:
        super().__init__(frame)
        self._look = look
        self._frame = frame
        self._flat = flat
        self._held: tuple[bool, bool] | None = None
        self._pressed = QPointF()
        self._before: Place | None = None
        self.layer = MarkLayer(look, flat=flat)
        frame.add(self.layer)
        frame.clicked.connect(self._on_clicked)
        frame.reset_requested.connect(self._on_double_clicked)
        frame.canvas.viewport().installEventFilter(self)
        frame.canvas.installEventFilter(self)

    @property
    def place(self) -> Place | None:
        """What is marked."""
        return self.layer.place

    @property
    def is_held(self) -> bool:
        """Whether it is being dragged."""
        return self._held is not None

    def set_place(self, place: Place | None) -> None:
        """Mark a place without a signal."""
        if place != self.layer.place:
            self.layer.set_place(place)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Dragging comes before the frame's own panning, keys before the window's shortcuts."""
        kind = event.type()
        if isinstance(event, QMouseEvent):
            return self._on_mouse(kind, event)
        if isinstance(event, QKeyEvent) and watched is self._frame.canvas:
            return self._on_key(kind, event)
        return False

    def _on_mouse(self, kind: QEvent.Type, event: QMouseEvent) -> bool:
        if kind == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton:
            self._held, self._pressed = self._near(event.position()), event.position()
            if self._held is not None:
                self._before = self.place
                self._frame.canvas.setFocus()
            return self._held is not None
        if kind == QEvent.Type.MouseMove and self._held is not None:
            if (event.position() - self._pressed).manhattanLength() >= DRAG_FROM:
                self._pressed = QPointF(-FAR, -FAR)
                self._drag(event.position())
            return True
        if kind == QEvent.Type.MouseButtonRelease and self._held is not None:
            self._held = None
            if (event.position() - self._pressed).manhattanLength() < DRAG_FROM:
                self._on_clicked(self._frame.to_data(event.position()))
            return True
        if kind == QEvent.Type.MouseMove and not event.buttons():
            self._show_cursor(self._near(event.position()))
        return False

    def _on_key(self, kind: QEvent.Type, event: QKeyEvent) -> bool:
        key = Qt.Key(event.key())
        if self.place is None or (key != Qt.Key.Key_Escape and key not in STEPS):
            return False
        if kind == QEvent.Type.ShortcutOverride:
            event.accept()
        elif kind == QEvent.Type.KeyPress:
            if key == Qt.Key.Key_Escape:
                self._move(None)
            else:
                fine = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
                self._nudge(*STEPS[key], NUDGE * (0.1 if fine else 1.0))
        return True

    def _nudge(self, right: float, up: float, share: float) -> None:
        if self.place is None or (self._flat and up):
            return
        box = self._frame.box
        wide, high = (box.high[i] - box.low[i] for i in (0, 1))
        x, y = self.place
        self._move((x + right * share * wide, y + up * share * high))

    def _near(self, position: QPointF) -> tuple[bool, bool] | None:
        """Which coordinates a drag from here moves, or None."""
        if self.place is None:
            return None
        at = self._frame.to_canvas(self.place)
        reach = self._look.px(NEAR)
        x, y = abs(position.x() - at.x()) <= reach, abs(position.y() - at.y()) <= reach
        if not self._frame.holds(position) or not (x or (y and not self._flat)):
            return None
        return x, y and not self._flat

    def _drag(self, position: QPointF) -> None:
        if self.place is None or self._held is None:
            return
        x, y = self._frame.to_data(position)
        keep = self.place
        self._move((x if self._held[0] else keep[0], y if self._held[1] else keep[1]))

    def _show_cursor(self, held: tuple[bool, bool] | None) -> None:
        shapes = {
            (True, True): Qt.CursorShape.SizeAllCursor,
            (True, False): Qt.CursorShape.SplitHCursor,
            (False, True): Qt.CursorShape.SplitVCursor,
        }
        viewport = self._frame.canvas.viewport()
        shape = shapes.get(held, Qt.CursorShape.ArrowCursor) if held else None
        if shape is None:
            viewport.unsetCursor()
        else:
            viewport.setCursor(shape)

    def _on_clicked(self, place: Place) -> None:
        self._before = self.place
        self._frame.canvas.setFocus()
        self._move(place)

    def _on_double_clicked(self) -> None:
        """The first of the two clicks was no choice."""
        if self._before != self.place:
            self._move(self._before)

    def _move(self, place: Place | None) -> None:
        self.set_place(place)
        self.moved.emit(place)
