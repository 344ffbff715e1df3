"""Factors: does one unit stand for one factor; and what is the code good for with few labels."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed
from widgets.controls.chips import Chip
from widgets.controls.empty import EmptyState
from widgets.figures import fixed
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.pixels.mode import lay_out
from widgets.plots.curves import CurvePlot, Stroke
from widgets.posterior.desk import Desk
from widgets.posterior.mode import Mode, Page
from widgets.posterior.score_plot import ScorePlot, SeedScore
from widgets.posterior.sweep import ProgressLine, Work, keep
from widgets.posterior.words import figure, names, numbers

SEEDS, FIRST_SEEDS = (3, 5, 10), 5
SCORES = (
    ("beta_vae", "β-VAE metric",
     "Higgins et al. 2017: a linear classifier says which factor was held still"),
    ("factor_vae", "FactorVAE metric",
     "Kim and Mnih 2018: the unit that varies least says which factor was held still"),
    ("mig", "MIG, histograms",
     "Chen et al. 2018: gap between a factor's two most informative units, 20 bins, over H"),
    ("mig_sampled", "MIG, sampled q",
     "The same with mutual information from draws of q; too low where q is very narrow"),
)  # fmt: skip
SPREAD = "± is one standard deviation over seeds; a factor is held within 1/20 of its range"
NOTHING = "These data have neither known factors nor labels; choose sprites, digits or MNIST."


class FactorsMode(Mode):
    """Disentanglement scores and the linear probe, in the background."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.scores = ScorePlot(look)
        self.curves = CurvePlot(look)
        self.note = EmptyState(look)
        self.progress = ProgressLine(look)
        self._works: dict[str, dict[str, Work]] = {"scores": {}, "labels": {}}
        self.n_seeds = FIRST_SEEDS
        self._right = QWidget()
        right = QVBoxLayout(self._right)
        right.setContentsMargins(0, 0, 0, 0)
        right.addWidget(self.curves)
        right.addWidget(self.note)
        self.tools.add_choice("seeds", "Seeds: each sees other data and other few labels")
        self.tools.set_choices("seeds", tuple((f"seeds: {n}", n) for n in SEEDS))
        self.tools.set_choice("seeds", self.n_seeds)
        self.tools.add_button("start", "Measure", "Score the code of these weights in the "
                              "background; the run goes on")  # fmt: skip
        self.tools.add_button("stop", "Stop", "End the measurement; what it has found stays")
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(self._on_pressed)
        self.curves.set_names("labels to learn from", "accuracy on held-out data")
        self.curves.set_log_x(True)
        self.curves.set_fit("whole")
        self.curves.hovered.connect(self._on_hovered)
        self.column.addWidget(self.progress)
        self.column.addWidget(Page(self.grid), 1)
        self.arrange("even")

    def arrange(self, shape: str) -> None:
        """Side by side, or one above the other in a tall room."""
        if shape == "tall":
            lay_out(self.grid, ((self.scores,), (self._right,)), (1, 1), (1,))
        else:
            lay_out(self.grid, ((self.scores, self._right),), (1,), (1, 1))

    # --- run ----------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[str, ...]:
        """What these data allow: scores of factors, accuracy with labels."""
        info = self.desk.info
        if info is None:
            return ()
        found = ["scores"] if info.data.factors else []
        return (*found, "labels") if info.data.labels else tuple(found)

    def work(self, part: str) -> Work | None:
        """The measurement of the run in view."""
        info = self.desk.info
        return None if info is None else self._works[part].get(info.run)

    @property
    def is_running(self) -> bool:
        """Whether any measurement goes on."""
        return any(w is not None and w.running for w in map(self.work, self._works))

    def open(self) -> None:
        """Another run: what was measured of it comes back; what was going on ends."""
        for works in self._works.values():
            for work in works.values():
                work.running = False
        self.curves.clear()
        self._draw()

    def refusal(self) -> str:
        """An encoder and a decoder are needed."""
        wanted = (Capability.ENCODING, Capability.DECODING)
        return "" if self.desk.has(*wanted) else "needs an encoder and a decoder"

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """What goes on."""
        works = {part: self.work(part) for part in self._works}
        return {part: w.question for part, w in works.items() if w is not None and w.running}

    def show_answer(self, part: str, answer: Answer) -> None:
        """One seed, or one accuracy, more."""
        work = self.work(part) if part in self._works else None
        if work is None:
            return
        work.take(answer, "beta_vae" if part == "scores" else "counts")
        work.answers = work.answers[-1:]
        self._draw()
        self.chips_changed.emit()
        if answer.final:
            self.asks_changed.emit()

    def show_failed(self, part: str, failed: Failed) -> bool:
        """The measurement ends with what it has found."""
        work = self.work(part) if part in self._works else None
        if work is not None:
            work.running = False
            self._draw()
        return False

    def chips(self) -> tuple[Chip, ...]:
        """Of what and how it was measured."""
        palette, chips = self.look.palette, []
        scores, labels = self._newest("scores"), self._newest("labels")
        if scores is not None:
            v = scores.values
            factors = ", ".join(names(v, "factors"))
            chips.append(
                Chip(
                    f"code of {v.get('units')} units, step {scores.step}",
                    "The mean of q(z|x) is the code",
                    palette.model,
                    "dot",
                    framed=True,
                )
            )
            chips.append(Chip(f"factors: {factors}", "Known of these data", framed=True))
            chips.append(Chip(f"estimate, {v.get('n')} observations", SPREAD, framed=True))
        if labels is not None:
            chips.append(Chip(f"judged on {labels.values.get('n_test')} held-out observations",
                              "Logistic regression on frozen features, both the same way",
                              framed=True))  # fmt: skip
        if self.is_running:
            share = min(w.progress for w in map(self.work, self._works) if w and w.running)
            chips.append(Chip(f"measuring: {100 * share:.0f} %", "In the background", framed=True))
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.scores, self.curves, self.progress):
            part.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _newest(self, part: str) -> Answer | None:
        work = self.work(part)
        return work.answers[-1] if work is not None and work.answers else None

    def _draw(self) -> None:
        running, parts = self.is_running, self.parts
        works = [w for w in map(self.work, self._works) if w is not None and w.running]
        self.progress.setVisible(running)
        self.progress.show_share(min((w.progress for w in works), default=0.0))
        self.tools.show_button("start", bool(parts) and not running)
        self.tools.show_button("stop", running)
        self._draw_scores()
        self._draw_labels()

    def _draw_scores(self) -> None:
        answer = self._newest("scores")
        if answer is None:
            hint = "The code's units are scored against the known factors of the data: press "
            hint += "Measure."
            if "scores" not in self.parts:
                hint = (
                    "The factors of these data are not known, so nothing can be scored; sprites "
                )
                hint += "have five of them."
            self.scores.set_scores((), "", hint)
            return
        v = answer.values
        chance = figure(v, "chance") or 0.0
        rows = tuple(
            SeedScore(title, tuple(s for s in numbers(v, name) if math.isfinite(s)),
                      0.0 if name.startswith("mig") else chance, words)
            for name, title, words in SCORES
        )  # fmt: skip
        n = len(numbers(v, "mig"))
        title = f"disentanglement, mean of {n} seed{'s' if n > 1 else ''}"
        self.scores.set_scores(tuple(row for row in rows if row.values), title, "")

    def _draw_labels(self) -> None:
        answer, palette = self._newest("labels"), self.look.palette
        self.curves.setVisible(answer is not None)
        self.note.setVisible(answer is None)
        if answer is None:
            known = "labels" in self.parts
            hint = "A linear classifier learns from 10 to 300 labels, on the latents and on the "
            hint += "raw values: press Measure."
            self.note.say("What is the code good for with few labels?" if known else
                          "These data have no labels", hint if known else NOTHING)  # fmt: skip
            return
        counts = answer.arrays["counts"].astype(np.float64)
        for name, words, colour in (("latents", "frozen latents", palette.model),
                                    ("raw", "raw values", palette.data)):  # fmt: skip
            self._draw_accuracy(name, words, colour, counts, answer.arrays[name])
        chance = figure(answer.values, "chance")
        if chance is not None:
            stroke = Stroke("chance", palette.truth, 1.4, dashed=True,
                            tooltip="Always the most frequent class")  # fmt: skip
            self.curves.set_floor("chance", chance, stroke)
        self.curves.set_pinned(y=0.0)
        self.curves.fit()

    def _draw_accuracy(
        self, name: str, words: str, colour: str, counts: np.ndarray, table: np.ndarray
    ) -> None:
        known = np.isfinite(table)
        count = np.maximum(known.sum(1), 1)
        mean = np.where(known.any(1), np.nansum(table, 1) / count, np.nan)
        away = np.where(known, table - mean[:, None], 0.0)
        spread = np.sqrt(np.square(away).sum(1) / np.maximum(count - 1, 1))
        ok = np.isfinite(mean)
        x, mean, spread = counts[ok], mean[ok], spread[ok]
        if not len(x):
            return
        loop = np.concatenate([x, x[::-1], x[:1]])
        edge = np.concatenate([mean + spread, (mean - spread)[::-1], (mean + spread)[:1]])
        band = Stroke("", colour, 1.0, opacity=0.4, scaled=False, thinned=False)
        self.curves.set_curve(f"{name} band", loop, edge, band)
        tip = f"Accuracy on {words}: mean over seeds, the band is one standard deviation"
        self.curves.set_curve(name, x, mean, Stroke(words, colour, 2.0, tooltip=tip))

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        answer = self._newest("labels")
        if place is None or answer is None:
            self.pointed.emit(None)
            return
        counts = answer.arrays["counts"]
        row = int(np.argmin(np.abs(np.log(counts) - np.log(max(place[0], 1.0)))))
        rows = []
        for name, words in (("latents", "frozen latents"), ("raw", "raw values")):
            found = answer.arrays[name][row]
            found = found[np.isfinite(found)]
            if len(found):
                spread = float(found.std(ddof=1)) if len(found) > 1 else 0.0
                rows.append((words, f"{fixed(float(found.mean()), 3)} ± {fixed(spread, 3)}"))
        self.pointed.emit(Pointed(f"{int(counts[row])} labels", tuple(rows)))

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: Value) -> None:
        if isinstance(value, int):
            self.n_seeds = value

    def _on_pressed(self, name: str) -> None:
        info = self.desk.info
        if name == "stop":
            for work in map(self.work, self._works):
                if work is not None:
                    work.running = False
        elif info is not None:
            self.curves.clear()
            probes = {"scores": "factor_scores", "labels": "label_probe"}
            for part in self.parts:
                work = Work(probes[part], {"n_seeds": self.n_seeds})
                keep(self._works[part], info.run, work)
        self._draw()
        self.chips_changed.emit()
        self.asks_changed.emit()
