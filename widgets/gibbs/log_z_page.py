"""log Z: exact where it can be counted, AIS with its interval beside it, and what hangs on it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.figures import as_float, fixed, with_error
from widgets.gibbs.desk import Desk
from widgets.gibbs.page import REDRAW_SECONDS, Page
from widgets.gibbs.states_table import StatesTable
from widgets.look import Look
from widgets.panel import Question
from widgets.pixels.mode import lay_out
from widgets.pixels.words import spaced
from widgets.plots.curves import CurvePlot, Stroke

LOG_Z = "log_z"
CHAINS = (20, 100, 500)
LONGEST = (300, 1000, 3000, 10_000)
#: The ladders before the longest: shares of its rungs.
SHARES = (0.03, 0.1, 0.3, 1.0)
#: While the model trains.
LIVE_RUNGS, LIVE_CHAINS = (30, 100), 20
RUNGS_TIP = (
    "K, rungs of the longest ladder between independent units and the machine; shorter ones show "
    "what length is worth"
)
PSEUDO_TIP = "Σ log p(xᵢ | the others): no probability of x, and not to be compared with log p"


class LogZPage(Page):
    """A column of numbers, AIS against its rungs, and all states of a small machine."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.figures = QLabel(self)
        self.curves = CurvePlot(look, wrap_legend=True, parent=self)
        self.states = StatesTable(look, desk, self)
        self.rungs, self.n_chains = LONGEST[1], CHAINS[1]
        self._answer: Answer | None = None
        self._whole_at = 0.0
        self._build()

    def _build(self) -> None:
        self.tools.add_choice("rungs", RUNGS_TIP)
        words = tuple((f"K = {spaced(n)} rungs", n) for n in LONGEST)
        self.tools.set_choices("rungs", words)
        self.tools.add_choice("chains", "N, chains that climb the ladder side by side")
        self.tools.set_choices("chains", tuple((f"N = {n} chains", n) for n in CHAINS))
        self._show_settings()
        self.figures.setTextFormat(Qt.TextFormat.RichText)
        self.figures.setWordWrap(True)
        self.figures.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.figures.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.figures.setMinimumSize(40, 40)
        self.figures.setToolTip(
            "Numbers are in nats. An interval is 95 %, and cannot know of mass that no chain found"
        )
        self.curves.set_names("rungs K", "log Z, nats")
        self.curves.set_log_x(True)
        self.tools.chosen.connect(self._on_chosen)
        self.arrange(self.shape)

    def arrange(self, shape: str) -> None:
        """Numbers beside the curve, the states below where there are any."""
        has_states = self.states.energies.size > 0
        self.states.setVisible(has_states)
        rows: tuple[tuple[QWidget, ...], ...]
        if shape == "tall":
            rows = ((self.figures,), (self.curves,)) + (((self.states,),) if has_states else ())
            lay_out(self.grid, rows, (3, 4, 4) if has_states else (1, 2), (1,))
            return
        rows = ((self.figures, self.curves),)
        if has_states:
            rows = (*rows, (self.states, self.states))
        lay_out(self.grid, rows, (1, 1) if has_states else (1,), (1, 1))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._answer, self._whole_at = None, 0.0
        self.figures.setText("The states are being counted …" if self.desk.info else "")
        self.curves.clear()
        self.states.clear()
        self.arrange(self.shape)

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """Ladders of rising length; while a run trains short ones, every few seconds."""
        rungs = [max(3, round(share * self.rungs)) for share in SHARES]
        wanted: dict[str, Value] = {
            "rungs": [*rungs] if rest else [*LIVE_RUNGS],
            "n_chains": self.n_chains if rest else LIVE_CHAINS,
        }
        due = time.monotonic() - self._whole_at > REDRAW_SECONDS
        live = rest or self.desk.is_scrubbing or due
        return {LOG_Z: Question("boltzmann_log_z", wanted, live=live, stream=True)}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw what is known so far."""
        if part != LOG_Z:
            return
        if answer.final:
            self._whole_at = time.monotonic()
        self._answer = answer
        arrays = answer.arrays
        had = self.states.energies.size > 0
        if "table" in arrays:
            self.states.set_states(dict(arrays))
        if (self.states.energies.size > 0) != had:
            self.arrange(self.shape)
        self._draw()

    def save(self) -> dict[str, Value]:
        """The longest ladder, and how many chains."""
        return {"log_z_rungs": self.rungs, "log_z_chains": self.n_chains}

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take them back."""
        rungs, chains = state.get("log_z_rungs"), state.get("log_z_chains")
        if isinstance(rungs, int) and rungs in LONGEST:
            self.rungs = rungs
        if isinstance(chains, int) and chains in CHAINS:
            self.n_chains = chains
        self._show_settings()

    def _show_settings(self) -> None:
        self.tools.set_choice("rungs", self.rungs)
        self.tools.set_choice("chains", self.n_chains)

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        if self._answer is None:
            return
        self._draw_curves(self._answer)
        self.figures.setText(self._figures(self._answer))
        self.chips_changed.emit()

    def _draw_curves(self, answer: Answer) -> None:
        palette, arrays = self.look.palette, answer.arrays
        exact = as_float(answer.values.get("exact"))
        if exact is None:
            self.curves.remove("exact")
        else:
            line = Stroke("exact, by counting", palette.truth, 1.8, dashed=True)
            self.curves.set_floor("exact", exact, line)
        x = arrays.get("rungs")
        if x is None or not len(x):
            return
        own = Stroke("AIS", palette.model, 2.0, tooltip="log of the mean weight of the chains")
        self.curves.set_curve("ais", x, arrays["ais"], own)
        for name, label in (("ais_low", "its 95 % interval"), ("ais_high", "")):
            thin = Stroke(label, palette.model, 1.0, opacity=0.6,
                          tooltip="Where log Z lies, as far as the chains can tell")  # fmt: skip
            self.curves.set_curve(name, x, arrays[name], thin)
        bars = np.full((3 * len(x), 2), np.nan)
        bars[0::3], bars[1::3] = (
            np.stack([x, arrays["ais_low"]], 1), np.stack([x, arrays["ais_high"]], 1)
        )  # fmt: skip
        stroke = Stroke("", palette.model, 1.6, thinned=False)
        self.curves.set_curve("bars", bars[:, 0], bars[:, 1], stroke)
        self.curves.fit()

    def _figures(self, answer: Answer) -> str:
        """The numbers as a table."""
        rows = [*self._log_z_rows(answer), *self._score_rows(answer.values)]
        palette = self.look.palette
        cells = "".join(
            f"<tr><td style='padding:2px 14px 2px 0; color:{palette.muted}'>"
            f"<nobr>{name}</nobr></td>"
            f"<td style='padding:2px 14px 2px 0'><b>{value}</b></td>"
            f"<td style='padding:2px 0; color:{palette.muted}'>{words}</td></tr>"
            for name, value, words in rows
        )
        return f"<table style='color:{palette.text}'>{cells}</table>"

    def _log_z_rows(self, answer: Answer) -> list[tuple[str, str, str]]:
        values, arrays = answer.values, answer.arrays
        exact = as_float(values.get("exact"))
        words = "counted: a sum over all states of one side"
        rows = [("log Z, exact", fixed(exact, 3), words)] if exact is not None else []
        if exact is None:
            rows.append(("log Z, exact", "–", "more than 20 units on each side: not counted"))
        rungs = arrays.get("rungs")
        if rungs is None or not len(rungs):
            return [*rows, ("log Z, AIS", "…", "the chains climb")]
        longest = f"{float(rungs[-1]):,.0f}".replace(",", " ")
        value, low, high = (float(arrays[n][-1]) for n in ("ais", "ais_low", "ais_high"))
        words = f"95 %: {fixed(low, 3)} … {fixed(high, 3)}; K = {longest}"
        return [*rows, ("log Z, AIS", fixed(value, 3), words)]

    def _score_rows(self, values: Mapping[str, Value]) -> list[tuple[str, str, str]]:
        rows = []
        is_bound = bool(values.get("is_bound"))
        for name, title in (("train", "training"), ("test", "held out")):
            value, error = (as_float(values.get(f"{name}_{n}")) for n in ("value", "error"))
            low, high = (as_float(values.get(f"{name}_{n}")) for n in ("low", "high"))
            if value is None or low is None or high is None:
                continue
            told, spread = with_error(value, error)
            words = f"{spread} over observations"
            if high > low:
                words += f"; log Z: {fixed(low, 2)} … {fixed(high, 2)}"
            sign = "log p ≥" if is_bound else "log p ="
            rows.append((f"{title}, {sign}", told, words))
        for name, title in (("train", "training"), ("test", "held out")):
            value = as_float(values.get(f"pseudo_{name}"))
            if value is not None:
                words = "pseudo-likelihood: not a likelihood, needs no Z"
                rows.append((f"{title}, log PL", fixed(value, 2), words))
        return rows

    def chips(self) -> tuple[Chip, ...]:
        """What the numbers rest on."""
        answer, palette = self._answer, self.look.palette
        if answer is None:
            return ()
        kind = answer.values.get("kind")
        words = {"exact": "scores use the exact log Z", "ais": "scores use AIS"}.get(str(kind), "")
        chips = []
        if words:
            tip = "log p(x) = −F(x) − log Z; where log Z is estimated its interval carries over"
            good = palette.good if kind == "exact" else palette.warning
            chips.append(Chip(words, tip, good, "dot", framed=True))
        effective = answer.arrays.get("effective")
        if effective is not None and len(effective):
            tip = "(Σw)²/Σw² of the longest ladder so far: how many chains carry the estimate"
            n = fixed(float(effective[-1]), 1)
            chips.append(Chip(f"{n} effective chains", tip, palette.model, "dot", framed=True))
        if answer.values.get("pseudo_test") is not None:
            chips.append(Chip("PL is no likelihood", PSEUDO_TIP, framed=True))
        many = as_float(answer.values.get("too_many"))
        if many:
            tip = "E(v, h) and F(v) of every state are written down for at most 16 units in all"
            chips.append(Chip(f"{many:.0f} units: no table of all states", tip, framed=True))
        share = as_float(answer.values.get("share"))
        if not answer.final and share is not None:
            words = f"{round(100 * share)} % of a ladder"
            chips.append(Chip(words, "The chains are still climbing", framed=True))
        return (*chips, self.step_chip(answer.step))

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.figures.setFont(self.look.font(1.05))
        self.curves.restyle()
        self.states.restyle()
        self._draw()

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if isinstance(value, int):
            if name == "rungs":
                self.rungs = value
            elif name == "chains":
                self.n_chains = value
            self.asks_changed.emit()
