"""The inspector: what model this is, its equation and paper, and what the pointer is on."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from engine.wire.capability import WORDING, Capability
from engine.wire.cards import ModelCard
from engine.wire.messages import RunInfo
from widgets.controls.chips import Chip, ChipRow
from widgets.controls.equation import EquationView
from widgets.look import Look
from widgets.panel import Pointed

#: Names of classes that are listed.
MOST_CLASSES = 12

FAMILY_WORDS = {
    "flows": "normalising flow",
    "autoregressive": "autoregressive model",
    "latent": "latent-variable model",
    "energy": "energy-based model",
    "implicit": "implicit model",
}
NO_POINTER = "Rest the pointer on a picture to read its numbers here."
NO_RUN = "Choose data and a model on the left, then press play (space)."


class Inspector(QWidget):
    """Facts about the open run; below them, always in view, the number at the pointer."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._info: RunInfo | None = None
        self._pointed: Pointed | None = None
        self.title = self._label()
        self.origin = self._label()
        self.equation = EquationView(look)
        self.summary = self._label()
        self.capabilities = ChipRow(look, wrap=True)
        self.facts = self._label()
        self.heading = self._label()
        self.rows = self._label()
        self._lay_out()
        look.changed.connect(self.restyle)
        self.restyle()

    def show_run(self, info: RunInfo | None) -> None:
        """Describe another run, or say what to do."""
        self._info = info
        self._pointed = None
        self._write()

    def show_pointed(self, pointed: Pointed | None) -> None:
        """Show what the pointer is on; the last thing stays when the pointer leaves."""
        if pointed is not None and pointed != self._pointed:
            self._pointed = pointed
            self._write_pointed()

    def restyle(self) -> None:
        """Take fonts and colours from the look."""
        palette, look = self._look.palette, self._look
        for label in self._labels:
            label.setFont(look.font())
            colour = palette.muted if label is self.origin else palette.text
            label.setStyleSheet(f"color: {colour}")
        self._line.setFixedHeight(1)
        self._line.setStyleSheet(f"background: {palette.border}")
        margin = look.px(12)
        for column in self._columns:
            column.setContentsMargins(margin, look.px(8), margin, look.px(8))
            column.setSpacing(look.px(9))
        self._write()

    def _label(self) -> QLabel:
        label = QLabel()
        label.setWordWrap(True)
        label.setTextFormat(Qt.TextFormat.RichText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        return label

    def _lay_out(self) -> None:
        self._line = QFrame()
        self._labels = (
            self.title, self.origin, self.summary, self.facts, self.heading, self.rows,
        )  # fmt: skip
        about = (
            self.title, self.origin, self.equation, self.summary, self.capabilities, self.facts,
        )  # fmt: skip
        self._columns = [QVBoxLayout(), QVBoxLayout()]
        self._areas = [
            _scrolled(column, parts)
            for column, parts in zip(
                self._columns, (about, (self.heading, self.rows)), strict=True
            )
        ]
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(self._areas[0], 3)
        whole.addWidget(self._line)
        whole.addWidget(self._areas[1], 2)

    def _write(self) -> None:
        info = self._info
        for part in (self.equation, self.capabilities, self.facts, self.origin, self._line,
                     self._areas[1]):  # fmt: skip
            part.setVisible(info is not None)
        if info is None:
            self.title.setText(self._large("No run is open", 1.3))
            self.summary.setText(NO_RUN)
            return
        card = info.card
        self.title.setText(self._large(card.title, 1.5))
        self.origin.setText(origin_of(card))
        self.equation.set_equation(card.equation)
        self.summary.setText(escape(card.summary))
        self.capabilities.set_chips(capability_chips(card))
        self.facts.setText(_table(facts_of(info), self._look.palette.muted))
        self._write_pointed()

    def _large(self, text: str, factor: float) -> str:
        points = self._look.font_points * factor
        return f'<span style="font-size:{points:.1f}pt; font-weight:600">{escape(text)}</span>'

    def _write_pointed(self) -> None:
        if self._info is None:
            return
        muted = self._look.palette.muted
        if self._pointed is None:
            self.heading.setText(self._large("Under the pointer", 1.1))
            self.rows.setText(f'<span style="color:{muted}">{NO_POINTER}</span>')
            return
        self.heading.setText(self._large(self._pointed.heading, 1.15))
        self.rows.setText(_table(self._pointed.rows, muted))


def _scrolled(column: QVBoxLayout, parts: tuple[QWidget, ...]) -> QScrollArea:
    """A column of parts that scrolls by itself."""
    inner, area = QWidget(), QScrollArea()
    inner.setLayout(column)
    for part in parts:
        column.addWidget(part)
    column.addStretch(1)
    area.setWidget(inner)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


def origin_of(card: ModelCard) -> str:
    """Family, and the paper that described the model first."""
    paper = card.paper
    place = f", {escape(paper.where)}" if paper.where else ""
    family = FAMILY_WORDS.get(card.family, card.family)
    return (
        f"{escape(family)}, {paper.year}<br>{escape(paper.authors)}: "
        f"<i>{escape(paper.title)}</i>{place}"
    )


def capability_chips(card: ModelCard) -> tuple[Chip, ...]:
    """Every capability: what the model has first, then greyed what it lacks, with the reason."""
    have = set(card.capabilities)
    has = [
        Chip(c.value.replace("_", " "), f"This model has {WORDING[c]}", framed=True)
        for c in Capability
        if c in have
    ]
    lacks = [
        Chip(c.value.replace("_", " "), _lack(card, c), dim=True, framed=True)
        for c in Capability
        if c not in have
    ]
    return (*has, *lacks)


def facts_of(info: RunInfo) -> tuple[tuple[str, str], ...]:
    """Numbers about model and data."""
    data = info.data
    splits = f"{data.n_train} train, {data.n_valid} valid, {data.n_test} test"
    shape = " × ".join("time" if side is None else str(side) for side in data.event.shape)
    rows = [
        ("parameters", f"{info.n_parameters:,}".replace(",", " ")),
        ("data", info.dataset.title),
        ("observations", splits),
        ("event", f"{shape}, {data.event.support}"),
    ]
    if data.values:
        rows.append(("values", data.values))
    if data.labels:
        rows.append(("classes", ", ".join(data.labels[:MOST_CLASSES]) + _more(data.labels)))
    if data.factors:
        rows.append(("known factors", ", ".join(data.factors)))
    if data.entropy is not None:
        rows.append(("entropy of the truth", f"{data.entropy:.4g} nats".replace("-", "−")))
    rows += [("device", info.device), ("seed", str(info.spec.seed))]
    rows += [("note", note) for note in data.notes]
    return tuple(rows)


def _more(names: tuple[str, ...]) -> str:
    return f" … {len(names)} in all" if len(names) > MOST_CLASSES else ""


def _lack(card: ModelCard, capability: Capability) -> str:
    reason = card.lacks.get(capability, "")
    return f"Lacks {WORDING[capability]}" + (f": {reason}" if reason else "")


def _table(rows: tuple[tuple[str, str], ...], muted: str) -> str:
    lines = (
        f'<tr><td style="color:{muted}; padding-right:10px">{escape(name)}</td>'
        f"<td>{escape(value)}</td></tr>"
        for name, value in rows
    )
    return f'<table cellspacing="1">{"".join(lines)}</table>'
