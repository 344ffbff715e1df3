"""A typeset equation: LaTeX to SVG by ziamath, drawn at any scale."""

from __future__ import annotations

import logging
from functools import lru_cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.look import Look

_LOG = logging.getLogger(__name__)


class EquationView(QWidget):
    """One displayed equation; as plain text where it cannot be typeset."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._latex = ""
        self._renderer: QSvgRenderer | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        look.changed.connect(self._render)

    @property
    def is_typeset(self) -> bool:
        """Whether the equation is drawn as mathematics, not as plain text."""
        return self._renderer is not None

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
        if self._renderer is None:
            painter.setPen(self._look.palette.text)
            wrap = int(Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextWrapAnywhere)
            painter.drawText(QRectF(self.rect()), wrap, self._latex)
            return
        natural = self._natural()
        share = min(1.0, self.width() / natural.width(), self.height() / natural.height())
        size = natural.size() * share
        top = (self.height() - size.height()) / 2
        self._renderer.render(painter, QRectF(0, top, size.width(), size.height()))

    def _natural(self) -> QRectF:
        if self._renderer is not None:
            return QRectF(self._renderer.viewBoxF())
        height = self.fontMetrics().height() * (2.5 if self._latex else 0)
        return QRectF(0, 0, 200, height)

    def _render(self) -> None:
        self._renderer = None
        if self._latex:
            size = round(self._look.font_points * 1.55, 1)
            svg = typeset(self._latex, self._look.palette.text, size)
            if svg:
                renderer = QSvgRenderer(QByteArray(svg.encode()), self)
                self._renderer = renderer if renderer.isValid() else None
        self.updateGeometry()
        self.update()


@lru_cache(maxsize=128)
def typeset(latex: str, colour: str, size: float) -> str:
    """LaTeX as SVG text, or "" where it cannot be typeset."""
    import ziamath

    # QtSvg reads the older form, without shared symbols.
    ziamath.config.svg2 = False
    try:
        svg = ziamath.Latex(latex, size=size, color=colour, inline=False).svg()
    except Exception as error:
        _LOG.info("the equation %r cannot be typeset: %s", latex, error)
        return ""
    return str(svg)
