"""Answers of stored steps, kept so that going back to one costs no time."""

from __future__ import annotations

from collections import OrderedDict

from engine.wire.messages import Answer, Slot

#: Bytes of arrays kept.
BUDGET = 96 * 2**20
#: Above this share of the budget nothing is kept on mere suspicion.
FULL = 0.7


class AnswerCache:
    """The most recently used answers by slot and question.

    Args:
        budget: Bytes of arrays that it may hold.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._answers: OrderedDict[tuple[Slot, str], Answer] = OrderedDict()
        self._bytes = 0

    @property
    def n_bytes(self) -> int:
        """Bytes of arrays held."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        """Whether what is added now soon pushes out what is wanted more."""
        return self._bytes > FULL * self._budget

    def has(self, slot: Slot, key: str) -> bool:
        """Whether a question was answered before; this does not count as a use."""
        return (slot, key) in self._answers

    def get(self, slot: Slot, key: str) -> Answer | None:
        """The answer to a question asked before, or None."""
        found = self._answers.get((slot, key))
        if found is not None:
            self._answers.move_to_end((slot, key))
        return found

    def put(self, slot: Slot, key: str, answer: Answer) -> None:
        """Keep an answer; the longest unused ones make room."""
        old = self._answers.pop((slot, key), None)
        self._bytes += _size(answer) - (_size(old) if old is not None else 0)
        self._answers[slot, key] = answer
        while self._bytes > self._budget and self._answers:
            _, dropped = self._answers.popitem(last=False)
            self._bytes -= _size(dropped)

    def forget(self, run: str) -> None:
        """Drop what a run answered: its steps are no longer what they were."""
        for entry in [entry for entry in self._answers if entry[0].run == run]:
            self._bytes -= _size(self._answers.pop(entry))


def _size(answer: Answer) -> int:
    return 1024 + sum(array.nbytes for array in answer.arrays.values())
