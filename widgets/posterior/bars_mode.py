"""Bars: what log p is made of, for one event and for the held-out set; EM's bars in turn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QStackedWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.look import Look, Palette
from widgets.panel import Question
from widgets.pixels.mode import lay_out
from widgets.posterior.desk import Desk
from widgets.posterior.em_view import EmView
from widgets.posterior.keys import ASIDE
from widgets.posterior.level_bars import Level, LevelBars
from widgets.posterior.mode import Mode, Page
from widgets.posterior.picker import EventPicker
from widgets.posterior.words import KIND_WORDS, figure, names, nats, numbers, plain, spaced

#: Importance draws k for one event that can be chosen, and draws while a run trains.
DRAWS, FIRST_DRAWS, LIVE_DRAWS = (64, 256, 1000, 5000), 1000, 64
#: Events of the set, and draws for each; fewer while a run trains.
N_SET, SET_DRAWS, LIVE_SET = 512, 64, 64
#: More latents than this are shown as one piece.
MOST_LATENTS = 8
TIPS = {
    "log_prob": "How probable x is under the model, over all latents.",
    "gap": "What the bound misses: KL(q(z|x)‖p(z|x)), 0 where q is the true posterior.",
    "elbo": "The bound that is trained: reconstruction − KL(q‖prior).",
    "kl": "What it costs that q(z|x) is not the prior.",
    "reconstruction": "E_q log p(x|z): how well x comes back from latents of the encoder.",
}


class BarsMode(Mode):
    """Both identities as bars."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.picker = EventPicker(look, desk)
        self.one, self.set = LevelBars(look), LevelBars(look)
        self.em = EmView(look)
        self._values: dict[str, Value] = {}
        self.n_draws, self.view = FIRST_DRAWS, "bound"
        self.pages = QStackedWidget()
        self.bound_page = Page(self.grid)
        self.pages.addWidget(self.bound_page)
        self.pages.addWidget(self.em)
        self.column.addWidget(self.pages, 1)
        self.tools.add_choice("view", "What the bars show")
        self.tools.add_choice(
            "draws", "k, draws of z in the estimate of log p(x) and of the bound"
        )
        self.tools.set_choices("draws", tuple((f"k = {spaced(k)}", k) for k in DRAWS))
        self.tools.set_choice("draws", self.n_draws)
        self.tools.chosen.connect(self._on_chosen)
        self.em.changed.connect(self.chips_changed)
        self.arrange("even")

    def arrange(self, shape: str) -> None:
        """The event to choose at the left, or above in a tall room."""
        if shape == "tall":
            rows: Any = ((self.picker,), (self.one,), (self.set,))
            lay_out(self.grid, rows, (3, 4, 4), (1,))
        elif shape == "low":
            lay_out(self.grid, ((self.picker, self.one, self.set),), (1,), (2, 4, 4))
        else:
            lay_out(self.grid, ((self.picker, self.one), (self.picker, self.set)), (1, 1), (2, 5))

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._values = {}
        for bars in (self.one, self.set):
            bars.set_levels(())
            bars.forget_axis()
        self.picker.open()
        self.em.clear()
        info = self.desk.info
        steps = info is not None and "half_steps" in info.card.features
        views = (("bound", "bound"), ("E and M", "em")) if steps else (("bound", "bound"),)
        self.tools.set_choices("view", views)
        self.tools.show_choice("view", steps)
        self.view = self.view if steps else "bound"
        self.tools.set_choice("view", self.view)
        self._show_page()
        self._draw()

    def refusal(self) -> str:
        """A bound is needed."""
        return "" if self.desk.has(Capability.BOUND) else "needs a bound"

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The bars of the chosen event and of the set, or EM's."""
        if self.view == "em":
            return self.em.questions()
        if self.refusal():
            return {}
        wanted: dict[str, Value] = {
            "n_draws": self.n_draws if rest else min(self.n_draws, LIVE_DRAWS),
            "integrate": rest,
            "n_set": N_SET if rest else LIVE_SET,
            "set_draws": SET_DRAWS if rest else 8,
        }
        question = self.desk.event_question("elbo_bars", wanted)
        return {} if question is None else {"bars": question}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the bars."""
        if part == "em":
            self.em.show_answer(answer)
        elif part == "bars" and "one_elbo" in answer.values:
            kept = {n: v for n, v in self._values.items() if n.startswith(("set_", "n_set"))}
            self._values = kept | dict(answer.values) | {"step": answer.step}
            self._draw()
        self.chips_changed.emit()

    def follow(self) -> None:
        """Another event: its bars are asked again."""
        self._draw()
        self.asks_changed.emit()

    def chips(self) -> tuple[Chip, ...]:
        """How log p was had, and the check of the identity."""
        if self.view == "em":
            return self.em.chips()
        v, palette = self._values, self.look.palette
        if "one_elbo" not in v:
            return ()
        chips = [Chip(str(v.get("one_label", "")), "How log p(x) of this event was had",
                      palette.truth, "dot", framed=True)]  # fmt: skip
        gap = figure(v, "one_gap")
        error = figure(v, "one_gap_error")
        if gap is not None:
            chips.append(Chip(f"KL(q‖posterior) {nats(gap, error)}", TIPS["gap"], palette.warning,
                              "dot", framed=True))  # fmt: skip
        direct = figure(v, "one_gap_direct")
        if direct is not None and gap is not None:
            text = f"identity checked to {abs(direct - gap):.0e}".replace("-", "−")
            tip = "KL(q‖posterior) summed over every z, against log p − ELBO, in nats"
            chips.append(Chip(text, tip, palette.good, "dot", framed=True))
        if "set_kind" in v:
            kind = KIND_WORDS.get(str(v["set_kind"]), "")
            k = f", k = {v.get('set_draws')}" if v["set_kind"] == "estimate" else ""
            text = f"set: {v.get('n_set')} held-out events, log p {kind}{k}"
            chips.append(Chip(text, "± is one standard error over the events", framed=True))
        return tuple(chips)

    def take_key(self, event: QKeyEvent, *, only_ask: bool = False) -> bool:
        """[ and ] go through the events; EM has a time of its own."""
        if self.view == "em":
            return self.em.transport.take_key(event, only_ask=only_ask)
        by = ASIDE.get(event.text())
        if by is not None and not only_ask:
            self.picker.step(by)
        return by is not None

    def leave(self) -> None:
        """Time stands still."""
        self.em.clock.pause()

    def restyle(self) -> None:
        """Take colours from the look."""
        for part in (self.picker, self.one, self.set, self.em):
            part.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        hint = "The bars are coming …"
        self.one.set_title(f"x: {self.desk.words}", hint)
        n = self._values.get("n_set")
        self.set.set_title(f"mean over {n} held-out events" if n else "held-out events", hint)
        for bars, prefix in ((self.one, "one"), (self.set, "set")):
            if f"{prefix}_elbo" in self._values:
                bars.set_levels(levels_of(self._values, prefix, self.look.palette))

    def _show_page(self) -> None:
        self.pages.setCurrentWidget(self.em if self.view == "em" else self.bound_page)
        self.tools.show_choice("draws", self.view != "em")

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "draws" and isinstance(value, int):
            self.n_draws = value
        elif name == "view":
            self.view = str(value)
            self._show_page()
            self.chips_changed.emit()
        self.asks_changed.emit()


def levels_of(v: Mapping[str, Value], prefix: str, palette: Palette) -> tuple[Level, ...]:
    """The rows of one diagram: log p, the gap, ELBO, each KL, reconstruction."""
    log_prob, elbo = (_known(v, f"{prefix}_{n}") for n in ("log_prob", "elbo"))
    reconstruction = _known(v, f"{prefix}_reconstruction")
    kind = str(v.get(f"{prefix}_kind", ""))
    title = f"log p(x), {kind}"
    rows = [
        _mark(v, prefix, "log_prob", title, "truth", exact=kind == "exact" and prefix == "one"),
        Level("KL(q‖posterior)", elbo, log_prob, plain(log_prob - elbo,
              figure(v, f"{prefix}_gap_error")), "warning", TIPS["gap"]),
        _mark(v, prefix, "elbo", "ELBO (bound)", "model"),
    ]  # fmt: skip
    at = elbo
    for name, kl, error in _pieces(v, prefix):
        rows.append(
            Level(f"KL({name})", at, at + kl, plain(kl, error), "model", TIPS["kl"],
                  faint=True)
        )  # fmt: skip
        at += kl
    rows.append(_mark(v, prefix, "reconstruction", "reconstruction", "data"))
    return tuple(rows) if math.isfinite(reconstruction) else tuple(rows[:3])


def _known(v: Mapping[str, Value], name: str) -> float:
    found = figure(v, name)
    return math.nan if found is None else found


def _mark(
    v: Mapping[str, Value], prefix: str, name: str, title: str, role: str, *, exact: bool = False
) -> Level:
    value, error = _known(v, f"{prefix}_{name}"), figure(v, f"{prefix}_{name}_error") or 0.0
    text = plain(value, 0.0 if exact else error)
    return Level(title, value, value, text, role, TIPS[name], error)


def _pieces(v: Mapping[str, Value], prefix: str) -> list[tuple[str, float, float]]:
    """(latent, KL, error); many latents as one."""
    rows = list(
        zip(names(v, f"{prefix}_latents"), numbers(v, f"{prefix}_kl"),
            numbers(v, f"{prefix}_kl_error"), strict=True)
    )  # fmt: skip
    if len(rows) <= MOST_LATENTS:
        return rows
    total = sum(kl for _, kl, _ in rows)
    return [(f"{len(rows)} latents", total, math.hypot(*(error for _, _, error in rows)))]
