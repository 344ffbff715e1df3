"""What a race is: its rule, who runs in it, and what the user wishes."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.wire.cards import ModelCard
from engine.wire.fields import Value

#: Fewest and most racers.
FEWEST, MOST = 2, 8
KINDS = ("steps", "parameters", "seconds")
#: States in which a racer takes no further step by itself.
LOST = ("diverged", "failed", "stopped", "closed")


@dataclass(frozen=True)
class Rule:
    """What is equal for all, and where the race ends.

    Attributes:
        kind: ``"steps"``, ``"parameters"`` (and steps), or ``"seconds"`` of training.
        steps: Training steps of each racer; for the first two kinds.
        seconds: Seconds of training of each racer, its own steps only; for the third.
        parameters: Wanted number of trained values; for the second.
    """

    kind: str = "steps"
    steps: int = 2000
    seconds: float = 30.0
    parameters: int = 20_000

    def words(self) -> str:
        """The rule in a few words."""
        if self.kind == "seconds":
            return f"equal training time, {self.seconds:g} s each"
        line = f"{spaced(self.steps)} steps each"
        if self.kind == "parameters":
            return f"equal size, about {spaced(self.parameters)} parameters, {line}"
        return f"equal steps, {line}"

    def share(self, step: int, seconds: float) -> float:
        """How much of the way is done, 0 … 1."""
        done = seconds / self.seconds if self.kind == "seconds" else step / self.steps
        return min(max(done, 0.0), 1.0)

    def lap(self) -> Rule:
        """The same rule with twice the way."""
        return Rule(self.kind, 2 * self.steps, 2 * self.seconds, self.parameters)

    def save(self) -> dict[str, Value]:
        """As plain values."""
        return {
            "kind": self.kind,
            "steps": self.steps,
            "seconds": self.seconds,
            "parameters": self.parameters,
        }


@dataclass(frozen=True)
class Entry:
    """A model that may run: one of the catalogue, or as it is set up in an open run."""

    key: str
    title: str
    card: ModelCard
    config: dict[str, Value] = field(default_factory=dict)
    why_not: str = ""


@dataclass(frozen=True)
class Wish:
    """What the user chose before pressing start."""

    entries: tuple[Entry, ...]
    rule: Rule
    seed: int = 0
    apart: bool = False


@dataclass(frozen=True)
class Racer:
    """One run of a race, as the panel needs it."""

    run: str
    title: str
    colour: str
    note: str = ""


@dataclass(frozen=True)
class Lineup:
    """A race that is set up: its racers in order, its rule and its data in words."""

    rule: Rule
    racers: tuple[Racer, ...]
    data: str = ""
    seed: int = 0
    apart: bool = False

    def find(self, run: str) -> Racer | None:
        """A racer by its run."""
        return next((racer for racer in self.racers if racer.run == run), None)


def rule_of(values: dict[str, Value]) -> Rule:
    """Take back what :meth:`Rule.save` gave.

    Raises:
        ValueError: Something is no rule.
    """
    kind = values.get("kind", "steps")
    numbers = [values.get(name, 1) for name in ("steps", "seconds", "parameters")]
    good = all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in numbers)
    if kind not in KINDS or not good:
        raise ValueError(f"race: given the rule {values}, wanted one of {', '.join(KINDS)}")
    steps, seconds, parameters = (float(n) for n in numbers if isinstance(n, int | float))
    return Rule(str(kind), int(steps), seconds, int(parameters))


def spaced(number: int) -> str:
    """12345 as "12 345"."""
    return f"{number:,}".replace(",", " ")
