"""The window and its engine are killed while they train; the next start brings all of it back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.killing import WindowProcess, flow_of

BEFORE_SECONDS = 9.0
MOST_LOST_SECONDS = 10.0
#: Entries of the past that are there before the kill, and come back.
N_KEPT = 10


def n_kept(folder: Path) -> int:
    """Snapshots of the painted run on the disk, up to the keyframe that it would go on from."""
    for file in folder.glob("cache/genscope/sessions/*/session.json"):
        for run in json.loads(file.read_text("utf-8"))["runs"]:
            if run["spec"]["model"] == "realnvp":
                history = file.parent / "runs" / f"{run['run']}.history"
                last = max(steps(history, "k"), default=0)
                return sum(step <= last for step in steps(history, "s"))
    return 0


def steps(history: Path, kind: str) -> list[int]:
    """The steps of a run's keyframes (k) or snapshots (s) on the disk."""
    return [int(file.stem.split("-")[1]) for file in history.glob(f"{kind}-*.safetensors")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_session_is_recovered(tmp_path: Path) -> None:
    first = WindowProcess("train", tmp_path)
    try:
        began = first.until(lambda line: flow_of(line).get("step", 0) > 0)["t"]
        # Writing takes a small share of training's time: on a busy machine the past comes late.
        last = first.until(
            lambda line: line["t"] > began + BEFORE_SECONDS and n_kept(tmp_path) > N_KEPT
        )
    finally:
        first.kill()
    before = flow_of(last)
    times = {flow_of(line)["step"]: line["t"] for line in first.lines if flow_of(line)}
    second = WindowProcess("recover", tmp_path)
    try:
        banner = second.until(lambda line: "banner" in line)["banner"]
        done = second.until(lambda line: "recovered" in line)
        # The runs are there at once, their past comes entry by entry.
        after = flow_of(second.until(lambda line: flow_of(line).get("stored", 0) > N_KEPT))
    finally:
        second.kill()
    assert "ended unexpectedly" in banner
    assert "2 runs open" in banner
    assert done["lost"] == []
    kept_until = max(t for step, t in times.items() if step <= after["step"])
    assert last["t"] - kept_until <= MOST_LOST_SECONDS
    assert after["step"] > 0
    assert after["strokes"] >= before["strokes"] - 1, "at most the stroke of the last moment"
    assert 0 < after["curve"] <= after["step"]
