"""A compact row of toggles, choices and buttons; what does not fit goes behind an arrow."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QIcon, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QComboBox, QSizePolicy, QToolBar, QToolButton, QWidget

from widgets.look import Look

#: Pixels at scale 1: side of a mark, its distance from the word, and the room around both.
MARK, GAP, PADDING = 10, 4, 4


@dataclass(frozen=True)
class Toggle:
    """One switch. ``role`` is a palette entry whose colour the mark takes, or ""."""

    name: str
    text: str
    tooltip: str
    role: str = ""
    on: bool = False


class ToolRow(QToolBar):
    """Toggles double as the legend: their marks have the colour of what they show.

    Signals:
        toggled: (name, on), by the user only.
        chosen: (name of a choice, its value), by the user only.
        pressed: Name of a button.
        switched: (name, what it was, what it is) of a toggle or choice, by the user only and
            after ``toggled`` or ``chosen``, so that it can be undone by :meth:`switch`.
    """

    toggled = Signal(str, bool)
    chosen = Signal(str, object)
    pressed = Signal(str)
    switched = Signal(str, object, object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._toggles: dict[str, tuple[Toggle, QAction]] = {}
        self._choices: dict[str, tuple[QComboBox, QAction]] = {}
        self._buttons: dict[str, QAction] = {}
        self._chosen: dict[str, object] = {}
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMovable(False)
        look.changed.connect(self.restyle)
        self.restyle()

    def add_toggle(self, toggle: Toggle) -> None:
        """Append a switch."""
        action = QAction(toggle.text, self)
        action.setCheckable(True)
        action.setChecked(toggle.on)
        action.setToolTip(toggle.tooltip)
        action.triggered.connect(lambda on: self._on_toggled(toggle.name, on))
        self._toggles[toggle.name] = (toggle, action)
        self.addAction(action)
        self._paint_mark(toggle, action)
        self._fit(action)

    def add_choice(self, name: str, tooltip: str) -> None:
        """Append a drop-down list, empty until :meth:`set_choices`."""
        box = QComboBox(self)
        box.setToolTip(tooltip)
        box.setAccessibleName(tooltip)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        box.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        box.activated.connect(lambda index: self._on_chosen(name, box.itemData(index)))
        self._choices[name] = (box, self.addWidget(box))

    def add_button(self, name: str, text: str, tooltip: str, shortcut: str = "") -> None:
        """Append a button; its shortcut works while the panel has the focus."""
        action = QAction(text, self)
        action.setToolTip(f"{tooltip} ({shortcut})" if shortcut else tooltip)
        if shortcut:
            action.setShortcut(shortcut)
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            owner = self.parentWidget()
            if owner is not None:
                owner.addAction(action)
        action.triggered.connect(lambda: self.pressed.emit(name))
        self._buttons[name] = action
        self.addAction(action)
        self._fit(action)

    def set_choices(self, name: str, entries: tuple[tuple[str, object], ...]) -> None:
        """The (text, value) entries of a list."""
        box, _ = self._choices[name]
        with QSignalBlocker(box):
            box.clear()
            for text, value in entries:
                box.addItem(text, value)
        self._chosen[name] = box.currentData()

    def set_choice(self, name: str, value: object) -> None:
        """Show an entry without a signal."""
        box, _ = self._choices[name]
        with QSignalBlocker(box):
            box.setCurrentIndex(max(0, box.findData(value)))
        self._chosen[name] = box.currentData()

    def switch(self, name: str, value: object) -> None:
        """Set a toggle or a choice as the user would, but without ``switched``; for undo."""
        if name in self._toggles:
            self._toggles[name][1].setChecked(bool(value))
            self.toggled.emit(name, bool(value))
        elif name in self._choices and self._choices[name][0].findData(value) >= 0:
            self.set_choice(name, value)
            self.chosen.emit(name, value)

    @property
    def values(self) -> dict[str, object]:
        """What every toggle and every list stands at."""
        toggles = {name: action.isChecked() for name, (_, action) in self._toggles.items()}
        return toggles | {name: box.currentData() for name, (box, _) in self._choices.items()}

    def words_for(self, name: str, value: object) -> str:
        """What the user did to a toggle or a choice."""
        if name in self._toggles:
            return f"{self._toggles[name][0].text} {'on' if value else 'off'}"
        box = self._choices[name][0]
        return f"choose {box.itemText(max(0, box.findData(value)))}"

    def show_choice(self, name: str, on: bool) -> None:
        """Show or hide a list."""
        self._choices[name][1].setVisible(on)

    def show_button(self, name: str, on: bool) -> None:
        """Show or hide a button."""
        self._buttons[name].setVisible(on)

    def is_on(self, name: str) -> bool:
        """Whether a switch is on and can be used."""
        action = self._toggles[name][1]
        return action.isChecked() and action.isEnabled() and action.isVisible()

    def is_checked(self, name: str) -> bool:
        """What the user last chose, whether or not it can be used now."""
        return self._toggles[name][1].isChecked()

    def set_on(self, name: str, on: bool) -> None:
        """Set a switch without a signal."""
        self._toggles[name][1].setChecked(on)

    def set_usable(self, name: str, usable: bool, reason: str = "") -> None:
        """Grey a switch out with the reason as tooltip; without a reason it is hidden."""
        toggle, action = self._toggles[name]
        action.setEnabled(usable)
        action.setVisible(usable or bool(reason))
        action.setToolTip(toggle.tooltip if usable else f"{toggle.tooltip} – {reason}")

    def set_fixed(self, on: bool) -> None:
        """Take just the width that all parts need, to share a row; else all the width there is."""
        policy = QSizePolicy.Policy.Maximum if on else QSizePolicy.Policy.Ignored
        self.setSizePolicy(policy, QSizePolicy.Policy.Fixed)

    def restyle(self) -> None:
        """Take colours and sizes from the look."""
        palette, px = self._look.palette, self._look.px
        side = px(MARK)
        self.setIconSize(QSize(side + px(GAP) - 2, side))
        self.setFont(self._look.font(0.9))
        self.setStyleSheet(
            f"ToolRow {{ background: transparent; border: none; spacing: {px(2)}px; }}"
            f"QToolButton {{ color: {palette.text}; padding: {px(2)}px {px(PADDING)}px; }}"
            f"QToolButton:disabled {{ color: {palette.muted}; }}"
            "QToolButton#qt_toolbar_ext_button { padding: 0; border: none; }"
        )
        extension = self.findChild(QToolButton, "qt_toolbar_ext_button")
        if extension is not None:
            extension.setIcon(_more_icon(palette.text, side))
            extension.setToolTip("More")
        for toggle, action in self._toggles.values():
            self._paint_mark(toggle, action)
        for action in self.actions():
            self._fit(action)

    def _on_toggled(self, name: str, on: bool) -> None:
        self.toggled.emit(name, on)
        self.switched.emit(name, not on, on)

    def _on_chosen(self, name: str, value: object) -> None:
        before = self._chosen.get(name)
        self._chosen[name] = value
        self.chosen.emit(name, value)
        if before != value:
            self.switched.emit(name, before, value)

    def _fit(self, action: QAction) -> None:
        """As wide as its mark and its word: Qt would add room for two spaces and more."""
        button = self.widgetForAction(action)
        if isinstance(button, QToolButton):
            button.setFont(self.font())
            mark = 0 if action.icon().isNull() else self.iconSize().width() + 4
            word = button.fontMetrics().horizontalAdvance(action.text())
            button.setFixedWidth(mark + word + 2 * self._look.px(PADDING) + 4)

    def _paint_mark(self, toggle: Toggle, action: QAction) -> None:
        colour = getattr(self._look.palette, toggle.role or "muted")
        side = self._look.px(MARK)
        icon = QIcon()
        for filled, state in ((True, QIcon.State.On), (False, QIcon.State.Off)):
            picture = _mark(colour, side, self.iconSize().width(), filled=filled)
            icon.addPixmap(picture, state=state)
        action.setIcon(icon)


def _mark(colour: str, side: int, width: int, *, filled: bool) -> QPixmap:
    """A dot at the left of a picture that is wider, so that the word keeps its distance."""
    pixmap = QPixmap(width, side)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(colour), max(1.2, side / 9)))
    if filled:
        painter.setBrush(QColor(colour))
    painter.drawEllipse(QPointF(side / 2, side / 2), side / 2 - 1.5, side / 2 - 1.5)
    painter.end()
    return pixmap


def _more_icon(colour: str, side: int) -> QIcon:
    pixmap = QPixmap(side, side)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(colour), max(1.2, side / 9)))
    for shift in (0.15, 0.5):
        corner = [
            QPointF(side * (shift + x), side * y) for x, y in ((0, 0.2), (0.3, 0.5), (0, 0.8))
        ]
        painter.drawPolyline(corner)
    painter.end()
    return QIcon(pixmap)
