"""Curves over steps: held-out NLL and KL with the entropy between them, or the divergences."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.messages import RunInfo
from widgets.figures import number
from widgets.look import Look
from widgets.metrics_table import MetricsTable
from widgets.plots.curves import CurvePlot, Stroke
from widgets.truth.series import DIVERGENCES, Floats, Series, at_steps
from widgets.truth.words import SCORES, Score

#: Column of the training figures that holds scores of data never trained on.
HELD_OUT = "held_out_nll"
#: A run opened after this step has no beginning to show.
LATE = 50
Y_NAMES = {
    "identity": "nats",
    "divergences": "nats (total variation: no unit)",
    "scores": "score ÷ upper end of its band",
}


class TruthCurves(QWidget):
    """One plot with three views: ``"identity"``, ``"divergences"`` and ``"scores"``."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._info: RunInfo | None = None
        self._record = Record()
        self.view = "identity"
        self.log_steps = False
        self.plot = CurvePlot(look, wrap_legend=True, parent=self)
        self.plot.set_fit("settled")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    def open(self, info: RunInfo, record: Record) -> None:
        """Another run is shown, with what is known of its past."""
        self._info, self._record = info, record
        self._start()

    def set_view(self, view: str) -> None:
        """Draw other curves."""
        self.view = view
        self._start()

    def draw(self, table: MetricsTable | None) -> None:
        """Draw what has come in by now."""
        if self._info is None:
            return
        self._pin()
        if self.view == "divergences":
            self._draw_divergences(self._record.divergences)
        elif self.view == "scores":
            self._draw_scores(self._record.scores)
        else:
            self._draw_identity(self._record.divergences, table)
        self.plot.fit()

    def reading(self, step: float) -> tuple[tuple[str, str], ...]:
        """The step nearest to a place, and each curve's value there."""
        rows: list[tuple[str, str]] = []
        for name in self.plot.names:
            value, label = self.plot.value_at(name, step), self.plot.label_of(name)
            if value is not None and label:
                rows.append((label.split(" = ")[0], f"{number(value)} {_unit(name)}".rstrip()))
        return (("step", f"{step:,.0f}".replace(",", " ")), *rows) if rows else ()

    def renew(self, info: RunInfo) -> None:
        """The same run goes on on other data, of another entropy."""
        self._info = info

    def clear(self) -> None:
        """No curves."""
        self._info = None
        self.plot.clear()

    def restyle(self) -> None:
        """Take colours from the look; the owner draws again."""
        self.plot.restyle()

    # --- drawing ------------------------------------------------------------------------------

    def _pin(self) -> None:
        """Begin at step 0, unless the run was opened when it had trained for long."""
        late = self._info is not None and self._info.step > LATE
        self.plot.set_pinned(x=None if late or self.log_steps else 0.0)

    def _start(self) -> None:
        self.plot.clear()
        self.plot.set_names("training step", Y_NAMES[self.view])

    def _draw_divergences(self, series: Series) -> None:
        palette = self._look.palette
        for name, label, colour, dashed in (
            ("kl", "KL(truth ‖ model)", palette.model, False),
            ("reverse_kl", "KL(model ‖ truth)", palette.model, True),
            ("js", "Jensen–Shannon", palette.text, False),
            ("tv", "total variation", palette.muted, False),
        ):
            steps, values = series.column(name)
            newest = values[-1] if len(values) else np.nan
            label = f"{label} = ∞" if len(values) and np.isnan(newest) else label
            self.plot.set_curve(name, steps, values, Stroke(label, colour, 1.8, dashed=dashed))

    def _draw_scores(self, series: Series) -> None:
        palette = self._look.palette
        colours = (palette.model, palette.text, palette.muted)
        for (name, title, _, words), colour in zip(SCORES, colours, strict=True):
            steps, ratios = series.column(name)
            self.plot.set_curve(name, steps, ratios, Stroke(title, colour, 1.8, tooltip=words))
        words = "Upper end of the 5–95 % band of a perfect sampler: below it nothing is seen"
        floor = Stroke("a perfect sampler", palette.truth, 1.6, dashed=True, tooltip=words)
        self.plot.set_floor("band", 1.0, floor)

    def _draw_identity(self, series: Series, table: MetricsTable | None) -> None:
        palette = self._look.palette
        steps, kl = series.column("kl")
        title, nll_steps, nll = self._score(series, table)
        bound = self._is_bound
        stroke = Stroke(title, palette.text, 1.8, tooltip="−log q(x) on average")
        self.plot.set_curve("score", nll_steps, nll, stroke)
        words = "KL(truth ‖ model): nats lost by describing the truth with the model"
        kl_label = "KL ≤" if bound else "KL"
        self.plot.set_curve("kl", steps, kl, Stroke(kl_label, palette.model, 1.8, tooltip=words))
        self._draw_entropy(steps, at_steps(steps, nll_steps, nll), kl)

    def _draw_entropy(self, steps: Floats, nll: Floats, kl: Floats) -> None:
        entropy = self._info.data.entropy if self._info is not None else None
        if entropy is None:
            return
        colour = self._look.palette.truth
        words = "The entropy, nats: no model can have a lower expected −log q(x)"
        label = f"H = {entropy:.3f}".replace("-", "−")
        self.plot.set_floor("entropy", entropy, Stroke(label, colour, 1.4, dashed=True,
                                                       tooltip=words))  # fmt: skip
        gap = nll - kl
        seen = np.flatnonzero(np.isfinite(gap))
        newest = f" = {gap[seen[-1]]:.3f}".replace("-", "−") if len(seen) else ""
        words = "Held-out NLL minus KL: the entropy, but for the noise of a finite held-out sample"
        stroke = Stroke(f"NLL − KL{newest}", colour, 1.8, tooltip=words)
        self.plot.set_curve("gap", steps, gap, stroke)
        self._draw_span(steps, nll, kl, seen)

    def _draw_span(self, steps: Floats, nll: Floats, kl: Floats, seen: Floats) -> None:
        """The difference made visible: an upright line from KL up to NLL, as long as H."""
        if not len(seen):
            self.plot.remove("span")
            return
        last = int(seen[-1])
        x, y = np.full(2, steps[last]), np.array([kl[last], nll[last]])
        stroke = Stroke("", self._look.palette.truth, 4.0, opacity=0.999, scaled=False)
        self.plot.set_curve("span", x, y, stroke)

    @property
    def _is_bound(self) -> bool:
        card = self._info.card if self._info is not None else None
        return card is not None and Capability.LOG_PROB not in card.capabilities and (
            Capability.BOUND in card.capabilities
        )  # fmt: skip

    def _score(self, series: Series, table: MetricsTable | None) -> tuple[str, Floats, Floats]:
        """Held-out NLL; by quadrature where training records none, or only another bound."""
        steps, values = table.column(HELD_OUT) if table is not None else (np.empty(0),) * 2
        known = self._info is not None and self._info.data.has_density and len(series)
        if len(steps) and not (self._is_bound and known):
            return "held-out NLL", steps, values
        label = "−bound, mean over the truth" if self._is_bound else "cross-entropy E_p[−log q]"
        return label, *series.column("cross_entropy")


@dataclass
class Record:
    """What is known of a run's past, by training step."""

    divergences: Series = field(default_factory=Series)
    scores: Series = field(default_factory=lambda: Series(tuple(name for name, *_ in SCORES)))

    @property
    def steps(self) -> Floats:
        """The steps of whichever was recorded, in rising order."""
        parts = (self.divergences.column(DIVERGENCES[0])[0], self.scores.column(SCORES[0][0])[0])
        return np.unique(np.concatenate(parts))

    def add_scores(self, step: int, scores: tuple[Score, ...]) -> None:
        """Take note of sample scores, in units of the upper ends of their bands."""
        names = (name for name, *_ in SCORES)
        self.scores.add(step, {n: s.ratio(s.value) for n, s in zip(names, scores, strict=True)})

    def clear(self) -> None:
        """Forget everything."""
        self.divergences.clear()
        self.scores.clear()


def _unit(name: str) -> str:
    if name == "band" or name in [score for score, *_ in SCORES]:
        return "× the band"
    return "" if name == "tv" else "nats"
