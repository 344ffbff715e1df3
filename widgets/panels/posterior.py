"""Posterior: what a bound is made of, the true posterior beside q, collapse, rate, factors."""

from __future__ import annotations

from engine.wire.capability import Capability
from engine.wire.messages import Answer, RunInfo
from widgets.look import Look
from widgets.mode_panel import ModePanel
from widgets.panel import Point, Question
from widgets.posterior.bars_mode import BarsMode
from widgets.posterior.desk import Desk
from widgets.posterior.factors_mode import FactorsMode
from widgets.posterior.rate_mode import RateMode
from widgets.posterior.truth_mode import TruthMode
from widgets.posterior.units_mode import UnitsMode

MODES = (
    ("bars", "Bars", "log p = ELBO + KL(q‖posterior), and ELBO = reconstruction − KL"),
    ("truth", "Truth", "The true posterior beside q: amortisation gap, approximation gap"),
    ("units", "Units", "KL and activity of each latent unit; dead ones raise an alarm"),
    ("rate", "Rate", "Rate against distortion, with a sweep over the weight β of the KL"),
    ("factors", "Factors", "Disentanglement scores, and a classifier with few labels"),
)
HINT = (
    "Choose a data set and VAE on the left, then press play (space): what its bound is made of "
    "appears here."
)
UNFIT = ("These events have no fixed size", "Choose points or pictures.")
EVENTS, UNITS = "events", "units"


class PosteriorPanel(ModePanel):
    """The bound of any model with latents, taken apart and held against the truth."""

    name = "posterior"
    title = "Posterior"
    summary = "ELBO bars, the true posterior beside q, collapsed units, rate–distortion, factors."
    needs = (
        frozenset({Capability.BOUND, Capability.ENCODING, Capability.DECODING}),
        frozenset({Capability.BOUND}),
    )
    shortcut = "Ctrl+Alt+Q"

    MODES = MODES
    HINT = HINT
    NOTHING = "No model with latents is open"
    ROW_FROM, TWO_ROWS_FROM = 860, 420
    WRAPS_CHIPS = True

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.desk: Desk = Desk(self)
        self.set_up(
            {
                "bars": BarsMode(look, self.desk),
                "truth": TruthMode(look, self.desk),
                "units": UnitsMode(look, self.desk),
                "rate": RateMode(look, self.desk),
                "factors": FactorsMode(look, self.desk),
            }
        )
        self.desk.chosen.connect(self._on_chosen)
        self.desk.arrived.connect(self._on_chosen)
        self.desk.alarmed.connect(self._on_alarmed)

    def unfit(self, info: RunInfo) -> tuple[str, str]:
        """Events of open length."""
        return UNFIT if info.data.event.kind == "sequence" else ("", "")

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """Held-out events, the units (for the alarm), and what the mode in front asks."""
        if self.run is None or self.desk.info is None:
            return {}
        asked = {EVENTS: self.desk.events_question()} | super().asks(rest=rest)
        if self.desk.watches_units:
            asked[UNITS] = self.desk.units_question(rest=rest)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Events and units go to the desk, the rest to the mode in front."""
        if self.run is None:
            return
        self.show_mended(part)
        if part == EVENTS:
            self.desk.take_events(answer)
        elif part == UNITS:
            self.desk.take_units(answer)
        else:
            self.mode.show_answer(part, answer)

    def show_cursor(self, step: int | None) -> None:
        """A stored step is looked at."""
        self.desk.is_scrubbing = step is not None

    def choose_point(self, point: Point | None) -> None:
        """The window's chosen point is the event that is looked at."""
        self.desk.choose_point(point)

    def _on_chosen(self) -> None:
        self.mode.follow()
        self._show_chips()
        self.asks_changed.emit()

    def _on_alarmed(self) -> None:
        self.modes["units"].follow()
        self._show_chips()

    def _show_chips(self) -> None:
        if self.outer.currentWidget() is self._content:
            alarms = self.desk.alarm_chips(self.look.palette)
            self.chips.set_chips((*alarms, *self.mode.chips()))
