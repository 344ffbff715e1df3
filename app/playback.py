"""Which stored step is on screen when the cursor plays through history."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds from the first step to the newest where no speed limit says otherwise.
SECONDS = 8.0
#: The way never takes less or more than this.
SECONDS_RANGE = (2.0, 120.0)


@dataclass(frozen=True)
class Playback:
    """A walk of the cursor, in even steps or in even ratios of steps.

    Attributes:
        start: The step where it begins.
        forwards: Whether it goes to later steps.
        log: Whether equal times are equal ratios of (step + 1), which gives the first steps room.
        pace: Steps a second over the whole way; None is the whole way in :data:`SECONDS`.
    """

    start: int
    forwards: bool = True
    log: bool = True
    pace: float | None = None

    def step_at(self, elapsed: float, stored: Sequence[int]) -> int:
        """The stored step nearest to where the walk is after so many seconds."""
        first, last = stored[0], stored[-1]
        whole = self._place(last) - self._place(first)
        speed = whole / self._seconds(last - first)
        moved = elapsed * speed if self.forwards else -elapsed * speed
        place = self._place(self.start) + moved
        wanted = math.expm1(min(place, self._place(last))) if self.log else place
        after = bisect.bisect_left(stored, wanted)
        near = stored[max(0, after - 1) : after + 1]
        return min(near, key=lambda step: abs(step - wanted))

    def is_over(self, step: int, stored: Sequence[int]) -> bool:
        """Whether that is the end of the way."""
        return step >= stored[-1] if self.forwards else step <= stored[0]

    def _place(self, step: int) -> float:
        return math.log1p(step) if self.log else float(step)

    def _seconds(self, steps: int) -> float:
        wanted = SECONDS if self.pace is None else steps / self.pace
        return min(max(wanted, SECONDS_RANGE[0]), SECONDS_RANGE[1])
