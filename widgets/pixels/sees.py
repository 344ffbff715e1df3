"""Sees: what one value's conditional depends on, and where the heads of a Transformer look."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.controls.tool_row import Toggle
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.canvas import PixelCanvas, overlay
from widgets.pixels.desk import Desk
from widgets.pixels.level_bars import LevelBars
from widgets.pixels.map_view import MapView, entropy_ends
from widgets.pixels.mode import Mode, lay_out
from widgets.pixels.picker import PicturePicker
from widgets.pixels.wall import PictureWall
from widgets.pixels.words import fixed, nats_and_bits, spaced
from widgets.plots.colours import mix
from widgets.recall import Recalled

Floats: TypeAlias = npt.NDArray[Any]

#: Influences are coloured by their logarithm, down to this share of the largest.
FAINTEST = 1e-4
METHODS = (("by gradient", "gradient"), ("by exchange", "exchange"))
METHOD_TIP = (
    "Gradient: mean |∂ parameters of p(xᵢ | earlier) / ∂xⱼ|. Exchange: how far the conditional "
    "moves (total variation) when xⱼ alone is exchanged"
)
HINT = "Click a pixel, or move with the arrow keys, to see what it depends on."


class SeesMode(Mode, Recalled):
    """A picture with the influence of every value on the chosen one's conditional."""

    draws = False

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.picker = PicturePicker(look, desk, "data")
        self.canvas, self.bars = PixelCanvas(look, parent=self), LevelBars(look, parent=self)
        self.map, self.heads = MapView(look, self), PictureWall(look, parent=self)
        self.index = 0
        self.method = "gradient"
        self._field: Answer | None = None
        self._attention: Answer | None = None
        self._conditional: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.tools.add_choice("method", METHOD_TIP)
        self.tools.set_choices("method", METHODS)
        self.tools.add_toggle(
            Toggle("alone", "this picture alone",
                   "The gradient at this picture; else its mean over 16 pictures, half of them "
                   "random, which is what the network can see at all", "accent")
        )  # fmt: skip
        self.tools.add_toggle(
            Toggle("attention", "attention", "Where each head of the Transformer looks: "
                   "softmax(QKᵀ/√d), by layer (rows) and head (columns)", "model", True)
        )  # fmt: skip
        self.column.addLayout(self.grid, 1)
        self.column.addWidget(self.picker)
        self.canvas.chosen.connect(self._on_chosen)
        self.canvas.hovered.connect(self._on_hovered)
        self.heads.chosen.connect(self._on_head)
        self.picker.changed.connect(self._on_picture)
        self.tools.chosen.connect(self._on_method)
        self.tools.toggled.connect(self._on_toggled)

    def kept(self) -> tuple[int, int | None]:
        """The value and the head that are looked at, for undo."""
        return self.index, self.heads.current

    def keep(self, value: tuple[int, int | None]) -> None:
        """Look at them again."""
        cells = self.desk.cells
        if cells is not None and value[0] < cells.size:
            self.index = value[0]
            self.heads.set_current(value[1])
            self._draw()
            self.asks_changed.emit()

    def what_changed(self, before: tuple[int, int | None], after: tuple[int, int | None]) -> str:
        """What was chosen."""
        return "another value" if before[0] != after[0] else "another head"

    def arrange(self, shape: str) -> None:
        """The conditional and the map, or the heads, beside the picture or below it."""
        other = self.map if self.heads.isHidden() else self.heads
        canvas, bars = self.canvas, self.bars
        if shape == "tall":
            lay_out(self.grid, ((canvas, canvas), (bars, other)), (5, 3), (1, 1))
        else:
            lay_out(self.grid, ((canvas, bars), (canvas, other)), (4, 6), (1, 1))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: a value on the left is chosen, where a blind spot is widest."""
        cells = self.desk.cells
        self._field = self._attention = self._conditional = None
        for part in (self.canvas, self.bars, self.map, self.heads):
            part.clear()
        self.bars.forget_axis()
        self.picker.open()
        self.heads.set_current(None)
        attends = self.desk.info is not None and "attention" in self.desk.info.card.features
        self.tools.set_usable("attention", attends)
        self.method = "gradient"
        self.tools.set_choice("method", "gradient")
        for part, on in ((self.heads, attends), (self.map, not attends)):
            part.setVisible(on)
        self.arrange(self.shape)
        if cells is not None:
            self.index = cells.index_at((5 * cells.rows) // 8, cells.columns // 4) or 0
            self.canvas.set_hint("The pictures are coming …")

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The field, the conditional, the heads, and the picture they belong to."""
        asked = self.desk.data_questions()
        if self.picker.wants_samples:
            asked["samples"] = self.desk.samples_question(rest=rest)
        picture = self.picker.values
        if picture is None:
            return asked
        about: dict[str, Value] = {"index": self.index, "label": self.picker.label}
        arrays = {"picture": picture.astype(np.float64)}
        alone = self.tools.is_on("alone") or self.method == "exchange"
        asked["field"] = Question(
            "receptive_field", about | {"method": self.method, "n": 16 if rest else 4},
            arrays if alone else {},
        )  # fmt: skip
        asked["conditional"] = Question("conditional_at", about, arrays)
        if self.tools.is_on("attention"):
            asked["attention"] = Question("attention", about, arrays)
        elif self.map.isVisibleTo(self):
            asked["map"] = Question("entropy_map", {"label": self.picker.label}, arrays)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one part."""
        if part == "field":
            self._field = answer
            self._draw()
            self.chips_changed.emit()
        elif part == "attention":
            self._attention = answer
            self._draw_heads(answer)
            self._draw()
        elif part == "conditional":
            self._conditional = answer
            self._draw_bars(answer)
        elif part == "map" and self.desk.cells is not None:
            cells = self.desk.cells
            values = answer.arrays["entropies"].reshape(-1)
            log_prob = answer.values.get("log_prob")
            words = f": log p {fixed(log_prob)} nats, exact" if isinstance(log_prob, float) else ""
            self.map.canvas.set_title("entropy map" + words)
            there = np.ones(cells.size, dtype=bool)
            self.map.set_map(cells, values, there, "entropy, nats", entropy_ends(cells))
            self.map.canvas.set_at(self.index)

    def chips(self) -> tuple[Chip, ...]:
        """How many values are seen, and how many that precede are not."""
        if self._field is None or self.desk.cells is None:
            return (Chip(HINT),)
        v = self._field.values
        seen, earlier, leaks = (int(v.get(f"n_{k}") or 0) for k in ("seen", "earlier", "leaks"))  # type: ignore[arg-type]
        palette = self.look.palette
        chips = [
            Chip(f"sees {seen - leaks} of {earlier} earlier values, exact",
                 f"{v.get('meaning', '')}; counted where it is not exactly 0",
                 palette.accent, "dot", framed=True),
        ]  # fmt: skip
        blind = earlier - seen + leaks
        if blind > 0:
            chips.append(
                Chip(f"blind to {blind}", "Earlier values that its conditional does not depend "
                     "on, hatched: outside its receptive field", palette.warning, "dot",
                     framed=True)
            )  # fmt: skip
        if leaks:
            chips.append(
                Chip("1 leak" if leaks == 1 else f"{leaks} leaks",
                     "The value itself or later ones change its conditional (dots): the model is "
                     "no product of conditionals in this order, and has no likelihood",
                     palette.error, alarm=True, framed=True)
            )  # fmt: skip
        tip = (
            "The stronger the colour the greater the influence, by its logarithm from 10⁻⁴ to 1 "
            "of the largest; exactly 0 has none. Values drawn later are dimmed: the chain rule "
            "may not look at them"
        )
        scale = "10⁻⁴ … 1 of the largest" if self._head is None else "share of the largest weight"
        chips.append(Chip(f"colour: {scale}", tip, palette.accent, "line",
                          framed=True))  # fmt: skip
        chips.append(Chip("dimmed: drawn later", tip, framed=True))
        chips.append(Chip(f"step {spaced(self._field.step)}", "Training step of these weights",
                          framed=True))  # fmt: skip
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.canvas, self.bars, self.map, self.heads, self.picker):
            part.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        cells, picture = self.desk.cells, self.picker.values
        if cells is None or picture is None:
            return
        palette = self.look.palette
        everything = np.ones(cells.size, dtype=bool)
        pixels = cells.pixels(picture, everything, palette.raised)
        title = f"{self.picker.words_with_class}: what {cells.words(self.index)} sees"
        self.canvas.set_title(title, self.picker.colour)
        marks = []
        field = self._field
        if field is not None and field.arrays["influence"].size == cells.size:
            earlier = field.arrays["earlier"].reshape(-1).astype(bool)
            influence = self._shown(field)
            later = ~cells.any_channel(earlier)
            pixels = overlay(
                pixels, np.where(later, 0.72, 0.0), mix(palette.panel, palette.text, 0.08)
            )
            scaled = _linear(influence) if self._head is not None else _strength(influence)
            strength = cells.spread(scaled).max(0)
            pixels = overlay(pixels, np.where(later, 0.0, strength), palette.accent)
            blind = earlier & ~(field.arrays["influence"].reshape(-1) > 0)
            whole = ~cells.any_channel(earlier & ~blind)
            marks.append((cells.any_channel(blind) & whole, palette.warning, "hatch"))
            leaked = ~earlier & (field.arrays["influence"].reshape(-1) > 0)
            marks.append((cells.any_channel(leaked), palette.error, "dot"))
        self.canvas.set_cells(cells, pixels)
        self.canvas.set_words(cells.written(picture, everything))
        self.canvas.set_marks(*marks)
        self.canvas.set_at(self.index)

    @property
    def _head(self) -> int | None:
        """The head that is chosen, or None where the field is shown."""
        on = self._attention is not None and self.tools.is_on("attention")
        return self.heads.current if on else None

    def _shown(self, field: Answer) -> Floats:
        """The field, or the attention of the head that is chosen."""
        head, found = self._head, self._attention
        if head is not None and found is not None:
            weights = found.arrays["weights"].reshape(-1, field.arrays["influence"].size)
            if head < len(weights):
                return np.asarray(weights[head])
        return field.arrays["influence"].reshape(-1)

    def _draw_heads(self, answer: Answer) -> None:
        cells = self.desk.cells
        if cells is None:
            return
        weights = answer.arrays["weights"]
        n_layers, n_heads = weights.shape[:2]
        flat = weights.reshape(n_layers * n_heads, -1)
        ground = np.full((cells.rows, cells.columns), 0xFF000000, np.uint32)
        ground = overlay(ground, np.ones(ground.shape), self.look.palette.raised)
        maps = [overlay(ground, cells.spread(_linear(row)).max(0), self.look.palette.model)
                for row in flat]  # fmt: skip
        start, reach = (answer.arrays[k].reshape(-1) for k in ("start", "reach"))
        words = tuple(
            f"layer {i // n_heads + 1}, head {i % n_heads + 1}: {start[i]:.0%} on the start "
            f"symbol, mean reach {reach[i]:.1f} places, exact"
            for i in range(len(flat))
        )
        self.heads.set_columns(n_heads)
        self.heads.set_title(
            f"{n_layers} layers × {n_heads} heads: attention", self.look.palette.model
        )
        self.heads.set_pictures(np.array(maps), words)

    def _draw_bars(self, answer: Answer) -> None:
        cells, v = self.desk.cells, answer.values
        if cells is None:
            return
        h, value = v.get("entropy"), v.get("value")
        given = "earlier and itself" if self.desk.leaks else "earlier"
        words = f"p(x | {given}), {cells.words(self.index)}"
        if isinstance(h, float):
            words += f": H {nats_and_bits(h)}, {v.get('entropy_kind', '')}"
        self.bars.set_heading(words, "The conditional of this value; the picture's own is bright")
        shown = float(value) if isinstance(value, (int, float)) else None
        if "probabilities" in answer.arrays:
            self.bars.set_levels(answer.arrays["probabilities"], shown)
        elif "nodes" in answer.arrays:
            self.bars.set_curve(answer.arrays["nodes"], answer.arrays["density"], shown)

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, index: int) -> None:
        self.index = index
        self.asks_changed.emit()

    def _on_head(self, _: int) -> None:
        self._draw()
        self.chips_changed.emit()

    def _on_picture(self) -> None:
        self._draw()
        self.asks_changed.emit()

    def _on_method(self, name: str, value: object) -> None:
        if name == "method":
            self.method = str(value)
            self.asks_changed.emit()

    def _on_toggled(self, name: str, on: bool) -> None:
        if name == "attention" and not on:
            self.heads.set_current(None)
            self._draw()
        self.asks_changed.emit()

    def _on_hovered(self, index: int | None) -> None:
        field, cells = self._field, self.desk.cells
        if index is None or field is None or cells is None:
            self.pointed.emit(None)
            return
        influence = field.arrays["influence"].reshape(-1)
        earlier = bool(field.arrays["earlier"].reshape(-1)[index])
        words = f"{influence[index]:.3g}" if influence[index] else "exactly 0"
        place = "the value itself" if index == self.index else "later"
        what = "earlier" if earlier else f"{place}: not allowed to count"
        rows = (("influence", words), ("in the order", what))
        self.pointed.emit(Pointed(f"Value at {cells.words(index)}", rows))


def _linear(weights: Floats) -> Floats:
    """0 … 0.85 by the share of the largest weight."""
    most = float(np.nan_to_num(weights, posinf=0.0).max(initial=0.0))
    return np.zeros(weights.shape) if most <= 0.0 else 0.85 * weights / most


def _strength(influence: Floats) -> Floats:
    """0 … 0.7 by the logarithm of the share of the largest; exactly 0 stays 0."""
    most = float(np.nan_to_num(influence, posinf=0.0).max(initial=0.0))
    if most <= 0.0:
        return np.zeros(influence.shape)
    share = np.clip(influence / most, FAINTEST, 1.0)
    scaled = 1.0 + np.log10(share) / -math.log10(FAINTEST)
    return np.where(influence > 0.0, 0.1 + 0.6 * scaled, 0.0)
