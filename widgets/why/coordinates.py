"""The coordinates of the chosen point, to be read and typed."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from engine.wire.messages import RunInfo
from widgets.controls.calm import NumberBox
from widgets.look import Look
from widgets.panel import Point

#: Events with more coordinates are chosen by the mouse only.
MOST = 2
LIMIT = 1e12
#: One press of an arrow moves a coordinate by this share of the data's range.
STEP_SHARE = 0.01


class CoordinateBoxes(QWidget):
    """One number box per drawn coordinate; Escape takes the point away.

    Signals:
        edited: A ``Point`` that was typed, or None.
    """

    edited = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._point: Point | None = None
        self.labels = [QLabel() for _ in range(MOST)]
        self.boxes = [NumberBox() for _ in range(MOST)]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.px(5))
        for label, box in zip(self.labels, self.boxes, strict=True):
            box.setRange(-LIMIT, LIMIT)
            box.setKeyboardTracking(False)
            box.setToolTip("A coordinate of the chosen point, in the data's units")
            box.valueChanged.connect(lambda _: self._on_edited())
            box.lineEdit().returnPressed.connect(self._on_edited)
            box.installEventFilter(self)
            row.addWidget(label)
            row.addWidget(box)
        row.addStretch(1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.restyle()

    def open(self, run: RunInfo | None, point: Point | None) -> None:
        """Show a point of a run; without one the boxes wait for coordinates."""
        names, low, high = _axes(run, point)
        for index, (label, box) in enumerate(zip(self.labels, self.boxes, strict=True)):
            used = index < len(names)
            label.setVisible(used)
            box.setVisible(used)
            if used:
                label.setText(names[index])
                spread = high[index] - low[index] if index < len(high) else 1.0
                box.setSingleStep(max(STEP_SHARE * spread, 1e-9))
                self._set(box, point.at[index] if point is not None else 0.0)
        self._point = point

    def restyle(self) -> None:
        """Take fonts from the look."""
        for label, box in zip(self.labels, self.boxes, strict=True):
            label.setFont(self._look.font(0.92))
            box.setFont(self._look.font(0.92))
            box.setFixedWidth(self._look.px(92))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Escape in a box takes the point away."""
        if isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape:
            if event.type() == QEvent.Type.KeyPress:
                self.edited.emit(None)
            return True
        return False

    def _set(self, box: NumberBox, value: float) -> None:
        if not box.hasFocus() or box.value() != value:
            with QSignalBlocker(box):
                box.setValue(value)

    def _on_edited(self) -> None:
        shown = [box for box in self.boxes if box.isVisibleTo(self)]
        names = tuple(label.text() for label in self.labels[: len(shown)])
        plane = self._point.plane if self._point is not None else {}
        self.edited.emit(Point(tuple(box.value() for box in shown), names, plane))


def _axes(
    run: RunInfo | None, point: Point | None
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    """Names and ends of the coordinates that can be typed; none where there are too many."""
    if run is None:
        return (), (), ()
    if point is not None and point.plane:
        return point.names[:MOST], run.data.low, run.data.high
    size = run.data.event.size
    if size > MOST:
        return (), (), ()
    names = run.data.columns or run.data.event.axes
    titles = tuple(names[i] if i < len(names) else f"x{i + 1}" for i in range(size))
    return titles, run.data.low, run.data.high
