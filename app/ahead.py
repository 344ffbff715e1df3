"""Coarse pictures of stored steps, made ahead while nothing else is to do.

Where a model is slow a scrub would wait for its picture; one that was made ahead is there at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from PySide6.QtCore import QObject, QTimer

from app.answer_cache import AnswerCache
from app.engine_pool import EnginePool
from app.session import Session
from engine.wire.messages import Answer, Ask, Failed, Slot
from widgets.panel import Question

#: Added to the part of a slot, so that nobody takes such an answer for one of its own.
MARK = " ahead"
#: Milliseconds between two looks whether there is anything to do.
TICK_MS = 40
#: Only pictures that take longer than this are made ahead; the first one tells.
SLOW_SECONDS = 0.02

KeyOf = Callable[[Question, int | None], str]


@dataclass(frozen=True)
class Wish:
    """A part of a panel on screen, as it is asked while something is scrubbed."""

    slot: Slot
    question: Question


class Ahead(QObject):
    """Asks one question at a time, nearest to the cursor first.

    Args:
        link: Takes the asks.
        session: Says which steps are stored.
        cache: Takes the answers.
        wishes: What may be asked now; empty while anything else is going on.
        key_of: The key under which the asker looks an answer up.
    """

    def __init__(
        self,
        link: EnginePool,
        session: Session,
        cache: AnswerCache,
        wishes: Callable[[], list[Wish]],
        key_of: KeyOf,
    ) -> None:
        super().__init__()
        self._link, self._session, self._cache = link, session, cache
        self._wishes, self._key_of = wishes, key_of
        self._asked: tuple[Slot, str, int, int] | None = None
        self._failed: set[Slot] = set()
        self._seconds: dict[Slot, float] = {}
        self._generation = 0
        link.answered.connect(self._on_answered)
        link.failed.connect(self._on_failed)
        link.died.connect(lambda *_: self._forget())
        session.current_changed.connect(lambda _: self._failed.clear())
        session.rewritten.connect(lambda _: self._forget())
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()

    def stop(self) -> None:
        """Ask no more."""
        self._timer.stop()

    def tick(self) -> None:
        """Ask for the nearest step that is missing."""
        if self._asked is not None:
            return
        for wish in self._wishes():
            if wish.slot in self._failed or self._seconds.get(wish.slot, 1.0) < SLOW_SECONDS:
                continue
            step = self._missing(wish)
            if step is not None:
                self._ask(wish, step)
                return

    def _missing(self, wish: Wish) -> int | None:
        """The stored step nearest to the one in view whose picture is not kept yet."""
        view = self._session.find(wish.slot.run)
        if view is None or view.state is None or self._cache.is_full:
            return None
        centre = view.step if self._session.cursor is None else self._session.cursor
        for step in sorted(view.state.stored, key=lambda step: abs(step - centre)):
            if not self._cache.has(wish.slot, self._key_of(wish.question, step)):
                return step
        return None

    def _ask(self, wish: Wish, step: int) -> None:
        self._generation += 1
        question = wish.question
        slot = msgspec.structs.replace(wish.slot, part=wish.slot.part + MARK)
        ask = Ask(
            slot,
            self._generation,
            question.probe,
            dict(question.arguments),
            dict(question.arrays),
            step,
            idle=True,
        )
        if self._link.send(ask):
            self._asked = wish.slot, self._key_of(question, step), self._generation, step

    def _on_answered(self, answer: Answer) -> None:
        if self._asked is None or not answer.final or not answer.slot.part.endswith(MARK):
            return
        slot, key, generation, step = self._asked
        if answer.generation == generation:
            self._asked = None
            self._seconds[slot] = answer.elapsed
            if answer.step == step:
                self._cache.put(slot, key, msgspec.structs.replace(answer, slot=slot))

    def _on_failed(self, failed: Failed) -> None:
        if self._asked is not None and failed.slot is not None and failed.slot.part.endswith(MARK):
            self._failed.add(self._asked[0])
            self._asked = None

    def _forget(self) -> None:
        self._asked = None
        self._failed.clear()
