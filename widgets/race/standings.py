"""Who is ahead: exact numbers by value, ties within their errors, bounds with caution.

A bound says only that the true number is lower. A run with a bound stands before one with an
exact number only where even the bound, with its error, is below the exact number less its error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from widgets.figures import with_error

#: Kinds of number that are more than a bound.
NUMBERS = ("exact", "quadrature", "estimate")


@dataclass(frozen=True)
class Score:
    """A run's number, lower is better; ``value`` is None where there is none, and why."""

    run: str
    value: float | None
    error: float = 0.0
    kind: str = "none"
    why: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether the true number is at most this one."""
        return self.kind == "bound"

    @property
    def is_ranked(self) -> bool:
        """Whether there is a number to rank by."""
        return self.value is not None and not math.isnan(self.value)

    @property
    def ends(self) -> tuple[float, float]:
        """The number less and plus its error."""
        if self.value is None:
            return math.nan, math.nan
        error = self.error if math.isfinite(self.error) else math.inf
        return self.value - error, self.value + error


@dataclass(frozen=True)
class Standing:
    """A score with its place from 1; ``tied`` with another of the same place."""

    score: Score
    place: int
    tied: bool = False

    @property
    def label(self) -> str:
        """The place as shown: "2", "2 =" for a tie, "(3)" for a bound."""
        if self.score.is_bound:
            return f"({self.place})"
        return f"{self.place} =" if self.tied else str(self.place)


def rank(scores: list[Score]) -> list[Standing]:
    """The ranked scores from best to worst; those without a number are left out."""
    ranked = [score for score in scores if score.is_ranked]
    numbers = sorted((s for s in ranked if not s.is_bound), key=lambda s: (s.value, s.run))
    order: list[Score] = list(numbers)
    bounds = sorted((s for s in ranked if s.is_bound), key=lambda s: (s.ends[1], s.run))
    for bound in bounds:
        beaten = [bound.ends[1] < other.ends[0] for other in order if not other.is_bound]
        behind = len(beaten) - sum(beaten)
        order.insert(_position(order, behind), bound)
    return _placed(order)


def _position(order: list[Score], behind: int) -> int:
    """After so many exact numbers, and after the bounds that are there already."""
    seen, place = 0, 0
    while place < len(order) and (seen < behind or order[place].is_bound):
        seen += not order[place].is_bound
        place += 1
    return place


def _placed(order: list[Score]) -> list[Standing]:
    places: list[int] = []
    leader: tuple[Score, int] | None = None
    for index, score in enumerate(order):
        if score.is_bound:
            places.append(index + 1)
            continue
        if leader is None or not _tie(leader[0], score):
            leader = score, index + 1
        places.append(leader[1])
    counts: dict[int, int] = {}
    for score, place in zip(order, places, strict=True):
        counts[place] = counts.get(place, 0) + (not score.is_bound)
    return [
        Standing(score, place, not score.is_bound and counts[place] > 1)
        for score, place in zip(order, places, strict=True)
    ]


def _tie(first: Score, second: Score) -> bool:
    """Whether two numbers are equal within their errors; ∞ ties with ∞."""
    if first.value is None or second.value is None:
        return False
    if math.isinf(first.value) or math.isinf(second.value):
        return first.value == second.value
    return first.ends[1] >= second.ends[0]


def verdict(standings: list[Standing], titles: dict[str, str], name: str) -> str:
    """Who has won, in one sentence.

    Args:
        standings: From :func:`rank`.
        titles: What each run is called.
        name: What the number is called, such as ``"KL"``.
    """
    if not standings:
        return "No racer has a number to be ranked by."
    best = standings[0]
    first = [s for s in standings if s.place == best.place and not s.score.is_bound] or [best]
    names = [titles.get(s.score.run, s.score.run) for s in first]
    if len(first) > 1:
        text = f"A tie: {_listed(names)}, equal in {name} within their errors."
    elif best.score.is_bound:
        text = f"{names[0]} wins: even its upper bound, {name} ≤ {_figure(best)}, is the lowest."
    else:
        text = f"{names[0]} wins: {name} {_figure(best)}."
    hidden = [
        titles.get(s.score.run, "") for s in standings if s.score.is_bound and s not in first
    ]
    if hidden:
        look = "a bound only, may be better than it looks"
        text += f" {_listed(hidden)}: {look}."
    return text


def _figure(standing: Standing) -> str:
    value = standing.score.value if standing.score.value is not None else math.nan
    return " ".join(part for part in with_error(value, standing.score.error) if part) + " nats"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
