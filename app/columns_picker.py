"""Which columns of the user's own table are modelled, and which one names the class."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from engine.wire.fields import Value
from widgets.look import Look

#: Fields of the data set ``points`` that this control edits instead of the form.
FIELDS = ("path", "columns", "label_column", "key")
#: Rows of the list shown without scrolling.
ROWS_SHOWN = 6


class Column(msgspec.Struct, frozen=True):
    """One column as the engine previewed it."""

    name: str
    kind: str
    n_missing: int


class Preview(msgspec.Struct, frozen=True):
    """The part of the engine's look into a file that is shown here."""

    path: str
    n_rows: int
    columns: tuple[Column, ...]
    arrays: tuple[str, ...] = ()
    key: str = ""


class ColumnsPicker(QWidget):
    """A list of columns to tick, and boxes for the class column and an archive's array.

    Signals:
        edited: Settings of the data set ``points`` that the user changed.
    """

    edited = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._about = QLabel()
        self._about.setWordWrap(True)
        self._list = QListWidget()
        self._list.setToolTip("Tick the columns to model; none ticked means all numbers.")
        self._list.setAccessibleName("Columns to model")
        self._label = QComboBox()
        self._label.setToolTip("A column that names each row's class; it is not modelled.")
        self._key = QComboBox()
        self._key.setToolTip("The array of the NPZ archive")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._about)
        column.addWidget(self._list)
        self._rows = QFormLayout()
        self._rows.addRow("Class", self._label)
        self._rows.addRow("Array", self._key)
        column.addLayout(self._rows)
        self._list.itemChanged.connect(lambda _: self._on_ticked())
        self._label.activated.connect(lambda _: self._on_label())
        self._key.activated.connect(lambda _: self._on_key())

    def show_preview(self, text: str) -> None:
        """Show the engine's preview (JSON); raises nothing for one that it cannot read."""
        preview = msgspec.json.decode(text, type=Preview)
        n_numbers = sum(column.kind == "number" for column in preview.columns)
        self._about.setText(
            f"{preview.n_rows} rows, {n_numbers} of {len(preview.columns)} columns hold numbers"
        )
        with QSignalBlocker(self._list), QSignalBlocker(self._label), QSignalBlocker(self._key):
            self._fill_list(preview)
            self._label.clear()
            self._label.addItem("(none)", "")
            for column in preview.columns:
                self._label.addItem(column.name, column.name)
            self._key.clear()
            for array in preview.arrays:
                self._key.addItem(array, array.split(" ", 1)[0])
            self._key.setCurrentIndex(max(0, self._key.findData(preview.key)))
        self._rows.setRowVisible(self._key, len(preview.arrays) > 1)

    def set_values(self, values: dict[str, Value]) -> None:
        """Show the run's settings."""
        chosen = values.get("columns") or []
        names = [str(name) for name in chosen] if isinstance(chosen, list) else []
        with QSignalBlocker(self._list), QSignalBlocker(self._label):
            for item in self._items():
                ticked = item.data(Qt.ItemDataRole.UserRole) in names
                state = Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
                if item.flags() & Qt.ItemFlag.ItemIsUserCheckable:
                    item.setCheckState(state)
            label = self._label.findData(values.get("label_column") or "")
            self._label.setCurrentIndex(max(0, label))

    def _fill_list(self, preview: Preview) -> None:
        self._list.clear()
        for column in preview.columns:
            words = f"{column.name}" if column.kind == "number" else f"{column.name} (text)"
            if column.n_missing and column.kind == "number":
                words += f", {column.n_missing} missing"
            item = QListWidgetItem(words)
            item.setData(Qt.ItemDataRole.UserRole, column.name)
            if column.kind == "number":
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(Qt.CheckState.Unchecked)
            else:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self._list.addItem(item)
        shown = min(ROWS_SHOWN, max(1, len(preview.columns)))
        self._list.setFixedHeight(shown * self._list.sizeHintForRow(0) + self._look.px(8))

    def _items(self) -> list[QListWidgetItem]:
        return [self._list.item(row) for row in range(self._list.count())]

    def _on_ticked(self) -> None:
        ticked: list[int | float | str] = [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in self._items()
            if item.checkState() == Qt.CheckState.Checked
        ]
        self.edited.emit({"columns": ticked})

    def _on_label(self) -> None:
        self.edited.emit({"label_column": str(self._label.currentData())})

    def _on_key(self) -> None:
        self.edited.emit({"key": str(self._key.currentData()), "columns": [], "label_column": ""})
