"""One editor per kind of setting; each holds a checked value and says when the user changed it."""

from __future__ import annotations

import math

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine.wire.fields import FieldSpec, Value, check_value
from widgets.controls.calm import CalmComboBox, CalmSlider, CalmSpinBox, NumberBox, Switch
from widgets.controls.icons import icon
from widgets.look import Look

#: Pixels at scale 1: how wide a number may be, how far it gives way to its slider, and the
#: narrowest slider that can be aimed at.
SPIN_WIDTH, SPIN_LEAST, SLIDER_LEAST = 84, 56, 36
#: Positions of a slider.
SLIDER_STEPS = 1000
INT_LIMIT = 2**31 - 1
FLOAT_LIMIT = 1e12


class Editor(QWidget):
    """Base: a value, and a signal when the user changes it.

    Signals:
        edited: The new value, by the user only.
    """

    edited = Signal(object)

    def __init__(self, spec: FieldSpec, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spec = spec
        self.look = look
        self.row = QHBoxLayout()
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(look.px(6))
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)
        self._column.addLayout(self.row)

    @property
    def value(self) -> Value:
        """The current, valid value."""
        raise NotImplementedError

    def set_value(self, value: Value) -> None:
        """Show a value without a signal."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """Why what is typed cannot be used, or ""."""
        return ""

    @property
    def is_typing(self) -> bool:
        """Whether something is typed that has not been taken yet."""
        return False

    def add(self, widget: QWidget, stretch: int = 0) -> None:
        """Put a control into the row; the first one takes the keyboard focus."""
        widget.setToolTip(self.toolTip())
        self.row.addWidget(widget, stretch)
        if self.focusProxy() is None:
            self.setFocusProxy(widget)
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)


class CheckEditor(Editor):
    """True or false."""

    def __init__(self, spec: FieldSpec, look: Look) -> None:
        super().__init__(spec, look)
        self.box = Switch(look)
        self.add(self.box)
        self.row.addStretch(1)
        self.box.toggled.connect(lambda on: self.edited.emit(on))

    @property
    def value(self) -> Value:  # noqa: D102
        return self.box.isChecked()

    def set_value(self, value: Value) -> None:  # noqa: D102
        with QSignalBlocker(self.box):
            self.box.setChecked(bool(value))


class ChoiceEditor(Editor):
    """One of a few words."""

    def __init__(self, spec: FieldSpec, look: Look) -> None:
        super().__init__(spec, look)
        self.box = CalmComboBox()
        self.box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.box.setMinimumContentsLength(5)
        for choice in spec.field.choices:
            self.box.addItem(choice.replace("_", " "), choice)
        self.add(self.box, 1)
        self.box.activated.connect(lambda _: self.edited.emit(self.value))

    @property
    def value(self) -> Value:  # noqa: D102
        return str(self.box.currentData())

    def set_value(self, value: Value) -> None:  # noqa: D102
        with QSignalBlocker(self.box):
            self.box.setCurrentIndex(max(0, self.box.findData(value)))


class NumberEditor(Editor):
    """A spin box, with a slider where the range is closed."""

    def __init__(self, spec: FieldSpec, look: Look) -> None:
        super().__init__(spec, look)
        field = spec.field
        self.whole = spec.kind == "int"
        self.spin = CalmSpinBox() if self.whole else NumberBox()
        self.slider: QSlider | None = None
        limit = INT_LIMIT if self.whole else FLOAT_LIMIT
        low = -limit if field.low is None else field.low
        high = limit if field.high is None else field.high
        self._low, self._high = float(low), float(high)
        self._log = field.scale == "log" and self._low >= 0 and math.isfinite(self._high)
        self._set_up_spin(field.step)
        has_slider = field.low is not None and field.high is not None
        if has_slider:
            self._add_slider()
        self.add(self.spin)
        if not has_slider:
            self.row.addStretch(1)

    @property
    def value(self) -> Value:  # noqa: D102
        return int(self.spin.value()) if self.whole else float(self.spin.value())

    def set_value(self, value: Value) -> None:  # noqa: D102
        if isinstance(value, int | float):
            with QSignalBlocker(self.spin):
                self.spin.setValue(value)  # type: ignore[arg-type]
            self._move_slider()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow column the number gives way to its slider; in a narrower one it is alone."""
        super().resizeEvent(event)
        if self.slider is None:
            return
        px = self.look.px
        room = self.width() - px(SLIDER_LEAST) - self.row.spacing()
        fits = room >= px(SPIN_LEAST)
        self.slider.setVisible(fits)
        self.spin.setMaximumWidth(min(max(room, px(SPIN_LEAST)), px(SPIN_WIDTH)))

    def _set_up_spin(self, step: float | None) -> None:
        spin = self.spin
        if isinstance(spin, QSpinBox):
            spin.setRange(int(self._low), int(self._high))
            spin.setSingleStep(int(step or 1))
        else:
            spin.setRange(self._low, self._high)
            spread = self._high - self._low
            spin.setSingleStep(step or (spread / 100 if spread < FLOAT_LIMIT else 0.1))
        if self._log:
            spin.setStepType(type(spin).StepType.AdaptiveDecimalStepType)
        spin.setKeyboardTracking(False)
        # WORKAROUND: with NoButtons Qt's style sheets lose the text; buttons of no width do not.
        spin.setStyleSheet(
            "QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0; border: 0; }"
        )
        spin.setMinimumWidth(self.look.px(SPIN_LEAST))
        spin.setMaximumWidth(self.look.px(SPIN_WIDTH))
        spin.valueChanged.connect(self._on_spun)

    def _add_slider(self) -> None:
        self.slider = CalmSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, SLIDER_STEPS)
        self.slider.setMinimumWidth(1)
        self.slider.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.slider.setAccessibleName(self.spec.name)
        self.slider.valueChanged.connect(self._on_slid)
        self.add(self.slider, 1)
        self.setFocusProxy(self.spin)

    def _on_spun(self) -> None:
        self._move_slider()
        self.edited.emit(self.value)

    def _on_slid(self, position: int) -> None:
        value = self._at(position / SLIDER_STEPS)
        with QSignalBlocker(self.spin):
            self.spin.setValue(round(value) if self.whole else value)  # type: ignore[arg-type]
        self.edited.emit(self.value)

    def _move_slider(self) -> None:
        if self.slider is not None:
            with QSignalBlocker(self.slider):
                self.slider.setValue(round(SLIDER_STEPS * self._share(float(self.spin.value()))))

    def _floor(self) -> float:
        return self._low if self._low > 0 else self._high * 1e-6

    def _at(self, share: float) -> float:
        if not self._log:
            return self._low + share * (self._high - self._low)
        if share <= 0:
            return self._low
        low = math.log(self._floor())
        value = math.exp(low + share * (math.log(self._high) - low))
        return value if self.whole else float(f"{value:.2g}")

    def _share(self, value: float) -> float:
        if self._high <= self._low:
            return 0.0
        if not self._log:
            return (value - self._low) / (self._high - self._low)
        low = math.log(self._floor())
        return (math.log(max(value, self._floor())) - low) / (math.log(self._high) - low)


class TextEditor(Editor):
    """Anything typed: words, tuples of whole numbers; checked while typing."""

    def __init__(self, spec: FieldSpec, look: Look) -> None:
        super().__init__(spec, look)
        self.line = QLineEdit()
        self._good: Value = spec.default
        self._draft: Value = spec.default
        self._problem = ""
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        self._sentence.hide()
        self._column.addWidget(self._sentence)
        self.add(self.line, 1)
        self.line.textEdited.connect(self._on_typed)
        self.line.editingFinished.connect(self._on_finished)
        self._typed = False

    @property
    def value(self) -> Value:  # noqa: D102
        return self._good

    @property
    def problem(self) -> str:  # noqa: D102
        return self._problem

    @property
    def is_typing(self) -> bool:  # noqa: D102
        return self._typed

    def set_value(self, value: Value) -> None:  # noqa: D102
        self._good = value
        self._typed = False
        self._say("")
        self.line.setText(as_text(value))

    def _on_typed(self, text: str) -> None:
        self._typed = True
        try:
            good = check_value(self.spec, text)
        except ValueError as error:
            self._say(str(error))
            return
        if good == [] and not self.spec.optional:
            self._say(f"{self.spec.name}: given nothing, wanted at least one entry")
            return
        self._draft = good
        self._say("")

    def _on_finished(self) -> None:
        if self._typed and not self._problem:
            self._typed = False
            self._good = self._draft
            self.edited.emit(self._good)

    def _say(self, sentence: str) -> None:
        self._problem = sentence
        colour = self.look.palette.error
        self._sentence.setText(sentence)
        self._sentence.setStyleSheet(f"color: {colour}")
        self._sentence.setFont(self.look.font(0.88))
        self._sentence.setVisible(bool(sentence))
        self.line.setStyleSheet(f"border: 1px solid {colour}" if sentence else "")


class PathEditor(TextEditor):
    """A file, typed or picked."""

    words = "Choose a file"

    def __init__(self, spec: FieldSpec, look: Look) -> None:
        super().__init__(spec, look)
        self.button = QToolButton()
        self.button.setIcon(icon("folder", look.palette, look.px(16)))
        self.button.setAccessibleName(self.words)
        self.add(self.button)
        self.button.setToolTip(self.words)
        self.button.clicked.connect(self._on_clicked)

    def take(self, path: str) -> None:
        """Use a path that was picked or dropped."""
        self.set_value(path)
        self.edited.emit(path)

    def _on_clicked(self) -> None:
        path = self._pick()
        if path:
            self.take(path)

    def _pick(self) -> str:
        return QFileDialog.getOpenFileName(self, self.spec.field.help or self.words)[0]


class FolderEditor(PathEditor):
    """A folder, typed or picked; a file may be typed too."""

    words = "Choose a folder"

    def _pick(self) -> str:
        return QFileDialog.getExistingDirectory(self, self.words, str(self.value or ""))


class OptionalEditor(Editor):
    """Another editor behind a switch: off means none."""

    def __init__(self, inner: Editor) -> None:
        super().__init__(inner.spec, inner.look)
        self.inner = inner
        self.box = Switch(inner.look)
        self.add(self.box)
        self.box.setToolTip(f"Use {inner.spec.name.replace('_', ' ')}; off means none")
        self.row.addWidget(inner, 1)
        inner.setEnabled(False)
        self.box.toggled.connect(self._on_toggled)
        inner.edited.connect(self.edited)

    @property
    def value(self) -> Value:  # noqa: D102
        return self.inner.value if self.box.isChecked() else None

    def set_value(self, value: Value) -> None:  # noqa: D102
        with QSignalBlocker(self.box):
            self.box.setChecked(value is not None)
        self.inner.setEnabled(value is not None)
        if value is not None:
            self.inner.set_value(value)

    def _on_toggled(self, on: bool) -> None:
        self.inner.setEnabled(on)
        self.edited.emit(self.value)


def make_editor(spec: FieldSpec, look: Look) -> Editor:
    """The editor that fits a field, showing its default."""
    editor = _bare_editor(spec, look)
    if spec.optional and not isinstance(editor, TextEditor):
        editor = OptionalEditor(editor)
    editor.set_value(spec.default)
    return editor


def as_text(value: Value) -> str:
    """A value as one types it: ``64, 64``; none as an empty line."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(str(entry) for entry in value)
    return str(value)


def _bare_editor(spec: FieldSpec, look: Look) -> Editor:
    if spec.field.choices and spec.kind == "str":
        return ChoiceEditor(spec, look)
    kinds: dict[str, type[Editor]] = {
        "bool": CheckEditor,
        "int": NumberEditor,
        "float": NumberEditor,
        "path": PathEditor,
        "folder": FolderEditor,
    }
    kind = kinds.get(spec.kind, TextEditor)
    return kind(spec, look)
