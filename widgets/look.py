"""The look that panels draw with: palette, UI scale, and one signal when either changes."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QFont


@dataclass(frozen=True)
class Palette:
    """Colours as ``#rrggbb``. Data, model and truth keep their colour in every panel."""

    name: str
    window: str
    panel: str
    raised: str
    text: str
    muted: str
    border: str
    accent: str
    data: str
    model: str
    truth: str
    good: str
    warning: str
    error: str
    #: Colour maps by name, see ``widgets.plots.colours.table``: from "nothing" to "much" in the
    #: model's hue, from low to high around a neutral middle, and from too little to too much.
    sequential: str
    diverging: str
    signed: str


DARK = Palette(
    name="dark",
    window="#14161b",
    panel="#1b1e25",
    raised="#252a33",
    text="#e8eaf0",
    muted="#98a0b0",
    border="#343a46",
    accent="#5aa9ff",
    data="#f2a93b",
    model="#56b4e9",
    truth="#3fc79a",
    good="#3fc79a",
    warning="#f0c541",
    error="#ff6f61",
    sequential="density-dark",
    diverging="critic-dark",
    signed="difference-dark",
)
LIGHT = Palette(
    name="light",
    window="#f3f4f7",
    panel="#ffffff",
    raised="#e9ecf2",
    text="#1b1f27",
    muted="#5c6575",
    border="#cdd3de",
    accent="#0a66c2",
    data="#b35f00",
    model="#0072b2",
    truth="#007a5a",
    good="#007a5a",
    warning="#8c6100",
    error="#c0302a",
    sequential="density-light",
    diverging="critic-light",
    signed="difference-light",
)
PALETTES = {"dark": DARK, "light": LIGHT}


class Look(QObject):
    """Current palette and UI scale (1.0 … 2.5).

    Signals:
        changed: Palette or scale is another; redraw.
    """

    changed = Signal()

    def __init__(self, palette: Palette = DARK, scale: float = 1.0) -> None:
        super().__init__()
        self._palette = palette
        self._scale = scale

    @property
    def palette(self) -> Palette:
        """The colours in force."""
        return self._palette

    @property
    def scale(self) -> float:
        """The factor on all sizes."""
        return self._scale

    def px(self, size: float) -> int:
        """A size in pixels at the current scale."""
        return max(1, round(size * self._scale))

    @property
    def font_points(self) -> float:
        """Size of body text."""
        return 10.0 * self._scale

    def font(self, factor: float = 1.0, *, bold: bool = False) -> QFont:
        """The application's font at a multiple of the body size."""
        font = QFont()
        font.setPointSizeF(self.font_points * factor)
        font.setBold(bold)
        return font

    def set(self, *, palette: Palette | None = None, scale: float | None = None) -> None:
        """Change the look; emits :attr:`changed` once if anything is new."""
        new = (palette or self._palette, scale or self._scale)
        if new != (self._palette, self._scale):
            self._palette, self._scale = new
            self.changed.emit()
