"""Icons drawn by ourselves, so that no font or theme can lack one."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

from widgets.look import Palette

#: Icons are drawn on a square of this side.
SIDE = 24.0
#: Pixmaps are made at this multiple, for sharp edges on dense screens.
DENSITY = 2.0

Draw = Callable[[QPainter], None]


def icon(name: str, palette: Palette, size: int) -> QIcon:
    """One of :data:`ICONS`, with a greyed version; raises ``KeyError`` for another name."""
    made = QIcon()
    made.addPixmap(pixmap(name, palette.text, size), QIcon.Mode.Normal)
    made.addPixmap(pixmap(name, palette.border, size), QIcon.Mode.Disabled)
    return made


def pixmap(name: str, colour: str, size: int) -> QPixmap:
    """An icon in one colour, ``size`` logical pixels wide."""
    picture = QPixmap(round(size * DENSITY), round(size * DENSITY))
    picture.setDevicePixelRatio(DENSITY)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(size / SIDE, size / SIDE)
    pen = QPen(QColor(colour), 2.0)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(QColor(colour))
    ICONS[name](painter)
    painter.end()
    return picture


def _polygon(painter: QPainter, *points: tuple[float, float]) -> None:
    painter.drawPolygon(QPolygonF([QPointF(*point) for point in points]))


def _play(painter: QPainter) -> None:
    _polygon(painter, (7, 4.5), (19, 12), (7, 19.5))


def _pause(painter: QPainter) -> None:
    painter.drawRoundedRect(QRectF(6.5, 5, 3.2, 14), 1, 1)
    painter.drawRoundedRect(QRectF(14.3, 5, 3.2, 14), 1, 1)


def _step(painter: QPainter) -> None:
    _polygon(painter, (5, 5), (14.5, 12), (5, 19))
    painter.drawLine(QPointF(19, 5), QPointF(19, 19))


def _back(painter: QPainter) -> None:
    _polygon(painter, (18, 5), (8, 12), (18, 19))


def _reset(painter: QPainter) -> None:
    painter.drawLine(QPointF(5, 5), QPointF(5, 19))
    _polygon(painter, (19, 5), (9.5, 12), (19, 19))


def _slow(painter: QPainter) -> None:
    """A tortoise: shell, head, two feet."""
    shell = QPainterPath(QPointF(3.5, 16))
    shell.cubicTo(QPointF(4.5, 6.5), QPointF(15, 6.5), QPointF(16, 16))
    shell.closeSubpath()
    painter.drawPath(shell)
    painter.drawEllipse(QPointF(19.2, 12.4), 2.3, 2.1)
    painter.drawLine(QPointF(15, 15.4), QPointF(18.4, 13.4))
    painter.drawLine(QPointF(7, 17), QPointF(7, 19))
    painter.drawLine(QPointF(13, 17), QPointF(13, 19))


def _history(painter: QPainter) -> None:
    """A hollow triangle with the steps behind it: the cursor plays, nothing trains."""
    for x in (3.5, 7.0):
        painter.drawLine(QPointF(x, 9), QPointF(x, 15))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    _polygon(painter, (10.5, 5.5), (20.5, 12), (10.5, 18.5))


def _fork(painter: QPainter) -> None:
    """One line becomes two."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    branch = QPainterPath(QPointF(4, 16))
    branch.lineTo(QPointF(8, 16))
    branch.cubicTo(QPointF(12, 16), QPointF(11, 7), QPointF(15, 7))
    branch.lineTo(QPointF(17, 7))
    painter.drawPath(branch)
    painter.drawLine(QPointF(8, 16), QPointF(17, 16))
    painter.setBrush(painter.pen().color())
    for y in (7.0, 16.0):
        painter.drawEllipse(QPointF(18.5, y), 2.0, 2.0)


def _restart(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawArc(QRectF(5, 5, 14, 14), 60 * 16, 290 * 16)
    painter.setBrush(painter.pen().color())
    _polygon(painter, (15.2, 2.6), (19.8, 6.2), (14.6, 8.8))


def _folder(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    corners = (3.5, 19), (3.5, 5.5), (9.5, 5.5), (11.5, 8), (20.5, 8), (20.5, 19)
    _polygon(painter, *corners)


def _search(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(QPointF(10.5, 10.5), 5.5, 5.5)
    painter.drawLine(QPointF(14.8, 14.8), QPointF(19.5, 19.5))


def _points(painter: QPainter) -> None:
    for spot in ((7, 8), (11, 14), (16, 7), (18, 15), (13, 10)):
        painter.drawEllipse(QPointF(*spot), 1.0, 1.0)
    painter.drawPolyline([QPointF(4, 4), QPointF(4, 20), QPointF(20, 20)])


def _curve(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    bell = QPainterPath(QPointF(4, 18))
    bell.cubicTo(QPointF(10, 18), QPointF(9, 6), QPointF(12, 6))
    bell.cubicTo(QPointF(15, 6), QPointF(14, 18), QPointF(20, 18))
    painter.drawPath(bell)


def _pictures(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for x in (5.0, 13.5):
        for y in (5.0, 13.5):
            painter.drawRect(QRectF(x, y, 5.5, 5.5))


#: Every icon by name.
ICONS: dict[str, Draw] = {
    "play": _play,
    "pause": _pause,
    "step": _step,
    "back": _back,
    "reset": _reset,
    "slow": _slow,
    "history": _history,
    "fork": _fork,
    "restart": _restart,
    "folder": _folder,
    "search": _search,
    "points": _points,
    "curve": _curve,
    "pictures": _pictures,
}
