"""A panel's timeline, frame by frame: a hidden twin of the panel goes through the stored steps.

The panel on screen and the window's cursor stay where they are. Who drives the reel asks the
questions; the reel says which are open, draws the answers and gives the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from PySide6.QtCore import QCoreApplication, QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter

from app.export_pictures import ExportError, picture
from app.film_files import Pixels, pixels
from engine.wire.messages import Answer, Metrics, RunInfo, RunState
from widgets.controls.tool_row import ToolRow
from widgets.look import Look
from widgets.metrics_table import MetricsTable
from widgets.panel import Panel, Point, Question
from widgets.plots.frame import Frame
from widgets.recall import parts_of

#: Places in the film, as shares, that are drawn once before it begins: they decide the colours
#: and settle the panel's scales.
SAMPLES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: A panel may ask anew after an answer; this ends the exchange.
ROUNDS = 6
#: Height of the line below the panel, in pixels at scale 1.
LINE = 22
LEAST_FRAMES, MOST_FRAMES = 2, 2000


@dataclass(frozen=True)
class Scene:
    """What a film is about.

    Attributes:
        info: The run in view.
        title: Its name in words.
        state: Where it is; its stored steps are the timeline.
        metrics: All its training figures.
        runs: All runs of the strip, for panels that compare.
        point: The place that the user chose, in all frames the same.
    """

    info: RunInfo
    title: str
    state: RunState
    metrics: MetricsTable
    runs: tuple[RunInfo, ...] = ()
    point: Point | None = None


def timeline(state: RunState) -> tuple[int, ...]:
    """Steps that can be shown: the stored ones, and where a run rests now."""
    rests = state.state != "training" and state.step > max(state.stored, default=-1)
    return (*state.stored, state.step) if rests else tuple(state.stored)


def cursor_of(state: RunState, step: int) -> int | None:
    """Where a step is found: in history, or as the newest snapshot."""
    return step if step in state.stored else None


def chosen_steps(stored: Sequence[int], n_frames: int) -> tuple[int, ...]:
    """At most ``n_frames`` stored steps, evenly chosen, the first and the last among them.

    Raises:
        ExportError: There are fewer than two, or the number is out of range.
    """
    check_frames(n_frames)
    if len(stored) < LEAST_FRAMES:
        raise ExportError(
            f"a film needs at least {LEAST_FRAMES} stored steps, and this run has {len(stored)}; "
            "train it first"
        )
    count = min(n_frames, len(stored))
    places = np.unique(np.round(np.linspace(0, len(stored) - 1, count)).astype(int))
    return tuple(stored[place] for place in places)


def check_frames(n_frames: int) -> None:
    """Raises ``ExportError`` for a number of frames that is out of range."""
    if not LEAST_FRAMES <= n_frames <= MOST_FRAMES:
        raise ExportError(
            f"frames: given {n_frames}, wanted a number from {LEAST_FRAMES} to {MOST_FRAMES}"
        )


class Twin:
    """A hidden panel of the same class, size, choices and view as another one.

    Args:
        panel: The panel to copy; it stays as it is.
        scene: What the twin shows.
        name: The twin's, to tell it from the panel.
    """

    def __init__(self, panel: Panel, scene: Scene, *, name: str) -> None:
        self.panel: Panel = type(panel)(panel.look)
        self.panel.setObjectName(name)
        self.scene = scene
        self._asked: dict[str, str] = {}
        self._rounds = 0
        self._steps: dict[str, int] = {}
        self._copy(panel)

    def _copy(self, panel: Panel) -> None:
        twin = self.panel
        twin.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        twin.resize(QSize(panel.width(), panel.height()))
        twin.restore_state(panel.save_state())
        twin.open_run(self.scene.info)
        if twin.compares:
            twin.open_runs(self.scene.runs)
        twin.show()
        self._copy_hand(panel)
        twin.choose_point(self.scene.point)

    def _copy_hand(self, panel: Panel) -> None:
        """Everything that the user set by hand in the panel, beside its choices."""
        rows = (one.findChildren(ToolRow) for one in (self.panel, panel))
        for mine, theirs in zip(*rows, strict=False):
            for name, value in theirs.values.items():
                if mine.values.get(name) != value:
                    mine.switch(name, value)
        for own, other in zip(parts_of(self.panel), parts_of(panel), strict=False):
            if not isinstance(other, Frame) or other.user_moved:
                own.keep(other.kept())

    def go_to(self, step: int) -> None:
        """Show the training figures up to a step; questions are open again."""
        self._rounds = 0
        scene = self.scene
        self.panel.show_state(
            msgspec.structs.replace(scene.state, step=step, state="paused", steps_per_second=0.0)
        )
        self.panel.show_metrics(until(scene.metrics, step))

    def open_questions(self, step: int) -> dict[str, Question]:
        """What is still to be asked for this step."""
        self._rounds += 1
        if self._rounds > ROUNDS:
            return {}
        found: dict[str, Question] = {}
        for part, question in self.panel.asks(rest=True).items():
            key = repr((question, step if question.live else None))
            if self._asked.get(part) != key:
                self._asked[part] = key
                found[part] = question
        return found

    def answer(self, part: str, answer: Answer, *, live: bool) -> None:
        """Draw an answer."""
        if live:
            self._steps[part] = answer.step
        self.panel.show_answer(part, answer)

    def frame(self, step: int, scale: float) -> QImage:
        """The panel now, with a line below it that says where in time it is."""
        self.panel.restyle()  # panels may put off drawing figures; this they do at once
        image = picture(self.panel, scale=scale)
        seen = max(self._steps.values(), default=step)
        return with_line(image, self.panel.look, scale, self.scene, seen)

    def close(self) -> None:
        """Take the twin down."""
        self.panel.close()
        self.panel.deleteLater()
        QCoreApplication.sendPostedEvents(self.panel, QEvent.Type.DeferredDelete.value)


class Actor:
    """A panel on the screen that goes through its own frames; nothing is asked for them.

    Args:
        panel: With ``own_frames``.
        scene: The run that it shows.
    """

    def __init__(self, panel: Panel, scene: Scene) -> None:
        self.scene = scene
        self._panel = panel

    def go_to(self, step: int) -> None:
        """Show one of the panel's frames."""
        self._panel.show_own_frame(step)

    def open_questions(self, step: int) -> dict[str, Question]:
        """Nothing: the frames are there."""
        return {}

    def answer(self, part: str, answer: Answer, *, live: bool) -> None:
        """No answer is waited for."""

    def frame(self, step: int, scale: float) -> QImage:
        """The panel now."""
        return picture(self._panel, scale=scale)

    def close(self) -> None:
        """Back to the first frame."""
        if self._panel.own_frames:
            self._panel.show_own_frame(0)


@dataclass
class Reel:
    """The order of frames: some samples from all over the film, then every step once.

    Attributes:
        steps: Stored steps, ascending.
        samples: Frames drawn before the film begins.
    """

    steps: tuple[int, ...]
    samples: list[Pixels] = field(default_factory=list)
    _place: int = 0

    @property
    def order(self) -> tuple[int, ...]:
        """Steps in the order in which they are drawn."""
        last = len(self.steps) - 1
        return (*(self.steps[round(share * last)] for share in SAMPLES), *self.steps)

    @property
    def step(self) -> int | None:
        """The step to draw now; None at the end."""
        return self.order[self._place] if self._place < len(self.order) else None

    @property
    def done(self) -> int:
        """Frames drawn, samples too."""
        return self._place

    @property
    def is_sampled(self) -> bool:
        """Whether all samples are drawn."""
        return len(self.samples) == len(SAMPLES)

    def take(self, image: QImage) -> Pixels | None:
        """Move on; the frame to write, or None while samples are drawn."""
        frame = pixels(image)
        self._place += 1
        if self._place <= len(SAMPLES):
            self.samples.append(frame)
            return None
        return frame


def with_line(image: QImage, look: Look, scale: float, scene: Scene, step: int) -> QImage:
    """A picture with a line below: the run, the step, and how far in the run that is."""
    height = round(look.px(LINE) * scale)
    whole = QImage(image.width(), image.height() + height, QImage.Format.Format_RGB32)
    whole.fill(QColor(look.palette.raised))
    painter = QPainter(whole)
    painter.drawImage(0, 0, image)
    share = step / max(1, step, scene.state.step)
    bar = QRectF(0, image.height(), image.width() * min(1.0, share), max(2.0, 2 * scale))
    painter.fillRect(bar, QColor(look.palette.accent))
    font = look.font(0.85)
    font.setPixelSize(max(1, round(0.55 * height)))
    painter.setFont(font)
    room = QRectF(0, image.height(), image.width(), height).adjusted(8 * scale, 0, -8 * scale, 0)
    middle = Qt.AlignmentFlag.AlignVCenter
    painter.setPen(QColor(look.palette.muted))
    painter.drawText(room, middle | Qt.AlignmentFlag.AlignLeft, scene.title)
    painter.setPen(QColor(look.palette.text))
    words = f"training step {step:,}".replace(",", " ")
    painter.drawText(room, middle | Qt.AlignmentFlag.AlignRight, words)
    painter.end()
    return whole


def until(table: MetricsTable, step: int) -> MetricsTable:
    """The figures up to a step."""
    part = MetricsTable()
    keep = table.steps <= step
    if not keep.any():
        return part
    columns = {}
    for name in table.names:
        steps, values = table.column(name)
        column = np.full(len(table.steps), np.nan)
        column[np.searchsorted(table.steps, steps)] = values
        columns[name] = column[keep]
    rows = np.stack(list(columns.values()), 1) if columns else np.empty((int(keep.sum()), 0))
    part.append(Metrics("", tuple(columns), table.steps[keep], rows))
    return part
