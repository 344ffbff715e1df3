"""Two real engines: records find their run's, and one may die alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.engine_pool import MAIN, EnginePool
from app.notices import Notices
from app.session import Session
from engine.launch import launch
from engine.wire.messages import RunSpec

SPEC = RunSpec("gaussian_mixture", "two_moons", {}, {"n_samples": 200}, device="cpu")
PATIENCE_MS = 60_000


@pytest.fixture
def pool(qtbot: Any, tmp_path: Path) -> Iterator[EnginePool]:
    made = EnginePool(lambda: launch(keyframe_folder=str(tmp_path), keyframe_seconds=0.2))
    yield made
    made.stop()


def test_a_racer_that_dies_takes_no_other_along(qtbot: Any, pool: EnginePool) -> None:
    session = Session(pool, Notices())
    died: list[str] = []
    pool.died.connect(lambda engine, _: died.append(engine))
    stays = session.start(SPEC, playing=True)
    goes = session.start(SPEC, playing=True, engine="racer-1")
    assert pool.engines == (MAIN, "racer-1")

    def until(condition: Any) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)

    until(lambda: stays.step > 3 and goes.step > 3 and goes.state and goes.state.keyframe)
    os.kill(pool.pid("racer-1") or 0, signal.SIGKILL)
    until(lambda: died)
    assert died == ["racer-1"]
    assert goes.state is not None
    assert goes.state.state == "stopped"
    assert not pool.lives("racer-1")
    before = stays.step
    until(lambda: stays.step > before + 3)
    session.restart_engine("racer-1")
    until(lambda: (goes.state and goes.state.state == "ready") or goes.state.state == "paused")
    assert goes.step > 0
    session.close(goes)
    assert pool.engines == (MAIN,)


def test_ids_of_commands_are_unique_over_engines(qtbot: Any, pool: EnginePool) -> None:
    ids = [pool.next_id() for _ in range(10)]
    assert len(set(ids)) == 10
