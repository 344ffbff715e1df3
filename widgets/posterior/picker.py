"""Which event is looked at: a held-out picture, a point of the plane, or the next one."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.controls.icons import icon
from widgets.look import Look
from widgets.pixels.wall import PictureWall
from widgets.plots.layers import Box
from widgets.plots.points import PointPlot
from widgets.plots.splat import Dots
from widgets.posterior.desk import Desk, Floats

#: Diameters of the data's dots and of the chosen one, pixels at scale 1.
DOT, CHOSEN_DOT = 3.5, 9.0
#: Room around the data, as a share of their spread.
MARGIN = 0.08


class EventPicker(QWidget):
    """Buttons to the event before and after, and what there is to choose from."""

    def __init__(self, look: Look, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look, self._desk = look, desk
        self.heading = QLabel(self)
        self.buttons = {
            "back": self._button("The held-out event before ([)", -1),
            "play": self._button("The next held-out event (])", 1),
        }
        self.wall = PictureWall(look)
        self.plot = PointPlot(look)
        self.nothing = QWidget()
        self.pages = QStackedWidget()
        for page in (self.wall, self.plot, self.nothing):
            self.pages.addWidget(page)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for button in self.buttons.values():
            row.addWidget(button)
        row.addWidget(self.heading, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.pages, 1)
        self.heading.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(60, 40)
        self.wall.chosen.connect(desk.choose)
        self.plot.frame.clicked.connect(self._on_clicked)
        self.plot.frame.setToolTip("Click: the held-out observation nearest to the pointer")
        desk.arrived.connect(self.show_events)
        desk.chosen.connect(self.show_chosen)
        self.restyle()

    def open(self) -> None:
        """Another run."""
        self.wall.clear()
        self.plot.clear()
        self.show_events()

    def step(self, by: int) -> None:
        """The event before or after."""
        self._desk.choose(self._desk.index + by)

    def show_events(self) -> None:
        """What there is to choose from is new."""
        desk = self._desk
        if desk.is_picture and desk.cells is not None:
            self.pages.setCurrentWidget(self.wall)
            self.wall.set_hint("Held-out pictures are coming …")
            everything = np.ones(desk.cells.size, dtype=bool)
            if len(desk.events):
                pixels = desk.cells.pixels(desk.events, everything, self._look.palette.raised)
                self.wall.set_pictures(pixels)
        elif desk.is_plane:
            self.pages.setCurrentWidget(self.plot)
            self._draw_points()
        else:
            self.pages.setCurrentWidget(self.nothing)
        self.show_chosen()

    def show_chosen(self) -> None:
        """Another event is chosen."""
        desk, palette = self._desk, self._look.palette
        self.heading.setText(self._short())
        self.heading.setToolTip(f"The event x that is looked at: {desk.words}")
        self.wall.set_current(desk.index if desk.point is None and self.wall.count else None)
        event = desk.x
        if desk.is_plane and event is not None:
            size = CHOSEN_DOT * self._look.scale * self.devicePixelRatioF()
            at = _placed(event[None])
            self.plot.set_points("chosen", at, Dots(palette.accent, size, 1.0, rim=palette.panel))

    def _short(self) -> str:
        """The place among the held-out events, and the class."""
        desk = self._desk
        if desk.x is None:
            return ""
        if desk.point is not None:
            return "chosen point"
        label = f"  ({desk.label_words})" if desk.label_words else ""
        return f"{desk.index + 1} / {len(desk.events)}{label}"

    def restyle(self) -> None:
        """Take colours and fonts from the look."""
        palette, side = self._look.palette, self._look.px(16)
        self.heading.setFont(self._look.font(0.9))
        self.heading.setStyleSheet(f"color: {palette.text}; background: transparent")
        for name, button in self.buttons.items():
            button.setIcon(icon(name, palette, side))
        self.wall.restyle()
        self.plot.restyle()
        self.show_events()

    def _button(self, tooltip: str, by: int) -> QToolButton:
        button = QToolButton(self)
        button.setAutoRaise(True)
        button.setToolTip(tooltip)
        button.setAccessibleName(tooltip.split(" (")[0])
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.clicked.connect(lambda: self.step(by))
        return button

    def _draw_points(self) -> None:
        desk = self._desk
        if not len(desk.events):
            return
        places = _placed(desk.events)
        axes = desk.info.data.columns if desk.info is not None else ()
        names = [*axes, "x", "y"][:2] if axes else ["x", "y"]
        self.plot.frame.set_line(desk.events.shape[1] == 1)
        self.plot.frame.set_names(names[0], names[1] if desk.events.shape[1] > 1 else "")
        size = DOT * self._look.scale * self.devicePixelRatioF()
        self.plot.set_points("data", places, Dots(self._look.palette.data, size, 0.75))
        low, high = places.min(0), places.max(0)
        room = MARGIN * np.maximum(high - low, 1e-6) + 1e-9
        if places.shape[1] and desk.events.shape[1] == 1:
            room[1] = 1.0
        if not self.plot.frame.user_moved:
            ends = (low - room).tolist(), (high + room).tolist()
            self.plot.set_box(Box((ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])))

    def _on_clicked(self, place: tuple[float, float]) -> None:
        desk = self._desk
        if len(desk.events):
            away = _placed(desk.events) - np.asarray(place)
            desk.choose(int(np.square(away).sum(1).argmin()))


def _placed(events: Floats) -> Floats:
    """Events (N, 1 or 2) on the plane; those of a line lie on its axis."""
    return events if events.shape[1] == 2 else np.stack([events[:, 0], 0.0 * events[:, 0]], 1)
