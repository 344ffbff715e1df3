"""What a hand does: a press until its release, a turn of the wheel, a run of keys.

Listens to windows, not to the program: a window hears only what comes from outside, so nothing
that the program does by itself is ever taken for a gesture, and painting and timers cost nothing.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QLineEdit, QWidget

#: Milliseconds after which nothing more belongs to a gesture; a second click may follow a first.
SETTLE_MS = 420
MODIFIERS = (Qt.Key.Key_Shift, Qt.Key.Key_Control, Qt.Key.Key_Alt, Qt.Key.Key_Meta)
UNDO_KEYS = (QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo)


class Gestures(QObject):
    """Tells when a gesture begins, before anything has come of it, and when it is over.

    Attributes:
        last_kind: What the newest one is or was: ``"press"``, ``"wheel"`` or ``"keys"``.

    Signals:
        began: The widget under the pointer, or with the keyboard.
        ended: All that came of it is done.
    """

    began = Signal(object)
    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._watched: list[QWidget] = []
        self._open: tuple[str, QWidget] | None = None
        self.last_kind = ""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self._on_quiet)

    @property
    def kind(self) -> str:
        """``"press"``, ``"wheel"`` or ``"keys"`` while one is on, else ""."""
        return self._open[0] if self._open is not None else ""

    def watch(self, widget: QWidget) -> None:
        """Listen to a widget whenever it is a window of its own."""
        self._watched.append(widget)
        widget.installEventFilter(self)
        self._listen(widget)

    def begin(self, kind: str, widget: QWidget) -> None:
        """A hand touches a widget; what was going on elsewhere is over."""
        goes_on = self._open == (kind, widget) and kind != "press"
        if not goes_on:
            self.settle()
            self._open, self.last_kind = (kind, widget), kind
            self.began.emit(widget)
        if kind != "press":
            self._timer.start()

    def release(self) -> None:
        """The last button is up: the gesture is over, unless a second click follows."""
        if self._open is not None:
            self._timer.start()

    def settle(self) -> None:
        """Whatever is going on is over now."""
        self._timer.stop()
        if self._open is not None:
            self._open = None
            self.ended.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Windows as they appear, and what reaches them."""
        if isinstance(watched, QWidget):
            if event.type() == QEvent.Type.Show:
                self._listen(watched)
            return False
        if isinstance(event, QMouseEvent):
            self._on_mouse(watched, event)
        elif isinstance(event, QWheelEvent):
            self._begin_at("wheel", watched, event)
        elif event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            return self._on_key(event)
        return False

    def _listen(self, widget: QWidget) -> None:
        handle = widget.windowHandle() if widget.isWindow() else None
        if handle is not None:
            handle.installEventFilter(self)

    def _on_mouse(self, window: QObject, event: QMouseEvent) -> None:
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress:
            second = event.flags() & Qt.MouseEventFlag.MouseEventCreatedDoubleClick
            if second and self.kind == "press":
                self._timer.stop()
            elif self.kind != "press" or self._timer.isActive():
                self._begin_at("press", window, event)
        elif kind == QEvent.Type.MouseButtonRelease and not event.buttons():
            self.release()

    def _begin_at(self, kind: str, window: QObject, event: QMouseEvent | QWheelEvent) -> None:
        tops = (widget for widget in self._watched if widget.isWindow())
        top = next((widget for widget in tops if widget.windowHandle() == window), None)
        if top is not None:
            self.begin(kind, top.childAt(event.position().toPoint()) or top)

    def _on_key(self, event: QKeyEvent) -> bool:
        """True for undo and redo where an editor would take them and do nothing with them."""
        widget = QApplication.focusWidget() or QApplication.activeWindow()
        if any(event.matches(key) for key in UNDO_KEYS):
            self.settle()  # what is taken back may be what is going on
            event.ignore()
            return _has_nothing_to_undo(widget)
        if widget is not None and event.key() not in MODIFIERS:
            self.begin("keys", widget)
        return False

    def _on_quiet(self) -> None:
        """A list that is open, or a button that is held, may still bring something."""
        held = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if held or QApplication.activePopupWidget() is not None:
            self._timer.start()
        else:
            self.settle()


def _has_nothing_to_undo(widget: QWidget | None) -> bool:
    """Whether a place to type in holds nothing typed: numbers are set, so undo is the window's."""
    if isinstance(widget, QAbstractSpinBox):
        return True
    return isinstance(widget, QLineEdit) and not (widget.isModified() and widget.isUndoAvailable())
