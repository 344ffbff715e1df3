"""The panel that takes mixed sounds apart: waveforms, numbers, and what is heard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engine.wire.messages import Answer, RunInfo, Slot
from tests.widgets.fakes import run_info
from widgets.panel import Panel
from widgets.panels.unmix import UnmixPanel
from widgets.unmix.player import PEAK, loudest
from widgets.unmix.wave import REACH, envelope

RATE = 8000


def recording() -> RunInfo:
    info = run_info("realnvp", (3,))
    return msgspec.structs.replace(
        info, spec=msgspec.structs.replace(info.spec, dataset="mixed_sounds")
    )


def answer(count: int = 3, n: int = 800) -> Answer:
    t = np.arange(n) / RATE
    rows = np.stack([np.sin(2 * np.pi * 100 * (i + 1) * t) for i in range(count)])
    rows = rows.astype(np.float32)
    values: dict[str, Any] = {
        "rate": RATE,
        "names": ["bell", "voice", "drum", "rain"][:count],
        "correlations": [0.9991, 0.95, 0.9999, 0.99][:count],
        "mixture_kurtosis": [4.0] * count,
        "unmixed_kurtosis": [12.0] * count,
        "source_kurtosis": [12.5] * count,
    }
    arrays = {"mixtures": 0.5 * rows, "unmixed": rows, "sources": -rows}
    return Answer(Slot("unmix", "run-1", "unmix"), 1, 5, arrays, values)


class FakeSound(ModuleType):
    """Stands in for sounddevice."""

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.played: list[tuple[Any, int]] = []
        self.stops = 0

    def play(self, samples: Any, rate: int) -> None:
        self.played.append((samples, rate))

    def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> FakeSound:
    made = FakeSound()
    monkeypatch.setitem(sys.modules, "sounddevice", made)
    return made


@pytest.fixture
def panel(show_panel: Callable[[type[Panel]], Panel]) -> UnmixPanel:
    made = show_panel(UnmixPanel)
    assert isinstance(made, UnmixPanel)
    made.resize(900, 500)
    return made


def test_only_recordings_are_asked_for(panel: UnmixPanel) -> None:
    panel.open_run(run_info())
    assert panel.asks(rest=True) == {}
    assert "no recording" in panel._empty.text
    panel.open_run(recording())
    assert [q.probe for q in panel.asks(rest=True).values()] == ["unmix"]


def test_rows_and_numbers_follow_the_answer(panel: UnmixPanel) -> None:
    panel.open_run(recording())
    panel.show_answer("unmix", answer())
    assert set(panel.waves) == {
        (n, i) for n in ("mixtures", "unmixed", "sources") for i in range(3)
    }
    assert (
        panel.waves["unmixed", 1]
        .accessibleName()
        .startswith("for voice: |r| = 0.9500, kurtosis 12.0")
    )
    assert "least |r| 0.9500" in [chip.text for chip in panel.chips.chips]
    assert "0 to 0.1 s" in panel._axis.text()
    panel.show_answer("unmix", answer(count=2))
    assert len(panel.waves) == 6
    assert not panel.grab().isNull()


def test_a_click_plays_and_a_second_one_stops(
    panel: UnmixPanel, sound: FakeSound, qtbot: QtBot
) -> None:
    panel.open_run(recording())
    panel.show_answer("unmix", answer(n=8000))
    wave = panel.waves["unmixed", 0]
    QTest.mouseClick(wave, Qt.MouseButton.LeftButton)
    ((samples, rate),) = sound.played
    assert rate == RATE
    assert np.abs(samples).max() == pytest.approx(PEAK)
    assert np.corrcoef(samples, wave.samples)[0, 1] == pytest.approx(1.0)
    qtbot.waitUntil(lambda: wave._at > 0, timeout=3000)
    assert panel.waves["unmixed", 1]._at == -1.0
    QTest.mouseClick(wave, Qt.MouseButton.LeftButton)
    assert sound.stops == 1
    assert wave._at == -1.0
    QTest.keyClick(panel.waves["sources", 2], Qt.Key.Key_Return)
    assert len(sound.played) == 2
    panel.hide()
    assert sound.stops == 2, "what is not seen is not heard"


def test_a_machine_without_sound_says_so(
    panel: UnmixPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(FakeSound):
        def play(self, samples: Any, rate: int) -> None:
            raise OSError("PortAudio library not found")

    monkeypatch.setitem(sys.modules, "sounddevice", Silent())
    panel.open_run(recording())
    panel.show_answer("unmix", answer())
    QTest.mouseClick(panel.waves["mixtures", 0], Qt.MouseButton.LeftButton)
    assert panel.banner.text == "No sound can be played here: PortAudio library not found."
    assert not panel.player.is_playing


def test_what_is_no_number_is_silent() -> None:
    given = np.array([0.0, np.nan, 2.0, np.inf, -4.0])
    np.testing.assert_allclose(loudest(given), [0.0, 0.0, 0.4, 0.0, -0.8], atol=1e-6)
    assert loudest(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert len(loudest(np.zeros(0))) == 0


def test_the_envelope_holds_every_sample() -> None:
    samples = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    low, high = envelope(samples, 37)
    assert len(low) == len(high) == 37
    assert low.min() == pytest.approx(max(samples.min() / samples.std(), -REACH))
    assert high.max() == pytest.approx(min(samples.max() / samples.std(), REACH))
    assert bool((low <= high).all())
    assert len(envelope(samples[:5], 37)[0]) == 5
