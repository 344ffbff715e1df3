"""Truth: whether the chains have mixed, where they spend their time, and how biased they are."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtWidgets import QBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed
from widgets.chains.desk import Desk
from widgets.chains.mode import Mode
from widgets.chains.occupancy import OccupancyBars
from widgets.chains.small_map import SmallMap
from widgets.chains.words import kernel_words
from widgets.controls.chips import Chip
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import Toggle
from widgets.figures import as_float, fixed, number
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.words import spaced
from widgets.plots.colours import part_colour, table
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.layers import Box
from widgets.plots.ranges import StickyCeiling

Floats: TypeAlias = npt.NDArray[Any]

MAPS = {
    "exact": ("exp(−E/T)/Z, exact", "Masses of the cells, by quadrature"),
    "shares": ("the chains, later half", "Histogram of the states of the second half of the walk"),
    "mala_shares": ("MALA, the same λ", "With accept or reject: exact at every step size"),
}
#: The hue of MALA where it stands beside another kernel.
MALA_PART = 3
#: From this R-hat on chains tell different stories.
UNMIXED = 1.05
COMPARE = Toggle(
    "compare",
    "MALA beside it",
    "The same walk with accept or reject, for comparison",
    "good",
    True,
)
TOO_WIDE = "is told against exp(−E/T)/Z by quadrature, which needs events of two values"
WALKING = ("The chains are walking …", "The first look comes after a quarter of the walk.")
#: The chains that are judged are as long as the walk, but not shorter than this.
LEAST_STEPS = 100
#: Chains that are judged at most, and while the model trains.
MOST_CHAINS, LIVE_CHAINS = 2000, 300


class TruthMode(Mode):
    """Traces and autocorrelation on the left; occupancy and the laws on the right."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.traces, self.correlation = CurvePlot(look), CurvePlot(look, wrap_legend=True)
        self.bars = OccupancyBars(look)
        self.maps = {name: SmallMap(look, tip) for name, (_, tip) in MAPS.items()}
        self._limit = StickyCeiling()
        self._answer: Answer | None = None
        self._which = 0
        self._build()

    def _build(self) -> None:
        self.tools.add_toggle(COMPARE)
        self.tools.add_choice("which", "The quantity whose traces are drawn")
        self._name_quantities(("x", "y", "E"))
        self.correlation.set_names("lag, chain steps", "autocorrelation")
        self.correlation.set_fit("whole")
        self.wait, self._stack, content = EmptyState(self.look), QStackedWidget(), QWidget()
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, content)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(10)
        left, right = QVBoxLayout(), QVBoxLayout()
        for plot in (self.traces, self.correlation):
            plot.setMinimumSize(1, 1)
            left.addWidget(plot, 1)
        for index, shown in enumerate(self.maps.values()):
            self.grid.addWidget(shown, 0, index)
            self.grid.setColumnStretch(index, 1)
        right.addWidget(self.bars, 4)
        right.addLayout(self.grid, 5)
        self._row.addLayout(left, 4)
        self._row.addLayout(right, 6)
        self._stack.addWidget(self.wait)
        self._stack.addWidget(content)
        self.column.addWidget(self._stack, 1)
        self.tools.toggled.connect(self.set_compared)
        self.tools.chosen.connect(self._on_chosen)
        self.bars.pointed.connect(self.pointed)
        self.traces.hovered.connect(self._on_trace_hovered)

    def arrange(self, shape: str) -> None:
        """Traces above in a tall room, else on the left."""
        way = QBoxLayout.Direction
        self._row.setDirection(way.TopToBottom if shape == "tall" else way.LeftToRight)

    def set_compared(self, name: str, on: bool) -> None:
        """MALA beside it, or not."""
        self.tools.set_on(name, on)
        self.asks_changed.emit()

    @property
    def which(self) -> int:
        """The quantity that is traced: 0, 1 or 2."""
        return self._which

    def set_which(self, which: int) -> None:
        """Trace another quantity."""
        self._which = which
        self.tools.set_choice("which", which)
        self.traces.clear()
        self._draw()

    def refusal(self) -> str:
        """The law is known by quadrature."""
        return TOO_WIDE if self.desk.is_wide else ""

    def open(self) -> None:
        """Another run: nothing is known."""
        self._answer = None
        self.wait.say(*WALKING)
        self._stack.setCurrentIndex(0)
        for plot in (self.traces, self.correlation):
            plot.clear()
        self.bars.clear()
        self._limit.reset()
        for shown in self.maps.values():
            shown.clear()

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The walk's law, by a walk of its own from the same starts."""
        desk = self.desk
        if desk.is_wide or (desk.window is None and not desk.has_target):
            return {}
        most = MOST_CHAINS if rest else LIVE_CHAINS
        arguments = self._walked() | {
            "n": min(desk.n, most), "steps": max(desk.steps, LEAST_STEPS),
            "compare": self.tools.is_checked("compare"),
        }  # fmt: skip
        if desk.start == "click" and desk.at is not None:
            arguments["at"] = list(desk.at)
        return {"law": Question("chain_truth", arguments, live=rest, stream=True)}

    def _walked(self) -> dict[str, Value]:
        """Settings of a walk that an answer tells again."""
        return self.desk.moves() | {"seed": self.desk.seed, "start": self.desk.start}

    def show_failed(self, part: str, failed: Failed) -> bool:
        """Nothing is on its way any more; the panel's banner says why."""
        self.wait.say("The chains could not be judged.")
        return False

    def show_answer(self, part: str, answer: Answer) -> None:
        """All numbers of a walk."""
        traces = answer.arrays.get("traces")
        if part == "law" and traces is not None and traces.ndim == 3 and traces.shape[2] == 3:
            self._answer = answer
            self._stack.setCurrentIndex(1)
            names = answer.values.get("names")
            if isinstance(names, list) and len(names) == 3:
                self._name_quantities(tuple(map(str, names)))
            self._draw()

    def chips(self) -> tuple[Chip, ...]:
        """The verdict in numbers."""
        if self._answer is None:
            return ()
        values, palette = self._answer.values, self.look.palette
        r_hat, ess = _three(values.get("r_hat")), _three(values.get("ess"))
        chips = []
        if any(values.get(name, value) != value for name, value in self._walked().items()):
            chips.append(Chip("of the settings before; the chains walk anew …", WALKING[1],
                              palette.warning, "dot", framed=True))  # fmt: skip
        steps = int(as_float(values.get("steps")) or 0)
        if steps:
            chips.append(Chip(f"steps {spaced(steps // 2)} to {spaced(steps)}",
                              "The second half of the walk is judged", framed=True))  # fmt: skip
        worst = float(np.nanmax(r_hat)) if np.isfinite(r_hat).any() else float("nan")
        if np.isfinite(worst):
            bad = worst > UNMIXED
            words = f"R-hat {fixed(worst, 2)}" + (": not mixed" if bad else "")
            chips.append(Chip(
                words, "The worst of x, y and E, rank-normalised and split, over the second half "
                "of 64 chains; from 1.05 on they tell different stories",
                palette.error if bad else palette.good, "" if bad else "dot", framed=True,
                alarm=bad,
            ))  # fmt: skip
        judged = as_float(values.get("n_judged"))
        if np.isfinite(ess).any() and judged:
            least = round(float(np.nanmin(ess)))
            chips.append(Chip(
                f"ESS {spaced(least)} of {spaced(int(judged))}",
                "Effective sample size, the worst of x, y and E: as how many independent draws "
                "the states of 64 chains count", framed=True,
            ))  # fmt: skip
        rate = as_float(values.get("acceptance"))
        if rate is not None and rate < 1.0:
            chips.append(Chip(f"accepted {rate:.0%}", "Mean over the second half", framed=True))
        lost = as_float(values.get("diverged"))
        if lost:
            chips.append(Chip(f"{lost:.0%} diverged", "States that are no numbers: λ is too large",
                              palette.error, framed=True, alarm=True))  # fmt: skip
        beside = part_colour(MALA_PART, dark=palette.name == "dark")
        for prefix, name in (("", self._title), ("mala_", "MALA")):
            bias = as_float(values.get(f"{prefix}bias"))
            floor = as_float(values.get(f"{prefix}floor"))
            if bias is not None and floor is not None:
                chips.append(Chip(
                    f"{name}: {fixed(bias, 3)} nats from exact (chance {number(floor, 1)})",
                    "KL of the histogram from exp(−E/T)/Z, less the part that more chains would "
                    "take away", palette.model if not prefix else beside, "dot",
                    framed=True))  # fmt: skip
        chips.append(Chip(f"step {spaced(self._answer.step)}", "Training step of these weights",
                          framed=True))  # fmt: skip
        return tuple(chips)

    @property
    def _title(self) -> str:
        """The kernel that was judged, which need not be the one chosen by now."""
        told = self._answer.values.get("kernel") if self._answer is not None else None
        return kernel_words(str(told or self.desk.kernel)).title

    # --- drawing ------------------------------------------------------------------------------

    def _name_quantities(self, names: tuple[str, ...]) -> None:
        entries = tuple((f"trace of {name}", index) for index, name in enumerate(names))
        self.tools.set_choices("which", entries)
        self.tools.set_choice("which", self._which)
        self._names = names

    def _draw(self) -> None:
        if self._answer is None:
            return
        self._draw_traces(np.asarray(self._answer.arrays["traces"], np.float64))
        self._draw_correlation()
        self._draw_maps()
        arrays, palette = self._answer.arrays, self.look.palette
        beside = part_colour(MALA_PART, dark=palette.name == "dark")
        groups = [("data's own density", palette.truth, "true_masses"),
                  ("exp(−E/T)/Z, exact", palette.text, "masses"),
                  (self._title, palette.model, "occupied"),
                  ("MALA", beside, "mala_occupied")]  # fmt: skip
        self.bars.set_groups([
            (words, colour, np.asarray(arrays[name], np.float64))
            for words, colour, name in groups if name in arrays
        ])  # fmt: skip
        self.chips_changed.emit()

    def _draw_traces(self, traces: Floats) -> None:
        palette, steps = self.look.palette, np.arange(len(traces))
        name = self._names[self._which]
        unit = ", nats" if name == "E" else ""
        self.traces.set_names("chain step k", f"{name}{unit}")
        for chain in range(traces.shape[1]):
            colour = part_colour(chain, dark=palette.name == "dark")
            self.traces.set_curve(f"{chain}", steps, traces[:, chain, self._which], Stroke(
                f"{chain + 1}" if chain else "chain 1", colour, 1.0, opacity=0.8,
                tooltip=f"Chain {chain + 1}; the second half of the walk is judged",
            ))  # fmt: skip
        self.traces.fit()

    def _draw_correlation(self) -> None:
        if self._answer is None:
            return
        found = np.asarray(self._answer.arrays["correlation"], np.float64)
        palette = self.look.palette
        colours = (palette.model, palette.data, palette.text)
        for index, name in enumerate(self._names):
            self.correlation.set_curve(name, np.arange(len(found)), found[:, index], Stroke(
                name, colours[index], 1.8,
                tooltip="Deviations are from the mean over all chains: chains that are stuck "
                        "stay correlated for ever",
            ))  # fmt: skip
        self.correlation.set_floor("zero", 0.0, Stroke(
            "", palette.muted, 1.0, dashed=True, tooltip="Independent"))  # fmt: skip
        self.correlation.fit()

    def _draw_maps(self) -> None:
        if self._answer is None:
            return
        arrays, values = self._answer.arrays, self._answer.values
        low, high = values.get("low"), values.get("high")
        if not isinstance(low, list) or not isinstance(high, list) or len(low) != 2:
            return
        ends = np.array([low, high], np.float64)
        box = Box((ends[0, 0], ends[0, 1]), (ends[1, 0], ends[1, 1]))
        if "exact" not in arrays or not box.is_proper:
            return
        top = self._limit.update(float(np.nan_to_num(arrays["exact"]).max(initial=0.0))) or 1.0
        colours = table(self.look.palette.sequential)
        titles = {name: words for name, (words, _) in MAPS.items()}
        for prefix, name in (("", "shares"), ("mala_", "mala_shares")):
            kl = as_float(values.get(f"{prefix}kl"))
            if kl is not None:
                titles[name] += f": KL {fixed(kl, 3)} nats"
        for name, shown in self.maps.items():
            shown.setVisible(name in arrays)
            shown.set_title(titles[name])
            shown.frame.set_names(self._names[0], self._names[1])
            if name in arrays and arrays[name].ndim == 2:
                grid = np.asarray(arrays[name], np.float64)
                shown.set_values(np.nan_to_num(grid), box, colours, (0.0, top))

    def _on_trace_hovered(self, place: tuple[float, float] | None) -> None:
        if place is None or self._answer is None:
            self.pointed.emit(None)
            return
        traces = self._answer.arrays["traces"]
        k = min(max(round(place[0]), 0), len(traces) - 1)
        rows = tuple(
            (f"chain {chain + 1}", number(float(traces[k, chain, self._which])))
            for chain in range(traces.shape[1])
        )
        self.pointed.emit(Pointed(f"{self._names[self._which]} at step {k}", rows))

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "which" and isinstance(value, int):
            self.set_which(value)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        for plot in (self.traces, self.correlation):
            plot.restyle()
        self.bars.restyle()
        for shown in self.maps.values():
            shown.restyle()
        self._draw()


def _three(value: object) -> Floats:
    found = np.full(3, np.nan)
    if isinstance(value, list) and len(value) == 3:
        found = np.array([np.nan if v is None else float(v) for v in value])
    return found
