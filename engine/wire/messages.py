"""Every record that crosses the wire, in both directions.

Three kinds of traffic (see ARCHITECTURE.md): *commands* are ordered and acknowledged, *asks* are
"newest wins" per slot, and *streams* are pieces that the engine sends by itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from engine.wire.cards import DatasetCard, DatasetInfo, ModelCard, ProbeCard
from engine.wire.fields import Value

#: Arrays cross as raw buffers; the record only names them.
Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = dict[str, np.ndarray]

#: Pieces of a stream that may be on their way before the window has taken one in.
STREAM_CREDIT = 8
PROTOCOL_VERSION = 1


class Record(msgspec.Struct, frozen=True, tag=True):
    """Base of everything that crosses."""


# --- what a run is ---------------------------------------------------------------------------


class RunSpec(Record, frozen=True):
    """Everything that decides a run: the same spec and seed give the same picture."""

    model: str
    dataset: str
    model_config: dict[str, Value] = {}
    dataset_config: dict[str, Value] = {}
    seed: int = 0
    device: str = "auto"


class RunInfo(Record, frozen=True):
    """A run as the engine built it.

    ``natural_pace`` is set where single steps are worth watching: steps a second. ``parent`` and
    ``forked_at`` say where a fork came from; ``missing`` what of its past could not be read.
    """

    run: str
    spec: RunSpec
    card: ModelCard
    dataset: DatasetCard
    data: DatasetInfo
    n_parameters: int
    device: str
    step: int = 0
    path: str = ""
    natural_pace: float | None = None
    parent: str = ""
    forked_at: int = 0
    missing: str = ""


class Slot(msgspec.Struct, frozen=True):
    """Where an answer belongs: one part of one panel, for one run."""

    panel: str
    run: str
    part: str


# --- window to engine: commands --------------------------------------------------------------


class Command(Record, frozen=True):
    """Ordered, never dropped, answered by one ``Ack`` or one ``Failed`` that carries ``id``."""

    id: int


class StartRun(Command, frozen=True):
    """Build model and data set and hold them ready; train at once when ``playing``."""

    run: str
    spec: RunSpec
    playing: bool = False
    #: A keyframe to go on from, after the engine died.
    keyframe: str = ""
    #: A folder with its stored steps, from a session file or after the engine died.
    history: str = ""
    #: Id of an open run whose data are taken as they are, so that a rewind needs no file again.
    data_of: str = ""


class OpenRun(Command, frozen=True):
    """Open a saved ``.safetensors`` run."""

    run: str
    path: str
    device: str = "auto"
    playing: bool = False
    #: A folder with its stored steps, from a session file.
    history: str = ""
    #: Whether missing files of its data are fetched first; else they are when it is to train.
    fetches: bool = True
    #: Its stored steps come later, with ``TakePast``; until then none are written to the disk.
    past_follows: bool = False


class TakePast(Command, frozen=True):
    """Give a run that was opened with ``past_follows`` its stored steps; it may train meanwhile.

    Of a run that was reset or went back before its beginning nothing is taken.
    """

    run: str
    history: str


class Play(Command, frozen=True):
    """Train without end, or up to ``until`` steps in all."""

    run: str
    until: int | None = None


class SetFinish(Command, frozen=True):
    """Where a run stops by itself, however often it is paused, played or reset; a race's rule.

    It stops after the step with which it has ``steps`` in all, or has trained for ``seconds`` in
    all; None is no limit. Runs of one ``convoy`` share their time so that they advance evenly in
    steps, "" is none.
    """

    run: str
    steps: int | None = None
    seconds: float | None = None
    convoy: str = ""


class SetHold(Command, frozen=True):
    """Where a run waits, still training, until it is told another step; None lets it go.

    So the window keeps racers together that live in different engines.
    """

    run: str
    step: int | None = None


class MatchParameters(Command, frozen=True):
    """For each model, the settings whose number of trained values is nearest to ``parameters``.

    The ``Ack`` carries a list of :class:`engine.wire.race.Matched` as JSON in ``text``.
    """

    models: tuple[str, ...]
    event_shape: tuple[int, ...]
    parameters: int


class Pause(Command, frozen=True):
    """Stop training after the step in hand."""

    run: str


class StepOnce(Command, frozen=True):
    """Train ``count`` steps, then pause."""

    run: str
    count: int = 1


class Reset(Command, frozen=True):
    """Back to step 0 with the same initial weights."""

    run: str


class SetPace(Command, frozen=True):
    """Limit training to so many steps a second; ``None`` is as fast as it goes."""

    run: str
    steps_per_second: float | None = None


class SetLive(Command, frozen=True):
    """Change safe hyper-parameters (fields marked ``live``) without a reset."""

    run: str
    values: dict[str, Value] = {}


class SetData(Command, frozen=True):
    """Go on training on other data of the same event shape; the ``Ack`` carries the new info."""

    run: str
    dataset: str
    dataset_config: dict[str, Value] = {}


class ForkRun(Command, frozen=True):
    """A second run that goes on from a step of another one, which goes on undisturbed.

    It starts at the newest keyframe that is not after ``step``, repeats the parent's steps up to
    ``step`` bit for bit, then takes the changed settings and plays or pauses.

    Attributes:
        run: The new run's id.
        parent: Id of the run that is forked.
        step: The step at which they part; −1 is the newest.
        values: Settings of the model that may change without a restart.
    """

    run: str
    parent: str
    step: int
    values: dict[str, Value] = {}
    playing: bool = False


class Recall(Command, frozen=True):
    """Make a step between two stored ones showable, by replay from the keyframe before it.

    The ``Ack`` comes when it is in history; a newer ``Recall`` of the same run replaces it.
    """

    run: str
    step: int


class SetDevice(Command, frozen=True):
    """Move a run to another device."""

    run: str
    device: str


class SaveRun(Command, frozen=True):
    """Write a run as one ``.safetensors`` file; with ``history`` its stored steps to a folder."""

    run: str
    path: str
    history: str = ""


class TellRecipe(Command, frozen=True):
    """How a run came to be where it is; the ``Ack`` carries a ``Recipe`` as JSON in ``text``."""

    run: str


class PreviewTable(Command, frozen=True):
    """Look into a user's file; the ``Ack`` carries a ``TablePreview`` as JSON in ``text``."""

    path: str
    key: str = ""


class SampleDataset(Command, frozen=True):
    """A few observations of a data set with its default settings, as ``sample`` in the ``Ack``.

    They are points (N, 1 or 2), or one picture (H, W) or (H, W, 3) of 0 … 1. Nothing is fetched
    for it: a set whose files are not there fails.
    """

    dataset: str
    n: int = 300


class CloseRun(Command, frozen=True):
    """Forget a run."""

    run: str


class CancelFetch(Command, frozen=True):
    """Give up a command that waits for its data (see ``Progress``); it fails as ``"cancelled"``.

    ``run`` is the waiting command's, ``fetch`` its id.
    """

    run: str
    fetch: int


class Shutdown(Command, frozen=True):
    """Leave."""


# --- window to engine: asks ------------------------------------------------------------------


class Ask(Record, frozen=True):
    """A question to a probe. The newest ask of a slot replaces an older one not yet begun.

    ``cursor`` is ``None`` for the newest snapshot, or a stored training step. While an ``urgent``
    ask is open (something is being dragged) training steps aside for a moment. A ``stream`` is
    answered on a thread of its own by numbered pieces that all arrive, in order, as fast as the
    window gives credit for them; it ends when it is done, cancelled, or asked anew. An ``idle``
    one is answered while no other waits, and steps aside for any that comes.
    """

    slot: Slot
    generation: int
    probe: str
    arguments: dict[str, Value] = {}
    arrays: Arrays = {}
    cursor: int | None = None
    urgent: bool = False
    stream: bool = False
    idle: bool = False


class Credit(Record, frozen=True):
    """The window has taken in ``n`` pieces of a stream and will take as many more."""

    slot: Slot
    generation: int
    n: int = 1


class Cancel(Record, frozen=True):
    """Nobody wants the rest of a stream."""

    slot: Slot
    generation: int


# --- engine to window ------------------------------------------------------------------------


class Hello(Record, frozen=True):
    """First record of a fresh engine: what it can do and where it runs."""

    protocol: int
    pid: int
    torch_version: str
    devices: tuple[str, ...]
    threads: int
    models: tuple[ModelCard, ...]
    datasets: tuple[DatasetCard, ...]
    probes: tuple[ProbeCard, ...]


class Ack(Record, frozen=True):
    """A command was carried out; ``info`` comes with runs that were started or opened."""

    id: int
    info: RunInfo | None = None
    text: str = ""
    arrays: Arrays = {}


class Answer(Record, frozen=True):
    """What a probe found, with the step of the snapshot that it was asked of.

    ``number`` counts the pieces of a stream from 0; it is −1 in the answer to an ordinary ask.
    """

    slot: Slot
    generation: int
    step: int
    arrays: Arrays = {}
    values: dict[str, Value] = {}
    final: bool = True
    elapsed: float = 0.0
    number: int = -1


class Failed(Record, frozen=True):
    """Something went wrong, with a sentence for the user and a traceback for the log.

    Attributes:
        where: What was being done, such as ``"training step 12"``.
        kind: The exception's class name, or ``"diverged"``, ``"out_of_memory"``.
        message: One clear sentence.
        traceback: For the log only.
        slot, generation: Set when a probe failed.
        run: The run concerned.
        id: Set when a command failed.
        offer: Live settings that would probably help, such as a smaller ``batch_size``.
    """

    where: str
    kind: str
    message: str
    traceback: str = ""
    slot: Slot | None = None
    generation: int = 0
    run: str = ""
    id: int | None = None
    offer: dict[str, Value] = {}


class Progress(Record, frozen=True):
    """How far the data are that a command waits for: ``id`` is the command's, ``run`` its run.

    ``what`` is such as ``"Fetching MNIST"``, ``unit`` is ``"bytes"`` or ``"pictures"``. The last
    word is the command's own ``Ack`` or ``Failed``.
    """

    id: int
    run: str
    what: str
    done: int
    total: int
    unit: str = "bytes"


class Metrics(Record, frozen=True):
    """A batch of training figures: one row per recorded step, NaN where a column has none."""

    run: str
    columns: tuple[str, ...]
    steps: np.ndarray
    table: np.ndarray


class RunState(Record, frozen=True):
    """Where a run is.

    ``state``: ready, training, paused, diverged, failed, or stopped (its engine is gone).
    ``keyframes`` are the steps from which a fork starts without delay. ``seconds`` counts the time
    of its own training steps only; ``finished`` says that it stands at its ``SetFinish``.
    """

    run: str
    state: str
    step: int
    steps_per_second: float = 0.0
    #: Steps that history can show, oldest first.
    stored: tuple[int, ...] = ()
    keyframes: tuple[int, ...] = ()
    history_bytes: int = 0
    live: dict[str, Value] = {}
    keyframe: str = ""
    keyframe_step: int = 0
    #: First, present and last step of what a fork or a ``Recall`` repeats; empty when nothing is.
    repeating: tuple[int, ...] = ()
    seconds: float = 0.0
    finished: bool = False


class Heartbeat(Record, frozen=True):
    """Sent several times a second: what each thread is doing and for how long, in seconds."""

    training: str
    training_elapsed: float
    answering: str
    answering_elapsed: float
    resident_bytes: int


ToEngine: TypeAlias = (
    StartRun
    | OpenRun
    | Play
    | SetFinish
    | SetHold
    | MatchParameters
    | Pause
    | StepOnce
    | Reset
    | SetPace
    | SetLive
    | SetData
    | ForkRun
    | Recall
    | SetDevice
    | SaveRun
    | TakePast
    | TellRecipe
    | PreviewTable
    | SampleDataset
    | CloseRun
    | CancelFetch
    | Shutdown
    | Ask
    | Credit
    | Cancel
)
ToWindow: TypeAlias = Hello | Ack | Answer | Failed | Progress | Metrics | RunState | Heartbeat
