"""A whole panel in one file. Copy it to ``widgets/panels/<name>.py`` and change what it asks.

What a panel is:

* One module of ``widgets.panels`` with one subclass of :class:`~widgets.panel.Panel`. The window
  finds it there; no list is edited. Menu entry, dock, shortcut and the grey entry with its reason
  follow from the class attributes.
* It never talks to the engine. :meth:`asks` says which probes it wants answered, by part; an
  answer to part ``"points"`` comes to :meth:`show_answer` with that word. Emit ``asks_changed``
  when the questions are others than before; never block, never sleep.
* A question is asked again for each new snapshot while a run trains; with ``live=False`` only
  when its arguments change (data do not learn).
* Colours come from ``self.look.palette`` (data, model and truth keep theirs everywhere), sizes
  from ``self.look.px``, and both may change at any time: :meth:`restyle` takes them again.
* Answers may hold NaN, infinities, nothing, or another shape than hoped for. Draw what can be
  drawn; axes change only when data leave them or the user asks.
* With no run open it says what to do, in :meth:`clear`. Faults are shown on the banner by the
  base class; a modal box is never the answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtWidgets import QStackedWidget

from engine.wire.capability import Capability
from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.controls.empty import EmptyState
from widgets.controls.tool_row import Toggle, ToolRow
from widgets.look import Look
from widgets.panel import Panel, Pointed, Question
from widgets.plots.layers import Box
from widgets.plots.points import PointPlot
from widgets.plots.splat import Dots


class SkeletonPanel(Panel):
    """Data beside samples of the model."""

    name = "skeleton_panel"
    title = "Skeleton"
    summary = "Samples of the model over the data."
    #: The panel serves models with all capabilities of one of these sets.
    needs = (frozenset({Capability.SAMPLING}),)

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.tools = ToolRow(look, self)
        self.tools.add_toggle(Toggle("data", "data", "Training data", "data", on=True))
        self.plot = PointPlot(look)
        self.empty = EmptyState(look)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.empty)
        self.pages.addWidget(self.plot)
        self.body.addWidget(self.tools)
        self.body.addWidget(self.pages, 1)
        self.tools.toggled.connect(self._on_toggled)
        self.plot.hovered.connect(self._on_hovered)
        self.clear()

    def open_run(self, info: RunInfo | None) -> None:
        """The base stores the run and clears; then show the axes of the new data."""
        super().open_run(info)
        if info is not None and len(info.data.low) >= 2:
            self.plot.frame.set_names("x", "y")
            self.plot.set_box(Box(info.data.low[:2], info.data.high[:2]))
            self.pages.setCurrentWidget(self.plot)

    def asks(self, *, rest: bool) -> dict[str, Question]:
        """More samples when nothing trains and there is time."""
        if self.run is None:
            return {}
        asked = {"samples": Question("samples", {"n": 2000 if rest else 500})}
        if self.tools.is_on("data"):
            asked["data"] = Question("data_points", {"n": 1000}, live=False)
        return asked

    def show_answer(self, part: str, answer: Answer) -> None:
        """Both parts hold points (N, 2); a one-dimensional set cannot be drawn here."""
        points = answer.arrays["points"]
        if points.ndim == 2 and points.shape[1] == 2:
            palette = self.look.palette
            colour = palette.data if part == "data" else palette.model
            self.plot.set_points(part, points, Dots(colour, self.look.px(3)))

    def clear(self) -> None:
        """The empty state says what to do."""
        self.plot.clear()
        self.empty.say("No run is open", "Press play (space) to start training.")
        self.pages.setCurrentWidget(self.empty)

    def restyle(self) -> None:
        """Axes take the new colours; dots follow with the next answer."""
        self.plot.restyle()

    def save_state(self) -> dict[str, Value]:
        """Kept in the layout file."""
        return {"data": self.tools.is_checked("data")}

    def restore_state(self, state: Mapping[str, Value]) -> None:
        """Take it back; unknown entries are ignored."""
        if isinstance(state.get("data"), bool):
            self.tools.set_on("data", bool(state["data"]))

    def _on_toggled(self, name: str, on: bool) -> None:
        if not on:
            self.plot.clear()
        self.asks_changed.emit()

    def _on_hovered(self, point: tuple[float, float] | None) -> None:
        if point is None:
            self.pointed.emit(None)
        else:
            rows = ("x", f"{point[0]:.3f}"), ("y", f"{point[1]:.3f}")
            self.pointed.emit(Pointed("Point", rows))
