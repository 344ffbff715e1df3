"""Buffer: the training's own chains and their ages; short run against long run."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed
from widgets.chains.desk import Desk
from widgets.chains.mode import Mode
from widgets.chains.small_map import SmallMap
from widgets.chains.surface import REACH, ground, read
from widgets.controls.chips import Chip
from widgets.controls.tool_row import Toggle
from widgets.figures import as_float, fixed, number
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.words import spaced
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table, to_bytes
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.image_grid import ImageGrid
from widgets.plots.rule import RuleLayer

Floats: TypeAlias = npt.NDArray[Any]

LONGEST = (
    ("up to 1\u2009000 steps", 1000),
    ("up to 4\u2009000", 4000),
    ("up to 20\u2009000", 20_000),
)
BUFFER_TIP = "The chains that training goes on with, each coloured by its age in chain steps"
ORDERS = (
    ("buffer as stored", "stored"), ("youngest first", "youngest"), ("oldest first", "oldest")
)  # fmt: skip
LOG = Toggle("log", "log k", "Chain steps spaced by powers of ten", "muted", True)
#: Chains of the long run, pictures of the buffer, and data whose mean energy is drawn.
N_LONG, N_PICTURES = 1000, 64
AGES = "viridis"
NO_BUFFER = "Only an energy-based model that trains with chains keeps a replay buffer."


class BufferMode(Mode):
    """The buffer on the left, over chain steps the energy and the distance on the right."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.map, self.pictures = SmallMap(look, BUFFER_TIP), ImageGrid(look)
        self.bar = ColourBar(look)
        self.left = QStackedWidget()
        self.ages = CurvePlot(look)
        self.energy, self.kl = CurvePlot(look, wrap_legend=True), CurvePlot(look, wrap_legend=True)
        self.rules = RuleLayer(look), RuleLayer(look)
        self.longest, self.order = LONGEST[1][1], ORDERS[0][1]
        self._buffer: Answer | None = None
        self._long: Answer | None = None
        self._lack = ""
        self._build()

    def _build(self) -> None:
        self.tools.add_choice("longest", "How long the long run is")
        self.tools.set_choices("longest", LONGEST)
        self.tools.set_choice("longest", self.longest)
        self.tools.add_toggle(LOG)
        self.tools.add_choice("order", "Which chains of the buffer come first")
        self.tools.set_choices("order", ORDERS)
        self.ages.set_names("age, chain steps since a fresh start", "chains")
        self.ages.set_pinned(x=0.0, y=0.0)
        self.ages.set_fit("whole")
        self.energy.set_names("chain step k", "energy E, nats")
        self.kl.set_names("chain step k", "KL(chains‖p), nats")
        self.kl.set_log_y(on=True)
        self.kl.set_fit("whole")
        self.energy.set_fit("whole")
        row = QHBoxLayout()
        row.setSpacing(10)
        beside, left, right = QHBoxLayout(), QVBoxLayout(), QVBoxLayout()
        picture = QWidget()
        beside.setContentsMargins(0, 0, 0, 0)
        picture.setLayout(beside)
        beside.addWidget(self.map, 1)
        beside.addWidget(self.bar)
        self.left.addWidget(picture)
        self.left.addWidget(self.pictures)
        left.addWidget(self.left, 3)
        left.addWidget(self.ages, 1)
        for plot, rule in zip((self.energy, self.kl), self.rules, strict=True):
            plot.frame.add(rule)
            plot.setMinimumSize(1, 1)
            plot.set_log_x(on=True)
            plot.hovered.connect(self._on_hovered)
            right.addWidget(plot, 1)
        self.left.setMinimumSize(1, 1)
        self.ages.setMinimumSize(1, 1)
        row.addLayout(left, 1)
        row.addLayout(right, 1)
        self.column.addLayout(row, 1)
        self.tools.chosen.connect(self._on_chosen)
        self.pictures.hovered.connect(self._on_picture_hovered)
        self.tools.toggled.connect(self.set_log)

    # --- run ----------------------------------------------------------------------------------

    @property
    def keeps_buffer(self) -> bool:
        """Whether the model trains with chains of its own."""
        info = self.desk.info
        return info is not None and Capability.ENERGY in info.card.capabilities

    def set_longest(self, steps: int) -> None:
        """Walk so long."""
        self.longest = steps
        self.tools.set_choice("longest", steps)
        self.asks_changed.emit()

    def set_order(self, order: str) -> None:
        """Show other chains of the buffer first."""
        self.order = order
        self.tools.set_choice("order", order)
        self.asks_changed.emit()

    def set_log(self, name: str, on: bool) -> None:
        """Steps by powers of ten, or evenly."""
        self.tools.set_on(name, on)
        for plot in (self.energy, self.kl):
            plot.set_log_x(on)
        self._draw_long()

    def open(self) -> None:
        """Another run: nothing is known."""
        self._buffer = self._long = None
        self._lack = "" if self.keeps_buffer else NO_BUFFER
        self.map.clear()
        self.map.set_title(self._lack or "The replay buffer")
        self.pictures.clear()
        self.bar.hide()
        for plot, rule in zip((self.energy, self.kl), self.rules, strict=True):
            plot.clear()
            rule.clear()
        self.ages.clear()
        self.left.setCurrentIndex(0)

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The buffer, the energy below it, and the long run when nothing trains."""
        desk = self.desk
        asked: dict[str, Question] = {}
        surface = desk.surface_question(rest=rest)
        if surface is not None:
            asked["surface"] = surface
        else:
            asked["data"] = desk.points_question()
            return asked
        if self.keeps_buffer and desk.owner == "model":
            about: dict[str, Value] = {"n": 2000, "order": self.order}
            about["n_pictures"] = N_PICTURES if self._is_picture else 0
            asked["buffer"] = Question("replay_buffer", about | desk.plane)
        arguments: dict[str, Value] = desk.moves() | desk.plane | {
            "n": min(desk.n, N_LONG), "seed": desk.seed, "steps": self.longest,
            "start": desk.start,
        }  # fmt: skip
        if desk.start == "click" and desk.at is not None:
            arguments["at"] = list(desk.at)
        asked["long"] = Question("chain_long", arguments, live=rest, stream=True)
        return asked

    @property
    def _is_picture(self) -> bool:
        info = self.desk.info
        return info is not None and info.data.event.kind == "picture"

    def show_answer(self, part: str, answer: Answer) -> None:
        """The buffer, the energy or the long run so far."""
        if part == "surface":
            self.desk.surface = read(answer) or self.desk.surface
        elif part == "buffer":
            self._buffer, self._lack = answer, ""
        elif part == "long" and "marks" in answer.arrays:
            self._long = answer
            self._draw_long()
        if part in ("surface", "buffer"):
            self._draw_buffer()

    def show_failed(self, part: str, failed: Failed) -> bool:
        """A buffer that is not there is no failure of the panel."""
        if part != "buffer":
            return False
        self._buffer, self._lack = None, failed.message.removeprefix("replay_buffer: ")
        self._draw_buffer()
        return True

    def chips(self) -> tuple[Chip, ...]:
        """The buffer in numbers, and where the long run has come."""
        chips, palette = [], self.look.palette
        if self._buffer is not None:
            values = self._buffer.values
            n, step = (int(as_float(values.get(name)) or 0) for name in ("n_all", "step"))
            chips.append(Chip(f"buffer of {spaced(n)} chains at training step {spaced(step)}",
                              "As of the newest keyframe before the step in view", palette.model,
                              "dot", framed=True))  # fmt: skip
        if self._long is not None and len(self._long.arrays["marks"]):
            marks, kl = (self._long.arrays[name] for name in ("marks", "kl"))
            floor = as_float(self._long.values.get("floor"))
            words = f"long run: step {spaced(int(marks[-1]))}"
            if len(kl) and np.isfinite(kl[-1]):
                words += f", {fixed(float(kl[-1]), 3)} nats from p"
                words += f" (exact draws {fixed(floor, 3)})" if floor is not None else ""
            chips.append(Chip(words, "KL of the chains' histogram from exp(−E/T)/Z; as many exact "
                              "draws would show the number in brackets", framed=True))  # fmt: skip
            lost = float(self._long.arrays["lost"][-1])
            if lost > 0:
                chips.append(Chip(f"{lost:.0%} lost", "Chains that are no numbers any more",
                                  palette.error, framed=True, alarm=True))  # fmt: skip
        return tuple(chips)

    # --- drawing ------------------------------------------------------------------------------

    def _draw_buffer(self) -> None:
        surface = self.desk.surface
        if surface is not None:
            heights = np.where(np.isnan(surface.heights), REACH, surface.heights)
            self.map.set_values(
                heights, surface.box, ground(self.look.palette.sequential), (0.0, REACH)
            )
            self.map.set_lines(surface.lines, surface.starts)
            self.map.frame.set_names(*surface.names)
        if self._buffer is None:
            self.map.dots.clear()
            self.ages.clear()
            self.bar.hide()
            self.map.set_title(self._lack or "The replay buffer")
            self.chips_changed.emit()
            return
        arrays = self._buffer.arrays
        points = np.asarray(arrays["points"], np.float64)
        ages = np.asarray(arrays["ages"], np.float64)
        counted = bool(len(ages) and ages.max() >= 0)
        self.map.set_title("The replay buffer" + (", coloured by age" if counted else ""))
        shades = self._shades(ages) if counted else None
        if points.ndim == 2 and points.shape[1] == 2:
            self.map.set_dots(points, self.look.palette.model, shades)
        pictures = arrays.get("pictures")
        if pictures is not None and pictures.ndim == 4:
            low, high = np.quantile(pictures, (0.02, 0.98))
            self.pictures.set_title("Chains of the buffer", self.look.palette.model)
            self.pictures.set_pictures(pictures, low=float(low), high=float(high))
            self.left.setCurrentIndex(1)
        self._draw_ages(ages, counted=counted)
        self.chips_changed.emit()

    def _shades(self, ages: Floats) -> Floats:
        """(N, 3) by the age, from young to old."""
        top = max(float(ages.max()), 1.0)
        colours = table(AGES)
        self.bar.set_scale(colours, 0.0, top, "age, chain steps")
        self.bar.setVisible(self.left.currentIndex() == 0)
        words = colours[to_bytes(ages.astype(np.float32), 0.0, top)]
        return np.stack([words >> 16 & 255, words >> 8 & 255, words & 255], 1).astype(np.uint8)

    def _draw_ages(self, ages: Floats, *, counted: bool) -> None:
        self.ages.setVisible(counted)
        if not counted:
            return
        heights, edges = np.histogram(ages, bins=min(30, max(5, len(np.unique(ages)))))
        x = np.repeat(edges, 2)
        y = np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
        words = f"age in chain steps, mean {number(float(ages.mean()), 3)}"
        self.ages.set_curve("ages", x, y, Stroke(
            words, self.look.palette.model, 1.4, filled=0.4, thinned=False,
            tooltip="How many chains of the buffer have which age"))  # fmt: skip
        self.ages.fit()

    def _draw_long(self) -> None:
        if self._long is None:
            return
        arrays, values, palette = self._long.arrays, self._long.values, self.look.palette
        walked = np.asarray(arrays["marks"]) > 0  # the starts would flatten everything else
        marks = np.asarray(arrays["marks"], np.float64)[walked]
        rows = np.asarray(arrays["energy"], np.float64)[walked]
        if rows.ndim != 2 or rows.shape[1] != 3:
            return
        self.energy.set_curve("mean", marks, rows[:, 0], Stroke(
            "mean E of the chains", palette.model, 2.0, tooltip="Over all chains"))  # fmt: skip
        for index, name in ((1, "10 %"), (2, "90 %")):
            label = "10 and 90 %" if index == 1 else ""
            self.energy.set_curve(name, marks, rows[:, index], Stroke(
                label, palette.model, 1.0, opacity=0.6, tooltip="Quantiles over the chains"
            ))  # fmt: skip
        exact = as_float(values.get("exact_energy"))
        if exact is not None:
            self.energy.set_floor("exact", exact, Stroke(
                "exact samples", palette.truth, 1.4, dashed=True,
                tooltip="∫ p(x) E(x) dx at T, by quadrature"))  # fmt: skip
        data = as_float(values.get("data_energy"))
        if data is None:
            self.energy.remove("data")
        else:
            self.energy.set_floor("data", data, Stroke(
                "held-out data", palette.data, 1.4, dashed=True, tooltip="Their mean E, as they "
                "are; what lies above is less like them, which tells what does not belong"
            ))  # fmt: skip
        self.energy.fit()
        kl, floor = np.asarray(arrays["kl"], np.float64)[walked], as_float(values.get("floor"))
        self.kl.setVisible(bool(np.isfinite(kl).any()))
        if np.isfinite(kl).any():
            self.kl.set_curve("kl", marks, kl, Stroke(
                "chains at this step", palette.model, 2.0,
                tooltip="KL of their histogram from exp(−E/T)/Z"))  # fmt: skip
            if floor is not None:
                self.kl.set_floor("floor", floor, Stroke(
                    "as many exact draws", palette.truth, 1.4, dashed=True,
                    tooltip="What a histogram of so many independent draws shows on average",
                ))  # fmt: skip
            self.kl.fit()
        self._mark_training()
        self.chips_changed.emit()

    def _mark_training(self) -> None:
        """The length of the chains in one step of training."""
        steps = as_float(self._long.values.get("training_steps")) if self._long else None
        for rule in self.rules:
            if not steps:
                rule.clear()
                continue
            at = float(np.log10(steps)) if self.tools.is_checked("log") else steps
            rule.show_at(at, f"training: K = {int(steps)}", ())

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        if place is None or self._long is None or "mean" not in self.energy.names:
            self.pointed.emit(None)
            return
        k = self.energy.nearest_x("mean", place[0])
        rows = [("mean E", f"{fixed(self.energy.value_at('mean', k) or 0.0, 3)} nats")]
        if "kl" in self.kl.names:
            rows.append(("KL(chains‖p)", f"{fixed(self.kl.value_at('kl', k) or 0.0, 3)} nats"))
        self.pointed.emit(Pointed(f"Chain step {k:.0f}", tuple(rows)))

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "longest" and isinstance(value, int):
            self.set_longest(value)
        elif name == "order":
            self.set_order(str(value))

    def _on_picture_hovered(self, index: int | None) -> None:
        """Age and energy of a chain of the buffer."""
        if index is None or self._buffer is None or index >= len(self._buffer.arrays["ages"]):
            self.pointed.emit(None)
            return
        arrays = self._buffer.arrays
        rows = (("age", f"{int(arrays['ages'][index])} chain steps"),
                ("energy E", f"{fixed(float(arrays['energy'][index]), 2)} nats"))  # fmt: skip
        self.pointed.emit(Pointed(f"Chain {index + 1} of the buffer", rows))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for part in (self.map, self.pictures, self.bar, self.ages, self.energy, self.kl):
            part.restyle()
        self._draw_buffer()
        self._draw_long()
