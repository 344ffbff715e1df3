"""The choices of sampling, in any mode's tool row."""

from __future__ import annotations

from PySide6.QtCore import QObject

from widgets.controls.tool_row import ToolRow
from widgets.pixels.desk import COUNTS, ORDERS, TEMPERATURES, TOP_PS, Desk

TOOLTIPS = {
    "n": "N, the number of pictures that grow together",
    "temperature": "Temperature T: levels are drawn from pᵢ^(1/T), renormalised; 1 is the model",
    "top_p": "top-p: only the most probable levels that together hold this mass; 1 is the model",
    "label": "Class c of all pictures, for a model that was given the classes",
    "order": "Order π in which the values are drawn; this model was trained for every order",
}


class SamplingRow(QObject):
    """Puts choices into a tool row and keeps them and the desk the same.

    ``no_class`` is how the choice of no class reads, and its tooltip.
    """

    def __init__(
        self,
        tools: ToolRow,
        desk: Desk,
        names: tuple[str, ...],
        *,
        no_class: tuple[str, str] = ("every class", TOOLTIPS["label"]),
    ) -> None:
        super().__init__(tools)
        self._tools, self._desk, self._names = tools, desk, names
        self._no_class = no_class[0]
        for name in names:
            tools.add_choice(name, no_class[1] if name == "label" else TOOLTIPS[name])
        tools.chosen.connect(self._on_chosen)
        desk.changed.connect(self.show_desk)
        self.open()

    def open(self) -> None:
        """Offer what the run in view can do."""
        desk = self._desk
        names = desk.info.data.labels if desk.info is not None else ()
        entries: dict[str, tuple[tuple[str, object], ...]] = {
            "n": tuple((f"{n} pictures" if n > 1 else "1 picture", n) for n in COUNTS),
            "temperature": tuple((f"T {t:g}", t) for t in TEMPERATURES),
            "top_p": tuple((f"top-p {p:g}", p) for p in TOP_PS),
            "label": ((self._no_class, -1), *((f"class {k}", i) for i, k in enumerate(names))),
            "order": (("own order", ""), *((order, order) for order in ORDERS)),
        }
        for name in self._names:
            self._tools.set_choices(name, entries[name])
        shown = {"label": desk.has_labels, "order": desk.has_orders, "top_p": desk.has_levels}
        for name, on in shown.items():
            if name in self._names:
                self._tools.show_choice(name, on)
        self.show_desk()

    def show_desk(self) -> None:
        """Show the desk's settings."""
        for name in self._names:
            self._tools.set_choice(name, getattr(self._desk, name))

    def _on_chosen(self, name: str, value: object) -> None:
        if name in self._names:
            self._desk.set(**{name: value})
