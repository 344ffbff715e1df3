"""Plane: where the data lie among the latents; drag a point and see it decode."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout

from engine.wire.messages import Answer, Failed
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.tool_row import Toggle
from widgets.latent.decoded_view import DecodedView
from widgets.latent.desk import Desk, shades_of, subscript
from widgets.latent.mode import Mode
from widgets.latent.plane_tools import PlaneTools
from widgets.latent.plane_view import PlaneView
from widgets.latent.words import first, no_plane, number, spaced, vector
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.plots.cloud import Cloud, has_opengl
from widgets.plots.colours import part_colour
from widgets.recall import Recalled, same

TOGGLES = (
    Toggle("points", "points", "Posterior means of the data; draws of the prior where there is "
           "no encoder", "data", True),
    Toggle("shading", "q(z)", "Shade by the aggregate posterior q(z) = (1/N) Σ q(z | x): where "
           "the data are encoded, and so where the decoder was trained", "model", True),
    Toggle("aggregate", "contours", "Regions that hold 25 … 95 % of the shading's mass", "text"),
    Toggle("prior", "prior", "Regions that hold 25 … 95 % of the prior p(z)", "truth", True),
)  # fmt: skip
#: What the points are.
KINDS = {
    "mean": "posterior means",
    "mean of draws": "means of q's draws",
    "prior": "draws of the prior",
}
NO_CONTOURS = "a single latent has a curve and no contours"
#: The pointer must rest so long on a point before its q is asked for.
REST_MS = 60
#: q's that the number under the cross is summed over.
N_QS = 20_000
#: Nats below the highest density from which a z counts as unlikely.
UNLIKELY = 5.0
TALL = 1.15


class PlaneMode(Mode, Recalled):
    """The latent plane beside what the chosen z decodes to."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.plane, self.decoded = PlaneView(look, desk), DecodedView(look, desk)
        self._decoded: Answer | None = None
        self._likely: Answer | None = None
        self._density: Answer | None = None
        self._point: Answer | None = None
        self._hovered: int | None = None
        self._asked: int | None = None
        self.stage, self.legend = QStackedWidget(), ChipRow(look)
        self.cloud: Cloud | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._on_rested)
        self._build()

    def _build(self) -> None:
        self.picks = PlaneTools(self.tools, self.desk, clouds=True)
        for toggle in TOGGLES:
            self.tools.add_toggle(toggle)
        self.tools.add_button("middle", "middle", "The middle of the prior as z", "0")
        self.tools.add_button("reset", "reset", "Show all points again; or double-click", "Home")
        self.row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self.row.setSpacing(8)
        self.stage.addWidget(self.plane)
        left = QVBoxLayout()
        left.setSpacing(2)
        left.addWidget(self.stage, 1)
        left.addWidget(self.legend)
        self.row.addLayout(left, 3)
        self.row.addWidget(self.decoded, 2)
        self.column.addLayout(self.row, 1)
        self.tools.toggled.connect(lambda *_: self._on_toggled())
        self.tools.pressed.connect(self._on_pressed)
        self.plane.asks_changed.connect(self.asks_changed)
        self.plane.moved.connect(self._on_moved)
        self.plane.hovered.connect(self._on_hovered)
        self.plane.reset_requested.connect(self.plane.go_home)
        self._on_toggled()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Side by side where there is width, else one above the other."""
        super().resizeEvent(event)
        tall = self.height() > TALL * self.width()
        way = QBoxLayout.Direction
        self.row.setDirection(way.TopToBottom if tall else way.LeftToRight)

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._decoded = self._likely = self._density = self._point = None
        self._hovered = self._asked = None
        self.plane.open()
        self.decoded.open()
        self.picks.show()

    def refusal(self) -> str:
        """A plane needs a real latent."""
        return no_plane(self.desk.kind)

    def refresh(self) -> None:
        """Draw the encodings and the cross anew."""
        self.picks.show()
        self.tools.set_usable("aggregate", self.desk.dims != 1, NO_CONTOURS)
        self.plane.refresh()
        self._draw_cloud()
        self.legend.set_chips(self._legend())
        self.legend.setVisible(bool(self.legend.chips))
        self.chips_changed.emit()

    def _legend(self) -> tuple[Chip, ...]:
        """What the points' colours mean."""
        desk, dark = self.desk, self.look.palette.name == "dark"
        by = desk.colouring
        if by == "label" and desk.labels is not None:
            present = [int(k) for k in np.unique(desk.labels) if k >= 0]
            return tuple(Chip(desk.label_words(k), "A label of the data",
                              part_colour(k, dark=dark), "dot") for k in present)  # fmt: skip
        if by.startswith("factor") and desk.factors is not None and desk.info is not None:
            column = desk.factors[:, min(int(by.split()[1]), desk.factors.shape[1] - 1)]
            name = desk.info.data.factors[int(by.split()[1])]
            ends = np.array([column.min(), (column.min() + column.max()) / 2, column.max()])
            shades = [QColor(*map(int, shade)).name() for shade in shades_of(ends)]
            words = (f"{name} {number(float(ends[0]))}", *(number(float(v)) for v in ends[1:]))
            return tuple(Chip(w, f"Values of {name}", shade, "dot")
                         for w, shade in zip(words, shades, strict=True))  # fmt: skip
        return ()

    @property
    def wants_cloud(self) -> bool:
        """Whether three axes are asked for, and there are three."""
        return self.desk.projection == "3d" and self.desk.size >= 3

    def _draw_cloud(self) -> None:
        """The cloud in the place of the plane, where it is wanted and can be drawn."""
        desk = self.desk
        if not self.wants_cloud or not has_opengl():
            self.stage.setCurrentWidget(self.plane)
            return
        if self.cloud is None:
            self.cloud = Cloud(self.look)
            self.stage.addWidget(self.cloud)
        centre, basis = desk.components(3) if desk.size > 3 else (np.zeros(3), np.eye(3))
        points = (desk.means - centre) @ basis.T
        self.cloud.set_points(points, desk.colours(dark=self.look.palette.name == "dark"))
        name = str(desk.values.get("latent") or "z")
        own = tuple(f"{name} {i + 1}" for i in range(3))  # its font has no small digits
        names = own if desk.size == 3 else tuple(f"component {i + 1}" for i in range(3))
        reach = float(np.quantile(np.abs(points), 0.99)) if len(points) else 3.0
        self.cloud.set_names(names, max(reach, 1e-3))
        self.stage.setCurrentWidget(self.cloud)

    def follow(self) -> None:
        """Move the cross."""
        self.plane.show_mark()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Shading, the decoded z, how likely it is, and the q of the point that is pointed at."""
        asked = dict(self.decoded.data_question())
        density = self.plane.question(rest=rest)
        if density is not None:
            asked["density"] = density
        z = self.desk.z
        decoded = self.decoded.question(z)
        if decoded is None or z is None:
            return asked
        asked["decoded"] = decoded
        fine = self.desk.is_fine(rest=rest)
        wanted: dict[str, Any] = {"latent": self.desk.latent, "n": N_QS if fine else 1000}
        if not self.desk.holds:
            asked["likely"] = Question("latent_decode", wanted, {"z": z[None]}, coarse=None)
        at = self._asked if self._asked is not None else self.desk.index
        if at is not None and self.desk.encodes:
            asked["point"] = Question("latent_point", {"index": at, "latent": self.desk.latent})
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "density":
            self._density = answer
            self.plane.show_density(answer)
        elif part == "decoded":
            self._decoded = answer
            self.decoded.show_answer(answer)
        elif part == "likely":
            self._likely = answer
        elif part == "point":
            self._show_point(answer)
        elif part == "data":
            self.decoded.show_data(answer)
        self.chips_changed.emit()

    def show_failed(self, part: str, failed: Failed) -> bool:
        """A point that cannot be asked is not worth a banner."""
        return part == "point"

    def _show_point(self, answer: Answer) -> None:
        """The q of the point that is pointed at, or else of the one that is chosen."""
        self._point = answer
        mean, wide = answer.arrays.get("mean"), answer.arrays.get("covariance")
        deviations = answer.arrays.get("deviations")
        if mean is None or len(mean) != self.desk.size or self.desk.dims != 2:
            self.plane.set_ellipse(None, None)
            return
        if wide is None and deviations is not None:
            wide = np.diag(deviations**2)
        _, basis = self.desk.plane()
        flat = None if wide is None else basis @ wide @ basis.T
        self.plane.set_ellipse(self.desk.project(mean), flat)

    # --- undo ---------------------------------------------------------------------------------

    def kept(self) -> tuple[Any, int | None]:
        """The chosen z, and the observation whose it is, for undo and for a film's twin."""
        return self.desk.z, self.desk.index

    def keep(self, value: tuple[Any, int | None]) -> None:
        """Choose it again."""
        if value[0] is not None:
            self.desk.move(*value)

    def is_same(self, before: Any, after: Any) -> bool:
        """A z that there was none before was not chosen by the user."""
        return before[0] is None or after[0] is None or same(before, after)

    def what_changed(self, before: Any, after: Any) -> str:
        """What was chosen."""
        return f"observation {after[1]}" if after[1] is not None else "move z"

    # --- words --------------------------------------------------------------------------------

    def chips(self) -> tuple[Chip, ...]:
        """How likely the chosen z is, in nats, and what kind of numbers these are."""
        desk, palette = self.desk, self.look.palette
        if not desk.is_real or desk.z is None:
            return ()
        chips = [Chip("no OpenGL on this machine: two axes instead of the 3-D cloud", "A cloud "
                      "that turns needs OpenGL", palette.warning, "dot", framed=True)
                 ] if self.wants_cloud and not has_opengl() else []  # fmt: skip
        chips += [Chip(f"z = {vector(desk.z)}", "The chosen z; drag the cross, click, or nudge it "
                      "with the arrow keys", palette.accent, "dot", framed=True)]  # fmt: skip
        fresh = self._likely is not None and self._is_of(self._likely)
        prior = first(self._likely if fresh else self._decoded, "log_prior")
        q = first(self._likely, "log_aggregate") if fresh else None
        if desk.encodes:
            chips.append(self._q_chip(q))
        if prior is not None:
            chips.append(Chip(f"log p(z) {number(prior)} nats, exact", "The prior's log-density",
                              palette.truth, "dash", framed=True))  # fmt: skip
        return (*chips, *self._density_chips())

    def _is_of(self, answer: Answer) -> bool:
        """Whether a number belongs to the z that is chosen now."""
        held = answer.arrays.get("log_prior")
        before = first(self._decoded, "log_prior")
        return held is None or before is None or abs(float(held[0]) - before) < 1e-9

    def _q_chip(self, q: float | None) -> Chip:
        palette = self.look.palette
        values = self._likely.values if self._likely is not None else {}
        if q is None:
            words = "log q(z) …" if self._likely is None or values.get("aggregate_n") else ""
            words = words or "q has no density at a point"
            return Chip(words, "log (1/N) Σ q(z | x), once the cross rests", framed=True)
        n = spaced(values.get("aggregate_n", 0))
        surface = self._density.arrays.get("log_aggregate") if self._density else None
        top = float(np.max(surface)) if surface is not None and surface.size else q
        rare = self.desk.is_flat and q < top - UNLIKELY
        tip = f"log (1/N) Σ q(z | x) over N = {n} training observations, all coordinates of z"
        if rare:
            tip += "; hardly any x is encoded here, so the decoder was hardly trained here"
        words = f"log q(z) {number(q)} nats, exact of {n}" + (", unlikely" if rare else "")
        colour = palette.warning if rare else palette.model
        return Chip(words, tip, colour, "dot", framed=True)

    def _density_chips(self) -> tuple[Chip, ...]:
        values = self._density.values if self._density is not None else {}
        desk = self.desk
        n, total = len(desk.means), desk.values.get("n_all")
        kind = KINDS.get(str(desk.values.get("kind")), "points")
        of = f" of {spaced(total)}" if isinstance(total, int) and total > n else ""
        of = "" if desk.values.get("kind") == "prior" else of
        chips = [Chip(f"{spaced(n)}{of} {kind}", "What the points are", framed=True)]
        label = values.get("aggregate_label")
        if label:
            mass = values.get("aggregate_mass")
            tip = "Density of q(z) on the plane"
            if isinstance(mass, float):
                tip += f"; {100 * mass:.1f} % of its mass lies in the shaded area"
            chips.append(Chip(f"shading: {label}", tip, framed=True))
        return tuple(chips)

    # --- the user -----------------------------------------------------------------------------

    def _on_toggled(self) -> None:
        self.plane.set_shown({t.name for t in TOGGLES if self.tools.is_checked(t.name)})

    def _on_pressed(self, name: str) -> None:
        if name == "reset":
            self.plane.go_home()
        elif self.desk.is_real:
            self.desk.move(np.zeros(self.desk.size))

    def _on_moved(self, place: tuple[float, float] | None) -> None:
        if place is None or not self.desk.is_real:
            self.plane.show_mark()
            return
        row = None if self.plane.mark.is_held else self.plane.nearest(place)
        if row is not None and row < len(self.desk.indices):
            z = self.desk.means[row].astype(np.float64)
            self.desk.move(z, int(self.desk.indices[row]))
        else:
            self.desk.move(self.desk.lift(np.array(place)))

    def _on_hovered(self, row: int | None) -> None:
        self._hovered = row
        if row is None:
            self._rest.stop()
            self.pointed.emit(None)
            if self._asked is not None:
                self._asked = None
                self.plane.set_ellipse(None, None)
                self.asks_changed.emit()
            return
        self._rest.start()
        self.pointed.emit(self._reading(row))

    def _on_rested(self) -> None:
        if self._hovered is not None and self._hovered < len(self.desk.indices):
            self._asked = int(self.desk.indices[self._hovered])
            self.asks_changed.emit()

    def _reading(self, row: int) -> Pointed:
        """What is known of a point."""
        desk = self.desk
        if row >= len(desk.means):
            return Pointed("a point")
        known = row < len(desk.indices)
        heading = f"observation {int(desk.indices[row])}" if known else "a draw of the prior"
        rows = []
        if desk.labels is not None and row < len(desk.labels) and desk.labels[row] >= 0:
            rows.append(("label", desk.label_words(int(desk.labels[row]))))
        name = str(desk.values.get("latent") or "z")
        for i, value in enumerate(desk.means[row][:6]):
            spread = desk.deviations[row][i] if row < len(desk.deviations) else None
            words = number(float(value)) + (f" ± {number(float(spread))}" if spread else "")
            rows.append((f"{name}{subscript(i)}", words))
        if desk.factors is not None and desk.info is not None and row < len(desk.factors):
            names = desk.info.data.factors
            rows += [(n, number(float(v))) for n, v in zip(names, desk.factors[row], strict=False)]
        return Pointed(heading, tuple(rows))

    def restyle(self) -> None:
        """Take colours from the look."""
        self.plane.restyle()
        self.decoded.restyle()
        self.picks.restyle()
        self.legend.set_chips(self._legend())
        if self.cloud is not None:
            self.cloud.restyle()
        if self._decoded is not None:
            self.decoded.show_answer(self._decoded)
