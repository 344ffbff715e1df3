"""Every action by typing a part of its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from widgets.look import Look

#: (id, text, shortcut, enabled, reason why not)
Command: TypeAlias = tuple[str, str, str, bool, str]

_ROLE = Qt.ItemDataRole.UserRole
WIDTH = 520
ROWS = 10
ROW_HEIGHT = 28


class CommandPalette(QFrame):
    """A line to type in over a list, in the upper middle of its parent.

    Signals:
        chosen: Id of the command.
    """

    chosen = Signal(str)

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self._commands: tuple[Command, ...] = ()
        self.line = QLineEdit(self)
        self.line.setPlaceholderText("Type to find an action")
        self.line.setAccessibleName("Find an action")
        self.list = QListWidget(self)
        self.list.setItemDelegate(_Row(look, self.list))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.line)
        layout.addWidget(self.list, 1)
        self.line.textChanged.connect(self._refill)
        self.line.installEventFilter(self)
        self.list.itemClicked.connect(self._on_clicked)
        parent.installEventFilter(self)
        look.changed.connect(self.restyle)
        self.restyle()
        self.hide()

    def open(self, commands: Sequence[Command]) -> None:
        """Show the palette over its parent, with an empty line."""
        self._commands = tuple(commands)
        self.line.clear()
        self._refill()
        self._place()
        self.show()
        self.raise_()
        self.line.setFocus()

    def close_palette(self) -> None:
        """Hide it; the keyboard goes back to the parent."""
        self.hide()
        parent = self.parentWidget()
        if parent is not None:
            parent.setFocus()

    def shown_ids(self) -> tuple[str, ...]:
        """Ids of what is listed, best first."""
        return tuple(self.list.item(row).data(_ROLE)[0] for row in range(self.list.count()))

    def restyle(self) -> None:
        """Take colours from the look."""
        palette, px = self._look.palette, self._look.px
        self.setStyleSheet(
            f"CommandPalette {{ background: {palette.panel}; border: 1px solid {palette.accent};"
            f" border-radius: {px(6)}px; }}"
            f"QListWidget {{ background: {palette.panel}; border: none; }}"
        )
        self.line.setFont(self._look.font(1.15))
        self.list.setFont(self._look.font())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrows, Enter and Escape in the line; the parent's size."""
        if watched is self.line and isinstance(event, QKeyEvent):
            return event.type() == QEvent.Type.KeyPress and self._on_key(event)
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        if watched is self.line and event.type() == QEvent.Type.FocusOut and self.isVisible():
            self.hide()
        return False

    def _on_key(self, event: QKeyEvent) -> bool:
        moves = {
            Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1,
            Qt.Key.Key_PageDown: ROWS, Qt.Key.Key_PageUp: -ROWS,
        }  # fmt: skip
        key = Qt.Key(event.key())
        if key == Qt.Key.Key_Escape:
            self.close_palette()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._choose(self.list.currentItem())
        elif key in moves:
            last = self.list.count() - 1
            self.list.setCurrentRow(min(max(self.list.currentRow() + moves[key], 0), last))
        else:
            return False
        return True

    def _refill(self) -> None:
        self.list.clear()
        scored = [(match(self.line.text(), command[1]), command) for command in self._commands]
        found = [(score, command) for score, command in scored if score is not None]
        for _, command in sorted(found, key=lambda entry: (not entry[1][3], -entry[0])):
            item = QListWidgetItem(command[1])
            item.setData(_ROLE, command)
            item.setToolTip(command[4])
            self.list.addItem(item)
        self.list.setCurrentRow(0)
        self._place()

    def _on_clicked(self, item: QListWidgetItem) -> None:
        self._choose(item)

    def _choose(self, item: QListWidgetItem | None) -> None:
        if item is not None and item.data(_ROLE)[3]:
            self.close_palette()
            self.chosen.emit(item.data(_ROLE)[0])

    def _place(self) -> None:
        parent = self.parentWidget()
        if parent is None:
            return
        width = min(self._look.px(WIDTH), parent.width() - 20)
        rows = min(max(self.list.count(), 1), ROWS) * self._look.px(ROW_HEIGHT)
        chrome = self.line.sizeHint().height() + self._look.px(34)
        height = min(rows + chrome, parent.height() - 40)
        self.setGeometry((parent.width() - width) // 2, parent.height() // 10, width, height)


class _Row(QStyledItemDelegate):
    """Text at the left, shortcut or the reason why not at the right."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look

    def sizeHint(self, option: QStyleOptionViewItem, index: object) -> QSize:
        return QSize(10, self._look.px(ROW_HEIGHT))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: object) -> None:
        _, text, shortcut, enabled, reason = index.data(_ROLE)  # type: ignore[attr-defined]
        palette, px = self._look.palette, self._look.px
        area = option.rect
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(area, QColor(palette.raised))
        inner = area.adjusted(px(8), 0, -px(8), 0)
        metrics = painter.fontMetrics()
        painter.setPen(QColor(palette.text if enabled else palette.muted))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, text)
        room = inner.width() - metrics.horizontalAdvance(text) - px(12)
        note = metrics.elidedText(shortcut if enabled else reason,
                                  Qt.TextElideMode.ElideRight, max(room, 0))  # fmt: skip
        painter.setPen(QColor(palette.muted))
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(inner, right, note)
        painter.restore()


def match(typed: str, text: str) -> float | None:
    """How well letters typed in order fit a text: higher is better, None is not at all.

    A run of letters counts more than scattered ones, the start of a word more than its middle.
    """
    typed, text = typed.lower().replace(" ", ""), text.lower()
    score, place, last = 0.0, 0, -2
    for letter in typed:
        place = text.find(letter, last + 1 if last >= 0 else 0)
        if place < 0:
            return None
        starts = place == 0 or not text[place - 1].isalnum()
        score += 3.0 if place == last + 1 else 1.0
        score += 2.0 if starts else 0.0
        last = place
    compact = text.replace(" ", "")
    if typed and typed in compact:
        score += 10.0 - compact.index(typed) / max(len(compact), 1)
    return score - 0.01 * len(text)
