"""What the race panel asks of each racer, cheap while they train and in full at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.density.face import can_draw, has_density, is_costly
from widgets.panel import Question

#: Pixels a side of a picture, by cost, while training and at rest.
PIXELS = {"cheap": {False: 80, True: 160}, "costly": {False: 48, True: 96}}
#: Nodes a side of the divergence, by cost, while training and at rest.
NODES = {"cheap": {False: 64, True: 256}, "costly": {False: 48, True: 128}}
#: Draws of the latents for a bound.
N_DRAWS = {False: 12, True: 64}
#: Samples that are binned where there is no density.
N_SAMPLES = {False: 4000, True: 20_000}
LINE_NODES = 256
#: Pictures in one tile.
N_PICTURES = 16
#: Points a side of the sample scores, and repetitions of their null band.
N_SCORED = 500
REPETITIONS = {False: 20, True: 100}
TRUTH = "truth"


def kind_of(info: RunInfo) -> str:
    """``"map"`` (2-D), ``"line"`` (1-D), ``"picture"``, or ``"table"`` (more columns)."""
    event = info.data.event
    if event.kind == "picture":
        return "picture"
    return {1: "line", 2: "map"}.get(event.size, "table")


def is_drawn_as_density(info: RunInfo) -> bool:
    """Whether a tile shows the model's own density, and not binned samples."""
    return kind_of(info) in ("map", "line") and has_density(info.card)


def ranks_by_divergence(info: RunInfo) -> bool:
    """Whether KL to a known truth can be had by quadrature."""
    return info.data.has_density and info.data.event.size <= 2


def picture_question(info: RunInfo, *, rest: bool) -> Question | None:
    """What a racer's tile shows."""
    if is_drawn_as_density(info):
        cost = "costly" if is_costly(info.card) else "cheap"
        size = LINE_NODES if kind_of(info) == "line" else PIXELS[cost][rest]
        wanted = _window(info) | {
            "size": size, "contours": False, "n_draws": N_DRAWS[rest],
        }  # fmt: skip
        return Question("density", wanted, run=info.run)
    if not can_draw(info.card):
        return None
    if kind_of(info) == "picture":
        return Question("draw", {"n": N_PICTURES}, run=info.run)
    return Question("samples", {"n": N_SAMPLES[rest]}, run=info.run)


def truth_question(info: RunInfo) -> Question:
    """What the first tile shows: the truth, or the data where it is unknown."""
    if kind_of(info) == "picture":
        return Question("data_examples", {"n": N_PICTURES}, live=False, run=info.run)
    if ranks_by_divergence(info):
        size = LINE_NODES if kind_of(info) == "line" else PIXELS["cheap"][True]
        wanted = _window(info) | {"size": size, "contours": False}
        return Question("truth", wanted, live=False, run=info.run)
    return Question("data_points", {"n": N_SAMPLES[True]}, live=False, run=info.run)


def score_question(info: RunInfo, *, rest: bool) -> Question:
    """By what a racer is ranked."""
    if not has_density(info.card):
        wanted: dict[str, Value] = {"n": N_SCORED, "repetitions": REPETITIONS[rest]}
        return Question("sample_scores", wanted, run=info.run)
    cost = "costly" if is_costly(info.card) else "cheap"
    if ranks_by_divergence(info):
        nodes = {"size": NODES[cost][rest], "n_draws": N_DRAWS[rest]}
        return Question("divergences", nodes, run=info.run)
    return Question("evaluate", {"grid": 64, "n_draws": N_DRAWS[rest]}, run=info.run)


def is_whole(question: Question | None, answer: Answer) -> bool:
    """Whether a picture has the pixels, or the samples, that were asked for."""
    arguments = question.arguments if question is not None else {}
    for name, wanted in (("log_density", arguments.get("size")), ("points", arguments.get("n"))):
        array = answer.arrays.get(name)
        if array is not None and isinstance(wanted, int):
            return bool(array.shape[-1 if name == "log_density" else 0] >= wanted)
    return True


def _window(info: RunInfo) -> dict[str, Value]:
    return {"low": [*info.data.low], "high": [*info.data.high]}


def all_questions(infos: Sequence[RunInfo], *, rest: bool) -> dict[str, Question]:
    """Every question by part: ``truth``, ``picture:RUN`` and ``score:RUN``."""
    asked: dict[str, Question] = {}
    if infos:
        asked[TRUTH] = truth_question(infos[0])
    for info in infos:
        picture = picture_question(info, rest=rest)
        if picture is not None:
            asked[f"picture:{info.run}"] = picture
        asked[f"score:{info.run}"] = score_question(info, rest=rest)
    return asked


def is_settled(info: RunInfo, question: Question | None, values: Mapping[str, Value]) -> bool:
    """Whether an answer to :func:`score_question` is in full, as at rest."""
    if values.get("kind") == "none":
        return True  # there is no number, and there will be none
    full = score_question(info, rest=True)
    for name in ("size", "repetitions"):
        wanted, found = full.arguments.get(name), values.get(name)
        if isinstance(wanted, int) and isinstance(found, int):
            return found >= wanted
    return question is not None and dict(question.arguments) == dict(full.arguments)
