"""Steps of the past that somebody waits for, reached by replay beside the training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.history import take
from engine.replay import Replay
from engine.run import Run

#: So many steps before the one that is wanted are stored too: one often goes on step by step.
NEARBY = 10


@dataclass
class _Recall:
    """One wish: the command's id, who is asked, and how far it has come."""

    id: int
    run: Run
    replay: Replay
    first: int


class Recalls:
    """At most one wish per run; a newer one replaces it.

    Args:
        done: Told the command's id when its step can be shown, or when nobody wants it any more.
        failed: Told the command's id, the run and what a repeated step raised.
    """

    def __init__(
        self,
        done: Callable[[int], None],
        failed: Callable[[int, Run, Exception], None],
    ) -> None:
        self._done = done
        self._failed = failed
        self._open: dict[str, _Recall] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def want(self, command: int, run: Run, step: int) -> bool:
        """Begin to reach a step; False if it can be shown already.

        Raises:
            ValueError: The step is not within reach.
        """
        if step in run.history.steps:
            return False
        replay = run.replay(step)
        self.drop(run.name)
        self._open[run.name] = _Recall(command, run, replay, replay.trainer.steps_done)
        return True

    def drop(self, run: str) -> None:
        """Nobody wants it any more, or the run is not what it was."""
        recall = self._open.pop(run, None)
        if recall is not None:
            self._done(recall.id)

    def progress(self, run: str) -> tuple[int, ...]:
        """First, present and last step of the repetition under way; empty where there is none."""
        recall = self._open.get(run)
        if recall is None:
            return ()
        return recall.first, recall.replay.trainer.steps_done, recall.replay.target

    def work(self, seconds: float, before: Callable[[str], None]) -> list[Run]:
        """A slice of time for each wish.

        Args:
            seconds: Of each slice.
            before: Told before every step what is being done.

        Returns:
            The runs whose wishes came to their end.
        """
        ended = []
        for name, recall in list(self._open.items()):
            end = time.monotonic() + seconds
            try:
                while not recall.replay.is_done and time.monotonic() < end:
                    before(f"replay of {name} to step {recall.replay.target}")
                    self._advance(recall)
                if not recall.replay.is_done:
                    continue
                self._arrive(recall)
            except Exception as error:  # whatever a step raises becomes a record
                self._failed(recall.id, recall.run, error)
            del self._open[name]
            ended.append(recall.run)
        return ended

    def _advance(self, recall: _Recall) -> None:
        replay = recall.replay
        replay.advance()
        step = replay.trainer.steps_done
        if replay.target - NEARBY <= step < replay.target:
            recall.run.history.insert(take(replay.trainer.model, step))

    def _arrive(self, recall: _Recall) -> None:
        history, replay = recall.run.history, recall.replay
        if replay.target <= recall.run.step:  # else training diverged and went back meanwhile
            history.insert_keyframe(replay.milestone())
            history.insert(take(replay.trainer.model, replay.target))
        self._done(recall.id)
