"""A form made from the fields of a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from engine.wire.fields import FieldSpec, Value, wanted
from widgets.controls.editors import Editor, make_editor
from widgets.controls.icons import pixmap
from widgets.look import Look

RESTARTS = "changing this restarts the run"
AT_ONCE = "changes at once, while training"
#: Above this UI scale a name stands over its editor instead of beside it.
WRAP_FROM = 1.4
#: A name wider than this (pixels at scale 1) takes two lines, to leave its editors room.
WIDEST_NAME = 109


class ConfigForm(QWidget):
    """One row per field: name, editor, and a mark where a change restarts the run.

    At large UI scales each name stands above its editor, so that the form stays narrow.

    Signals:
        edited: ``{name: value}`` of what the user changed, always valid.
    """

    edited = Signal(object)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._specs: tuple[FieldSpec, ...] = ()
        self._editors: dict[str, Editor] = {}
        self._widgets: list[QWidget] = []
        self._rows: dict[str, tuple[QWidget, ...]] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(5)
        self._grid.setVerticalSpacing(4)
        look.changed.connect(self._rebuild)

    @property
    def problems(self) -> dict[str, str]:
        """By field: why what is typed cannot be used."""
        return {name: e.problem for name, e in self._editors.items() if e.problem}

    def editor(self, name: str) -> Editor:
        """The editor of one field."""
        return self._editors[name]

    def set_fields(self, specs: tuple[FieldSpec, ...]) -> None:
        """Make rows for these fields, with their defaults; the same fields keep their editors.

        Fields of kind ``"blob"`` (a painting, a picture) and derived ones have no row.
        """
        specs = tuple(spec for spec in specs if spec.kind != "blob" and not spec.field.derived)
        if specs == self._specs:
            for spec in specs:
                self._editors[spec.name].set_value(spec.default)
            self._hide_idle()
            return
        self._specs = specs
        self._make_rows()

    def values(self) -> dict[str, Value]:
        """All values, each valid."""
        return {name: editor.value for name, editor in self._editors.items()}

    def set_values(self, values: Mapping[str, Value]) -> None:
        """Show values without a signal; a field that the user is typing in is left alone."""
        for name, value in values.items():
            editor = self._editors.get(name)
            if editor is not None and not editor.is_typing and editor.value != value:
                editor.set_value(value)
        self._hide_idle()

    def _hide_idle(self) -> None:
        """A row is there only while its setting does something."""
        for spec in self._specs:
            if spec.field.when is not None:
                name, value = spec.field.when
                other = self._editors.get(name)
                for widget in self._rows[spec.name]:
                    widget.setVisible(other is None or other.value == value)

    def _rebuild(self) -> None:
        values = self.values()
        self._make_rows()
        self.set_values(values)

    def _make_rows(self) -> None:
        for widget in self._widgets:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._widgets, self._editors, self._rows = [], {}, {}
        self._grid.setColumnStretch(0, 1 if self._wraps else 0)
        self._grid.setColumnStretch(1, 0 if self._wraps else 1)
        for row, spec in enumerate(self._specs):
            self._make_row(row, spec)
        self._hide_idle()

    @property
    def _wraps(self) -> bool:
        return self._look.scale > WRAP_FROM

    def _make_row(self, row: int, spec: FieldSpec) -> None:
        editor = make_editor(spec, self._look)
        tooltip = tooltip_of(spec)
        for part in (editor, *editor.findChildren(QWidget)):
            if not part.toolTip():
                part.setToolTip(tooltip)
        label = QLabel(label_of(spec), self)
        label.setToolTip(tooltip)
        label.setBuddy(editor.focusProxy() or editor)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        label.setContentsMargins(0, self._look.px(4), 0, 0)
        mark = self._mark(spec)
        self._place(row, label, editor, mark)
        self._rows[spec.name] = label, editor, mark
        self._editors[spec.name] = editor
        focus = editor.focusProxy() or editor
        focus.setAccessibleName(label_of(spec))
        focus.setAccessibleDescription(tooltip)
        editor.edited.connect(lambda value, name=spec.name: self._on_edited(name, value))

    def _on_edited(self, name: str, value: Value) -> None:
        self._hide_idle()
        self.edited.emit({name: value})

    def _place(self, row: int, label: QLabel, editor: Editor, mark: QLabel) -> None:
        top = Qt.AlignmentFlag.AlignTop
        wide = QSizePolicy.Policy.Preferred if self._wraps else QSizePolicy.Policy.Maximum
        label.setSizePolicy(wide, QSizePolicy.Policy.Preferred)
        if not self._wraps and label.sizeHint().width() > self._look.px(WIDEST_NAME):
            label.setWordWrap(True)
            label.setFixedWidth(self._look.px(WIDEST_NAME))
        if self._wraps:
            self._grid.addWidget(label, 2 * row, 0)
            self._grid.addWidget(mark, 2 * row, 1, top)
            self._grid.addWidget(editor, 2 * row + 1, 0, 1, 2)
        else:
            self._grid.addWidget(label, row, 0)
            self._grid.addWidget(editor, row, 1)
            self._grid.addWidget(mark, row, 2, top)
        self._widgets += [label, editor, mark]

    def _mark(self, spec: FieldSpec) -> QLabel:
        mark = QLabel(self)
        side = self._look.px(13)
        mark.setFixedWidth(side)
        mark.setContentsMargins(0, self._look.px(5), 0, 0)
        mark.setToolTip(AT_ONCE if spec.field.live else RESTARTS)
        if not spec.field.live:
            mark.setPixmap(pixmap("restart", self._look.palette.muted, side))
        return mark


def label_of(spec: FieldSpec) -> str:
    """``learning_rate`` → ``learning rate``."""
    return spec.name.replace("_", " ")


def tooltip_of(spec: FieldSpec) -> str:
    """Symbol, help, range, and whether a change restarts."""
    symbol = f" ({plain_symbol(spec.field.symbol)})" if spec.field.symbol else ""
    restart = AT_ONCE if spec.field.live else RESTARTS
    sentence = spec.field.help.rstrip(".") or label_of(spec).capitalize()
    return f"{sentence}{symbol}.\n{wanted(spec).capitalize()}; {restart}."


#: LaTeX words of symbols as plain letters, for tooltips.
_GREEK = {
    r"\alpha": "α", r"\beta": "β", r"\gamma": "γ", r"\delta": "δ", r"\epsilon": "ε",
    r"\varepsilon": "ε", r"\eta": "η", r"\lambda": "λ", r"\mu": "μ", r"\sigma": "σ", r"\tau": "τ",
    r"\pi": "π", r"\theta": "θ", r"\phi": "φ", r"\rho": "ρ", r"\omega": "ω", r"\Sigma": "Σ",
}  # fmt: skip


def plain_symbol(latex: str) -> str:
    r"""``\lambda_{GP}`` → ``λ_GP``."""
    for word, letter in _GREEK.items():
        latex = latex.replace(word, letter)
    for bracket in (r"\mathrm", r"\text", r"\mathbf", "{", "}", "$", "\\"):
        latex = latex.replace(bracket, "")
    return latex.strip()
