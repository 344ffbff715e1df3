"""Rate–distortion: where the run stands, where it has been, and what other β would give."""

from __future__ import annotations

import numpy as np

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, Failed
from widgets.controls.chips import Chip
from widgets.figures import number
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.posterior.desk import Desk
from widgets.posterior.mode import Mode
from widgets.posterior.rate_plot import RatePlot, RatePoint
from widgets.posterior.sweep import ProgressLine, Work, keep
from widgets.posterior.words import figure, nats

BETAS: dict[str, list[int | float | str]] = {
    "β 0.1 … 10": [0.1, 0.3, 1.0, 3.0, 10.0],
    "β 0.25 … 4": [0.25, 0.5, 1.0, 2.0, 4.0],
    "β 0.5 … 32": [0.5, 1.0, 4.0, 16.0, 32.0],
}
STEPS, SEEDS = (300, 1000, 3000), (1, 3)
N_REST, N_LIVE = 512, 128


class RateMode(Mode):
    """The rate–distortion plane with a sweep in the background."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.plot = RatePlot(look)
        self.progress = ProgressLine(look)
        self._works: dict[str, Work] = {}
        self._trail: dict[int, tuple[float, float]] = {}
        self._now: Answer | None = None
        self.betas, self.steps, self.n_seeds = next(iter(BETAS)), STEPS[1], SEEDS[0]
        self.column.addWidget(self.progress)
        self.column.addWidget(self.plot, 1)
        for name, tip, entries in (
            ("betas", "Weights β of the KL that the copies are trained with",
             tuple((name, name) for name in BETAS)),
            ("steps", "Training steps of each copy", tuple((f"{n} steps", n) for n in STEPS)),
            ("seeds", "Trainings for each β", tuple((f"seeds: {n}", n) for n in SEEDS)),
        ):  # fmt: skip
            self.tools.add_choice(name, tip)
            self.tools.set_choices(name, entries)
        self.tools.set_choice("steps", self.steps)
        self.tools.add_button("start", "Start sweep", "Train copies of the model with each β in "
                              "the background; the run in view goes on")  # fmt: skip
        self.tools.add_button("stop", "Stop", "End the sweep; what it has found stays")
        self.tools.chosen.connect(self._on_chosen)
        self.tools.pressed.connect(self._on_pressed)
        self.plot.hovered.connect(self._on_hovered)

    @property
    def work(self) -> Work | None:
        """The sweep of the run in view."""
        return None if self.desk.info is None else self._works.get(self.desk.info.run)

    @property
    def has_beta(self) -> bool:
        """Whether the model has a weight of the KL to sweep."""
        info = self.desk.info
        return info is not None and any(spec.name == "beta" for spec in info.card.fields)

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run: its own sweep comes back; one that was going on ends."""
        for work in self._works.values():
            work.running = False
        self._trail, self._now = {}, None
        self.plot.clear()
        for name in ("betas", "steps", "seeds"):
            self.tools.show_choice(name, self.has_beta)
        self._draw()

    def refusal(self) -> str:
        """A bound is needed."""
        return "" if self.desk.has(Capability.BOUND) else "needs a bound"

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Where the run stands; the sweep while it is wanted."""
        n = N_REST if rest else N_LIVE
        asked = {"rate": Question("rate_distortion", {"n": n, "n_draws": 8})}
        if self.work is not None and self.work.running:
            asked["sweep"] = self.work.question
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Another place, or another training of the sweep."""
        if part == "rate" and "rate" in answer.values:
            self._now = answer
            place = (figure(answer.values, "rate"), figure(answer.values, "distortion"))
            if place[0] is not None and place[1] is not None:
                self._trail[answer.step] = (place[0], place[1])
        elif part == "sweep" and self.work is not None:
            self.work.take(answer, "rate")
            if answer.final:
                self.asks_changed.emit()
        self._draw()
        self.chips_changed.emit()

    def show_failed(self, part: str, failed: Failed) -> bool:
        """The sweep ends with what it has found."""
        if part == "sweep" and self.work is not None:
            self.work.running = False
            self._draw()
        return False

    def chips(self) -> tuple[Chip, ...]:
        """Rate, distortion and the check of their sum."""
        palette, chips = self.look.palette, []
        if self._now is not None:
            v = self._now.values
            for name, words in (("rate", "rate R"), ("distortion", "distortion D")):
                text = f"{words} {nats(figure(v, name), figure(v, f'{name}_error'))}"
                chips.append(Chip(text, "Mean over held-out data, ± one standard error",
                                  palette.text, "dot", framed=True))  # fmt: skip
            residual = figure(v, "residual")
            if residual is not None:
                text = f"R + D = −ELBO to {number(residual, 1)} nats"
                tip = "Largest abs of R + D + ELBO over single events: 0 up to rounding"
                chips.append(Chip(text, tip, palette.good, "dot", framed=True))
        if self.work is not None and self.work.running:
            beta = figure(self.work.note, "beta")
            where = "" if beta is None else f" β = {beta:g}"
            text = f"training{where}: {100 * self.work.progress:.0f} %"
            chips.append(Chip(text, "Copies of the model, in the background", framed=True))
        if not self.has_beta and self.desk.info is not None:
            text = "no sweep: this model has no β"
            tip = "Choose a model whose KL has a weight, such as β-VAE, to sweep it"
            chips.append(Chip(text, tip, dim=True, framed=True))
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        self.plot.restyle()
        self.progress.restyle()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        work, points = self.work, []
        swept: dict[int, list[tuple[float, float, float]]] = {}
        for answer in [] if work is None else work.answers:
            v = answer.values
            place = _point(v, f"β = {figure(v, 'beta'):g}", "model")
            points.append(place)
            seed = int(figure(v, "seed") or 0)
            swept.setdefault(seed, []).append((figure(v, "beta") or 0.0, place.rate,
                                               place.distortion))  # fmt: skip
        entropy = None
        if self._now is not None:
            beta = figure(self._now.values, "beta")
            words = "this run" + ("" if beta is None else f", β = {beta:g}")
            points.append(_point(self._now.values, words, "text", large=True))
            entropy = figure(self._now.values, "entropy")
        sweeps = [np.array([row[1:] for row in sorted(rows)]) for rows in swept.values()]
        trail = np.array([self._trail[step] for step in sorted(self._trail)]).reshape(-1, 2)
        self.plot.set_points(points, sweeps=sweeps, trail=trail, entropy=entropy)
        running = work is not None and work.running
        self.progress.show_share(0.0 if work is None else work.progress)
        self.progress.setVisible(running)
        self.tools.show_button("start", self.has_beta and not running)
        self.tools.show_button("stop", running)

    def _on_hovered(self, place: tuple[float, float] | None) -> None:
        if place is None or not self.plot.points:
            self.pointed.emit(None)
            return
        span = [max(abs(p.rate) for p in self.plot.points) or 1.0,
                max(abs(p.distortion) for p in self.plot.points) or 1.0]  # fmt: skip
        nearest = min(
            self.plot.points,
            key=lambda p: (
                ((p.rate - place[0]) / span[0]) ** 2 + ((p.distortion - place[1]) / span[1]) ** 2
            ),
        )
        rows = (("rate R", nats(nearest.rate, nearest.rate_error)),
                ("distortion D", nats(nearest.distortion, nearest.distortion_error)),
                ("R + D = −ELBO", nats(nearest.rate + nearest.distortion)))  # fmt: skip
        self.pointed.emit(Pointed(nearest.text, rows))

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: Value) -> None:
        if name == "betas":
            self.betas = str(value)
        elif name == "steps" and isinstance(value, int):
            self.steps = value
        elif name == "seeds" and isinstance(value, int):
            self.n_seeds = value

    def _on_pressed(self, name: str) -> None:
        if name == "stop" and self.work is not None:
            self.work.running = False
        elif name == "start" and self.desk.info is not None:
            wanted: dict[str, Value] = {
                "betas": BETAS[self.betas], "steps": self.steps, "n_seeds": self.n_seeds,
            }  # fmt: skip
            keep(self._works, self.desk.info.run, Work("beta_sweep", wanted))
        self._draw()
        self.chips_changed.emit()
        self.asks_changed.emit()


def _point(v: dict[str, Value], text: str, role: str, *, large: bool = False) -> RatePoint:
    def known(name: str) -> float:
        found = figure(v, name)
        return float("nan") if found is None else found

    errors = (figure(v, "rate_error") or 0.0, figure(v, "distortion_error") or 0.0)
    return RatePoint(known("rate"), known("distortion"), *errors, text, role, large)
