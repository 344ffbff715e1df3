"""Three sliders: how a tool is held."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from engine.wire.fields import Field, FieldSpec
from widgets.controls.editors import Editor, make_editor
from widgets.look import Look
from widgets.painting.tools import RADII, SIGMAS, Hand

SLIDERS = (
    FieldSpec("radius", "float", Hand.radius, Field(
        *RADII, scale="log", symbol="r", help="Reach of the tool; wheel, or [ and ]")),
    FieldSpec("softness", "float", Hand.sigma, Field(
        *SIGMAS, scale="log", symbol="σ",
        help="Standard deviation of the dabs and of a tool's edge; Shift and wheel")),
    FieldSpec("strength", "float", Hand.strength, Field(
        0.01, 1.0, help="How much ink brush and spray lay down, how fast the others act")),
)  # fmt: skip


class HandRow(QWidget):
    """Radius, softness and strength, each name above its slider.

    Signals:
        edited: The new :class:`Hand`, by the user only.
    """

    edited = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._editors: dict[str, Editor] = {}
        self._parts: list[QWidget] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(4, 0, 4, 0)
        self._grid.setVerticalSpacing(0)
        self._grid.setHorizontalSpacing(look.px(14))
        look.changed.connect(self._rebuild)
        self._make()

    @property
    def hand(self) -> Hand:
        """How the tool is held."""
        values = [self._editors[spec.name].value for spec in SLIDERS]
        return Hand(*[float(value) for value in values if isinstance(value, int | float)])

    def set_hand(self, hand: Hand) -> None:
        """Show another hand without a signal."""
        values = (hand.radius, hand.sigma, hand.strength)
        for spec, value in zip(SLIDERS, values, strict=True):
            if self._editors[spec.name].value != value:
                self._editors[spec.name].set_value(value)

    def _rebuild(self) -> None:
        hand = self.hand
        for part in self._parts:
            self._grid.removeWidget(part)
            part.hide()
            part.deleteLater()
        self._parts = []
        self._make()
        self.set_hand(hand)

    def _make(self) -> None:
        for column, spec in enumerate(SLIDERS):
            symbol = spec.field.symbol
            label = QLabel(f"{spec.name} {symbol}".strip(), self)
            label.setFont(self._look.font(0.85))
            editor = make_editor(spec, self._look)
            tooltip = spec.field.help + (f" ({symbol})" if symbol else "") + "."
            for part in (label, editor, *editor.findChildren(QWidget)):
                part.setToolTip(tooltip)
            editor.edited.connect(lambda _: self.edited.emit(self.hand))
            self._grid.addWidget(label, 0, column)
            self._grid.addWidget(editor, 1, column)
            self._grid.setColumnStretch(column, 1)
            self._editors[spec.name] = editor
            self._parts += [label, editor]
