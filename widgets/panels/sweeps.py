"""Sweeps: Gaussianization step by step, each turn, each bent axis, the negentropy falling."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent, QKeyEvent
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from engine.wire.capability import Capability
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import ToolRow
from widgets.figures import as_float, fixed
from widgets.look import Look
from widgets.panel import Panel, Question
from widgets.pixels.clock import Clock
from widgets.pixels.transport import PixelTransport
from widgets.sweeps.page import SweepsPage

#: What the model's card names among its features where it can be shown here.
FEATURE = "sweeps"
TIPS = {
    "reset": "Back to the first sweep (Home)",
    "back": "One sweep back (Left)",
    "play": "Play the sweeps (Space)",
    "step": "One sweep on (Right)",
    "slow": "Slow motion: two sweeps a second (S)",
}
HINT = (
    "Choose data and Iterative Gaussianization on the left, then press play: every training step "
    "is a sweep."
)
KEYS = {
    Qt.Key.Key_Space: "play",
    Qt.Key.Key_Left: "back",
    Qt.Key.Key_Right: "step",
    Qt.Key.Key_Home: "reset",
    Qt.Key.Key_S: "slow",
}
#: Axes that can be chosen from at most.
MOST_AXES = 64


class SweepsPanel(Panel):
    """The cloud around one sweep, both axes' curves, and what all sweeps took away."""

    name = "sweeps"
    title = "Sweeps"
    summary = "Gaussianization sweep by sweep: turn, marginal transform, negentropy falling."
    needs = (frozenset({Capability.FLOW_PATH}),)
    shortcut = "Ctrl+Alt+W"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.clock = Clock(self)
        self.tools = ToolRow(look, self)
        for name in ("first", "second"):
            self.tools.add_choice(name, f"Which turned axis is the {name} drawn")
        self.page = SweepsPage(look)
        self.transport = PixelTransport(look, self.clock, tips=TIPS, things="Sweeps")
        self.chips = ChipRow(look, wrap=True, parent=self)
        self._follows = True
        self._n_axes = 0
        self._empty = EmptyState(look)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget, share in ((self.tools, 0), (self.page, 1), (self.transport, 0)):
            column.addWidget(widget, share)
        self._content, self._pages = content, QStackedWidget()
        self._pages.addWidget(self._empty)
        self._pages.addWidget(content)
        self.body.addWidget(self._pages, 1)
        self.body.addWidget(self.chips)
        self.tools.chosen.connect(lambda *_: self.asks_changed.emit())
        self.clock.moved.connect(self._on_moved)
        self.page.wanted_sweep.connect(self._on_wanted)
        self.clear()

    @classmethod
    def refusal(cls, card: ModelCard) -> str:
        """Only a model made of sweeps can be shown."""
        if FEATURE in card.features:
            return super().refusal(card)
        return f"needs sweeps of turns and marginals; {card.title} has none"

    # --- run ----------------------------------------------------------------------------------

    @property
    def _has_sweeps(self) -> bool:
        return self.run is not None and FEATURE in self.run.card.features

    def open_run(self, info: RunInfo | None) -> None:
        """Another run: its last sweep is followed again."""
        self._follows = True
        self.clock.open(0)
        super().open_run(info)
        if info is not None:
            self._offer_axes(info.data.event.size)

    def _offer_axes(self, size: int) -> None:
        self._n_axes = size
        entries = tuple((f"axis {i + 1}", i) for i in range(min(size, MOST_AXES)))
        for place, name in enumerate(("first", "second")):
            self.tools.set_choices(name, entries)
            self.tools.set_choice(name, min(place, size - 1))
        self.tools.setVisible(size > 2)

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """One sweep, the last one until another is chosen."""
        if not self._has_sweeps:
            return {}
        wanted: dict[str, Value] = {
            "sweep": 10**6 if self._follows else self.clock.place,
            "n": 1500 if rest else 700,
            "n_scored": 5000 if rest else 1000,
        }
        axes = self._axes()
        if axes is not None:
            wanted["axes"] = list(axes)
        return {"sweeps": Question("sweeps", wanted)}

    def _axes(self) -> tuple[int, int] | None:
        """The two drawn axes, where there are more than two and both are others."""
        if self._n_axes < 3:
            return None
        values = self.tools.values
        first, second = values.get("first"), values.get("second")
        if not isinstance(first, int) or not isinstance(second, int):
            return None
        return (first, second if second != first else (first + 1) % self._n_axes)

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw one sweep, and how far all have come."""
        n = answer.values.get("n_sweeps")
        if not isinstance(n, int):
            return
        self.banner.clear()
        if n != self.clock.size:
            place = n if self._follows else min(self.clock.place, n)
            pace, self.clock.size = self.clock.pace, n
            self.clock.set_ready(n)
            self.clock.pace = pace
            self._go(place)
        self.page.show_answer(answer)
        self.transport.show_clock(self._words(answer))
        self._pages.setCurrentWidget(self._content)
        self._tell(answer)

    def _go(self, place: int) -> None:
        """Move without taking it for the user's doing."""
        self.clock.blockSignals(True)
        self.clock.go(place)
        self.clock.blockSignals(False)

    def _words(self, answer: Answer) -> str:
        return "sweeps" if answer.values.get("sweep") else "sweeps: none taken yet"

    def _tell(self, answer: Answer) -> None:
        values, arrays = answer.values, answer.arrays
        sweep, absolute = values.get("sweep"), bool(values.get("absolute"))
        kind = "negentropy left" if absolute else "−log p"
        chips = []
        if isinstance(sweep, int):
            for name, split in (("test", "held out"), ("train", "training")):
                left, error = arrays[f"left_{name}"][sweep], arrays[f"error_{name}"][sweep]
                text = f"{kind}, {split}: {fixed(float(left), 3)} ± {fixed(float(error), 3)} nats"
                chips.append(Chip(text, _MEANING[absolute]))
            if sweep:
                gain = arrays["left_train"][sweep - 1] - arrays["left_train"][sweep]
                chips.append(Chip(f"this sweep took {fixed(float(gain), 4)} nats",
                                  "By how much it raised the mean log-density of these training "
                                  "points"))  # fmt: skip
        angle = as_float(values.get("angle"))
        if angle is not None:
            turn = "turned by" if values.get("is_orthogonal") else "first axis turned by"
            mirrored = ", mirrored" if values.get("mirrors") else ""
            words = f"{turn} {angle:.1f}°{mirrored}".replace("-", "−")
            chips.append(Chip(words, "The sweep's turn before the axes are bent"))
        self.chips.set_chips(tuple(chips))

    def clear(self) -> None:
        """Say what to do."""
        self.page.clear()
        self.chips.set_chips(())
        if self._has_sweeps:
            self._empty.say("Waiting for the engine", "")
        elif self.run is None:
            self._empty.say("No run is open", HINT)
        else:
            self._empty.say("This model takes no sweeps", HINT)
        self._pages.setCurrentWidget(self._empty)

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        self.page.restyle()
        self.transport.restyle()

    def save_state(self) -> dict[str, Value]:
        """The sweep in view (0: the last one), and the drawn axes."""
        axes = self._axes()
        kept: dict[str, Value] = {"sweep": 0 if self._follows else self.clock.place}
        return kept if axes is None else {**kept, "axes": list(axes)}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take them back where they are sensible."""
        sweep, axes = state.get("sweep"), state.get("axes")
        if isinstance(axes, list):
            for name, axis in zip(("first", "second"), axes, strict=False):
                self.tools.set_choice(name, axis)
        if isinstance(sweep, int):
            self._follows = sweep <= 0
            if sweep > 0:
                self.clock.size = max(self.clock.size, sweep)
            self._go(sweep if sweep > 0 else self.clock.size)
        self.asks_changed.emit()

    @property
    def own_frames(self) -> int:
        """A frame of a film for each sweep."""
        return self.clock.size

    def show_own_frame(self, index: int) -> None:
        """Go to one of them."""
        self._on_wanted(index + 1)

    # --- moving -------------------------------------------------------------------------------

    def _on_moved(self, place: int) -> None:
        if place == 0 and self.clock.size:
            self.clock.go(1)  # the first picture is that of the first sweep
            return
        self._follows = place == self.clock.size and not self.clock.is_playing
        self.transport.show_clock("sweeps")
        self.page.mark(place)
        self.asks_changed.emit()

    def _on_wanted(self, sweep: int) -> None:
        self.clock.pause()
        self.clock.go(sweep)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space plays, the arrows step, Home goes to the first sweep, S is slow motion."""
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        name = KEYS.get(Qt.Key(event.key())) if plain else None
        if name is None or self._pages.currentWidget() is not self._content:
            super().keyPressEvent(event)
        else:
            self.transport.buttons[name].click()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks: stop."""
        super().hideEvent(event)
        self.clock.pause()


_MEANING = {
    True: "KL(z after the sweeps ‖ N(0, I)) = E log p(x) − E log p_k(x), with its standard error; "
          "the first density is the data's own, which is known",
    False: "The mean negative log-density after so many sweeps, with its standard error; the "
           "data's own density is not known, so where it ends is not either",
}  # fmt: skip
