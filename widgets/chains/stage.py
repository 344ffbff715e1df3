"""The stage in 2-D: the energy as colours and contours, and chains that walk on it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from widgets.chains.arrows import ArrowLayer
from widgets.chains.film import WalkFilm
from widgets.chains.step_parts import told_chains
from widgets.chains.surface import REACH, Surface, ground
from widgets.flow.trail import TrailLayer
from widgets.flow.web import WebLayer
from widgets.look import Look
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import mix, rgb, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, ImageLayer, LinesLayer
from widgets.plots.splat import Dots
from widgets.trajectories.stage import arrows as force_arrows

Floats: TypeAlias = npt.NDArray[Any]

#: Diameters in pixels at scale 1: of few chains and of thousands, of observations.
FEW, MANY, DENSE, DATA = 7.0, 4.0, 2.75, 3.0
#: Chains from which dots are small, and from which they are tiny and have no rim.
MANY_FROM, DENSE_FROM = 400, 4000
#: Steps of the way that a watched chain leaves behind.
BACK = 20
#: Pixels at scale 1 below which the colour bar gives its room to the picture.
BAR_FROM, BAR_TEXT_FROM = 300, 400
ENERGY_WORDS = "E(x) − lowest E in view  [nats]"


class Stage(QWidget):
    """Draws a :class:`Surface` and one step of a :class:`WalkFilm` on it.

    Signals:
        clicked: (x, y) in drawn coordinates.
        hovered: (x, y) or None.
        view_changed: The visible :class:`Box`.
    """

    clicked = Signal(object)
    hovered = Signal(object)
    view_changed = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.surface: Surface | None = None
        self.film: WalkFilm | None = None
        self.at, self.watch, self.n_arrows = 0, 0, 16
        self.shown = {"chains", "arrows", "trail", "contours"}
        self._home: Box | None = None
        self._data: Floats = np.zeros((0, 2))
        self.frame = Frame(look, equal=True, parent=self)
        self.image, self.contours, self.forces = ImageLayer(0), LinesLayer(2), WebLayer(3)
        self.data, self.dots, self.told = DotsLayer(8), DotsLayer(10), DotsLayer(12)
        self.ways, self.drift, self.noise = LinesLayer(13), ArrowLayer(14), ArrowLayer(16)
        self.ends, self.trail = DotsLayer(18), TrailLayer(look)
        for layer in (
            self.image, self.contours, self.forces, self.data, self.dots, self.told, self.ways,
            *self.drift.layers, *self.noise.layers, self.ends, self.trail,
        ):  # fmt: skip
            self.frame.add(layer)
        self.bar = ColourBar(look, self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.px(4))
        row.addWidget(self.frame, 1)
        row.addWidget(self.bar)
        self.frame.clicked.connect(self.clicked)
        self.frame.hovered.connect(self.hovered)
        self.frame.view_changed.connect(self.view_changed)
        self.frame.reset_requested.connect(self.go_home)
        self.restyle()

    # --- what is shown ------------------------------------------------------------------------

    def set_home(self, box: Box | None) -> None:
        """What is in view unless the user chose."""
        self._home = box
        if not self.frame.user_moved:
            self.go_home()

    def set_surface(self, surface: Surface | None) -> None:
        """Another energy, or none."""
        self.surface = surface
        if surface is None:
            for layer in (self.image, self.contours, self.forces):
                layer.clear()
            self._fit_bar()
            return
        self.frame.set_names(*surface.names)
        self._draw_surface()

    def set_data(self, points: Floats) -> None:
        """Observations (N, 2)."""
        self._data = points
        self._draw_data()

    def set_shown(self, name: str, on: bool) -> None:
        """Switch ``chains``, ``arrows``, ``trail``, ``contours``, ``forces`` or ``data``."""
        self.shown = self.shown | {name} if on else self.shown - {name}
        self._draw_surface()
        self._draw_data()
        self.draw()

    def show_film(self, film: WalkFilm | None, at: int, words: str = "") -> None:
        """The chains after ``at`` steps, with words beside the watched one."""
        self.film, self.at = film, at
        self.draw(words)

    def forget(self) -> None:
        """The next answer decides what is in view."""
        self.frame.user_moved = False
        self.go_home()

    def go_home(self) -> None:
        """Show everything again."""
        self.frame.user_moved = False
        if self._home is not None:
            self.frame.set_box(self._home)

    # --- drawing ------------------------------------------------------------------------------

    def draw(self, words: str = "") -> None:
        """Chains, the parts of their step, and the watched chain's way."""
        film = self.film
        if film is None or not film.rows:
            for layer in (self.dots, self.told, self.ways, self.ends, self.drift, self.noise):
                layer.clear()
            self.trail.clear()
            return
        row = film.row(self.at)
        self._draw_dots(row["points"], row.get("diverged"))
        self._draw_parts(row)
        watch = min(self.watch, film.n_chains - 1)
        if "trail" in self.shown:
            way = self._way_on(row, watch)
            self.trail.set_trail(film.trail(watch, self.at, BACK), words, way_on=way)
        else:
            self.trail.clear()

    def _way_on(self, row: dict[str, Floats], watch: int) -> tuple[float, float] | None:
        """Where the parts of a chain's step are on average, from where it stands."""
        if "arrows" not in self.shown or watch >= len(row.get("proposal", ())):
            return None
        way = row["proposal"][watch].astype(np.float64) - row["points"][watch]
        if "drift" in row:
            way = (way + row["drift"][watch]) / 2
        return (float(way[0]), float(way[1])) if np.isfinite(way).all() else None

    def _draw_dots(self, points: Floats, lost: Floats | None) -> None:
        """Chains whose step diverges are red."""
        palette, many = self._look.palette, len(points) >= MANY_FROM
        if "chains" not in self.shown:
            self.dots.clear()
            return
        dense = len(points) >= DENSE_FROM
        diameter = DENSE if dense else MANY if many else FEW
        size = diameter * self._look.scale * self.devicePixelRatioF()
        colour = mix(palette.model, palette.text, 0.4) if dense else palette.model
        rim, crowding = "" if dense else palette.panel, 0.6 if many and not dense else 0.0
        shades = None
        if lost is not None and len(lost) == len(points) and lost.any():
            pair = np.array([rgb(colour), rgb(palette.error)], np.uint8)
            shades = pair[np.asarray(lost, bool).astype(np.int64)]
        self.dots.set_dots(Dots(colour, size, 0.95, shades, rim, crowding))
        self.dots.set_points(points)

    def _draw_parts(self, row: dict[str, Floats]) -> None:
        """Drift and noise, or the way of HMC, or hot replicas; and what was proposed."""
        for layer in (self.drift, self.noise, self.ways, self.told, self.ends):
            layer.clear()
        if "arrows" not in self.shown or "proposal" not in row:
            return
        which = told_chains(len(row["proposal"]), self.n_arrows, self.watch)
        x, proposal = row["points"][which].astype(np.float64), row["proposal"][which]
        if "replicas" in row:
            self._draw_replicas(row["replicas"][:, which])
        elif "trajectory" in row:
            self.ways.set_pen(with_alpha(self._look.palette.text, 0.9), 1.0)
            way = row["trajectory"][:, which].swapaxes(0, 1)
            starts = np.arange(0, way.shape[0] * way.shape[1] + 1, way.shape[1])
            self.ways.set_lines(way.reshape(-1, 2), starts)
        elif "noise" in row:
            drift = row["drift"][which] if "drift" in row else np.zeros_like(x)
            self.drift.set_arrows(x, x + drift)
            self.noise.set_arrows(x + drift, x + drift + row["noise"][which])
        else:
            self.noise.set_arrows(x, proposal)
        self._draw_ends(proposal, row["accepted"][which])

    def _draw_ends(self, proposal: Floats, accepted: Floats) -> None:
        palette = self._look.palette
        shades = np.array([rgb(palette.error), rgb(palette.good)], np.uint8)
        size = 6.0 * self._look.scale * self.devicePixelRatioF()
        self.ends.set_dots(
            Dots(palette.good, size, 0.95, shades[accepted.astype(np.int64)], palette.panel)
        )
        self.ends.set_points(proposal)

    def _draw_replicas(self, places: Floats) -> None:
        """(R, M, 2): the hotter, the yellower, and lines from each to the next one."""
        palette, n = self._look.palette, len(places)
        cold, hot = np.array(rgb(palette.model)), np.array(rgb(palette.warning))
        shares = np.linspace(0.0, 1.0, n)[:, None]
        shades = np.rint(cold + (hot - cold) * shares).astype(np.uint8)
        size = FEW * self._look.scale * self.devicePixelRatioF()
        colours = np.repeat(shades, places.shape[1], 0)
        self.told.set_dots(Dots(palette.warning, size, 0.9, colours, palette.panel))
        self.told.set_points(places.reshape(-1, 2))
        self.ways.set_pen(with_alpha(palette.warning, 0.6), 1.0)
        starts = np.arange(0, places.shape[0] * places.shape[1] + 1, n)
        self.ways.set_lines(places.swapaxes(0, 1).reshape(-1, 2), starts)

    def _draw_surface(self) -> None:
        surface, palette = self.surface, self._look.palette
        if surface is None:
            return
        colours = ground(palette.sequential)
        heights = np.where(np.isnan(surface.heights), REACH, surface.heights)
        self.image.set_image(to_bytes(heights.astype(np.float32), 0.0, REACH), colours,
                             surface.box)  # fmt: skip
        self.bar.set_scale(colours, 0.0, REACH, ENERGY_WORDS, open_top=True)
        self._fit_bar()
        if "contours" in self.shown:
            self.contours.set_lines(surface.lines, surface.starts)
        else:
            self.contours.clear()
        if "forces" in self.shown and len(surface.places):
            lines = force_arrows(surface.places, _even(surface.forces), 0.0)
            self.forces.set_lines(lines)
        else:
            self.forces.clear()

    def _draw_data(self) -> None:
        if "data" not in self.shown:
            self.data.clear()
            return
        palette = self._look.palette
        size = DATA * self._look.scale * self.devicePixelRatioF()
        self.data.set_dots(Dots(palette.data, size, 0.85, crowding=0.45))
        self.data.set_points(self._data)

    # --- Qt -----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The legend goes before the picture gets too small."""
        super().resizeEvent(event)
        if not self.frame.user_moved:
            self.go_home()
        self._fit_bar()

    def _fit_bar(self) -> None:
        seen = self.surface is not None and self.width() >= self._look.px(BAR_FROM)
        self.bar.setVisible(seen)
        self.bar.set_bare(self.width() < self._look.px(BAR_TEXT_FROM))

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        palette, px = self._look.palette, self._look.scale
        self.contours.set_pen(with_alpha(palette.text, 0.3), 1.0)
        self.forces.set_colours(None, palette.text, 0.55, 1.0)
        self.drift.set_colour(palette.text, palette.panel, 2.0 * px)
        self.noise.set_colour(palette.warning, palette.panel, 2.0 * px)
        self.frame.restyle()
        self.bar.restyle()
        self._draw_surface()
        self._draw_data()
        self.draw(self.trail.words)


def _even(forces: Floats) -> Floats:
    """Forces whose lengths are told apart on slopes and in valleys: the square root of each."""
    lengths = np.linalg.norm(forces, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, forces / np.sqrt(lengths), 0.0)
