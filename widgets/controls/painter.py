"""A canvas on which a density is painted with brush, spray, eraser, jitter and magnet.

The painted density is kept on a grid that changes only where the stroke is, and drawn once a
frame; nothing is rebuilt while the pointer moves.
"""

from __future__ import annotations

import time
from dataclasses import replace

from PySide6.QtCore import QEvent, QObject, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QWidget

from widgets.look import Look
from widgets.painting.canvas import Canvas
from widgets.painting.state import Painting
from widgets.painting.tools import RADII, SIGMAS, TOOLS, Change, Hand, Place, Stroke
from widgets.plots.layers import Box

FRAME_MS = 16
KEYS = {
    Qt.Key.Key_B: "brush",
    Qt.Key.Key_S: "spray",
    Qt.Key.Key_E: "eraser",
    Qt.Key.Key_J: "jitter",
    Qt.Key.Key_M: "magnet",
}
SIZE_KEYS = {Qt.Key.Key_BracketLeft: -1, Qt.Key.Key_BracketRight: 1}
ZOOM_KEYS = {Qt.Key.Key_Minus: 1, Qt.Key.Key_Plus: -1, Qt.Key.Key_Equal: -1}
#: A step of wheel or key changes a size by this factor.
STEP = 1.12
WORDS = ("pull", "push")


class Painter(Canvas):
    """The canvas; keys B S E J M take a tool, [ and ] or the wheel change its radius.

    Signals:
        changed: The painting is another, by the user's stroke.
        finished: (:class:`Painting` before, after, words) at the end of a stroke that changed it.
        held: Tool, radius, softness or strength were changed on the canvas.
        filled: No more dabs can be added.
    """

    changed = Signal()
    finished = Signal(object, object, str)
    held = Signal()
    filled = Signal()

    #: Set here because the canvas draws itself before this class is ready.
    _stroke: Stroke | None = None

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.tool = TOOLS[0]
        self.hand = Hand()
        self._before = self._painting
        self._n_strokes = 0
        self._pointer: Place | None = None
        self._pan: QPointF | None = None
        self._clock = 0.0
        self._viewport.installEventFilter(self)
        self._frame_timer = QTimer(self)
        self._frame_timer.setInterval(FRAME_MS)
        self._frame_timer.timeout.connect(self._on_frame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Canvas")

    # --- the painting -------------------------------------------------------------------------

    @property
    def painting(self) -> Painting:
        """What is on the canvas now."""
        return Painting(self._stroke.dabs) if self._stroke else self._painting

    @property
    def is_busy(self) -> bool:
        """Whether a stroke is on."""
        return self._stroke is not None

    def set_painting(self, painting: Painting) -> None:
        """Put another painting on the canvas, without a signal."""
        self._stroke = None
        self._frame_timer.stop()
        self._painting = painting
        self._redraw_all()

    # --- tools --------------------------------------------------------------------------------

    def set_tool(self, tool: str) -> None:
        """Take another tool."""
        if tool in TOOLS and tool != self.tool:
            self.tool = tool
            self.held.emit()

    def set_hand(self, hand: Hand) -> None:
        """Hold the tool otherwise."""
        radius = min(max(hand.radius, RADII[0]), RADII[1])
        sigma = min(max(hand.sigma, SIGMAS[0]), SIGMAS[1])
        strength = min(max(hand.strength, 0.01), 1.0)
        hand = Hand(float(f"{radius:.3g}"), float(f"{sigma:.3g}"), strength)
        if hand != self.hand:
            self.hand = hand
            self._show_ring()
            self.held.emit()

    def press(self, place: Place, *, push: bool = False) -> None:
        """Begin a stroke at a place of the plane."""
        self._before = self._painting
        painting = self._painting.as_dabs()
        if painting is not self._painting:
            self._painting = painting
            self._redraw_all()
        self._n_strokes += 1
        hand = self.hand.scaled(self.unit)
        self._stroke = Stroke(self.tool, hand, painting.dabs, self._n_strokes, push)
        self._clock = time.monotonic()
        self._frame_timer.start()
        self._apply(self._stroke.move(place))

    def drag(self, place: Place) -> None:
        """Go on with the stroke."""
        if self._stroke is not None:
            self._apply(self._stroke.move(place))

    def tick(self, seconds: float) -> None:
        """Let time pass for spray, jitter and magnet."""
        if self._stroke is not None:
            self._apply(self._stroke.tick(seconds))

    def release(self) -> None:
        """End the stroke."""
        stroke, self._stroke = self._stroke, None
        self._frame_timer.stop()
        if stroke is None:
            return
        if stroke.is_full:
            self.filled.emit()
        if stroke.dabs is self._painting.dabs:
            if self._painting is not self._before:
                self.set_painting(self._before)
            return
        self._painting = Painting(stroke.dabs)
        self._redraw_all()
        words = WORDS[stroke.push] if stroke.tool == "magnet" else stroke.tool
        self.finished.emit(self._before, self._painting, words)

    # --- drawing ------------------------------------------------------------------------------

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            self._ink.add(change.gone, -1.0)
            self._ink.add(change.new)
        if changes:
            self._is_stale = True
            self.changed.emit()

    def _on_frame(self) -> None:
        """Once a frame while a stroke is on."""
        now = time.monotonic()
        seconds, self._clock = now - self._clock, now
        if self._stroke is not None:
            self._stroke.push = self._wants_push()
        self.tick(min(seconds, 0.1))
        if self._is_stale:
            self._draw()

    def _show_ring(self) -> None:
        self._ring.set_ring(self._pointer, self.hand.radius * self.unit)

    # --- Qt -----------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The pointer on the canvas, before the plot sees it."""
        if watched is not self._viewport:
            return super().eventFilter(watched, event)
        if isinstance(event, QWheelEvent):
            self._on_wheel(event)
            return True
        if isinstance(event, QMouseEvent):
            return self._on_mouse(event)
        if event.type() == QEvent.Type.Leave:
            self._pointer = None
            self._show_ring()
        return False

    def event(self, event: QEvent) -> bool:
        """Letters are the canvas' own while it has the focus, whatever the menus do with them."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            known = event.key() in (*KEYS, *SIZE_KEYS, *ZOOM_KEYS, Qt.Key.Key_Home)
            held = event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier
            keypad = Qt.KeyboardModifier.KeypadModifier
            if known and held in (Qt.KeyboardModifier.NoModifier, keypad):
                event.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Tools, sizes and the view."""
        key = Qt.Key(event.key())
        if key in KEYS:
            self.set_tool(KEYS[key])
        elif key in SIZE_KEYS:
            self._grow(SIZE_KEYS[key])
        elif key in ZOOM_KEYS:
            self.zoom(ZOOM_KEYS[key])
        elif key == Qt.Key.Key_Home:
            self.reset_view()
        else:
            super().keyPressEvent(event)

    def _on_wheel(self, event: QWheelEvent) -> None:
        delta = event.angleDelta()
        steps = (delta.y() or delta.x()) / 120.0
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(-steps)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.set_hand(replace(self.hand, sigma=self.hand.sigma * STEP**steps))
        else:
            self._grow(steps)

    def _grow(self, steps: float) -> None:
        self.set_hand(replace(self.hand, radius=self.hand.radius * STEP**steps))

    def _on_mouse(self, event: QMouseEvent) -> bool:
        place = self._place(event.position())
        kind, button = event.type(), event.button()
        if kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick):
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            if button == Qt.MouseButton.LeftButton:
                self.press(place, push=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
            elif button == Qt.MouseButton.MiddleButton:
                self._pan = event.position()
        elif kind == QEvent.Type.MouseMove:
            self._on_moved(event, place)
        elif kind == QEvent.Type.MouseButtonRelease:
            if button == Qt.MouseButton.LeftButton:
                self.drag(place)
                self.release()
            self._pan = None
        return True

    def _on_moved(self, event: QMouseEvent, place: Place) -> None:
        if self._pan is not None:
            start = self._place(self._pan)
            self._pan = event.position()
            box = self.frame.box
            by = start[0] - place[0], start[1] - place[1]
            low, high = ((e[0] + by[0], e[1] + by[1]) for e in (box.low, box.high))
            self.frame.user_moved = True
            self.frame.set_box(Box(low, high))
            return
        self._pointer = place
        self._show_ring()
        self.drag(place)

    def _place(self, position: QPointF) -> Place:
        scene = self.frame.view.scene().views()[0].mapToScene(position.toPoint())
        point = self.frame.view.mapSceneToView(scene)
        return float(point.x()), float(point.y())

    def _wants_push(self) -> bool:
        return bool(QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
