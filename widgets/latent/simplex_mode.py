"""Simplex: where a category's relaxed draws lie, and what their gradient pays."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.latent.desk import Desk, subscript
from widgets.latent.mode import Mode
from widgets.latent.words import number
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.plots.colours import part_colour, rgb, table, to_bytes, with_alpha
from widgets.plots.frame import Frame
from widgets.plots.layers import Box, DotsLayer, ImageLayer, LinesLayer
from widgets.plots.splat import Dots

TEMPERATURES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
N_DRAWS = 2000
#: Nats below the highest value at which the shading is empty.
DEPTH = 6.0
HOME = Box((-1.15, -1.15), (1.15, 1.15))
DOT, LEAST_CORNER, CORNER = 3.0, 8.0, 30.0
BIASES = (
    ("soft", "relaxed",
     "∂E f(y) through the relaxed draw y, f(y) = Σ (y_k − t_k)²: how far its mean lies from the "
     "true gradient of the category; the spread is that of one draw"),
    ("hard", "straight-through",
     "The same where f sees the corner, and the gradient passes as if it had seen y"),
)  # fmt: skip


class SimplexMode(Mode):
    """Gumbel-softmax at work on one category of one observation."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.temperature, self.category, self.index = 1.0, 0, 0
        self.frame = Frame(look, equal=True)
        self.image, self.edges = ImageLayer(0), LinesLayer(2)
        self.draws, self.ends = DotsLayer(4), DotsLayer(6)
        self._answer: Answer | None = None
        for layer in (self.image, self.edges, self.draws, self.ends):
            self.frame.add(layer)
        self.frame.set_bare(True)
        self.tools.add_choice("category", "Which of the latent categories")
        self.tools.add_choice("temperature", "τ of the relaxed draws: low ones lie at the corners")
        self.tools.set_choices("temperature", tuple((f"τ = {t:g}", t) for t in TEMPERATURES))
        self.tools.set_choice("temperature", self.temperature)
        self.tools.add_button("next", "next observation", "Another held-out observation", "N")
        self.column.addWidget(self.frame, 1)
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(lambda _: self._next())
        self.frame.hovered.connect(self._on_hovered)
        self.frame.reset_requested.connect(lambda: self.frame.set_box(HOME))
        self.restyle()

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._answer, self.category, self.index = None, 0, 0
        for layer in (self.image, self.edges, self.draws, self.ends):
            layer.clear()
        self.frame.set_box(HOME)

    def refusal(self) -> str:
        """Only relaxed categories have a simplex."""
        info = self.desk.info
        relaxed = info is not None and "relaxed" in info.card.features
        return "" if relaxed else "this model relaxes no category"

    def refresh(self) -> None:
        """The categories are known once the encodings are."""
        n = min(max(self.desk.size, 1), 64)
        name = str(self.desk.values.get("latent") or "z")
        self.tools.set_choices("category", tuple((f"{name}{subscript(i)}", i) for i in range(n)))
        self.tools.set_choice("category", self.category)

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Draws of one category."""
        wanted: dict[str, Any] = {
            "temperature": self.temperature, "category": self.category, "index": self.index,
            "n": N_DRAWS,
        }  # fmt: skip
        return {"simplex": Question("relaxed_draws", wanted)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one answer."""
        if part == "simplex":
            self._answer = answer
            self._draw()
            self.chips_changed.emit()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        answer, palette = self._answer, self.look.palette
        if answer is None:
            return
        a, ratio = answer.arrays, self.devicePixelRatioF() * self.look.scale
        ends, probs = a["corners"], a["probs"]
        dark = palette.name == "dark"
        colours = np.array([rgb(part_colour(k, dark=dark)) for k in range(len(ends))], np.uint8)
        self.edges.set_lines(np.concatenate([ends, ends[:1]]))
        self.draws.set_dots(Dots(palette.model, DOT * ratio, 0.6, crowding=0.5))
        self.draws.set_points(a["places"])
        size = LEAST_CORNER + CORNER * float(probs.max())
        self.ends.set_dots(Dots(palette.text, size * ratio / 2, 0.9, colours, rim=palette.panel))
        self.ends.set_points(ends)
        surface = a.get("log_density")
        if surface is None:
            self.image.clear()
            return
        top = float(np.quantile(surface[np.isfinite(surface)], 0.999))
        levels = to_bytes(np.maximum(surface, top - DEPTH), top - DEPTH, top)
        box = Box((float(a["low"][0]), float(a["low"][1])),
                  (float(a["high"][0]), float(a["high"][1])))  # fmt: skip
        self.image.set_image(levels, table(palette.sequential), box)

    def chips(self) -> tuple[Chip, ...]:
        """q of each state beside its share of the draws, and both gradients' bias."""
        answer, palette = self._answer, self.look.palette
        if answer is None:
            return ()
        a, v, dark = answer.arrays, answer.values, palette.name == "dark"
        chips = []
        for name, words, about in BIASES:
            bias, error = float(v[f"{name}_bias"]), float(v[f"{name}_bias_error"])  # type: ignore[arg-type]
            spread = number(float(v[f"{name}_spread"]), 2)  # type: ignore[arg-type]
            text = f"{words}: bias {number(bias, 2)} ± {number(error, 1)}, spread {spread}"
            chips.append(Chip(text, about, palette.warning, "dot", framed=True))
        tip = "q(z = k | x), and how often state k is the largest of the draws: argmax is exact"
        chips += [
            Chip(f"{k + 1}: q {number(float(q), 2)}, {number(float(share), 2)} of draws", tip,
                 part_colour(k, dark=dark), "dot", framed=True)
            for k, (q, share) in enumerate(zip(a["probs"], a["shares"], strict=True)) if k < 4
        ]  # fmt: skip
        if "mass" in v:
            text = f"density: mass {number(float(v['mass']), 3)}"  # type: ignore[arg-type]
            about = "The Concrete density summed over the pixels: 1 where they resolve its corners"
            chips.append(Chip(text, about, palette.model, framed=True))
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        self.frame.restyle()
        self.edges.set_pen(with_alpha(self.look.palette.text, 0.8), 1.2)
        self._draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name in ("category", "temperature"):
            setattr(self, name, value)
            self.asks_changed.emit()

    def _next(self) -> None:
        n_test = self.desk.info.data.n_test if self.desk.info is not None else 1
        self.index = (self.index + 1) % max(n_test, 1)
        self.asks_changed.emit()

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        answer = self._answer
        if place is None or answer is None:
            self.pointed.emit(None)
            return
        ends = answer.arrays["corners"]
        near = int(np.square(ends - np.asarray(place)).sum(1).argmin())
        q, share = (float(answer.arrays[name][near]) for name in ("probs", "shares"))
        rows = (("q(z | x)", number(q)), ("largest of the draws", number(share)))
        self.pointed.emit(Pointed(f"state {near + 1}", rows))
