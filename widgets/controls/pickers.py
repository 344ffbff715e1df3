"""Choosing a data set, with a small picture of it, and a model, by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QImage, QPixmap, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QComboBox, QWidget

from engine.wire.cards import DatasetCard, ModelCard
from widgets.controls.icons import pixmap
from widgets.look import Look
from widgets.plots.image_grid import picture_image
from widgets.plots.splat import Dots, splat

PREVIEW = 28
#: Headings of the families, in the order in which they are listed.
FAMILIES = {
    "flows": "Flows",
    "autoregressive": "Autoregressive",
    "latent": "Latent variables",
    "energy": "Energy-based",
    "implicit": "Implicit",
}
_NAME = Qt.ItemDataRole.UserRole


class _Picker(QComboBox):
    """Entries by name; some refused with a reason.

    Signals:
        picked: The name, by the user only.
    """

    picked = Signal(str)

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._items = QStandardItemModel(self)
        self._refused: dict[str, str] = {}
        self.setModel(self._items)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setMaxVisibleItems(30)
        self.activated.connect(lambda index: self.picked.emit(self.itemData(index, _NAME)))
        look.changed.connect(self.restyle)

    @property
    def current(self) -> str:
        """Name of the entry shown."""
        return str(self.currentData(_NAME) or "")

    def set_current(self, name: str) -> None:
        """Show an entry without a signal."""
        with QSignalBlocker(self):
            index = self.findData(name, _NAME)
            if index >= 0:
                self.setCurrentIndex(index)

    def set_refused(self, reasons: Mapping[str, str]) -> None:
        """Grey entries out, with the reason as tooltip; others are open again."""
        self._refused = dict(reasons)
        for item in self._named_items():
            reason = self._refused.get(str(item.data(_NAME)), "")
            item.setEnabled(not reason)
            item.setToolTip(reason or str(item.data(_NAME + 1)))

    def restyle(self) -> None:
        """Take sizes from the look."""

    def _named_items(self) -> list[QStandardItem]:
        items = [self._items.item(row) for row in range(self._items.rowCount())]
        return [item for item in items if item.data(_NAME)]

    def _add(self, name: str, text: str, tooltip: str) -> QStandardItem:
        item = QStandardItem(text)
        item.setData(name, _NAME)
        item.setData(tooltip, _NAME + 1)
        item.setToolTip(tooltip)
        self._items.appendRow(item)
        return item

    def _add_heading(self, text: str) -> None:
        item = QStandardItem(text.upper())
        item.setEnabled(False)
        item.setFont(self._look.font(0.8, bold=True))
        item.setForeground(QColor(self._look.palette.muted))
        self._items.appendRow(item)


class DatasetPicker(_Picker):
    """Data sets with a preview; previews come as points or pictures, when they are known."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self._cards: tuple[DatasetCard, ...] = ()
        self._previews: dict[str, npt.NDArray[Any]] = {}
        self.setToolTip("The data that the model learns from")
        self.setAccessibleName("Data set")
        self.restyle()

    def set_cards(self, cards: Sequence[DatasetCard]) -> None:
        """List these data sets, by kind."""
        current = self.current
        self._cards = tuple(cards)
        with QSignalBlocker(self):
            self._items.clear()
            for kind in dict.fromkeys(card.kind for card in cards):
                self._add_heading(kind)
                for card in (card for card in cards if card.kind == kind):
                    self._add(card.name, card.title, card.summary)
        self._paint_icons()
        self.set_refused(self._refused)
        self.set_current(current or (cards[0].name if cards else ""))

    def set_preview(self, name: str, sample: npt.NDArray[Any]) -> None:
        """Show points (N, 1 or 2), or one picture (H, W > 2) or (H, W, 3) of 0 … 1, as an icon."""
        self._previews[name] = sample
        self._paint_icons(name)

    def restyle(self) -> None:
        """Take sizes from the look."""
        side = self._look.px(PREVIEW)
        self.setIconSize(QSize(side, side))
        self._paint_icons()

    def _paint_icons(self, only: str = "") -> None:
        """All icons, or one: drawing the dots of all takes long enough to be felt."""
        side = self._look.px(PREVIEW)
        kinds = {card.name: card.icon or card.kind for card in self._cards}
        for item in self._named_items():
            name = str(item.data(_NAME))
            if only not in ("", name):
                continue
            sample = self._previews.get(name)
            if sample is None:
                shape = generic_icon(kinds.get(name, "2-D"))
                item.setIcon(QIcon(pixmap(shape, self._look.palette.muted, side)))
            else:
                item.setIcon(QIcon(preview(sample, self._look, side)))


class ModelPicker(_Picker):
    """Models by family, with year; the paper's title as tooltip."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(look, parent)
        self.setToolTip("The model that learns")
        self.setAccessibleName("Model")

    def set_cards(self, cards: Sequence[ModelCard]) -> None:
        """List these models."""
        current = self.current
        families = [*FAMILIES, *dict.fromkeys(c.family for c in cards if c.family not in FAMILIES)]
        with QSignalBlocker(self):
            self._items.clear()
            for family in families:
                members = [card for card in cards if card.family == family]
                if members:
                    self._add_heading(FAMILIES.get(family, family))
                for card in sorted(members, key=lambda c: (c.paper.year, c.title)):
                    tooltip = f"{card.summary}\n{card.paper.authors}: {card.paper.title}"
                    self._add(card.name, f"{card.title}  ·  {card.paper.year}", tooltip)
        self.set_refused(self._refused)
        self.set_current(current or (cards[0].name if cards else ""))


def preview(sample: npt.NDArray[Any], look: Look, side: int) -> QPixmap:
    """A small square picture of points (N, 1 or 2), or of a picture (H, W) or (H, W, 3)."""
    if sample.ndim == 2 and sample.shape[1] <= 2:
        return _points_preview(sample, look, side)
    return QPixmap.fromImage(picture_image(np.clip(sample, 0, 1))).scaled(side, side)


def _points_preview(points: npt.NDArray[Any], look: Look, side: int) -> QPixmap:
    points = points[np.isfinite(points).all(1)].astype(np.float64)
    if points.shape[1] == 1:
        points = _as_histogram(points[:, 0])
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    if not len(points):
        return picture
    low, high = points.min(0), points.max(0)
    spread = max(float((high - low).max()), 1e-9)
    unit = (points - (low + high) / 2) / spread * np.array([1.0, -1.0]) + 0.5
    where = 2 + unit * (side - 4)
    pixels = splat(where, side, side, Dots(look.palette.data, max(1.4, side / 18), 0.6))
    form = QImage.Format.Format_ARGB32_Premultiplied
    return QPixmap.fromImage(QImage(pixels.data, side, side, 4 * side, form).copy())


def _as_histogram(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Points under a histogram of values, for a one-dimensional set."""
    if not len(x):
        return np.empty((0, 2))
    counts, edges = np.histogram(x, 16)
    top = max(int(counts.max()), 1)
    columns = [
        np.stack([np.full(8, (edges[i] + edges[i + 1]) / 2), np.linspace(0, count / top, 8)], 1)
        for i, count in enumerate(counts)
    ]
    points = np.concatenate(columns)
    points[:, 1] *= max(float(np.ptp(edges)), 1e-9)
    return points


def generic_icon(kind: str) -> str:
    """Name of the icon that stands for a data set until a preview of it is known."""
    if kind.startswith("1"):
        return "curve"
    return "pictures" if "picture" in kind or "image" in kind else "points"
