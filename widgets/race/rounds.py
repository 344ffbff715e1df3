"""One question at a time: which tile or number is next, and when."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

#: While racers train, the answering side works for the panel at most this share of the time.
SHARE = 0.35
#: Seconds between two questions at least while they train.
LEAST_GAP = 0.05
#: Seconds after which an unanswered question is given up, small and in full.
PATIENCE = {False: 6.0, True: 60.0}
#: Every so many turns while they train is for a number, the others are for pictures.
NUMBER_EVERY = 3


@dataclass(frozen=True)
class Want:
    """A part that may be asked: of which version (a training step), and whether in full."""

    part: str
    version: int
    full: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it is for the ranking."""
        return self.part.startswith("score:")


@dataclass
class Rounds:
    """Keeps at most one question on its way, so that what the user does is followed at once.

    While racers train, parts come round in turn with pauses that leave training its time; at rest
    pictures come before numbers, without pauses.
    """

    clock: Callable[[], float] = time.monotonic
    _open: Want | None = None
    _sent: float = -math.inf
    _free: float = -math.inf
    _turn: int = 0
    _count: int = 0
    _have: dict[str, Want] = field(default_factory=dict)
    _served: dict[str, int] = field(default_factory=dict)

    def choose(self, wants: Sequence[Want], *, paced: bool) -> Want | None:
        """What is to be asked now, or what is on its way; None while there is nothing to ask.

        Args:
            wants: What can be asked, in order of importance.
            paced: Whether racers train.
        """
        now = self.clock()
        if self._open is not None:
            held = self._held(self._open, wants, paced, now)
            if held is not None:
                return held
        missing = [want for want in wants if not self._has(want)]
        if not missing or (paced and now < self._free):
            return None
        return self._ask(self._turn_of(missing) if paced else missing[0], now)

    def resting(self) -> Want | Literal[False] | None:
        """While racers train: the question on its way, None in a pause, False when one is due."""
        now = self.clock()
        if self._open is not None:
            late = self._open.full or now - self._sent > PATIENCE[False]
            return False if late else self._open
        return None if now < self._free else False

    def answered(
        self, part: str, elapsed: float, version: int | None = None, *, full: bool = True
    ) -> None:
        """The final answer to what was asked has come, after so many seconds of work.

        It may be of an older ``version`` than was wanted, where the newest weights were not there
        yet, or not ``full``, where a small one was still on its way: then it is asked again.
        """
        if self._open is None or self._open.part != part:
            return
        wanted = self._open.version
        seen = wanted if version is None else min(version, wanted)
        self._have[part] = replace(self._open, version=seen, full=self._open.full and full)
        self._open = None
        self._free = self.clock() + max(LEAST_GAP, elapsed * (1.0 - SHARE) / SHARE)

    def forget(self, run: str = "") -> None:
        """What was answered of a run, or of all, holds no more."""
        gone = [part for part in self._have if not run or part.endswith(f":{run}")]
        for part in gone:
            del self._have[part]
        if not run:
            self._open = None

    def _held(
        self, on_its_way: Want, wants: Sequence[Want], paced: bool, now: float
    ) -> Want | None:
        """The question on its way; asked again where it is wanted otherwise by now."""
        wanted = next((want for want in wants if want.part == on_its_way.part), None)
        if wanted is None:
            self._open = None
            return None
        if now - self._sent > PATIENCE[on_its_way.full]:
            self._have[on_its_way.part], self._open = on_its_way, None
            return None
        same = wanted.full == on_its_way.full and (paced or wanted.version == on_its_way.version)
        return on_its_way if same else self._ask(wanted, now)

    def _has(self, want: Want) -> bool:
        have = self._have.get(want.part)
        return have is not None and have.version == want.version and (have.full or not want.full)

    def _ask(self, want: Want, now: float) -> Want:
        self._open, self._sent = want, now
        self._count += 1
        self._served[want.part] = self._count
        return want

    def _turn_of(self, missing: Sequence[Want]) -> Want:
        """The one that has waited longest, pictures more often than numbers."""
        self._turn += 1
        for_number = self._turn % NUMBER_EVERY == 0
        group = [want for want in missing if want.is_number == for_number] or missing
        return min(group, key=lambda want: self._served.get(want.part, 0))
