"""Setting a race up: who runs, what is equal, how far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from widgets.controls.pickers import FAMILIES
from widgets.look import Look
from widgets.race.lineup import FEWEST, MOST, Entry, Rule, Wish
from widgets.recall import Recalled

RULES = (
    ("equal steps", "steps", "Each takes the same number N of training steps"),
    ("equal parameters", "parameters", "Each has about P trained values, and takes N steps"),
    ("equal training time", "seconds", "Each trains for T seconds of its own steps"),
)


class RacePicker(QScrollArea, Recalled):
    """A form in the panel itself, never a window of its own.

    Signals:
        started: A :class:`Wish`.
        dismissed: The user does not want a new race.
    """

    started = Signal(object)
    dismissed = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._entries: dict[str, Entry] = {}
        self._boxes: dict[str, QCheckBox] = {}
        self._data = ""
        self._make()
        self._lay_out()
        self._connect()
        self.restyle()
        self.refresh()

    # --- the window tells ---------------------------------------------------------------------

    def offer(self, entries: Sequence[Entry], data: str) -> None:
        """Who may run, and on which data."""
        chosen = {key for key, box in self._boxes.items() if box.isChecked()}
        self._data = data
        if [*self._entries.values()] != [*entries]:
            self._entries = {entry.key: entry for entry in entries}
            self._rebuild()
            if chosen & set(self._entries):
                self.choose(chosen)
            else:
                self._one_of_each()
        self.refresh()

    def choose(self, keys: set[str]) -> None:
        """Tick these."""
        for key, box in self._boxes.items():
            box.setChecked(key in keys and box.isEnabled())
        self.refresh()

    def set_rule(self, rule: Rule, seed: int, apart: bool) -> None:
        """Show a rule."""
        with QSignalBlocker(self._rule):
            self._rule.setCurrentIndex(max(0, self._rule.findData(rule.kind)))
        self._steps.setValue(rule.steps)
        self._seconds.setValue(rule.seconds)
        self._parameters.setValue(rule.parameters)
        self._seed.setValue(seed)
        self._apart.setChecked(apart)
        self.refresh()

    def kept(self) -> tuple[frozenset[str], Rule, int, bool]:
        """What is set up, for undo."""
        wish = self.wish
        return frozenset(e.key for e in wish.entries), wish.rule, wish.seed, wish.apart

    def keep(self, value: tuple[frozenset[str], Rule, int, bool]) -> None:
        """Set it up again."""
        keys, rule, seed, apart = value
        self.set_rule(rule, seed, apart)
        self.choose(set(keys))

    def what_changed(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> str:
        """What was set."""
        names = ("who races", "the rule", "the seed", "processes")
        return next(n for n, a, b in zip(names, before, after, strict=True) if a != b)

    def set_can_cancel(self, on: bool) -> None:
        """Whether there is a race to go back to."""
        self._cancel.setVisible(on)

    @property
    def wish(self) -> Wish:
        """What is set up."""
        chosen = [e for key, e in self._entries.items() if self._boxes[key].isChecked()]
        kind = str(self._rule.currentData())
        rule = Rule(kind, self._steps.value(), self._seconds.value(), self._parameters.value())
        return Wish(tuple(chosen), rule, self._seed.value(), self._apart.isChecked())

    def refresh(self) -> None:
        """What can be chosen now, and what is still missing."""
        kind = str(self._rule.currentData())
        for name, widgets in self._rows.items():
            used = {"steps": kind != "seconds", "seconds": kind == "seconds"}
            shown = used.get(name, kind == "parameters")
            for widget in widgets:
                widget.setVisible(shown)
        n = len(self.wish.entries)
        self._start.setEnabled(FEWEST <= n <= MOST)
        self._start.setText(f"Start {n} racers" if n >= FEWEST else "Start")
        self._note.setText(self._words(n))

    def _words(self, n: int) -> str:
        if not self._entries:
            return "The engine has not yet said which models there are."
        if n < FEWEST:
            return f"Choose {FEWEST} to {MOST} models; {n} chosen."
        if n > MOST:
            return f"At most {MOST} models can race; {n} chosen."
        on = f" on {self._data}" if self._data else ""
        return f"{n} models{on}: {self.wish.rule.words()}, one seed for all."

    # --- making -------------------------------------------------------------------------------

    def _make(self) -> None:
        self._rule = QComboBox()
        for text, value, tip in RULES:
            self._rule.addItem(text, value)
            self._rule.setItemData(self._rule.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self._rule.setToolTip("What is equal for all racers")
        self._steps = _spin(1, 10_000_000, 2000, "N, training steps of each racer")
        self._steps.setSingleStep(500)
        self._parameters = _spin(
            1, 20_000_000, 20_000,
            "P, trained values of each racer; widths (or components, or layers) are chosen so "
            "that they come nearest",
        )  # fmt: skip
        self._parameters.setSingleStep(5000)
        self._seconds = QDoubleSpinBox()
        self._seconds.setRange(0.1, 100_000.0)
        self._seconds.setValue(30.0)
        self._seconds.setSuffix(" s")
        self._seconds.setToolTip("T, seconds of training of each racer: its own steps only")
        self._seed = _spin(0, 2**31 - 1, 0, "Seed of all weights, batches and noise")
        self._apart = QCheckBox("each in a process of its own")
        self._apart.setToolTip(
            "A racer that dies takes no other along; each needs 300 MB and some seconds to start"
        )
        self._start = QPushButton("Start")
        self._start.setToolTip("Build all racers, then let them go together")
        self._start.setDefault(True)
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip("Back to the race that is there")
        self._each = QPushButton("one of each family")
        self._each.setToolTip("The first model of every family that fits the data")
        self._all = QPushButton("all that fit")
        self._all.setToolTip(f"The first {MOST} models that fit the data")
        self._none = QPushButton("none")
        self._none.setToolTip("Tick no model")
        self._note = QLabel()
        self._note.setWordWrap(True)

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setSpacing(6)
        self._heading = QLabel("Who is to race?")
        column.addWidget(self._heading)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(18)
        self._grid.setVerticalSpacing(2)
        column.addLayout(self._grid)
        presets = QHBoxLayout()
        for button in (self._each, self._all, self._none):
            presets.addWidget(button)
        presets.addStretch(1)
        column.addLayout(presets)
        column.addLayout(self._rule_row())
        column.addWidget(self._apart)
        column.addWidget(self._note)
        buttons = QHBoxLayout()
        buttons.addWidget(self._start)
        buttons.addWidget(self._cancel)
        buttons.addStretch(1)
        column.addLayout(buttons)
        column.addStretch(1)
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def _rule_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(self._rule)
        self._rows: dict[str, tuple[QWidget, ...]] = {}
        for name, text, box in (
            ("parameters", "P", self._parameters),
            ("steps", "N", self._steps),
            ("seconds", "T", self._seconds),
        ):
            label = QLabel(text)
            label.setToolTip(box.toolTip())
            self._rows[name] = (label, box)
            row.addWidget(label)
            row.addWidget(box)
        seed = QLabel("seed")
        seed.setToolTip(self._seed.toolTip())
        row.addWidget(seed)
        row.addWidget(self._seed)
        row.addStretch(1)
        return row

    def _connect(self) -> None:
        self._rule.currentIndexChanged.connect(lambda _: self.refresh())
        for box in (self._steps, self._parameters, self._seed):
            box.valueChanged.connect(lambda _: self.refresh())
        self._seconds.valueChanged.connect(lambda _: self.refresh())
        self._start.clicked.connect(lambda: self.started.emit(self.wish))
        self._cancel.clicked.connect(self.dismissed)
        self._each.clicked.connect(self._one_of_each)
        self._all.clicked.connect(self._all_that_fit)
        self._none.clicked.connect(lambda: self.choose(set()))

    def _rebuild(self) -> None:
        while self._grid.count():
            item = self._grid.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.deleteLater()
        self._boxes = {}
        for index, (key, entry) in enumerate(self._entries.items()):
            box = QCheckBox(entry.title)
            box.setEnabled(not entry.why_not)
            box.setToolTip(entry.why_not or entry.card.summary)
            box.toggled.connect(lambda _: self.refresh())
            self._boxes[key] = box
            self._grid.addWidget(box, index // 3, index % 3)
        self._grid.setColumnStretch(3, 1)

    def _one_of_each(self) -> None:
        chosen: dict[str, str] = {}
        for key, entry in self._entries.items():
            if not entry.why_not:
                chosen.setdefault(entry.card.family, key)
        order = [chosen[family] for family in (*FAMILIES, *chosen) if family in chosen]
        self.choose(set(order[:MOST]))

    def _all_that_fit(self) -> None:
        fitting = [key for key, entry in self._entries.items() if not entry.why_not]
        self.choose(set(fitting[:MOST]))

    def restyle(self) -> None:
        """Take fonts from the look."""
        self._heading.setFont(self._look.font(1.2))
        self._note.setStyleSheet(f"color: {self._look.palette.muted}")


def _spin(low: int, high: int, value: int, tooltip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    box.setGroupSeparatorShown(False)
    box.setToolTip(tooltip)
    return box
