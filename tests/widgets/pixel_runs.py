"""Runs and pieces of films for the tests of the pixels panel."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QPoint

from engine.wire.event import Event
from engine.wire.fields import Field, FieldSpec, Value
from engine.wire.messages import Answer, RunInfo, Slot
from tests.widgets import pixel_fakes
from tests.widgets.fakes import FakeEngine, run_info
from widgets.panels.pixels import PixelsPanel
from widgets.pixels.canvas import PixelCanvas

DIGITS = Event((1, 8, 8), ("channel", "row", "column"), "integer", 17)
EVENTS = {
    "digits": DIGITS,
    "binary": Event((1, 6, 5), ("channel", "row", "column"), "binary", 2),
    "colour": Event((3, 4, 5), ("channel", "row", "column"), "integer", 256),
    "real": Event((1, 5, 5), ("channel", "row", "column")),
    "vector": Event((2,), ("x", "y")),
    "symbols": Event((40,), ("place",), "integer", 3, "abc"),
}
LABELS = tuple("0123456789")


def info_of(event: Event = DIGITS, model: str = "gated_pixelcnn", **config: Any) -> RunInfo:
    """A run on these events; ``config`` are settings of the model's."""
    info = run_info(model, event.shape, labels=LABELS)  # type: ignore[arg-type]
    fields = tuple(FieldSpec(name, "bool", False, Field()) for name in config)
    return msgspec.structs.replace(
        info,
        data=msgspec.structs.replace(info.data, event=event),
        card=msgspec.structs.replace(info.card, fields=fields),
        spec=msgspec.structs.replace(info.spec, model_config=config),
    )


def answer(info: RunInfo, found: Any, *, step: int = 100, final: bool = True) -> Answer:
    arrays, values = found
    return Answer(Slot("pixels", info.run, "samples"), 1, step, arrays, values, final)


def wanted(n: int = 3, seed: int = 0) -> dict[str, Any]:
    return {"n": n, "seed": seed, "temperature": 1.0, "top_p": 1.0}


def pieces(info: RunInfo, size: int, *, step: int = 100, seed: int = 0) -> list[Answer]:
    total = info.data.event.size
    cuts = [(start, min(start + size, total)) for start in range(0, total, size)]
    return [
        answer(info, pixel_fakes.piece(info, wanted(seed=seed), *cut), step=step,
               final=cut[1] == total)
        for cut in cuts
    ]  # fmt: skip


class Engine(FakeEngine):
    """Data of the run's own shape."""

    def _data_examples(self, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Value]]:
        n, shape = int(wanted["n"]), self.info.data.event.shape
        drawn = pixel_fakes.draws(self.info, n, 7).astype(np.float32)
        return {
            "examples": drawn.reshape(n, *shape),
            "labels": np.arange(n, dtype=np.int32) % 10,
        }, {}


def serve(panel: PixelsPanel, info: RunInfo, rounds: int = 3) -> dict[str, Any]:
    """Answer until nothing new is asked, as the asker would."""
    asked: dict[str, Any] = {}
    for _ in range(rounds):
        asked = Engine(info).serve(panel)
    return asked


def spot(canvas: PixelCanvas, row: int, column: int) -> QPoint:
    return canvas.rect_of(row, column).center().toPoint()
