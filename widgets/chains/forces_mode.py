"""Forces: data pull the energy down, samples push it up; their sum is one step of training."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QStackedWidget, QWidget

from engine.wire.capability import Capability
from engine.wire.messages import Answer, Failed
from widgets.chains.desk import Desk
from widgets.chains.mode import Mode
from widgets.chains.small_map import SmallMap, box_of
from widgets.chains.surface import REACH
from widgets.chains.walk_mode import TIPS, WalkMode
from widgets.chains.words import counted
from widgets.controls.chips import Chip
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import Toggle
from widgets.figures import as_float, fixed, number
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.transport import PixelTransport
from widgets.pixels.words import spaced
from widgets.plots.colour_bar import ColourBar
from widgets.plots.colours import table
from widgets.plots.ranges import StickyCeiling

Bools: TypeAlias = npt.NDArray[np.bool_]

MAPS = {
    "positive": ("Data pull down", "Positive phase: −η ⟨∂E/∂θ, mean of ∇E(data)⟩"),
    "negative": ("Chains push up", "Negative phase: +η ⟨∂E/∂θ, mean of ∇E(chains)⟩, with the "
                 "chains where they are at this step"),
    "sum": ("The sum: one step of training", "What a plain gradient step does to the energy"),
    "exact": ("The sum with exact samples", "The same with the exact mean over p(x) = exp(−E)/Z "
              "in the place of the chains, by quadrature"),
}  # fmt: skip
BAR_WORDS = "change of E per unit of η  [nats]"
TOGGLE = Toggle("points", "data and chains", "The points whose gradients are drawn", "data", True)
TAKEN = (
    "Gradients are being taken …",
    "Chains walk first; then come the forces at the step where the clock stands.",
)
#: Nodes a side at rest and while something moves; chains whose gradient is taken; data.
SIZE, LIVE_SIZE, MOST_CHAINS, N_DATA = 56, 28, 1000, 1000
#: Values of a map, where the energy is low, that its scale makes room for.
MIDDLE = 0.995
NO_FORCES = (
    "a normalised model has −log p as its energy, whose mean gradient over exact samples is 0: "
    "data alone pull; see it with the energy-based model"
)
NO_PLANE = "needs observations of two values, where exact samples are known by quadrature"


class ForcesMode(Mode):
    """Two maps of the phases above, their sum and the exact sum below."""

    def __init__(self, look: Look, desk: Desk, walk: WalkMode) -> None:
        super().__init__(look, desk)
        self.walk = walk
        self.maps = {name: SmallMap(look, tip) for name, (_, tip) in MAPS.items()}
        self.bars = ColourBar(look), ColourBar(look)
        self.limits = StickyCeiling(), StickyCeiling()
        self.transport = PixelTransport(look, walk.clock, tips=TIPS, things="Steps")
        self._answer: Answer | None = None
        self._build()

    def _build(self) -> None:
        self.tools.add_toggle(TOGGLE)
        for index, (name, shown) in enumerate(self.maps.items()):
            shown.set_title(MAPS[name][0])
            self.grid.addWidget(shown, index // 2, index % 2)
            self.grid.setColumnStretch(index % 2, 1)
            self.grid.setRowStretch(index // 2, 1)
            shown.hovered.connect(self._on_hovered)
        for row, bar in enumerate(self.bars):
            self.grid.addWidget(bar, row, 2)
        self.wait, self._stack, content = EmptyState(self.look), QStackedWidget(), QWidget()
        content.setLayout(self.grid)
        self._stack.addWidget(self.wait)
        self._stack.addWidget(content)
        self.column.addWidget(self._stack, 1)
        self.column.addWidget(self.transport)
        self.tools.toggled.connect(self.set_shown)
        self.walk.clock.moved.connect(lambda _: self._on_moved())
        self.walk.clock.playing_changed.connect(lambda _: self.transport.show_clock())

    def refusal(self) -> str:
        """Two forces act where Z is unknown, and are drawn where exact samples are known."""
        info = self.desk.info
        if info is None:
            return ""
        if Capability.ENERGY not in info.card.capabilities:
            return NO_FORCES
        return NO_PLANE if self.desk.has_target or info.data.event.size != 2 else ""

    def open(self) -> None:
        """Another run: nothing pulls yet."""
        self._answer = None
        self.wait.say(*TAKEN)
        self._stack.setCurrentIndex(0)
        for shown in self.maps.values():
            shown.clear()
        for limit in self.limits:
            limit.reset()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The walk, and the forces with its chains where the clock stands."""
        if self.refusal():
            return {}
        asked = self.walk.questions(rest=rest)
        asked.pop("data", None)
        film, window = self.desk.film, self.desk.window
        if film is None or not film.rows or window is None:
            return asked
        chains = film.row(self.walk.clock.place)["points"][:MOST_CHAINS]
        if not np.isfinite(chains).all(1).any():
            return asked
        asked["forces"] = Question(
            "two_forces",
            {"low": list(window[0]), "high": list(window[1]), "size": SIZE, "n": N_DATA},
            {"negatives": np.ascontiguousarray(chains, np.float32)},
            coarse={"size": LIVE_SIZE},
        )
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Maps, or what the walk needs."""
        if part != "forces":
            self.walk.show_answer(part, answer)
            self.transport.show_clock()
            return
        if "positive" in answer.arrays and np.asarray(answer.arrays["positive"]).ndim == 2:
            self._answer = answer
            self._stack.setCurrentIndex(1)
            self._draw()

    def show_failed(self, part: str, failed: Failed) -> bool:
        """Nothing is on its way any more; the panel's banner says why."""
        self.wait.say("The forces could not be found.")
        return False

    def enter(self) -> None:
        """The clock may have moved meanwhile."""
        self._on_moved()

    def leave(self) -> None:
        """Time stands still."""
        self.walk.leave()

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """The keys of the walk's transport."""
        return self.walk.take_key(event, only_ask=only_ask)

    def set_shown(self, name: str, on: bool) -> None:
        """Switch the points."""
        self.tools.set_on(name, on)
        self._draw()

    def chips(self) -> tuple[Chip, ...]:
        """How near the gradient by chains is to the exact one."""
        if self._answer is None:
            return ()
        values, palette = self._answer.values, self.look.palette
        found = {n: as_float(values.get(n)) for n in (
            "cosine", "norm", "exact_norm", "mean_data", "mean_negatives", "mean_exact"
        )}  # fmt: skip
        told = {name: value for name, value in found.items() if value is not None}
        if len(told) < len(found):
            return ()
        n = int(as_float(values.get("n_negatives")) or 0)
        return (
            Chip(f"mean E: data {fixed(told['mean_data'], 2)}", "Nats, over the observations",
                 palette.data, "dot", framed=True),
            Chip(f"{counted(n, 'chain')} {fixed(told['mean_negatives'], 2)}",
                 "Nats, over the chains at this step", palette.model, "dot", framed=True),
            Chip(f"exact samples {fixed(told['mean_exact'], 2)} nats",
                 "∫ p(x) E(x) dx, by quadrature", palette.truth, "dot", framed=True),
            Chip(f"cosine with the exact gradient {fixed(told['cosine'], 3)}",
                 "Of the gradient by these chains and the exact one, over all weights; 1 is the "
                 "same direction", framed=True),
            Chip(f"length {number(told['norm'], 3)}, exact {number(told['exact_norm'], 3)}",
                 "Euclidean norms of the two gradients", framed=True),
            Chip("plain gradient step; Adam rescales each weight",
                 "The direction that the loss gives, before the optimiser", framed=True),
            Chip(f"step {spaced(self._answer.step)}", "Training step of these weights",
                 framed=True),
            *self._about_class(),
        )  # fmt: skip

    def _about_class(self) -> tuple[Chip, ...]:
        """Chains of one class are no draws of p(x)."""
        desk = self.desk
        if not 0 <= desk.of_class < len(desk.classes):
            return ()
        words = f"the chains are of class {desk.classes[desk.of_class]} alone: not p(x)"
        return (Chip(words, "Training pushes up where chains of all classes are",
                     self.look.palette.warning, "dot", framed=True),)  # fmt: skip

    # --- drawing ------------------------------------------------------------------------------

    def _on_moved(self) -> None:
        if not self.isVisible():
            return
        self.transport.show_clock()
        self.asks_changed.emit()

    def _draw(self) -> None:
        answer = self._answer
        if answer is None:
            return
        arrays, palette = answer.arrays, self.look.palette
        maps = {n: np.asarray(arrays[n], np.float64) for n in ("positive", "negative", "exact")}
        maps["sum"] = maps["positive"] + maps["negative"]
        box = box_of(np.asarray(arrays["x"]), np.asarray(arrays["y"]))
        if not box.is_proper:
            return
        colours = table(palette.signed)[::-1]
        pairs = (("positive", "negative"), ("sum", "exact"))
        surface = self.desk.surface
        near = self._near(answer)
        for names, limit, bar in zip(pairs, self.limits, self.bars, strict=True):
            both = np.abs(np.stack([maps[name][near] for name in names]))
            both = both[np.isfinite(both)]
            top = limit.update(float(np.quantile(both, MIDDLE)) if len(both) else 0.0) or 1.0
            bar.set_scale(colours, -top, top, BAR_WORDS, open_top=True, open_bottom=True)
            for name in names:
                self.maps[name].set_values(maps[name], box, colours, (-top, top))
                if surface is not None:
                    self.maps[name].set_lines(surface.lines, surface.starts)
                    self.maps[name].frame.set_names(*surface.names)
        self._draw_points(answer)
        self.chips_changed.emit()

    def _near(self, answer: Answer) -> Bools:
        """(H, W) where the energy is low: the scale makes room for what happens there."""
        x, y = (np.asarray(answer.arrays[name], np.float64) for name in ("x", "y"))
        surface = self.desk.surface
        if surface is None:
            return np.ones((len(y), len(x)), bool)
        places = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        near: Bools = (np.nan_to_num(surface.height_at(places), nan=np.inf) < REACH).reshape(
            len(y), len(x)
        )
        return near if near.any() else np.ones_like(near)

    def _draw_points(self, answer: Answer) -> None:
        palette, film = self.look.palette, self.desk.film
        on = self.tools.is_checked("points")
        data = np.asarray(answer.arrays.get("data", np.zeros((0, 2))), np.float64)
        chains = np.zeros((0, 2))
        if film is not None and film.rows:
            chains = film.row(self.walk.clock.place)["points"][:MOST_CHAINS].astype(np.float64)
        for name, points, colour in (
            ("positive", data, palette.data), ("negative", chains, palette.model)
        ):  # fmt: skip
            self.maps[name].set_dots(points if on else points[:0], colour)

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        if place is None or self._answer is None:
            self.pointed.emit(None)
            return
        rows = []
        for name, shown in self.maps.items():
            value = shown.value_at(place)
            if value is not None:
                rows.append((MAPS[name][0], f"{fixed(value, 3)} nats per unit of η"))
        self.pointed.emit(Pointed("Change of E here", tuple(rows)))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for shown in self.maps.values():
            shown.restyle()
        for bar in self.bars:
            bar.restyle()
        self._draw()
