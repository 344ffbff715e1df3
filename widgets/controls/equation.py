"""A typeset equation, drawn at any scale; it appears as soon as it has been typeset."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QRectF, QSize, QSizeF, Qt, QTimer
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.controls.typesetting import Job, Typesetter
from widgets.look import Look

#: Milliseconds between two looks whether the equation is there.
LOOK_MS = 25
#: Room between lines, as a share of the font size.
LEADING = 0.45

#: Shared, so that no equation is typeset twice.
TYPESETTER = Typesetter()


class EquationView(QWidget):
    """One displayed equation; as plain text where it cannot be typeset."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._latex = ""
        self._lines: list[QSvgRenderer] = []
        self._is_text = False
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(LOOK_MS)
        self._wait.timeout.connect(self._render)
        look.changed.connect(self._render)

    @property
    def is_typeset(self) -> bool:
        """Whether the equation is drawn as mathematics, not as plain text."""
        return bool(self._lines)

    def set_equation(self, latex: str) -> None:
        """Show LaTeX, without dollar signs; "" shows nothing."""
        if latex != self._latex:
            self._latex = latex
            self.setToolTip(latex)
            self.setAccessibleName(f"Equation: {latex}")
            self._render()

    def sizeHint(self) -> QSize:
        """The natural size."""
        size = self._natural()
        return QSize(round(size.width()), round(size.height()))

    def minimumSizeHint(self) -> QSize:
        """May shrink in width; the picture shrinks with it."""
        return QSize(1, self.sizeHint().height() if self._latex else 0)

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's
        """Less where the width makes it shrink."""
        natural = self._natural()
        share = min(1.0, width / max(natural.width(), 1.0))
        return round(natural.height() * max(share, 0.0))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the picture as large as fits, or the text."""
        if not self._latex:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._is_text:
            painter.setPen(self._look.palette.text)
            wrap = int(Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextWrapAnywhere)
            painter.drawText(QRectF(self.rect()), wrap, self._latex)
        natural = self._natural()
        share = min(1.0, self.width() / max(natural.width(), 1.0))
        top = 0.0
        for line in self._lines:
            size = line.viewBoxF().size() * share
            line.render(painter, QRectF(0, top, size.width(), size.height()))
            top += size.height() + LEADING * self._look.font_points * share

    def _natural(self) -> QSizeF:
        if not self._lines:
            return QSizeF(200, self.fontMetrics().height() * (2.5 if self._latex else 0))
        sizes = [line.viewBoxF().size() for line in self._lines]
        gaps = LEADING * self._look.font_points * (len(sizes) - 1)
        return QSizeF(max(s.width() for s in sizes), sum(s.height() for s in sizes) + gaps)

    def _render(self) -> None:
        self._lines, self._is_text = [], False
        if self._latex:
            job = Job(self._latex, self._look.palette.text, round(self._look.font_points * 1.5, 1))
            lines = TYPESETTER.find(job)
            if lines is None:
                self._wait.start()
            else:
                made = [QSvgRenderer(QByteArray(line.svg.encode()), self) for line in lines]
                self._lines = made if all(line.isValid() for line in made) else []
                self._is_text = not self._lines
        self.updateGeometry()
        self.update()
