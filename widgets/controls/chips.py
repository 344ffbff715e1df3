"""Small labelled badges in a row: legends, facts, capabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from widgets.look import Look

#: Pixels at scale 1: the sign that there are more, and the least room in which words are cut.
MORE, CUT_FROM = 20, 72


@dataclass(frozen=True)
class Chip:
    """One badge.

    Attributes:
        text: What it says.
        tooltip: What it means.
        colour: Colour of the swatch.
        swatch: ``"dot"``, ``"line"``, ``"dash"`` or "" for none.
        dim: Greyed out (not available).
        framed: Drawn with a rounded outline.
        alarm: Filled with ``colour``: something is wrong, to be seen from the last row.
    """

    text: str
    tooltip: str = ""
    colour: str = ""
    swatch: str = ""
    dim: bool = False
    framed: bool = False
    alarm: bool = False


class ChipRow(QWidget):
    """Chips from left to right; those that do not fit wrap, or hide behind a last "…"."""

    def __init__(self, look: Look, *, wrap: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._wrap = wrap
        self._chips: tuple[Chip, ...] = ()
        self._placed: list[tuple[QRectF, Chip]] = []
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, self._vertical(wrap))
        policy.setHeightForWidth(wrap)
        self.setSizePolicy(policy)
        look.changed.connect(self.restyle)
        self.restyle()

    @property
    def chips(self) -> tuple[Chip, ...]:
        """What is shown."""
        return self._chips

    def set_chips(self, chips: tuple[Chip, ...]) -> None:
        """Show these."""
        if chips != self._chips:
            self._chips = chips
            self.setAccessibleName(", ".join(chip.text for chip in chips))
            self.updateGeometry()
            self.update()

    def restyle(self) -> None:
        """Take the font from the look."""
        self.setFont(self._look.font(0.88))
        self.updateGeometry()
        self.update()

    def place(self, width: float) -> tuple[list[tuple[QRectF, Chip]], float]:
        """Where each chip goes at a width, and the height that takes."""
        return self._place_wrapped(width) if self._wrap else self._place_in_line(width)

    def _place_wrapped(self, width: float) -> tuple[list[tuple[QRectF, Chip]], float]:
        gap, height = self._look.px(5), self._line_height()
        x, y = 0.0, 0.0
        placed: list[tuple[QRectF, Chip]] = []
        for chip in self._chips:
            wide = self._chip_width(chip)
            if x > 0 and x + wide > width:
                x, y = 0.0, y + height + gap
            placed.append((QRectF(x, y, min(wide, max(width - x, 1)), height), chip))
            x += wide + gap
        return placed, y + height

    def _place_in_line(self, width: float) -> tuple[list[tuple[QRectF, Chip]], float]:
        """The last one that has some room is cut short; room for the "…" is kept free."""
        gap, height, more = self._look.px(5), self._line_height(), self._look.px(MORE)
        x, placed = 0.0, list[tuple[QRectF, Chip]]()
        for index, chip in enumerate(self._chips):
            wide, rest = self._chip_width(chip), self._chips[index + 1 :]
            room = width - x - (gap + more if rest else 0.0)
            if wide <= room or room >= self._look.px(CUT_FROM) or not placed:
                placed.append((QRectF(x, 0.0, max(min(wide, room), 1.0), height), chip))
                x += placed[-1][0].width() + gap
            if wide > room:
                hidden = rest if placed[-1][1] is chip else (chip, *rest)
                words = "\n".join(c.text for c in hidden)
                if hidden:
                    placed.append((QRectF(x, 0.0, more, height), Chip("…", words)))
                break
        return placed, height

    @property
    def full_width(self) -> int:
        """Pixels that all chips take in one line."""
        gaps = self._look.px(5) * max(0, len(self._chips) - 1)
        return math.ceil(sum(map(self._chip_width, self._chips))) + gaps

    def sizeHint(self) -> QSize:
        """One line high."""
        return QSize(self._look.px(200), round(self._line_height()))

    def minimumSizeHint(self) -> QSize:
        """One line high."""
        return QSize(1, round(self._line_height()))

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's
        """As many lines as wrapping takes."""
        return round(self.place(width)[1])

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw each chip."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._placed, _ = self.place(self.width())
        for area, chip in self._placed:
            self._draw(painter, area, chip)

    def event(self, event: QEvent) -> bool:
        """Tooltips belong to single chips."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            spot = QPointF(event.pos())
            found = next(((a, c) for a, c in self._placed if a.contains(spot)), None)
            text = self._explain(*found) if found is not None else ""
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def _explain(self, area: QRectF, chip: Chip) -> str:
        """What a chip means; first all of its words where they are cut short."""
        if area.width() >= self._chip_width(chip) - 1 or chip.text == "…":
            return chip.tooltip
        return f"{chip.text}\n{chip.tooltip}".strip()

    def _vertical(self, wrap: bool) -> QSizePolicy.Policy:
        """A fixed height would cut wrapped lines off: Qt takes the hint as the limit."""
        return QSizePolicy.Policy.Preferred if wrap else QSizePolicy.Policy.Fixed

    def _line_height(self) -> float:
        return self.fontMetrics().height() + self._look.px(6)

    def _swatch_width(self, chip: Chip) -> float:
        wide = {"dot": 9, "line": 18, "dash": 20}.get(chip.swatch, 0)
        return self._look.px(wide) + self._look.px(5) if wide else 0.0

    def _chip_width(self, chip: Chip) -> float:
        padding = self._look.px(7 if chip.framed else 3)
        text = self.fontMetrics().horizontalAdvance(chip.text)
        return float(text + 2 * padding + self._swatch_width(chip))

    def _draw(self, painter: QPainter, area: QRectF, chip: Chip) -> None:
        palette = self._look.palette
        if chip.framed:
            inner = area.adjusted(0.5, 0.5, -0.5, -0.5)
            painter.setPen(QPen(QColor(chip.colour if chip.alarm else palette.border), 1))
            full = QColor(chip.colour if chip.alarm else palette.raised)
            painter.setBrush(Qt.BrushStyle.NoBrush if chip.dim else full)
            painter.drawRoundedRect(inner, area.height() / 2, area.height() / 2)
        left = area.left() + self._look.px(7 if chip.framed else 3)
        if chip.swatch:
            self._draw_swatch(painter, left, area.center().y(), chip)
        left += self._swatch_width(chip)
        words_colour = palette.window if chip.alarm else palette.text
        painter.setPen(palette.muted if chip.dim else words_colour)
        room = area.right() - left
        text = self.fontMetrics().elidedText(chip.text, Qt.TextElideMode.ElideRight, int(room) + 1)
        words = QRectF(left, area.top(), room + 2, area.height())
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, text)

    def _draw_swatch(self, painter: QPainter, x: float, y: float, chip: Chip) -> None:
        px = self._look.px
        if chip.swatch == "dot":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(chip.colour))
            painter.drawEllipse(QPointF(x + px(9) / 2, y), px(9) / 2, px(9) / 2)
            return
        pen = QPen(QColor(chip.colour), self._look.px(20) / 10)
        if chip.swatch == "dash":
            pen.setDashPattern([3.0, 2.0])
        painter.setPen(pen)
        painter.drawLine(QPointF(x, y), QPointF(x + px(18), y))
