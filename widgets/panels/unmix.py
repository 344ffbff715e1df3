"""Unmix: what the microphones hear, what a flow makes of it, and the sounds as they were."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QStackedWidget, QWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.look import Look
from widgets.panel import Panel, Question
from widgets.unmix.player import Player
from widgets.unmix.wave import Wave

#: Columns: array of the answer, heading, palette role of the waveforms.
COLUMNS = (
    ("mixtures", "What the microphones hear", "data"),
    ("unmixed", "Unmixed", "model"),
    ("sources", "The sounds as they were", "truth"),
)
KURTOSIS = {"mixtures": "mixture", "unmixed": "unmixed", "sources": "source"}
DATA = "mixed_sounds"
WANTED = "Choose the data set Mixed sounds and FastICA or ICA on the left, then press play."


class UnmixPanel(Panel):
    """Waveforms side by side; a click on one plays it."""

    name = "unmix"
    title = "Unmix"
    summary = "Mixed sounds taken apart, to see and to hear."
    needs = (frozenset({Capability.FLOW_PATH}),)
    shortcut = "Ctrl+Alt+U"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.player = Player(self)
        self.waves: dict[tuple[str, int], Wave] = {}
        self.chips = ChipRow(look, wrap=True, parent=self)
        self._rate, self._playing = 0, ("", 0)
        self._empty = EmptyState(look)
        self._table = QWidget()
        self._grid = QGridLayout(self._table)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(look.px(8))
        self._heads = [QLabel(heading) for _, heading, _ in COLUMNS]
        for place, head in enumerate(self._heads):
            self._grid.addWidget(head, 0, place)
            self._grid.setColumnStretch(place, 1)
        self._axis = QLabel()
        self._axis.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self._table)
        self.body.addWidget(self._pages, 1)
        self.body.addWidget(self._axis)
        self.body.addWidget(self.chips)
        self.player.moved.connect(self._on_moved)
        self.restyle()
        self.clear()

    # --- run ----------------------------------------------------------------------------------

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: nothing is heard any more."""
        self.player.stop()
        super().open_run(info)

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The whole recording through the flow, where the data are one."""
        if self.run is None or not self._is_recording:
            return {}
        return {"unmix": Question("unmix")}

    @property
    def _is_recording(self) -> bool:
        return self.run is not None and self.run.spec.dataset == DATA

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw the waveforms; the one that is heard goes on."""
        found = [answer.arrays.get(name) for name, _, _ in COLUMNS]
        arrays = [a for a in found if a is not None and a.ndim == 2 and a.size]
        if len(arrays) < len(COLUMNS):
            return
        rate = answer.values.get("rate")
        self._rate = rate if isinstance(rate, int) and rate > 0 else 1
        self._make_rows(len(arrays[0]))
        for (name, _, _), rows in zip(COLUMNS, arrays, strict=True):
            for index, samples in enumerate(rows[: len(arrays[0])]):
                words = self._words(name, index, answer)
                title = self._title(name, index, answer)
                self.waves[name, index].set_wave(samples, self._rate, title, words)
        seconds = arrays[0].shape[1] / self._rate
        self._axis.setText(f"each waveform: time, 0 to {seconds:.3g} s; heights in its own σ")
        self._show_chips(answer)
        self._pages.setCurrentWidget(self._table)

    def clear(self) -> None:
        """Say what to do."""
        self.player.stop()
        self.chips.set_chips(())
        self._axis.clear()
        heading = "No run is open" if self.run is None else "These data are no recording"
        self._empty.say("Waiting for the engine" if self._is_recording else heading, WANTED)
        self._pages.setCurrentWidget(self._empty)

    def restyle(self) -> None:
        """Take fonts and colours from the look."""
        for head, (_, _, role) in zip(self._heads, COLUMNS, strict=True):
            head.setFont(self.look.font(1.0, bold=True))
            head.setStyleSheet(f"color: {getattr(self.look.palette, role)}")
        self._axis.setFont(self.look.font(0.86))
        self._axis.setStyleSheet(f"color: {self.look.palette.muted}")
        for wave in self.waves.values():
            wave.restyle()

    def hideEvent(self, event: QHideEvent) -> None:
        """A panel that is not seen is not heard."""
        super().hideEvent(event)
        self.player.stop()

    # --- sound --------------------------------------------------------------------------------

    def _on_pressed(self, name: str, index: int) -> None:
        was = self._playing if self.player.is_playing else ("", 0)
        self.player.stop()
        if was == (name, index):
            return
        self._playing = name, index
        refused = self.player.play(self.waves[name, index].samples, self._rate)
        if refused:
            self.banner.show_warning(refused)

    def _on_moved(self, seconds: float) -> None:
        for key, wave in self.waves.items():
            wave.show_place(seconds if key == self._playing else -1.0)

    # --- drawing ------------------------------------------------------------------------------

    def _make_rows(self, count: int) -> None:
        """As many rows as there are sounds."""
        for name, index in [key for key in self.waves if key[1] >= count]:
            wave = self.waves.pop((name, index))
            self._grid.removeWidget(wave)
            wave.deleteLater()
        for place, (name, _, role) in enumerate(COLUMNS):
            for index in range(count):
                if (name, index) not in self.waves:
                    wave = Wave(self.look, role)
                    wave.pressed.connect(partial(self._on_pressed, name, index))
                    self._grid.addWidget(wave, index + 1, place)
                    self.waves[name, index] = wave

    def _title(self, name: str, index: int, answer: Answer) -> str:
        if name == "mixtures":
            return f"microphone {index + 1}"
        sources = answer.values.get("names")
        known = isinstance(sources, list) and index < len(sources)
        source = str(sources[index]) if known and isinstance(sources, list) else f"{index + 1}"
        return source if name == "sources" else f"for {source}"

    def _words(self, name: str, index: int, answer: Answer) -> str:
        """Kurtosis, and of an output its correlation with the source."""
        words = []
        r = _number(answer.values, "correlations", index)
        if name == "unmixed" and r is not None:
            words.append(f"|r| = {r:.4f}")
        k = _number(answer.values, f"{KURTOSIS[name]}_kurtosis", index)
        if k is not None:
            words.append(f"kurtosis {k:.1f}")
        return ", ".join(words)

    def _show_chips(self, answer: Answer) -> None:
        found = answer.values.get("correlations")
        values = (
            [float(r) for r in found if isinstance(r, float)] if isinstance(found, list) else []
        )
        chips = [Chip(f"{self._rate} samples a second", "Click a waveform to hear it")]
        if values and np.isfinite(values).all():
            tip = "Correlation of each output with its source, the least of them: 1 is unmixed"
            worst = f"least |r| {min(values):.4f}"
            chips.insert(0, Chip(worst, tip, self.look.palette.model, "dot"))
        chips.append(Chip("kurtosis of a normal law: 3", "Mixtures are nearer to it than sources"))
        self.chips.set_chips(tuple(chips))


def _number(values: Mapping[str, Value], name: str, index: int) -> float | None:
    found = values.get(name)
    if not isinstance(found, list) or index >= len(found):
        return None
    value = found[index]
    return float(value) if isinstance(value, int | float) else None
