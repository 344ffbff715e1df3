"""Films the timeline of a panel: in the window beside everything else, or in one go in the shell.

The file grows under another name and gets its own only when it is whole, so that a film that was
cancelled or went wrong leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal

from app.engine_pool import EnginePool
from app.export_pictures import ExportError
from app.film_files import FILES, FilmFile, Pixels
from app.reel import (
    LEAST_FRAMES,
    Actor,
    Reel,
    Scene,
    Twin,
    chosen_steps,
    cursor_of,
    timeline,
)
from engine.wire.messages import Answer, Ask, Cancel, Credit, Failed, Slot
from widgets.panel import Panel, Question

#: Seconds that a frame stays where no length is asked for.
FRAME_SECONDS = 0.1
PART_SUFFIX = ".part"
SLOT = "film"


class FilmJob(QObject):
    """One film in the making; everything but the encoding happens on the window's thread.

    Args:
        link: To the engine; the film asks in slots of its own.
        panel: What to film; it is not touched.
        scene: The run and its timeline.
        path: A file ending in .gif or .mp4.
        n_frames: Frames wanted; fewer where fewer steps are stored.
        seconds: Length of the film; None gives each frame a tenth of a second.
        scale: As for a picture.

    Signals:
        progressed: (frames drawn, frames in all).
        finished: The path.
        failed: A sentence; "" when it was cancelled.
    """

    progressed = Signal(int, int)
    finished = Signal(str)
    failed = Signal(str)
    _encoded = Signal(object)

    def __init__(
        self,
        link: EnginePool,
        panel: Panel,
        scene: Scene,
        path: Path,
        *,
        n_frames: int,
        seconds: float | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self._link = link
        self._path, self._scale = path, scale
        self._reel = self._make_reel(panel, scene, n_frames)
        self._part = part_of(path)
        self._file = open_film(path, self._part, frame_seconds(self._reel, seconds))
        self._twin = self._make_twin(panel, scene)
        self._waiting: dict[Slot, tuple[Question, int]] = {}
        self._pool = ThreadPoolExecutor(1, "film")
        self._is_over = False
        self._generation = 0
        link.answered.connect(self._on_answered)
        link.failed.connect(self._on_failed)
        link.died.connect(self._on_died)
        self._encoded.connect(self._on_encoded)

    def _make_reel(self, panel: Panel, scene: Scene, n_frames: int) -> Reel:
        return Reel(chosen_steps(timeline(scene.state), n_frames))

    def _make_twin(self, panel: Panel, scene: Scene) -> Twin | Actor:
        return Twin(panel, scene, name=f"{SLOT}-{panel.name}")

    def start(self) -> None:
        """Begin with the first frame."""
        self._later(self._next)

    def cancel(self) -> None:
        """Stop, and leave no file."""
        self._fail("")

    # --- one frame ----------------------------------------------------------------------------

    def _next(self) -> None:
        step = self._reel.step
        if step is None:
            self._finish()
            return
        self._twin.go_to(step)
        self._ask()

    def _ask(self) -> None:
        step = self._reel.step
        if step is None:
            return
        questions = self._twin.open_questions(step)
        if not questions:
            self._draw(step)
            return
        scene = self._twin.scene
        for part, question in questions.items():
            self._generation += 1
            slot = Slot(SLOT, question.run or scene.info.run, part)
            self._waiting[slot] = (question, self._generation)
        for slot, (question, generation) in list(self._waiting.items()):
            cursor = cursor_of(scene.state, step) if question.live else None
            self._link.send(ask_of(slot, generation, question, cursor))

    def _draw(self, step: int) -> None:
        try:
            frame = self._reel.take(self._twin.frame(step, self._scale))
        except ExportError as error:
            self._fail(str(error))
            return
        self.progressed.emit(self._reel.done, len(self._reel.order))
        if frame is not None:
            self._encode(self._file.add, frame)
        elif self._reel.is_sampled:
            self._encode(self._file.begin, self._reel.samples)
        else:
            self._later(self._next)

    def _encode(self, work: Callable[[Any], None], what: Pixels | list[Pixels]) -> None:
        """On another thread, so that the window stays fluid; then the next frame."""

        def tell(future: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # the job may be gone by then
                self._encoded.emit(future.exception())

        self._pool.submit(work, what).add_done_callback(tell)

    def _on_encoded(self, error: BaseException | None) -> None:
        if error is not None:
            self._fail(f"{self._path} cannot be written: {error}")
        elif not self._is_over:
            self._next()

    # --- records ------------------------------------------------------------------------------

    def _on_answered(self, answer: Answer) -> None:
        question = self._match(answer.slot, answer.generation)
        if question is None:
            return
        if answer.number >= 0 and not answer.final:
            self._link.send(Credit(answer.slot, answer.generation))
        self._twin.answer(answer.slot.part, answer, live=question.live)
        if answer.final:
            del self._waiting[answer.slot]
            if not self._waiting:
                self._later(self._ask)

    def _on_failed(self, failed: Failed) -> None:
        if failed.slot is not None and self._match(failed.slot, failed.generation):
            self._fail(failed.message)

    def _on_died(self, _engine: str, _words: str) -> None:
        self._fail("the engine stopped while the film was made")

    def _match(self, slot: Slot, generation: int) -> Question | None:
        question, sent = self._waiting.get(slot, (None, 0))
        return question if sent == generation and not self._is_over else None

    # --- the end ------------------------------------------------------------------------------

    def _finish(self) -> None:
        try:
            self._file.finish()
            os.replace(self._part, self._path)
        except OSError as error:
            self._fail(f"{self._path} cannot be written: {error.strerror}")
            return
        self._close()
        self.finished.emit(str(self._path))

    def _fail(self, sentence: str) -> None:
        if self._is_over:
            return
        self._close()
        with contextlib.suppress(Exception):
            self._file.abort()
        self._part.unlink(missing_ok=True)
        self.failed.emit(sentence)

    def _close(self) -> None:
        self._is_over = True
        for slot, (question, generation) in self._waiting.items():
            if question.stream:
                self._link.send(Cancel(slot, generation))
        self._waiting.clear()
        self._pool.shutdown(wait=True)
        self._link.answered.disconnect(self._on_answered)
        self._link.failed.disconnect(self._on_failed)
        self._link.died.disconnect(self._on_died)
        self._twin.close()

    def _later(self, call: Callable[[], None]) -> None:
        """After all events that wait: the twin has its layout by then."""
        QTimer.singleShot(0, self, lambda: None if self._is_over else call())


class OwnFilmJob(FilmJob):
    """A film of a panel's own frames, such as an interpolation's, as they are on screen."""

    def _make_reel(self, panel: Panel, scene: Scene, n_frames: int) -> Reel:
        if panel.own_frames < LEAST_FRAMES:
            raise ExportError(f"'{panel.title}' has no frames of its own now; wanted a path there")
        return Reel(chosen_steps(range(panel.own_frames), n_frames))

    def _make_twin(self, panel: Panel, scene: Scene) -> Actor:
        return Actor(panel, scene)


def ask_of(slot: Slot, generation: int, question: Question, cursor: int | None) -> Ask:
    """The record that asks a question."""
    return Ask(
        slot,
        generation,
        question.probe,
        dict(question.arguments),
        dict(question.arrays),
        cursor,
        False,
        question.stream,
    )


def frame_seconds(reel: Reel, seconds: float | None) -> float:
    """How long each frame stays; raises ``ExportError`` for a length that is no length."""
    if seconds is None:
        return FRAME_SECONDS
    if not 0 < seconds <= 3600:
        raise ExportError(f"seconds: given {seconds:g}, wanted more than 0 and at most 3600")
    return seconds / len(reel.steps)


def part_of(path: Path) -> Path:
    """Under which name a file grows."""
    return path.with_name(f".{path.name}{PART_SUFFIX}")


def open_film(path: Path, part: Path, seconds_per_frame: float) -> FilmFile:
    """Begin a file of the kind that the path's ending says; raises ``ExportError``."""
    kind = FILES.get(path.suffix.lower())
    if kind is None:
        raise ExportError(f"given '{path.name}', wanted a file ending in {' or '.join(FILES)}")
    return kind(part, seconds_per_frame)


def film(
    panel: Panel,
    scene: Scene,
    ask: Callable[[str, Question, int | None], list[Answer]],
    path: Path,
    *,
    n_frames: int,
    seconds: float | None = None,
    scale: float = 1.0,
) -> int:
    """Film in one go; ``ask`` gives all answers to a part's question. Returns the frames.

    Raises:
        ExportError: As :class:`FilmJob` says in ``failed``.
    """
    reel = Reel(chosen_steps(timeline(scene.state), n_frames))
    part = part_of(path)
    file = open_film(path, part, frame_seconds(reel, seconds))
    twin = Twin(panel, scene, name=f"{SLOT}-{panel.name}")
    try:
        while (step := reel.step) is not None:
            _shoot(twin, ask, step)
            frame = reel.take(twin.frame(step, scale))
            if frame is not None:
                file.add(frame)
            elif reel.is_sampled:
                file.begin(reel.samples)
        file.finish()
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(Exception):
            file.abort()
        raise
    finally:
        part.unlink(missing_ok=True)
        twin.close()
    return len(reel.steps)


def _shoot(
    twin: Twin, ask: Callable[[str, Question, int | None], list[Answer]], step: int
) -> None:
    twin.go_to(step)
    _settle()
    while questions := twin.open_questions(step):
        for part, question in questions.items():
            cursor = cursor_of(twin.scene.state, step) if question.live else None
            for answer in ask(part, question, cursor):
                twin.answer(part, answer, live=question.live)
        _settle()


def _settle() -> None:
    """Let Qt lay out and paint what waits; only for the shell, where nothing else does."""
    for _ in range(3):
        QCoreApplication.processEvents()
