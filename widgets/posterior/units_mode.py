"""Units: KL and activity of each latent unit, sorted; dead ones raise an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PySide6.QtWidgets import QLabel, QSizePolicy

from engine.wire.fields import Value
from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.figures import number
from widgets.look import Look
from widgets.panel import Pointed, Question
from widgets.posterior.desk import ACTIVE_FROM, DEAD_TIP, Desk
from widgets.posterior.mode import Mode
from widgets.posterior.unit_bars import UnitBars
from widgets.posterior.words import figure, names, nats, numbers, unit_name, value_name

SORTS = (("sorted by KL", "kl"), ("sorted by activity", "activity"), ("in order", "order"))


@dataclass(frozen=True)
class Units:
    """What is known of all units, as columns of the same length, and of their levels."""

    names: tuple[str, ...]
    kl: Any
    activity: Any
    dead: Any
    ignored: Any
    is_code: bool

    @classmethod
    def of(cls, answer: Answer, level: int) -> Units:
        """The units of one level, or of all where ``level`` is −1."""
        a, v = answer.arrays, answer.values
        mine = (a["unit_latent"] == level) if level >= 0 else np.ones(len(a["unit_kl"]), bool)
        latents, sizes, kinds = names(v, "latents"), numbers(v, "n_units"), names(v, "kinds")
        levels = dict(enumerate(map(int, numbers(v, "levels"))))
        pairs = zip(a["unit_latent"][mine], a["unit_index"][mine], strict=True)
        words = tuple(
            value_name(latents[int(k)], int(i), int(sizes[int(k)]), levels.get(int(k), 0))
            if kinds[int(k)] == "category" and (level >= 0 or len(kinds) == 1)
            else unit_name(latents[int(k)], int(i), int(sizes[int(k)]))
            for k, i in pairs
        )  # fmt: skip
        shown = kinds if level < 0 else kinds[level : level + 1]
        code = all(kind == "category" for kind in shown)
        moved, dead = a["unit_activity"][mine], a["unit_dead"][mine].astype(bool)
        ignored = dead & (moved > ACTIVE_FROM)
        return cls(words, a["unit_kl"][mine], moved, dead, ignored, code)

    def sorted_by(self, by: str) -> Units:
        """The same units in another order, the largest first."""
        keys = {"kl": self.kl, "activity": self.activity}
        key = np.nan_to_num(keys[by]) if by in keys else -np.arange(len(self.kl), dtype=float)
        if by == "kl" and np.isnan(self.kl).all():
            key = self.activity
        order = np.argsort(-key, kind="stable")
        return Units(tuple(self.names[i] for i in order), self.kl[order], self.activity[order],
                     self.dead[order], self.ignored[order], self.is_code)  # fmt: skip


class UnitsMode(Mode):
    """The collapse alarm in full."""

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__(look, desk)
        self.kl = UnitBars(look, "KL, nats")
        self.activity = UnitBars(look, "Var of E_q[z]", log=True)
        self.share = UnitBars(look, "share of the data")
        self.words = QLabel(self)
        self.words.setWordWrap(True)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.by, self.level = "kl", -1
        self._shown: Units | None = None
        self.tools.add_choice("by", "The order of the bars")
        self.tools.set_choices("by", SORTS)
        self.tools.add_choice("level", "Which latent, or level of a hierarchy")
        self.tools.chosen.connect(self._on_chosen)
        self.column.addWidget(self.words)
        for bars in (self.kl, self.activity, self.share):
            self.column.addWidget(bars, 1)
            bars.hovered.connect(self._on_hovered)
        self.restyle()

    # --- run ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Another run."""
        self._shown, self.level = None, -1
        for bars in (self.kl, self.activity, self.share):
            bars.clear()
        self.words.setText("The units are being looked at …")
        self.tools.set_choices("level", (("all latents", -1),))
        self.tools.show_choice("level", False)

    def refusal(self) -> str:
        """An encoder and a decoder are needed."""
        return "" if self.desk.watches_units else "needs a bound, an encoder and a decoder"

    def questions(self, *, rest: bool) -> dict[str, Question]:
        """The units are asked for in every mode."""
        return {}

    def follow(self) -> None:
        """What is known of the units is new."""
        answer = self.desk.units
        if answer is None:
            return
        latents = names(answer.values, "latents")
        entries = tuple((name, index) for index, name in enumerate(latents))
        self.tools.set_choices("level", (("all latents", -1), *entries))
        self.tools.show_choice("level", len(latents) > 1)
        self.level = self.level if self.level < len(latents) else -1
        self.tools.set_choice("level", self.level)
        self._draw()

    def chips(self) -> tuple[Chip, ...]:
        """Per latent its KL and how many units are active, or how a code is used."""
        answer, palette = self.desk.units, self.look.palette
        if answer is None:
            return ()
        v, chips = answer.values, []
        columns = ("kl", "kl_error", "n_units", "n_dead", "perplexity", "levels")
        rows = zip(
            names(v, "latents"), names(v, "kinds"), *(numbers(v, n) for n in columns), strict=True
        )
        for name, kind, kl, error, units, dead, perplexity, levels in rows:
            text = f"KL({name}) {nats(kl, error)}"
            chips.append(Chip(text, "Mean KL(q‖prior) over held-out data, ± one standard error",
                              palette.model, "dot", framed=True))  # fmt: skip
            if kind == "category":
                text = f"{name}: perplexity {number(perplexity, 3)} of {levels or units:.0f}"
                tip = "exp H of the mean of q over the data: as many values as are in use"
            else:
                text = f"{name}: {units - dead:.0f} of {units:.0f} units active"
                tip = DEAD_TIP
            chips.append(Chip(text, tip, framed=True))
        chips.append(Chip(f"estimate, {v.get('n')} held-out events",
                          "Means over held-out observations", framed=True))  # fmt: skip
        return tuple(chips)

    def restyle(self) -> None:
        """Take colours from the look."""
        palette = self.look.palette
        self.words.setFont(self.look.font(0.95))
        self.words.setStyleSheet(f"color: {palette.text}; background: transparent")
        for bars in (self.kl, self.activity, self.share):
            bars.restyle()
        self._draw()

    # --- drawing ------------------------------------------------------------------------------

    def _draw(self) -> None:
        answer = self.desk.units
        if answer is None:
            return
        units = Units.of(answer, self.level).sorted_by(self.by)
        self._shown = units
        known = bool(np.isfinite(units.kl).any())
        self.kl.setVisible(known and not units.is_code)
        self.activity.setVisible(not units.is_code)
        self.share.setVisible(units.is_code)
        if units.is_code:
            self.share.set_units(units.activity, units.dead, units.names)
        else:
            threshold = figure(answer.values, "threshold")
            least = bool(answer.values.get("kl_is_least"))
            self.kl.set_name("KL at least, nats" if least else "KL, nats")
            self.kl.set_units(units.kl, units.dead, units.names)
            self.activity.set_units(units.activity, units.dead, units.names, threshold)
        self.words.setText(_sentence(units))

    def _on_hovered(self, index: int | None) -> None:
        units = self._shown
        if index is None or units is None or index >= len(units.names):
            self.pointed.emit(None)
            return
        kl, moved = float(units.kl[index]), float(units.activity[index])
        answer = self.desk.units
        least = answer is not None and bool(answer.values.get("kl_is_least"))
        words = "KL(q‖prior), at least" if least else "KL(q‖prior)"
        rows = [] if np.isnan(kl) else [(words, nats(kl))]
        rows.append(("share of the data" if units.is_code else "activity", number(moved, 3)))
        rows.append(("state", "dead" if units.dead[index] else "active"))
        self.pointed.emit(Pointed(f"unit {units.names[index]}", tuple(rows)))

    # --- the user -----------------------------------------------------------------------------

    def _on_chosen(self, name: str, value: Value) -> None:
        if name == "by":
            self.by = str(value)
        elif isinstance(value, int):
            self.level = value
        self._draw()


def _sentence(units: Units) -> str:
    n_dead, total = int(units.dead.sum()), len(units.dead)
    if units.is_code:
        return (
            f"{total - n_dead} of {total} values are used by the held-out data."
            if n_dead else f"All {total} values are used by the held-out data."
        )  # fmt: skip
    if not n_dead:
        who = (
            "The only unit is active: it" if total == 1 else f"All {total} units are active: each"
        )
        return f"{who} moves with x (the dashed line is 0.01)."
    dead = [name for name, is_dead in zip(units.names, units.dead, strict=True) if is_dead]
    which = ", ".join(dead[:6]) + (", …" if n_dead > 6 else "")
    verb = "is" if n_dead == 1 else "are"
    still = "the posterior mean does not move with x, its activity is below 0.01 (dashed line)"
    unused = "the decoder ignores what the encoder still says with it"
    n_unused = int(units.ignored.sum())
    why = still if not n_unused else unused if n_unused == n_dead else f"{still}, or {unused}"
    return f"{n_dead} of {total} units {verb} dead ({which}): {why}."
