"""Curves over one axis with a legend: training figures, one-dimensional densities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QBoxLayout, QVBoxLayout, QWidget

from widgets.controls.chips import Chip, ChipRow
from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.ranges import StickySpan, robust_ends, settled_ends

Floats: TypeAlias = npt.NDArray[Any]

#: What the y axis makes room for: all but a few wild values, what curves do once the first steps
#: are over, or everything.
Fit: TypeAlias = Literal["robust", "settled", "whole"]
#: This share of the steps counts as the first ones, when there are at least so many.
FIRST_SHARE = 0.2
SETTLED_FROM = 20

#: Points per pixel of width beyond which a curve is thinned.
PER_PIXEL = 1


@dataclass(frozen=True)
class Stroke:
    """How a curve is drawn and named.

    Attributes:
        label: Legend text; "" leaves the curve out of the legend.
        colour: ``#rrggbb``.
        width: Pixels at scale 1.
        dashed: Whether the line is dashed.
        opacity: 0 … 1.
        filled: Opacity of the area down to zero; 0 for none.
        tooltip: What the curve is.
        scaled: Whether the axis makes room for it.
        thinned: Whether points closer than pixels may be left out.
    """

    label: str
    colour: str
    width: float = 1.6
    dashed: bool = False
    opacity: float = 1.0
    filled: float = 0.0
    tooltip: str = ""
    scaled: bool = True
    thinned: bool = True


@dataclass
class _Curve:
    x: Floats
    y: Floats
    stroke: Stroke
    layer: LinesLayer
    is_floor: bool = False


class CurvePlot(QWidget):
    """Named curves on sticky axes; the axes move only when data leave them or the user asks.

    Signals:
        hovered: ``(x, y)`` in data units or None.
        view_changed: The visible :class:`Box` (x as shown: a logarithm when log-x is on).
        reset_requested: The user double-clicked.
    """

    hovered = Signal(object)
    view_changed = Signal(object)
    reset_requested = Signal()

    def __init__(
        self, look: Look, *, wrap_legend: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._look = look
        self._curves: dict[str, _Curve] = {}
        self._spans = StickySpan(), StickySpan()
        self._pinned_x: float | None = None
        self._pinned_y: float | None = None
        self._log_x = False
        self._log_y = False
        self._x_range: tuple[float, float] | None = None
        self._fit: Fit = "robust"
        self.legend = ChipRow(look, wrap=wrap_legend, parent=self)
        self.frame = Frame(look, parent=self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.legend)
        layout.addWidget(self.frame, 1)
        self.frame.hovered.connect(self._on_hovered)
        self.frame.view_changed.connect(self.view_changed)
        self.frame.reset_requested.connect(self._on_reset_requested)

    @property
    def names(self) -> tuple[str, ...]:
        """The curves, in the order of the legend."""
        return tuple(self._curves)

    def set_names(self, x_name: str, y_name: str) -> None:
        """What stands at the axes."""
        self.frame.set_names(x_name, y_name)

    def set_pinned(self, *, x: float | None = None, y: float | None = None) -> None:
        """Values that each axis always holds, such as 0."""
        self._pinned_x, self._pinned_y = x, y

    def set_fit(self, fit: Fit) -> None:
        """What the y axis makes room for; values outside are cut."""
        if fit != self._fit:
            self._fit = fit
            self.reset_view()

    def move_legend(self, row: QBoxLayout | None) -> None:
        """Show the legend in another row than over the plot, or over the plot again."""
        layout = self.layout()
        if isinstance(layout, QVBoxLayout):
            layout.removeWidget(self.legend)
            if row is None:
                layout.insertWidget(0, self.legend)
            else:
                row.addWidget(self.legend, 1)
            self.legend.restyle()

    def set_x_range(self, ends: tuple[float, float]) -> None:
        """Show these x, whatever the data; from then on the user may move x only."""
        self._x_range = ends
        self.frame.view.setMouseEnabled(x=True, y=False)
        box = self.frame.box
        self.frame.set_box(Box((ends[0], box.low[1]), (ends[1], box.high[1])))

    def set_curve(self, name: str, x: Floats, y: Floats, stroke: Stroke) -> None:
        """Draw or replace a curve; NaN leaves a gap."""
        curve = self._curve(name, stroke)
        curve.x, curve.y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        curve.is_floor = False
        self._draw(curve)

    def set_floor(self, name: str, value: float, stroke: Stroke) -> None:
        """Draw or replace a horizontal line across the whole view."""
        curve = self._curve(name, stroke)
        curve.x, curve.y, curve.is_floor = np.zeros(1), np.array([value]), True
        self._draw(curve)

    def remove(self, name: str) -> None:
        """Take a curve away, if there is one."""
        curve = self._curves.pop(name, None)
        if curve is not None:
            self.frame.remove(curve.layer)
            self._write_legend()

    def clear(self) -> None:
        """Take all curves away and forget the axes."""
        for name in tuple(self._curves):
            self.remove(name)
        self._forget_spans()
        self.frame.user_moved = False

    def set_log_x(self, on: bool) -> None:
        """Space x by powers of ten; values below 1 are left out."""
        if on != self._log_x:
            self._log_x = on
            self.frame.set_log_x(on)
            self._forget_spans()
            self.frame.user_moved = False
            for curve in self._curves.values():
                self._draw(curve)
            self.fit()

    def set_log_y(self, on: bool) -> None:
        """Space y by powers of ten; values that are not positive are left out."""
        if on != self._log_y:
            self._log_y = on
            self.frame.set_log_y(on)
            self._forget_spans()
            self.frame.user_moved = False
            for curve in self._curves.values():
                self._draw(curve)
            self.fit()

    def fit(self) -> None:
        """Make room where data have left the axes, unless the user has moved the view."""
        if self.frame.user_moved and self._x_range is None:
            return
        scaled = [c for c in self._curves.values() if c.stroke.scaled]
        low, high = self._wanted_x(scaled)
        bottom, top = self._spans[1].update(*self._wanted_y(scaled))
        bottom = bottom if self._pinned_y is None else self._pinned_y
        box = Box((low, min(bottom, top)), (high, top))
        if box != self.frame.box:
            self.frame.set_box(box)
            self._draw_floors()

    def _wanted_y(self, scaled: list[_Curve]) -> tuple[float, float]:
        ys = {id(c): self._shown_y(c) for c in scaled}
        xs = [c.x for c in scaled if not c.is_floor and len(c.x)]
        n = max((len(x) for x in xs), default=0)
        if self._fit != "settled" or n < SETTLED_FROM:
            return _ends(list(ys.values()), self._pinned_y, robust=self._fit == "robust")
        first, last = min(float(x[0]) for x in xs), max(float(x[-1]) for x in xs)
        start = first + FIRST_SHARE * (last - first)
        ends = [np.array(settled_ends(c.x, ys[id(c)], start)) for c in scaled if not c.is_floor]
        newest = [y[np.isfinite(y)][-1:] for c in scaled if c.stroke.label for y in [ys[id(c)]]]
        return _ends(ends + newest, self._pinned_y, robust=False)

    def _wanted_x(self, scaled: list[_Curve]) -> tuple[float, float]:
        if self._x_range is not None:
            shown = self.frame.box
            return shown.low[0], shown.high[0]
        xs = [self._shown_x(c) for c in scaled if not c.is_floor]
        low, high = self._spans[0].update(*_ends(xs, self._pinned_x, robust=False))
        return (low if self._pinned_x is None else min(self._pinned_x, high)), high

    def reset_view(self) -> None:
        """Show everything again."""
        self.frame.user_moved = False
        self._forget_spans()
        self.fit()

    def restyle(self) -> None:
        """Take colours from the look; strokes are set again by the owner."""
        self.frame.restyle()
        self.legend.restyle()

    def value_at(self, name: str, x: float) -> float | None:
        """The curve's value nearest to x, or None."""
        curve = self._curves.get(name)
        if curve is None or not len(curve.y):
            return None
        if curve.is_floor:
            return float(curve.y[0])
        return float(curve.y[int(np.argmin(np.abs(curve.x - x)))])

    def nearest_x(self, name: str, x: float) -> float:
        """Where the curve has a value nearest to x; x itself for a line across the view."""
        curve = self._curves[name]
        if curve.is_floor or not len(curve.x):
            return x
        return float(curve.x[int(np.argmin(np.abs(curve.x - x)))])

    def stroke_of(self, name: str) -> Stroke:
        """How a curve is drawn."""
        return self._curves[name].stroke

    def label_of(self, name: str) -> str:
        """The legend text of a curve."""
        return self._curves[name].stroke.label

    def _curve(self, name: str, stroke: Stroke) -> _Curve:
        curve = self._curves.get(name)
        if curve is None:
            layer = LinesLayer(len(self._curves) + (20 if stroke.width > 1 else 0))
            self.frame.add(layer)
            curve = self._curves[name] = _Curve(np.empty(0), np.empty(0), stroke, layer)
        if curve.stroke != stroke or curve.layer.is_empty:
            curve.stroke = stroke
            fill = with_alpha(stroke.colour, stroke.filled) if stroke.filled else None
            curve.layer.set_fill(fill)
            width = max(1.0, stroke.width * self._look.scale) if stroke.width > 1 else 1.0
            curve.layer.set_pen(
                with_alpha(stroke.colour, stroke.opacity), width, dashed=stroke.dashed
            )
        self._write_legend()
        return curve

    def _draw(self, curve: _Curve) -> None:
        if curve.is_floor:
            (x0, x1), y = (self.frame.box.low[0], self.frame.box.high[0]), self._shown_y(curve)[0]
            width = x1 - x0
            curve.layer.set_lines(np.array([[x0 - width, y], [x1 + width, y]]))
            return
        x, y = self._shown_x(curve), self._shown_y(curve)
        if curve.stroke.thinned:
            x, y = thin(x, y, PER_PIXEL * max(self.width(), 100))
        curve.layer.set_lines(np.stack([x, y], 1))

    def _draw_floors(self) -> None:
        for curve in self._curves.values():
            if curve.is_floor:
                self._draw(curve)

    def _shown_x(self, curve: _Curve) -> Floats:
        if not self._log_x:
            return curve.x
        return np.where(curve.x >= 1, np.log10(np.maximum(curve.x, 1)), np.nan)

    def _shown_y(self, curve: _Curve) -> Floats:
        if not self._log_y:
            return curve.y
        return np.where(curve.y > 0, np.log10(np.maximum(curve.y, 1e-300)), np.nan)

    def _forget_spans(self) -> None:
        for span in self._spans:
            span.reset()

    def _write_legend(self) -> None:
        strokes = [curve.stroke for curve in self._curves.values() if curve.stroke.label]
        self.legend.set_chips(
            tuple(Chip(s.label, s.tooltip, s.colour, "dash" if s.dashed else "line")
                  for s in strokes)
        )  # fmt: skip

    def _on_hovered(self, point: tuple[float, float] | None) -> None:
        if point is not None and self._log_x:
            point = (10.0 ** min(point[0], 300.0), point[1])
        if point is not None and self._log_y:
            point = (point[0], 10.0 ** min(point[1], 300.0))
        self.hovered.emit(point)

    def _on_reset_requested(self) -> None:
        self.reset_view()
        self.reset_requested.emit()


def thin(x: Floats, y: Floats, most: int) -> tuple[Floats, Floats]:
    """At most about ``most`` points that keep every bucket's lowest and highest value.

    NaN stay gaps where a whole bucket is NaN.
    """
    if len(x) <= most:
        return x, y
    width = 2 * -(-len(x) // most)
    padding = -len(x) % width
    rows = np.concatenate([y, np.full(padding, np.nan)]).reshape(-1, width)
    starts = np.arange(0, len(rows) * width, width)
    low = starts + np.argmin(np.where(np.isnan(rows), np.inf, rows), 1)
    high = starts + np.argmax(np.where(np.isnan(rows), -np.inf, rows), 1)
    index = np.sort(np.stack([low, high], 1), 1).ravel()
    return x[index], y[index]


def smooth(y: Floats, window: int) -> Floats:
    """Centred running mean over ``window`` values, shorter at the ends; NaN are left out."""
    if window <= 1 or len(y) < 3:
        return y
    good = np.isfinite(y)
    total = np.concatenate([[0.0], np.cumsum(np.where(good, y, 0.0))])
    count = np.concatenate([[0], np.cumsum(good)])
    index, half = np.arange(len(y)), window // 2
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(y))
    seen = count[last] - count[first]
    means: Floats = (total[last] - total[first]) / np.maximum(seen, 1)
    return np.where(seen > 0, means, np.nan)


def _ends(values: list[Floats], pinned: float | None, *, robust: bool) -> tuple[float, float]:
    finite = [v[np.isfinite(v)] for v in values]
    ends = [robust_ends(v) if robust else (v.min(), v.max()) for v in finite if len(v)]
    if pinned is not None:
        ends.append((pinned, pinned))
    if not ends:
        return float("nan"), float("nan")
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))
