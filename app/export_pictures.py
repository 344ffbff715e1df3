"""One panel as a picture file: PNG at any scale, SVG and PDF where it is drawn with lines.

A panel is painted anew for the file, never blown up: at scale s a panel of w × h pixels becomes
a picture of s·w × s·h whose curves, axes and letters have the picture's own resolution.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QBuffer, QMarginsF, QPoint, QRect, QSize, QSizeF
from PySide6.QtGui import (
    QImage,
    QPagedPaintDevice,
    QPageLayout,
    QPageSize,
    QPainter,
    QPdfWriter,
    QRegion,
)
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QGraphicsView, QWidget

from widgets.panel import Panel
from widgets.plots.image_grid import ImageGrid

#: Scales of a PNG, as multiples of the pixels on screen.
LEAST_SCALE, MOST_SCALE = 1.0, 8.0
#: A picture of more pixels than this is refused, since it would not fit in memory.
MOST_PIXELS = 200_000_000
#: Qt gives the size in millimetres, which some readers take for another one.
SIZE = re.compile(r'width="[\d.]+mm" height="[\d.]+mm"')
#: Qt's word for "whatever the system has" is known to no other program.
PLAIN_LETTERS = ('font-family="Sans Serif"', 'font-family="DejaVu Sans, Verdana, sans-serif"')
#: Qt's pixels an inch, and points an inch, which PDF counts in.
PIXELS_PER_INCH, POINTS_PER_INCH = 96, 72


class ExportError(ValueError):
    """Why something could not be taken away, as one sentence."""


def write_png(panel: Panel, path: Path, *, scale: float = 1.0) -> None:
    """Paint a panel at ``scale`` times its pixels into a PNG.

    Args:
        panel: A panel with its answers drawn.
        path: The file.
        scale: 1 to 8.

    Raises:
        ExportError: The scale is out of range, or the file cannot be written.
    """
    image = picture(panel, scale=scale)
    if not image.save(str(path), "PNG"):  # type: ignore[call-overload]
        raise ExportError(f"{path} cannot be written")


def picture(panel: Panel, *, scale: float = 1.0) -> QImage:
    """A panel painted at ``scale`` times its pixels; raises ``ExportError`` as :func:`write_png`.

    The picture has no devicePixelRatio: it is as large as it says.
    """
    check_scale(scale)
    size = QSize(round(panel.width() * scale), round(panel.height() * scale))
    if size.width() * size.height() > MOST_PIXELS:
        raise ExportError(
            f"{size.width()} × {size.height()} pixels are too many for one picture; wanted at "
            f"most {MOST_PIXELS // 1_000_000} million: take a smaller scale"
        )
    image = QImage(size, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(panel.look.palette.panel)
    paint(panel, image)
    image.setDevicePixelRatio(1.0)
    return image


def check_scale(scale: float) -> None:
    """Raises ``ExportError`` for a scale that is out of range."""
    if not LEAST_SCALE <= scale <= MOST_SCALE:
        raise ExportError(
            f"scale: given {scale:g}, wanted a number from {LEAST_SCALE:g} to {MOST_SCALE:g}"
        )


def write_svg(panel: Panel, path: Path) -> None:
    """Paint a panel into an SVG: curves and axes as paths, words as text, maps as pictures.

    Raises:
        ExportError: The panel is a picture through and through, or the file cannot be written.
    """
    _want_vector(panel, "SVG")
    buffer = QBuffer()
    device = QSvgGenerator(QSvgGenerator.SvgVersion.SvgTiny12)
    device.setOutputDevice(buffer)
    device.setSize(panel.size())
    device.setViewBox(QRect(QPoint(0, 0), panel.size()))
    device.setResolution(PIXELS_PER_INCH)
    device.setTitle(panel.title)
    device.setDescription(panel.summary)
    paint(panel, device)
    text = bytes(buffer.data().data()).decode()
    text = SIZE.sub(f'width="{panel.width()}" height="{panel.height()}"', text, count=1)
    try:
        path.write_text(text.replace(*PLAIN_LETTERS), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from None


def write_pdf(panel: Panel, path: Path) -> None:
    """Paint a panel into a PDF of one page, as large as the panel; raises as :func:`write_svg`."""
    _want_vector(panel, "PDF")
    device = QPdfWriter(str(path))
    points = QSizeF(panel.size()) * (POINTS_PER_INCH / PIXELS_PER_INCH)
    page = QPageSize(points, QPageSize.Unit.Point, "", QPageSize.SizeMatchPolicy.ExactMatch)
    device.setPageLayout(QPageLayout(page, QPageLayout.Orientation.Portrait, QMarginsF()))
    device.setResolution(PIXELS_PER_INCH)
    device.setTitle(panel.title)
    device.setCreator("Genscope")
    try:
        paint(panel, device)
    except ExportError:
        raise ExportError(f"{path} cannot be written") from None


WRITERS: dict[str, Callable[[Panel, Path], None]] = {".svg": write_svg, ".pdf": write_pdf}


def vector_refusal(panel: Panel) -> str:
    """Why a panel cannot be drawn with lines, as a sentence; "" where it can."""
    shown = [child for child in panel.findChildren(QWidget) if child.isVisibleTo(panel)]
    if any(child.inherits("QOpenGLWidget") for child in shown):
        return f"{panel.title} is drawn with OpenGL, which gives pixels and no lines"
    plots = [child for child in shown if isinstance(child, QGraphicsView)]
    if not plots and any(isinstance(child, ImageGrid) for child in shown):
        return f"{panel.title} shows nothing but pictures now"
    return ""


def paint(panel: Panel, device: QImage | QPagedPaintDevice | QSvgGenerator) -> None:
    """Paint a panel and all that is in it; raises ``ExportError`` where the device will not."""
    painter = QPainter()
    if not painter.begin(device):
        raise ExportError("the file cannot be written")
    try:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        flags = QWidget.RenderFlag.DrawWindowBackground | QWidget.RenderFlag.DrawChildren
        panel.render(painter, QPoint(), QRegion(), flags)
    finally:
        painter.end()


def _want_vector(panel: Panel, kind: str) -> None:
    reason = vector_refusal(panel)
    if reason:
        raise ExportError(f"{reason}: there is no {kind} of it; take a PNG at a larger scale")
