"""The rate–distortion plane: lines of equal ELBO, a sweep over β, and where a run has been."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QVBoxLayout, QWidget

from widgets.controls.chips import Chip, ChipRow
from widgets.figures import number
from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, Layer, LinesLayer
from widgets.plots.ranges import StickySpan, nice_ceiling

Floats: TypeAlias = npt.NDArray[Any]

#: Lines of equal ELBO in view, roughly; radius of a dot and length of a whisker's end at scale 1.
N_LINES, DOT, CAP = 6, 4.5, 3
LEFT, GAP = 4, 7


@dataclass(frozen=True)
class RatePoint:
    """One model: rate and distortion with errors, words beside it, a palette role."""

    rate: float
    distortion: float
    rate_error: float = 0.0
    distortion_error: float = 0.0
    text: str = ""
    role: str = "model"
    large: bool = False

    @property
    def is_finite(self) -> bool:
        """Whether it can be drawn."""
        return math.isfinite(self.rate) and math.isfinite(self.distortion)


class _Marks(Layer):
    """Dots with whiskers and words, at a fixed size in pixels."""

    def __init__(self, look: Look) -> None:
        super().__init__(30.0)
        self._look = look
        self.points: tuple[RatePoint, ...] = ()
        self.lines: tuple[tuple[float, str], ...] = ()

    def clear(self) -> None:
        """Show nothing."""
        self.points, self.lines = (), ()
        self.update()

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        transform, look = painter.worldTransform(), self._look
        view = transform.mapRect(self._view)
        painter.save()
        painter.resetTransform()
        painter.setClipRect(view)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(look.font(0.8))
        metrics = QFontMetricsF(look.font(0.8))
        painter.setPen(QColor(look.palette.muted))
        for total, text in self.lines:
            # Where R + D = total leaves the view at the left, just above the line.
            at = transform.map(QPointF(self._view.left(), total - self._view.left()))
            if view.top() + metrics.height() < at.y() < view.bottom():
                painter.drawText(QPointF(view.left() + look.px(LEFT), at.y() - look.px(3)), text)
        for point in self.points:
            if point.is_finite:
                self._draw(painter, transform, point, metrics)
        painter.restore()

    def _draw(
        self, painter: QPainter, transform: Any, point: RatePoint, metrics: QFontMetricsF
    ) -> None:
        look = self._look
        colour = QColor(str(getattr(look.palette, point.role)))
        at = transform.map(QPointF(point.rate, point.distortion))
        wide = abs(transform.m11()) * point.rate_error
        high = abs(transform.m22()) * point.distortion_error
        painter.setPen(QPen(colour, 1.2 * look.scale))
        painter.drawLine(QPointF(at.x() - wide, at.y()), QPointF(at.x() + wide, at.y()))
        painter.drawLine(QPointF(at.x(), at.y() - high), QPointF(at.x(), at.y() + high))
        radius = DOT * look.scale * (1.5 if point.large else 1.0)
        painter.setPen(QPen(QColor(look.palette.panel), 1.0))
        painter.setBrush(colour)
        painter.drawEllipse(at, radius, radius)
        if point.text:
            gap = radius + look.px(GAP) / 2
            width = metrics.horizontalAdvance(point.text)
            view = transform.mapRect(self._view)
            left = at.x() + gap if at.x() + gap + width < view.right() else at.x() - gap - width
            place = QRectF(left, at.y() - metrics.height() - 1, width + 2, metrics.height())
            painter.setPen(QColor(look.palette.text))
            painter.drawText(place, Qt.AlignmentFlag.AlignLeft, point.text)


class RatePlot(QWidget):
    """Rate to the right, distortion upwards, both in nats.

    Signals:
        hovered: ``(rate, distortion)`` or None.
    """

    hovered = Signal(object)

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._spans = StickySpan(), StickySpan()
        self._shown: tuple[RatePoint, ...] = ()
        self._trail: Floats = np.empty((0, 2))
        self._curves: list[Floats] = []
        self._entropy: float | None = None
        self.legend = ChipRow(look)
        self.frame = Frame(look)
        self.layers = {
            name: LinesLayer(z) for z, name in enumerate(("equal", "floor", "trail", "sweep"))
        }
        for layer in self.layers.values():
            self.frame.add(layer)
        self._marks = _Marks(look)
        self.frame.add(self._marks)
        self.frame.set_names("rate R = KL(q‖prior), nats", "distortion D = −E log p(x|z), nats")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.legend)
        layout.addWidget(self.frame, 1)
        self.frame.hovered.connect(self.hovered)
        self.frame.view_changed.connect(lambda _: self._draw_lines())
        self.frame.reset_requested.connect(self.reset_view)
        self.setMinimumSize(80, 60)
        self.restyle()

    @property
    def points(self) -> tuple[RatePoint, ...]:
        """What is shown."""
        return self._shown

    def set_points(
        self,
        points: Sequence[RatePoint],
        *,
        sweeps: Sequence[Floats] = (),
        trail: Floats,
        entropy: float | None,
    ) -> None:
        """Show models as points, sweeps (B, 2) as lines, and where the run has been, (T, 2)."""
        self._shown = tuple(point for point in points if point.is_finite)
        self._curves, self._trail, self._entropy = list(sweeps), trail, entropy
        self._marks.points = self._shown
        self._marks.update()
        self.layers["trail"].set_lines(trail)
        starts = np.cumsum([0, *(len(curve) for curve in sweeps)])
        joined = np.concatenate(list(sweeps)) if sweeps else np.empty((0, 2))
        self.layers["sweep"].set_lines(joined, starts)
        self._fit()
        self._draw_lines()
        self.legend.set_chips(self._legend())

    def reset_view(self) -> None:
        """Show everything again."""
        self.frame.user_moved = False
        for span in self._spans:
            span.reset()
        self._fit()

    def clear(self) -> None:
        """Show nothing and forget the axes."""
        self.set_points((), trail=np.empty((0, 2)), entropy=None)
        self.reset_view()

    def restyle(self) -> None:
        """Take colours from the look."""
        palette, px = self._look.palette, self._look.px
        self.layers["equal"].set_pen(QColor(palette.border), 1.0, dashed=True)
        self.layers["floor"].set_pen(QColor(palette.truth), px(16) / 10, dashed=True)
        self.layers["trail"].set_pen(with_alpha(palette.text, 0.6), 1.0)
        self.layers["sweep"].set_pen(QColor(palette.model), px(18) / 10)
        self.frame.restyle()
        self.legend.restyle()
        self.legend.set_chips(self._legend())
        self._marks.update()

    def _fit(self) -> None:
        if self.frame.user_moved or not self._shown:
            return
        rates = np.array([p.rate for p in self._shown])
        distortions = np.array([p.distortion for p in self._shown])
        low_r, high_r = self._spans[0].update(min(0.0, float(rates.min())), float(rates.max()))
        # A single model needs some room too: a nat, or what the rate has.
        low, high = float(distortions.min()), float(distortions.max())
        room = max(0.0, 0.5 * max(high_r - low_r, 1.0) - (high - low)) / 2
        low_d, high_d = self._spans[1].update(low - room, high + room)
        self.frame.set_box(Box((low_r, low_d), (high_r, high_d)))

    def _draw_lines(self) -> None:
        """Lines R + D = −ELBO on round numbers, and the data's entropy."""
        box = self.frame.box
        if not box.is_proper:
            return
        (r0, d0), (r1, d1) = box.low, box.high
        spacing = nice_ceiling((r1 - r0 + d1 - d0) / N_LINES)
        first, last = math.ceil((r0 + d0) / spacing), math.floor((r1 + d1) / spacing)
        totals = [i * spacing for i in range(first, last + 1)]
        self.layers["equal"].set_lines(*_slanted(totals, r0, r1))
        self._marks.lines = tuple((t, f"−ELBO {number(t)}") for t in totals)
        floor = [] if self._entropy is None else [self._entropy]
        self.layers["floor"].set_lines(*_slanted(floor, r0, r1))
        self._marks.update()

    def _legend(self) -> tuple[Chip, ...]:
        palette = self._look.palette
        chips = [Chip("R + D = −ELBO", "Along a dashed line the bound is the same", palette.muted,
                      "dash")]  # fmt: skip
        if self._entropy is not None:
            chips.append(Chip("entropy of the data", "No model's R + D can be expected below it",
                              palette.truth, "dash"))  # fmt: skip
        if self._curves:
            chips.append(Chip("β sweep", "Models trained with other weights of the KL",
                              palette.model, "line"))  # fmt: skip
        if len(self._trail) > 1:
            chips.append(Chip("this run so far", "Where the run in view has been while it was "
                              "watched", palette.text, "line"))  # fmt: skip
        return tuple(chips)


def _slanted(
    totals: Sequence[float], left: float, right: float
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Lines R + D = total from far left to far right."""
    wide = right - left
    ends = [[(r, t - r) for r in (left - wide, right + wide)] for t in totals]
    points = np.array(ends, dtype=np.float64).reshape(-1, 2)
    return points, np.arange(0, len(points) + 1, 2)
