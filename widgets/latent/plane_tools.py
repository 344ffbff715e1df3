"""Which plane of the latents is looked at, and what its points are coloured by."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QSpinBox

from widgets.controls.tool_row import ToolRow
from widgets.latent.desk import Desk

PLANES = (("axes", "axes"), ("PCA", "pca"))


class PlaneTools:
    """Lists and two spin boxes in a tool row; they show the desk and change it.

    Args:
        tools: The row that they are put into.
        desk: What they show.
        clouds: Whether a rotating cloud is offered.
        points: Whether points are shown, which have a colour.
    """

    def __init__(
        self, tools: ToolRow, desk: Desk, *, clouds: bool = False, points: bool = True
    ) -> None:
        self._tools, self._desk = tools, desk
        self._clouds, self._points = clouds, points
        tools.add_choice("latent", "Which of the model's latents is looked at")
        tools.add_choice("projection", "The plane: two coordinates of z, or the two principal "
                         "components of the encodings")  # fmt: skip
        self.boxes = (self._spin("right"), self._spin("up"))
        self._actions: list[QAction] = [tools.addWidget(box) for box in self.boxes]
        tools.add_choice("colour", "What the points are coloured by")
        tools.chosen.connect(self._on_chosen)
        self.show()

    def show(self) -> None:
        """Show what the desk has."""
        desk, tools = self._desk, self._tools
        names = tuple((name, name) for name in desk.names)
        tools.set_choices("latent", names or (("z", ""),))
        tools.set_choice("latent", desk.values.get("latent"))
        tools.show_choice("latent", len(names) > 1)
        planes = (*PLANES, ("3-D", "3d")) if self._clouds and desk.size >= 3 else PLANES
        tools.set_choices("projection", planes)
        tools.set_choice("projection", desk.projection)
        tools.show_choice("projection", desk.size > 2)
        tools.set_choices("colour", desk.colourings())
        tools.set_choice("colour", desk.colouring)
        tools.show_choice("colour", self._points)
        for box, action, axis in zip(self.boxes, self._actions, desk.axes, strict=True):
            with QSignalBlocker(box):
                box.setRange(1, max(desk.size, 1))
                box.setValue(axis + 1)
            action.setVisible(desk.size > 2 and desk.projection == "axes")

    def restyle(self) -> None:
        """Take sizes from the look."""
        for box in self.boxes:
            box.setFont(self._tools.font())

    def _spin(self, way: str) -> QSpinBox:
        box = QSpinBox(self._tools)
        box.setPrefix("z ")
        box.setToolTip(f"The coordinate of z that is drawn to the {way}" if way == "right"
                       else "The coordinate of z that is drawn upwards")  # fmt: skip
        box.setAccessibleName(box.toolTip())
        box.valueChanged.connect(lambda _: self._on_axis(0 if way == "right" else 1))
        return box

    def _on_axis(self, which: int) -> None:
        """The two axes swap when both would be the same."""
        x, y = (box.value() - 1 for box in self.boxes)
        if x == y:
            x, y = (x, self._desk.axes[0]) if which == 0 else (self._desk.axes[1], y)
        self._desk.set(axes=(x, y))

    def _on_chosen(self, name: str, value: object) -> None:
        if name == "colour":
            self._desk.set(colour_by=str(value))
        elif name == "projection":
            self._desk.set(projection=str(value))
        elif name == "latent":
            self._desk.set(latent=str(value))
