"""How the chains walk: kernel, start, number, length, and the sliders of the kernel."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QSizePolicy, QWidget

from widgets.chains.desk import SCALES, Desk
from widgets.chains.slider import ScaleSlider
from widgets.chains.words import COUNTS, KERNELS, LENGTHS, STARTS, counted, kernel_words
from widgets.controls.tool_row import ToolRow
from widgets.look import Look

#: Pixels at scale 1 from which the sliders stand beside the lists.
ROW_FROM = 1060
OWNERS = (("on the target", "target"), ("on the model", "model"))


class MovesBar(QWidget):
    """Sets what the desk holds.

    Signals:
        chosen: Name of a setting and its value, by the user only.
        again: Another seed is wanted.
    """

    chosen = Signal(str, object)
    again = Signal()

    def __init__(self, look: Look, desk: Desk) -> None:
        super().__init__()
        self._look, self._desk = look, desk
        self.tools = ToolRow(look, self)
        self.tools.add_choice(
            "owner", "Whose energy: the target's, or that of the model fitted to it"
        )
        self.tools.set_choices("owner", OWNERS)
        self.tools.add_choice(
            "of_class", "Which class the chains draw: they walk on E(x, y), or on E(x) of all"
        )
        self.tools.add_choice("kernel", "The kernel: how a chain takes one step")
        self.tools.add_choice("start", "Where the chains begin")
        self.tools.set_choices("start", tuple((text, name) for name, text, _ in STARTS))
        self.tools.add_choice("n", "How many chains walk at once")
        self.tools.set_choices("n", tuple((counted(n, "chain"), n) for n in COUNTS))
        self.tools.add_choice("length", "How long they walk")
        self.tools.set_choices("length", tuple((counted(n, "step"), n) for n in LENGTHS))
        self.tools.add_button("seed", "other chains", "Other starts and other noise", "N")
        self.sliders = {scale.name: ScaleSlider(look, scale) for scale in SCALES}
        self._kernels: tuple[str, ...] = ()
        self._classes: tuple[tuple[str, int], ...] = ()
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)
        self._group = QWidget()
        beside = QHBoxLayout(self._group)
        beside.setContentsMargins(4, 0, 4, 0)
        beside.setSpacing(14)
        for slider in self.sliders.values():
            beside.addWidget(slider, 1)
            slider.moved.connect(self.chosen)
        self._row.addWidget(self.tools, 3)
        self._row.addWidget(self._group, 2)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.tools.chosen.connect(self.chosen)
        self.tools.pressed.connect(lambda _: self.again.emit())
        self.set_kernels(tuple(KERNELS))

    def set_kernels(self, names: tuple[str, ...]) -> None:
        """The kernels that can walk on the energy in view."""
        if names and names != self._kernels:
            self._kernels = names
            self.tools.set_choices(
                "kernel", tuple((kernel_words(name).title, name) for name in names)
            )
        self.show_desk()

    def show_desk(self) -> None:
        """Show what the desk holds."""
        desk = self._desk
        named = tuple((f"class {name}", index) for index, name in enumerate(desk.classes))
        if named != self._classes:
            self._classes = named
            self.tools.set_choices("of_class", (("all classes", -1), *named))
        self.tools.show_choice("of_class", bool(named))
        for name in ("kernel", "start", "n", "length", "owner", "of_class"):
            self.tools.set_choice(name, getattr(desk, name))
        self.tools.show_choice("owner", desk.has_target)
        used = kernel_words(desk.kernel).settings
        for name, slider in self.sliders.items():
            slider.setVisible(name in used)
            slider.set_value(float(getattr(desk, name)))
        self._group.setVisible(bool(used))

    def restyle(self) -> None:
        """Take fonts and sizes from the look."""
        for slider in self.sliders.values():
            slider.restyle()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The sliders go below the lists where there is no room."""
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        wide = self.width() >= self._look.px(ROW_FROM)
        self._row.setDirection(way.LeftToRight if wide else way.TopToBottom)
