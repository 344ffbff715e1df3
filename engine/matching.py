"""Models of equal size: the settings whose number of trained values is nearest to a wanted one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from engine.model import GenerativeModel
from engine.registry import build_model, find, models
from engine.training import plain_value
from engine.wire.fields import FieldSpec, Value, field_specs
from engine.wire.race import Matched

#: Settings that are scaled, the first of a model's before the others.
SCALED = ("hidden_features", "n_components", "n_layers", "latent_features", "hidden_units")
#: Widths that grow together with ``hidden_features``.
TOGETHER = ("critic_features",)
#: So near is near enough to look no further, and so far is too far to be called equal.
NEAR, TOO_FAR = 0.01, 0.15
LEAST, MOST = 1, 20_000_000


def match_parameters(name: str, event_shape: Sequence[int], parameters: int) -> Matched:
    """The settings of a model whose number of trained values is nearest to ``parameters``.

    The usual measure of capacity (widths; else components, layers, latent coordinates) is scaled
    first, all widths alike up to a difference of one, then the others where that comes nearer.
    What is no measure of capacity keeps its default.

    Args:
        name: One of :func:`engine.registry.model_names`.
        event_shape: The shape *E of one observation.
        parameters: The wanted number.

    Returns:
        The settings, their number, and a sentence in ``refusal`` where that is more than 15 % away
        or the model cannot be built for such events.

    Raises:
        ValueError: There is no such model, or the number is out of range.
    """
    if not LEAST <= parameters <= MOST:
        raise ValueError(f"parameters: given {parameters}, wanted {LEAST} to {MOST}")
    kind = find(models(), name, "model")
    search = _Search(kind, tuple(event_shape), parameters)
    try:
        search.offer({})
    except ValueError as error:
        return Matched(name, refusal=f"{kind.card.title} cannot be built: {error}")
    search.run()
    found = Matched(name, search.best, search.count, (search.count - parameters) / parameters)
    if abs(found.difference) <= TOO_FAR:
        return found
    many = "parameter" if search.count == 1 else "parameters"
    return Matched(
        *(name, search.best, search.count, found.difference),
        f"{kind.card.title} comes no nearer to {parameters} than {search.count} {many} on data "
        f"with {_size(event_shape)}",
    )


def _size(event_shape: Sequence[int]) -> str:
    size = 1
    for side in event_shape:
        size *= side
    return "one number per event" if size == 1 else f"{size} numbers per event"


@dataclass
class _Search:
    """Coordinate by coordinate; counts are remembered, so nothing is built twice."""

    kind: type[GenerativeModel]
    shape: tuple[int, ...]
    wanted: int
    best: dict[str, Value] = field(default_factory=dict)
    count: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    together: list[FieldSpec] = field(default_factory=list)

    def run(self) -> None:
        specs = {spec.name: spec for spec in field_specs(self.kind.Config)}
        self.together = [specs[name] for name in TOGETHER if name in specs]
        usable = [specs[name] for name in SCALED if name in specs]
        for spec in (*usable, *usable[:1]):
            if abs(self.count - self.wanted) <= NEAR * self.wanted:
                return
            self._along(spec)

    def offer(self, config: dict[str, Value]) -> int:
        """Count a configuration, and remember it if it is the nearest so far."""
        key = repr(sorted(config.items()))
        if key not in self.seen:
            settings: dict[str, Any] = dict(config)
            model = build_model(self.kind.card.name, event_shape=self.shape, **settings)
            self.seen[key] = model.n_parameters
        count = self.seen[key]
        if not self.count or abs(count - self.wanted) < abs(self.count - self.wanted):
            self.best, self.count = config, count
        return count

    def _along(self, spec: FieldSpec) -> None:
        """Bracket the wanted number along one setting, halve the bracket, then refine."""
        fixed = dict(self.best)
        low, high = self._bracket(spec, fixed)
        while high - low > 1:
            middle = (low + high) // 2
            if self._counted(spec, fixed, middle) <= self.wanted:
                low = middle
            else:
                high = middle
        for config in self._between(spec, fixed, low):
            with suppress(ValueError):
                self.offer(config)

    def _bracket(self, spec: FieldSpec, fixed: dict[str, Value]) -> tuple[int, int]:
        """Two sizes with the wanted number between them, found by doubling from the lowest."""
        least = int(spec.field.low or 1)
        most = int(spec.field.high or 4096)
        low = high = least
        while high < most and self._counted(spec, fixed, high) <= self.wanted:
            low, high = high, min(2 * high, most)
        return low, high

    def _counted(self, spec: FieldSpec, fixed: dict[str, Value], size: int) -> float:
        """The number at a size; one that the model does not take counts as too large."""
        try:
            return self.offer(fixed | self._setting(spec, size, 0))
        except ValueError:
            return float("inf")

    def _between(
        self, spec: FieldSpec, fixed: dict[str, Value], size: int
    ) -> Iterator[dict[str, Value]]:
        """Configurations from a size to the next one, some widths larger by one."""
        n_steps = len(self._widths(spec)) if spec.kind == "ints" else 1
        for n_wider in range(n_steps + 1):
            if spec.kind == "ints":
                yield fixed | self._setting(spec, size, n_wider)
            else:
                yield fixed | self._setting(spec, size + n_wider, 0)

    def _setting(self, spec: FieldSpec, size: int, n_wider: int) -> dict[str, Value]:
        if spec.kind != "ints":
            return {spec.name: size}
        specs = (spec, *self.together)
        return {
            own.name: [size + (place < n_wider) for place in range(len(self._widths(own)))]
            for own in specs
        }

    def _widths(self, spec: FieldSpec) -> list[int]:
        default = plain_value(spec.default)
        return [int(width) for width in default] if isinstance(default, list) else [1]
