"""The window and its engine are killed while they train; the next start brings all of it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.killing import WindowProcess, flow_of

BEFORE_SECONDS = 9.0
MOST_LOST_SECONDS = 10.0


@pytest.mark.slow
def test_killed_session_is_recovered(tmp_path: Path) -> None:
    first = WindowProcess("train", tmp_path)
    try:
        began = first.until(lambda line: flow_of(line).get("step", 0) > 0)["t"]
        last = first.until(lambda line: line["t"] > began + BEFORE_SECONDS)
    finally:
        first.kill()
    before = flow_of(last)
    times = {flow_of(line)["step"]: line["t"] for line in first.lines if flow_of(line)}
    second = WindowProcess("recover", tmp_path)
    try:
        banner = second.until(lambda line: "banner" in line)["banner"]
        done = second.until(lambda line: "recovered" in line)
        after = flow_of(second.until(lambda line: flow_of(line).get("stored", 0) > 0))
    finally:
        second.kill()
    assert "ended unexpectedly" in banner
    assert "2 runs open" in banner
    assert done["lost"] == []
    kept_until = max(t for step, t in times.items() if step <= after["step"])
    assert last["t"] - kept_until <= MOST_LOST_SECONDS
    assert after["step"] > 0
    assert after["strokes"] >= before["strokes"] - 1, "at most the stroke of the last moment"
    assert after["stored"] > 10
    assert 0 < after["curve"] <= after["step"]
