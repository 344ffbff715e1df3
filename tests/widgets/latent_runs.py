"""Runs and answers for the tests of the latent panel."""

from __future__ import annotations

from typing import Any

import msgspec
from PySide6.QtCore import QCoreApplication

from engine.wire.messages import RunInfo
from tests.widgets.fakes import FakeEngine, run_info
from tests.widgets.pixel_runs import EVENTS, LABELS
from widgets.panels.latent import LatentPanel


def info_of(model: str = "vae", event: str = "", z: int = 2, **config: Any) -> RunInfo:
    """A run of a model with latents, on points or on pictures."""
    shape = EVENTS[event].shape if event else (2,)
    info = run_info(model, shape, labels=LABELS)  # type: ignore[arg-type]
    spec = msgspec.structs.replace(info.spec, model_config={"latent_features": z, **config})
    if event:
        data = msgspec.structs.replace(info.data, event=EVENTS[event])
        info = msgspec.structs.replace(info, data=data)
    return msgspec.structs.replace(info, spec=spec)


def serve(panel: LatentPanel, info: RunInfo, rounds: int = 3) -> dict[str, Any]:
    """Answer until nothing new is asked, as the asker would."""
    asked: dict[str, Any] = {}
    for _ in range(rounds):
        asked = FakeEngine(info).serve(panel)
        QCoreApplication.processEvents()
    return asked


def opened(panel: LatentPanel, info: RunInfo, mode: str = "plane") -> dict[str, Any]:
    """The panel with a run whose questions are answered, and what it asks then."""
    panel.open_run(info)
    serve(panel, info)
    panel.set_mode(mode)
    return serve(panel, info)
