"""The true posterior over one or two latents, q and the best q on it, and q's way there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from widgets.controls.chips import Chip, ChipRow
from widgets.look import Look
from widgets.plots.colours import with_alpha
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.heatmap import HeatMap, Scale, ellipse_lines
from widgets.plots.layers import Box, LinesLayer
from widgets.plots.ranges import mass_ceiling
from widgets.posterior.words import unit_name

Floats: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Floats]

#: Ellipses hold points within so many standard deviations.
RADII = (1.0, 2.0)
LINES = ("outline", "walk", "best", "q", "now")


class TruthPlot(QWidget):
    """A heat map with ellipses for two latents, curves for one."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._arrays: Arrays = {}
        self._names: tuple[str, ...] = ()
        self._ends: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        self._place: int | None = None
        self.legend = ChipRow(look)
        self.map, self.curves = HeatMap(look, equal=False), CurvePlot(look)
        self.map.set_shown("marginals", False)
        self.lines = {name: LinesLayer(20 + z) for z, name in enumerate(LINES)}
        for layer in self.lines.values():
            self.map.frame.add(layer)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.legend)
        column.addWidget(self.map, 1)
        self.pages = QStackedWidget()
        self.pages.addWidget(page)
        self.pages.addWidget(self.curves)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pages)
        self.map.reset_requested.connect(self.reset_view)
        self.setMinimumSize(80, 60)
        self.restyle()

    def set_truth(
        self,
        arrays: Arrays,
        names: tuple[str, ...],
        low: tuple[float, ...],
        high: tuple[float, ...],
    ) -> None:
        """Show an answer of ``posterior_truth``; the view is kept while it still holds it."""
        self._arrays, self._names, self._ends = arrays, names, (low, high)
        self._draw()

    def show_place(self, place: int | None) -> None:
        """Show q after so many steps of its walk."""
        self._place = place
        if len(self._names) == 2:
            self._draw_now()
        elif self._names:
            self._draw_curves()

    def reset_view(self) -> None:
        """Show all that is worth it again."""
        self.map.frame.user_moved = False
        self._fit()

    def clear(self) -> None:
        """Show nothing."""
        self._arrays, self._names, self._place = {}, (), None
        self.map.clear()
        self.curves.clear()
        for layer in self.lines.values():
            layer.clear()
        self.legend.set_chips(())

    def restyle(self) -> None:
        """Take colours from the look."""
        palette, px = self._look.palette, self._look.px
        self.map.restyle()
        self.curves.restyle()
        pens = {
            "outline": (with_alpha(palette.truth, 0.9), 1.0, False),
            "walk": (with_alpha(palette.text, 0.9), px(14) / 10, False),
            "best": (QColor(palette.warning), px(20) / 10, True),
            "q": (QColor(palette.model), px(20) / 10, False),
            "now": (QColor(palette.text), px(20) / 10, False),
        }
        for name, (colour, width, dashed) in pens.items():
            self.lines[name].set_pen(colour, width, dashed=dashed)
        if self._arrays:
            self._draw()

    # --- two latents -------------------------------------------------------------------------

    def _draw(self) -> None:
        if len(self._names) == 2 and "y" in self._arrays:
            self.pages.setCurrentIndex(0)
            self._draw_map()
        elif len(self._names) == 1:
            self.pages.setCurrentIndex(1)
            self._draw_curves()

    def _draw_map(self) -> None:
        arrays, palette = self._arrays, self._look.palette
        density = np.exp(arrays["log_posterior"].astype(np.float32))
        x, y = arrays["x"], arrays["y"]
        top = mass_ceiling(density) or float(density.max(initial=1.0))
        colours = f"truth-{palette.name}"
        scale = Scale(0.0, top, "p(z|x), per unit² of z", colours, open_top=True)
        box = Box((_edge(x, 0), _edge(y, 0)), (_edge(x, -1), _edge(y, -1)))
        self.map.set_values(density, box, scale)
        self.lines["outline"].set_lines(arrays["contour_points"], arrays["contour_starts"])
        self.map.frame.set_names(*(_title(name) for name in self._names))
        for name in ("q", "best"):
            self._ellipse(name, arrays[f"{name}_mean"], arrays[f"{name}_covariance"])
        if "q_draws" in arrays:
            self.map.set_points("samples", arrays["q_draws"])
        else:
            self.map.clear_layer("samples")
        self.lines["walk"].set_lines(arrays.get("walk_means", np.empty((0, 2))))
        self.legend.set_chips(self._legend())
        self._draw_now()
        self._fit()

    def _draw_now(self) -> None:
        means = self._arrays.get("walk_means")
        if means is None or self._place is None or not len(means):
            self.lines["now"].clear()
            return
        at = min(self._place, len(means) - 1)
        self._ellipse("now", means[at], self._arrays["walk_covariances"][at])

    def _ellipse(self, name: str, mean: Floats, covariance: Floats) -> None:
        self.lines[name].set_lines(*ellipse_lines(mean[None], covariance[None], RADII))

    def _fit(self) -> None:
        if self.map.frame.user_moved or len(self._ends[0]) != 2:
            return
        low, high = (list(ends) for ends in self._ends)
        for name in ("q", "best"):
            mean = self._arrays[f"{name}_mean"]
            reach = 2.3 * np.sqrt(np.diag(self._arrays[f"{name}_covariance"]))
            low = [min(a, float(b)) for a, b in zip(low, mean - reach, strict=True)]
            high = [max(a, float(b)) for a, b in zip(high, mean + reach, strict=True)]
        self.map.frame.set_box(Box((low[0], low[1]), (high[0], high[1])))

    def _legend(self) -> tuple[Chip, ...]:
        palette = self._look.palette
        return (
            Chip("true p(z|x)", "By quadrature; outlines hold 25, 50, 75 and 95 % of it",
                 palette.truth, "dot"),
            Chip("q(z|x)", "The encoder's q: ellipses of one and two standard deviations",
                 palette.model, "line"),
            Chip("best q", "The highest bound that gradient ascent found",
                 palette.warning, "dash"),
            Chip("q on its way", "Gradient steps on this event's q, decoder held still",
                 palette.text, "line"),
        )  # fmt: skip

    # --- one latent --------------------------------------------------------------------------

    def _draw_curves(self) -> None:
        arrays, palette = self._arrays, self._look.palette
        x = arrays["x"]
        self.curves.set_names(_title(self._names[0]), "density of z, per unit of z")
        self.curves.set_pinned(y=0.0)
        self.curves.set_fit("whole")
        rows = [
            ("true p(z|x)", np.exp(arrays["log_posterior"]), palette.truth, False),
            ("q(z|x)", _normal(x, arrays["q_mean"], arrays["q_covariance"]),
             palette.model, False),
            ("best q", _normal(x, arrays["best_mean"], arrays["best_covariance"]),
             palette.warning, True),
        ]  # fmt: skip
        means = arrays.get("walk_means")
        if means is not None and self._place is not None and len(means):
            at = min(self._place, len(means) - 1)
            now = _normal(x, means[at], arrays["walk_covariances"][at])
            rows.append(("q on its way", now, palette.text, False))
        for name, values, colour, dashed in rows:
            stroke = Stroke(name, colour, 2.0, dashed=dashed, scaled=name != "q on its way")
            self.curves.set_curve(name, x, values, stroke)
        self.curves.fit()


def _edge(nodes: Floats, end: int) -> float:
    half = 0.5 * float(nodes[1] - nodes[0]) if len(nodes) > 1 else 0.5
    return float(nodes[end]) + (half if end else -half)


def _normal(x: Floats, mean: Floats, covariance: Floats) -> Floats:
    variance = max(float(covariance[0, 0]), 1e-300)
    height = 1.0 / np.sqrt(2.0 * np.pi * variance)
    return np.asarray(height * np.exp(-0.5 * (x - float(mean[0])) ** 2 / variance))


def _title(name: str) -> str:
    """z1 as z₁."""
    head = name.rstrip("0123456789")
    tail = name[len(head) :]
    return unit_name(head, int(tail) - 1, 2) if head and tail else name
