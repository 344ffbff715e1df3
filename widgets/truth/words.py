"""Divergences, masses and scores in words: each number with its error, its unit and its kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from engine.wire.fields import Value
from widgets.controls.chips import Chip
from widgets.figures import as_float, number, with_error
from widgets.look import Palette

#: What kind of number it is, as written beside it.
KINDS = {
    "exact": "exact (quadrature)",
    "quadrature": "exact (quadrature)",
    "bound": "upper bound",
    "estimate": "estimate",
}
#: Mass of the model outside the support that is worth a word.
WORTH = 1e-6
#: What the sample scores are called, and their unit.
SCORES = (
    ("energy_distance", "energy distance", "data units",
     "√(2E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖) between samples of the model and of the truth"),
    ("mmd", "MMD²", "",
     "Squared maximum mean discrepancy, unbiased, Gaussian kernel with the median distance as "
     "bandwidth; a perfect sampler is 0 on average, and negative half of the time"),
    ("sliced_wasserstein", "sliced Wasserstein-1", "data units",
     "Mean of the Wasserstein-1 distances along lines through the data"),
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """One number for people.

    Attributes:
        title: What it is, with its unit.
        value: The number, or "–" where there is none.
        error: "± …", or "".
        kind: Exact, bound, estimate; or why there is no number.
        tooltip: What it means.
        role: A palette entry for the number.
    """

    title: str
    value: str
    error: str
    kind: str
    tooltip: str
    role: str = "text"


FIGURES = (
    ("kl", "KL(truth ‖ model), nats",
     "∫ p log(p/q): nats lost when data from the truth are described by the model; large where "
     "the model forgets parts of the data"),
    ("reverse_kl", "KL(model ‖ truth), nats",
     "∫ q log(q/p): large where the model puts mass that the truth does not have; infinite where "
     "the truth has none at all"),
    ("js", "Jensen–Shannon, nats",
     "The mean KL of both to their half-and-half mixture; at most ln 2 = 0.693 nats"),
    ("tv", "total variation",
     "½ ∫ |p − q|: the share of mass that lies elsewhere; from 0 to 1, no unit"),
)  # fmt: skip


def divergence_readings(values: Mapping[str, Value]) -> tuple[Reading, ...]:
    """The four divergences."""
    return tuple(_divergence(values, *figure) for figure in FIGURES)


def _divergence(values: Mapping[str, Value], name: str, title: str, tooltip: str) -> Reading:
    value = as_float(values.get(name))
    if value is None:
        return Reading(title, "–", "", "no density to compare", tooltip, "muted")
    kind = str(values.get(f"{name}_kind", ""))
    tooltip = f"{tooltip}. {values.get('note') or ''}".rstrip(". ") + "."
    if math.isinf(value):
        return Reading(title, "∞", "", _why_infinite(name, values), tooltip, "error")
    text, error = with_error(value, as_float(values.get(f"{name}_error")), 1)
    prefix = "≤ " if kind == "bound" else ""
    return Reading(title, prefix + text, error, KINDS.get(kind, kind), tooltip)


def _why_infinite(name: str, values: Mapping[str, Value]) -> str:
    part = "missed" if name == "kl" else "outside"
    mass = as_float(values.get(part))
    if mass is None:
        return "infinite"
    place = "of the truth missed" if name == "kl" else "outside its support"
    return f"{number(100.0 * mass, 3)} % {place}"


# --- mass ----------------------------------------------------------------------------------------

MASS_WORDS = {
    "whole": "It is 1 within its error, as for every density.",
    "off": "It must be 1: this is no normalised density. A log-determinant of the wrong sign or a "
           "missing constant does this.",
    "unsure": "Too uncertain to tell whether it is 1: look at a larger window or a finer grid.",
    "below": "A lower bound on log p(x) may integrate to less than 1; the closer the better.",
}  # fmt: skip
MASS_ROLES = {"whole": "good", "off": "error", "unsure": "warning", "below": "muted"}


def mass_reading(values: Mapping[str, Value]) -> Reading | None:
    """The mass badge: window and tail added up, or None where there is no mass."""
    total, state = as_float(values.get("total")), str(values.get("mass_state", ""))
    if total is None or state not in MASS_WORDS:
        return None
    text, error = with_error(total, as_float(values.get("total_error")), 1)
    inside, outside = (as_float(values.get(name)) or 0.0 for name in ("mass", "tail"))
    where = f"{with_error(inside, None)[0]} in the window + {with_error(outside, None)[0]} beyond"
    label = str(values.get("tail_label") or "")
    tooltip = f"∫ q(x) dx = {where} ({label}). {MASS_WORDS[state]}"
    verdict = {"off": "must be 1", "unsure": "too uncertain", "below": "of the bound, ≤ 1"}
    kind = f"{verdict.get(state, 'is 1')}: {where}"
    return Reading("mass of the model", text, error, kind, tooltip, MASS_ROLES[state])


def mass_chip(values: Mapping[str, Value], palette: Palette) -> Chip | None:
    """The mass badge as a chip for the density panel; filled red where the mass is not 1."""
    reading = mass_reading(values)
    if reading is None:
        return None
    words = f"mass {reading.value} {reading.error}".rstrip()
    off = values.get("mass_state") == "off"
    inside = as_float(values.get("mass"))
    words += ", must be 1" if off else ""
    if not off and inside is not None and as_float(values.get("tail")):
        words += f", {inside:.3f} in view"
    colour = getattr(palette, reading.role)
    return Chip(words, reading.tooltip, colour, "" if off else "dot", framed=True, alarm=off)


# --- scores --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """One sample score with its null band; ``low`` … ``high`` are None until the band is known."""

    title: str
    unit: str
    tooltip: str
    value: float | None
    low: float | None
    middle: float | None
    high: float | None

    def ratio(self, value: float | None) -> float | None:
        """In units of the band's upper end; None where there is no band yet."""
        if value is None or self.high is None or self.high <= 0:
            return None
        return value / self.high

    @property
    def verdict(self) -> str:
        """Where the score lies against the band."""
        if self.value is None:
            return "not a number"
        if self.low is None or self.high is None:
            return "band is being simulated"
        if self.value > self.high:
            return f"{number(self.value / self.high, 2)}× the band" if self.high > 0 else "above"
        return "below the band" if self.value < self.low else "inside the band"

    @property
    def is_inside(self) -> bool:
        """Whether a perfect sampler could have scored this."""
        return self.verdict == "inside the band"


def scores_of(values: Mapping[str, Value]) -> tuple[Score, ...]:
    """The three scores of an answer."""
    return tuple(
        Score(title, unit, tooltip, as_float(values.get(name)),
              *(as_float(values.get(f"{name}_{end}")) for end in ("low", "middle", "high")))
        for name, title, unit, tooltip in SCORES
    )  # fmt: skip


def score_summary(values: Mapping[str, Value]) -> str:
    """What the three scores say together, in a sentence."""
    scores, n = scores_of(values), as_float(values.get("n"))
    count = f"{n:,.0f}".replace(",", " ") if n is not None else "?"
    if any(score.high is None for score in scores):
        return f"Simulating what a perfect sampler scores at n = {count} …"
    above = [s for s in scores if s.value is None or (s.high is not None and s.value > s.high)]
    if not above:
        return f"At n = {count} these scores cannot tell the samples from the truth."
    names = ", ".join(score.title for score in above)
    return f"Told apart from the truth at n = {count}: {names}."


# --- one line ------------------------------------------------------------------------------------


def headline(values: Mapping[str, Value]) -> str:
    """The one number that says how well a run does, from an answer of ``divergences`` or scores.

    "KL 0.031 ± 0.002 nats", "KL ≤ 0.42 nats", "KL ∞ nats", "energy distance 2.3× the band"; ""
    when the values hold neither. A mass that is not 1 goes first: nothing else is true then.
    """
    kl = as_float(values.get("kl"))
    if values.get("mass_state") == "off":
        reading = mass_reading(values)
        return f"mass {reading.value}, must be 1" if reading is not None else ""
    if kl is not None:
        text, error = with_error(kl, as_float(values.get("kl_error")), 1)
        if values.get("kl_kind") == "bound":
            return f"KL ≤ {text} {error} nats".replace("  ", " ")
        return f"KL {text} {error} nats".replace("  ", " ")
    score = scores_of(values)[0]
    return f"{score.title} {score.verdict}" if score.value is not None else ""
