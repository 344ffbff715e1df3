"""Own: a picture of one's own, encoded: its reconstruction, its place, its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFileDialog

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.latent.decoded_view import DecodedView
from widgets.latent.desk import Desk
from widgets.latent.mode import Mode
from widgets.latent.picture_table import PictureTable, Spot
from widgets.latent.plane_view import PlaneView
from widgets.latent.words import no_plane, number, vector
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.canvas import PixelCanvas
from widgets.pixels.picker import read_own
from widgets.recall import Recalled

COUNTS = (5, 8, 12, 16)
#: Training observations that neighbours are looked for among, at rest and while a run trains.
N_REST, N_LIVE = 60_000, 2000
HINT = "Drop a picture file here, or open one with the button above."
PATTERNS = "Pictures (*.png *.jpg *.jpeg *.bmp *.gif *.webp)"


class OwnMode(Mode, Recalled):
    """What the model makes of an observation: one's own, or the chosen one of the data."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.n = 8
        self.picture: Any = None
        self.own, self.rebuilt = PixelCanvas(look), DecodedView(look, desk)
        self.plane, self.near = PlaneView(look, desk), PictureTable(look)
        self._answer: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.tools.add_button("open", "open a picture …", "A picture file of your own: it is cut "
                              "square and resized to the data's size", "O")  # fmt: skip
        self.tools.add_button("data", "use the chosen point", "Encode the observation that was "
                              "clicked in the plane instead")  # fmt: skip
        self.tools.add_choice("n", "Neighbours shown")
        self.tools.set_choices("n", tuple((f"{n} neighbours", n) for n in COUNTS))
        self.tools.set_choice("n", self.n)
        self.own.takes_arrows = False
        self.top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self.top.setSpacing(8)
        for widget, share in ((self.own, 2), (self.rebuilt, 2), (self.plane, 3)):
            self.top.addWidget(widget, share)
        self.column.addLayout(self.top, 3)
        self.column.addWidget(self.near, 2)
        self.tools.pressed.connect(self._on_pressed)
        self.tools.chosen.connect(self._on_chosen)
        self.plane.asks_changed.connect(self.asks_changed)
        self.plane.moved.connect(self._on_moved)
        self.plane.reset_requested.connect(self.plane.go_home)
        self.near.hovered.connect(self._on_hovered)
        self.near.chosen.connect(self._on_near)
        self.restyle()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Everything gets narrower before anything goes."""
        super().resizeEvent(event)
        self.near.setVisible(self.height() >= self.look.px(260))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run; the picture stays where it still fits."""
        self._answer = None
        cells = self.desk.cells
        if self.picture is not None and (cells is None or self.picture.size != cells.size):
            self.picture = None
        self.own.clear()
        self.own.set_hint(HINT)
        self.rebuilt.open()
        self.rebuilt.canvas.set_hint("Its reconstruction comes here.")
        self.rebuilt.setToolTip("The means of q(z | x), decoded")
        self.plane.open()
        self.plane.shown = {"points", "prior"}
        self.near.clear()
        self.near.set_hint("Its nearest neighbours in the training data come here.")
        self._draw_own()

    def refusal(self) -> str:
        """Encoding needs an encoder, pictures and a real latent."""
        desk = self.desk
        if not desk.encodes:
            return "needs an encoder; this model has none"
        if no_plane(desk.kind):
            return no_plane(desk.kind)
        if desk.cells is not None and not desk.cells.is_picture:
            return "the data are no pictures"
        return ""

    def refresh(self) -> None:
        """Draw the encodings anew."""
        self.plane.refresh()
        self._draw_place()

    def read(self, path: str) -> None:
        """Take a picture file; says on the banner why it cannot be taken."""
        if self.desk.cells is None:
            return
        try:
            self.picture = read_own(path, self.desk.cells)
        except ValueError as error:
            self.said.emit(str(error))
            return
        self.said.emit("")
        self._draw_own()
        self.asks_changed.emit()

    def kept(self) -> tuple[Any, ...]:
        """The picture of one's own, for undo and for a film's twin."""
        return (self.picture,)

    def keep(self, value: tuple[Any, ...]) -> None:
        """Take it back."""
        self.picture = value[0]
        self._draw_own()
        self.asks_changed.emit()

    def what_changed(self, before: Any, after: Any) -> str:
        """Which picture is encoded."""
        return "a picture of your own" if after[0] is not None else "an observation"

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The picture's posterior, reconstruction and neighbours."""
        fine = self.desk.is_fine(rest=rest)
        wanted: dict[str, Any] = {
            "neighbours": self.n, "searched": N_REST if fine else N_LIVE,
            "latent": self.desk.latent,
        }  # fmt: skip
        if not self.desk.is_real or not self.desk.encodes:
            return {}
        if self.picture is not None:
            return {"own": Question("latent_point", wanted, {"x": self.picture})}
        if self.desk.index is not None:
            return {"own": Question("latent_point", wanted | {"index": self.desk.index})}
        return {}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "own":
            self._answer = answer
            self._draw()
        self.chips_changed.emit()

    # --- drawing ------------------------------------------------------------------------------

    def _draw_own(self) -> None:
        if self.picture is not None:
            self._show(self.own, self.picture, "own picture", self.look.palette.accent)

    def _show(self, canvas: PixelCanvas, event: Any, title: str, colour: str) -> None:
        cells, flat = self.desk.cells, np.asarray(event, np.float32).reshape(-1)
        if cells is None or cells.size != len(flat):
            return
        everything = np.ones(cells.size, dtype=bool)
        canvas.set_title(title, colour)
        canvas.set_cells(cells, cells.pixels(flat, everything, self.look.palette.raised))

    def _draw(self) -> None:
        answer, palette = self._answer, self.look.palette
        if answer is None or "x" not in answer.arrays:
            return
        arrays = answer.arrays
        own = self.picture is not None
        title = "own picture" if own else f"observation {self.desk.index}"
        self._show(self.own, arrays["x"], title, palette.accent if own else palette.data)
        self.rebuilt.show_event(arrays["rebuilt"], "reconstruction")
        self._draw_place()
        self._draw_near()

    def _draw_place(self) -> None:
        answer = self._answer
        if answer is None or len(answer.arrays.get("mean", ())) != self.desk.size:
            self.plane.mark_z(None)
            return
        mean = answer.arrays["mean"]
        place = self.desk.project(mean)
        self.plane.mark_z(mean)
        wide = answer.arrays.get("covariance")
        if wide is None:
            wide = np.diag(answer.arrays["deviations"] ** 2)
        _, basis = self.desk.plane()
        self.plane.set_ellipse(place, basis @ wide @ basis.T)

    def _draw_near(self) -> None:
        cells, answer = self.desk.cells, self._answer
        if cells is None or answer is None or "near_latent" not in answer.arrays:
            return
        rows = [answer.arrays[f"near_{name}"] for name in ("latent", "pixels")]
        if any(not len(row) or row[0].size != cells.size for row in rows):
            return
        flat = np.stack([row.reshape(len(row), -1) for row in rows]).astype(np.float32)
        everything = np.ones(cells.size, dtype=bool)
        pixels = cells.pixels(flat, everything, self.look.palette.raised)
        self.near.set_pictures(pixels, ("nearest in z", "nearest in pixels"))
        self.near.set_title("nearest training observations", self.look.palette.data)

    def chips(self) -> tuple[Chip, ...]:
        """Its place and its bound."""
        if self._answer is None:
            return ()
        palette, v = self.look.palette, self._answer.values
        mean = self._answer.arrays.get("mean", np.zeros(0))
        exact = "mean of q(z | x)" if v.get("exact") else "mean of q's draws"
        chips = [Chip(f"z = {vector(mean)}", exact, palette.accent, "dot", framed=True)]
        if v.get("elbo") is not None:
            chips.append(Chip(f"ELBO {number(float(v['elbo']), 4)} nats, 64 draws",  # type: ignore[arg-type]
                              "A lower bound on log p(x) at β = 1; very low: the model has not "
                              "seen the like", framed=True))  # fmt: skip
            chips.append(Chip(f"KL {number(float(v['kl']))} nats",  # type: ignore[arg-type]
                              "KL(q(z | x) ‖ p(z)) of all latents", framed=True))  # fmt: skip
        away = self._answer.arrays.get("near_latent_distance")
        if away is not None and len(away):
            chips.append(Chip(f"nearest at {number(float(away[0]))} in z", "Euclidean distance of "
                              "posterior means", framed=True))  # fmt: skip
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.own, self.rebuilt, self.plane, self.near):
            part.restyle()
        self._draw_own()
        self._draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_pressed(self, name: str) -> None:
        if name == "open":
            path, _ = QFileDialog.getOpenFileName(self, "Open a picture", "", PATTERNS)
            if path:
                self.read(path)
        elif self.desk.index is None:
            self.said.emit("no point is chosen; click one in the plane first")
        else:
            self.picture = None
            self.said.emit("")
            self.asks_changed.emit()

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "n" and isinstance(value, int):
            self.n = value
            self.asks_changed.emit()

    def _on_moved(self, place: tuple[float, float] | None) -> None:
        """A click on a point encodes that observation instead."""
        row = None if place is None else self.plane.nearest(place)
        if row is not None and row < len(self.desk.indices):
            self.picture = None
            self.said.emit("")
            self.desk.move(self.desk.means[row], int(self.desk.indices[row]))
        self._draw_place()

    def _index_at(self, spot: Spot) -> tuple[int, float] | None:
        """Number and distance of a neighbour."""
        arrays = {} if self._answer is None else self._answer.arrays
        name = ("latent", "pixels")[min(spot[0], 1)]
        index, away = arrays.get(f"near_{name}_index"), arrays.get(f"near_{name}_distance")
        if index is None or away is None or spot[1] >= len(index):
            return None
        return int(index[spot[1]]), float(away[spot[1]])

    def _on_hovered(self, spot: Spot | None) -> None:
        found = None if spot is None else self._index_at(spot)
        if found is None or spot is None:
            self.pointed.emit(None)
            return
        rows = [("distance", number(found[1]) + (" in z" if spot[0] == 0 else " in data units"))]
        row = self.desk.place_of(found[0])
        if row is not None and self.desk.labels is not None and self.desk.labels[row] >= 0:
            rows.insert(0, ("label", self.desk.label_words(int(self.desk.labels[row]))))
        self.pointed.emit(Pointed(f"observation {found[0]}", tuple(rows)))

    def _on_near(self, spot: Spot) -> None:
        """Show where a neighbour lies."""
        found = self._index_at(spot)
        row = None if found is None else self.desk.place_of(found[0])
        self.plane.set_ring(row)
