"""One step in words and numbers, and over all steps the energy and the acceptance."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from widgets.chains.desk import Desk
from widgets.chains.words import counted, kernel_words
from widgets.controls.equation import EquationView
from widgets.figures import fixed, number
from widgets.look import Look
from widgets.panel import Pointed
from widgets.plots.curves import CurvePlot, Stroke
from widgets.plots.image_grid import ImageGrid
from widgets.plots.rule import RuleLayer

Floats: TypeAlias = npt.NDArray[Any]

#: Chains whose pictures are shown.
SHOWN = 24
#: Seconds between two drawings of the curves while a walk arrives.
CALM_SECONDS = 0.2


class StepSide(QWidget):
    """Beside the stage.

    Signals:
        pointed: A :class:`~widgets.panel.Pointed`, or None.
    """

    pointed = Signal(object)

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__()
        self._look, self._desk = look, desk
        self._drawn = 0.0
        self.equation, self.words = EquationView(look), QLabel()
        self.words.setWordWrap(True)
        self.energy, self.acceptance = CurvePlot(look, wrap_legend=True), CurvePlot(look)
        self.energy.set_names("chain step k", "energy E, nats")
        self.acceptance.set_names("chain step k", "acceptance")
        self.acceptance.set_pinned(y=0.0)
        self.acceptance.set_fit("whole")
        self.rules = RuleLayer(look), RuleLayer(look)
        self.pictures = ImageGrid(look)
        self.pictures.set_title("the first chains at this step", look.palette.model)
        self.pictures.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for part, stretch in (
            (self.equation, 0), (self.words, 0), (self.pictures, 3), (self.energy, 3),
            (self.acceptance, 2),
        ):  # fmt: skip
            column.addWidget(part, stretch)
        for plot, rule in zip((self.energy, self.acceptance), self.rules, strict=True):
            plot.frame.add(rule)
            plot.hovered.connect(self._on_hovered)
        self.acceptance.hide()
        self.restyle()

    def clear(self) -> None:
        """Nothing walks."""
        for plot, rule in zip((self.energy, self.acceptance), self.rules, strict=True):
            plot.clear()
            rule.clear()
        self.acceptance.hide()
        self.pictures.hide()
        self.words.clear()
        self.equation.set_equation(kernel_words(self._desk.kernel).equation)

    def draw(self, *, calm: bool = False) -> None:
        """Draw the curves anew, not too often while ``calm``."""
        film = self._desk.film
        now = time.monotonic()
        if film is None or not film.rows or (calm and now - self._drawn < CALM_SECONDS):
            return
        self._drawn = now
        palette, steps = self._look.palette, np.arange(film.n)
        watch = min(self._desk.watch, film.n_chains - 1)
        if film.n_chains > 1:
            self.energy.set_curve("watched", steps, film.energies(watch), Stroke(
                f"chain {watch + 1}", palette.text, 1.0, opacity=0.35, scaled=False,
                tooltip="The watched chain; click another one in the picture"))  # fmt: skip
        else:
            self.energy.remove("watched")
        words = f"mean of {counted(film.n_chains, 'chain')}" if film.n_chains > 1 else "the chain"
        self.energy.set_curve("mean", steps, np.array(film.mean_energy), Stroke(
            words, palette.model, 2.0, tooltip="Σ E(xᵢ)/N over all chains at a step"))  # fmt: skip
        self._draw_level()
        self.energy.fit()
        adjusted = min(film.acceptance) < 1.0
        self.acceptance.setVisible(adjusted)
        if adjusted:
            self.acceptance.set_curve("rate", steps, np.array(film.acceptance), Stroke(
                "mean acceptance α", palette.good, 1.6,
                tooltip="Mean over the chains of the probability to accept"))  # fmt: skip
            self.acceptance.fit()

    def _draw_level(self) -> None:
        """The lowest energy in view."""
        surface = self._desk.surface
        if surface is None or surface.lowest != surface.lowest:
            self.energy.remove("lowest")
            return
        self.energy.set_floor("lowest", surface.lowest, Stroke(
            "lowest E in view", self._look.palette.muted, 1.2, dashed=True,
            tooltip="Chains do not settle there: volume counts as well as energy"))  # fmt: skip

    def follow(self, place: int) -> None:
        """The step that leaves from here."""
        film, desk = self._desk.film, self._desk
        if film is None or not film.rows:
            self.words.clear()
            return
        for rule in self.rules:
            rule.show_at(float(place), "", ())
        row, words = film.row(place), kernel_words(film.kernel_at(place))
        self._draw_pictures(row)
        self.equation.set_equation(words.equation)
        watch = min(desk.watch, film.n_chains - 1)
        if "proposal" not in row or watch >= len(row["proposal"]):
            self.words.setText(words.note)
            return
        parts = []
        for name in ("drift", "noise"):
            if name in row:
                parts.append(f"{name} {number(_length(row[name][watch]), 3)}")
        ends = _length(row["proposal"][watch].astype(np.float64) - row["points"][watch])
        parts.append(f"in all {number(ends, 3)}")
        verdict = _fate(row, watch, exact=film.acceptance[min(place, film.n - 1)] < 1.0)
        energy = fixed(float(row["energy"][watch]), 2)
        self.words.setText(
            f"Chain {watch + 1}, step {place} → {place + 1}: E = {energy} nats; "
            f"lengths: {', '.join(parts)}; {verdict}."
        )

    def _draw_pictures(self, row: dict[str, Floats]) -> None:
        """Whole events, where they are pictures."""
        info = self._desk.info
        shape = info.data.event.shape if info is not None else ()
        seen = "states" in row and info is not None and info.data.event.kind == "picture"
        self.pictures.setVisible(seen)
        if not seen:
            return
        states = np.nan_to_num(row["states"][:SHOWN].astype(np.float64), posinf=0.0, neginf=0.0)
        low, high = np.quantile(states, (0.02, 0.98))
        known = [side for side in shape if side is not None]
        if states.size and states.shape[1] == int(np.prod(known)):
            self.pictures.set_pictures(
                states.reshape(-1, *known),
                low=float(low),
                high=max(float(high), float(low) + 1e-9),
            )

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.words.setFont(self._look.font(0.88))
        self.words.setStyleSheet(f"color: {self._look.palette.muted}; background: transparent")
        for plot in (self.energy, self.acceptance):
            plot.restyle()
        self.pictures.restyle()
        self.draw()

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        film = self._desk.film
        if place is None or film is None or not film.rows:
            self.pointed.emit(None)
            return
        k = min(max(round(place[0]), 0), film.n - 1)
        rows = [("mean E", f"{fixed(film.mean_energy[k], 3)} nats")]
        rows.append(("mean acceptance", f"{film.acceptance[k]:.3f}"))
        self.pointed.emit(Pointed(f"Chain step {k}", tuple(rows)))


def _fate(row: dict[str, Floats], watch: int, *, exact: bool) -> str:
    """What becomes of a chain's proposal; a swap moves it after that, whatever became of it."""
    if not exact:
        return "taken as it is"
    accepted = bool(row["accepted"][watch])
    swaps = row.get("swapped")
    if swaps is not None and len(swaps) and watch < swaps.shape[1] and bool(swaps[0, watch]):
        fate = "accepted" if accepted else "refused"
        return f"{fate}, and then it changes places with the hotter replica next to it"
    return "accepted" if accepted else "refused: it stays"


def _length(way: Floats) -> float:
    return float(np.linalg.norm(np.asarray(way, np.float64)))
