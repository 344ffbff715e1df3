"""Equal areas: what a change of variables does to probability, strip by strip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtWidgets import QStackedWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.areas.view import AreasView
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import ToolRow
from widgets.look import Look
from widgets.panel import Panel, Question

STRIPS = (4, 10, 20, 40)
N_STRIPS = 10
WANTED = (
    "Choose data on a line, such as Two components in 1-D, and a flow, such as Change of "
    "variables, then press play."
)


class EqualAreasPanel(Panel):
    """The map of a flow on a line, and both densities cut into strips of the same mass."""

    name = "equal_areas"
    title = "Equal areas"
    summary = "Change of variables on a line: strips of the same mass in base and data."
    needs = (frozenset({Capability.FLOW_PATH}),)
    shortcut = "Ctrl+Alt+E"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._n_strips = N_STRIPS
        self.tools = ToolRow(look, self)
        self.tools.add_choice("strips", "Strips of equal mass")
        self.tools.set_choices("strips", tuple((f"{n} strips", n) for n in STRIPS))
        self.tools.set_choice("strips", N_STRIPS)
        self.view = AreasView(look)
        self.chips = ChipRow(look, wrap=True, parent=self)
        self._empty = EmptyState(look)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty)
        self._pages.addWidget(self.view)
        self.body.addWidget(self.tools)
        self.body.addWidget(self._pages, 1)
        self.body.addWidget(self.chips)
        self.tools.chosen.connect(self._on_chosen)
        self.clear()

    @property
    def _is_on_a_line(self) -> bool:
        return self.run is not None and self.run.data.event.size == 1

    def open_run(self, info: RunInfo | None) -> None:
        """Another run."""
        super().open_run(info)
        self.tools.setVisible(self._is_on_a_line)

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """The map and both densities, where the events are single numbers."""
        if not self._is_on_a_line:
            return {}
        return {"areas": Question("equal_areas", {"n_strips": self._n_strips})}

    def show_answer(self, part: str, answer: Answer) -> None:
        """Draw them, and say how well the masses agree."""
        self.view.set_arrays(answer.arrays)
        if not self.view.n_strips:
            return
        mass, base = answer.arrays["mass"], answer.arrays["base_mass"]
        worst = float(np.abs(mass - base).max())
        way = "falls" if answer.values.get("falls") else "rises"
        chips = [
            Chip(f"{len(mass)} strips of mass {float(base[0]):.4g}", "Hover a strip for both"),
            Chip(f"largest difference {worst:.1g}", "Between a strip's mass in z and in x"),
            Chip(f"x {way} with z", "p(x) = p(z) |dz/dx|: the sign of the slope does not count"),
        ]
        tail = answer.values.get("tail")
        if isinstance(tail, float) and tail > 0:
            chips.append(Chip(f"{tail:g} left out at each end", "The base has no ends"))
        self.chips.set_chips(tuple(chips))
        self._pages.setCurrentWidget(self.view)

    def clear(self) -> None:
        """Say what to do."""
        self.view.set_arrays({})
        self.chips.set_chips(())
        heading = "No run is open" if self.run is None else "These data are not on a line"
        self._empty.say("Waiting for the engine" if self._is_on_a_line else heading, WANTED)
        self._pages.setCurrentWidget(self._empty)

    def restyle(self) -> None:
        """Take the font from the look."""
        self.view.restyle()

    def save_state(self) -> dict[str, Value]:
        """The choice of strips."""
        return {"strips": self._n_strips}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take it back."""
        if state.get("strips") in STRIPS:
            self.tools.set_choice("strips", state["strips"])
            self._on_chosen("strips", state["strips"])

    def _on_chosen(self, _: str, value: object) -> None:
        if isinstance(value, int):
            self._n_strips = value
            self.asks_changed.emit()
