"""Colour tables and mixing; colours are ``#rrggbb`` words or 0xAARRGGBB numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyqtgraph
from PySide6.QtGui import QColor

Table: TypeAlias = npt.NDArray[np.uint32]

#: Colour-blind-safe hues for parts of a mixture (after Okabe and Ito, and Tol).
PART_COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00",
    "#8da0ff", "#b2df8a", "#ee8866", "#44bb99", "#aa4499", "#bbbbbb",
)  # fmt: skip


#: On a line parts are drawn beside data, model and truth, whose colours the first ones resemble:
#: there they begin with this one.
FIRST_ON_A_LINE = 3

#: Our own maps; lightness runs evenly from stop to stop in Oklab. A density has the model's hue,
#: the truth its own; a critic goes from the model's hue ("made") to the data's ("real").
STOPS = {
    "density-dark": ("#12141a", "#1d4f8f", "#3f9fe0", "#eaf8ff"),
    "density-light": ("#ffffff", "#9cc9e8", "#2d7fbd", "#08224d"),
    "truth-dark": ("#12141a", "#17634c", "#3fc79a", "#eefff7"),
    "truth-light": ("#ffffff", "#a3d9c5", "#2c9270", "#062d20"),
    "critic-dark": ("#2f6f9c", "#1c3444", "#17191f", "#46341c", "#9a6a24"),
    "critic-light": ("#93c3e2", "#cfe3f0", "#fafafb", "#f6e3c8", "#ecb878"),
}
#: Signed maps with zero exactly in the middle, stops evenly apart: too little in red, too much
#: in blue, a pair that no common colour blindness confuses.
SIGNED = {
    "difference-dark": ("#ff8370", "#8c3b31", "#17191f", "#1f5c96", "#6fc3ff"),
    "difference-light": ("#a3161f", "#e58a80", "#fbfbfc", "#6aaede", "#004a86"),
    # For lines and dots, which must be seen where nothing happens too.
    "volume-dark": ("#ff7a5c", "#c58a80", "#7d8494", "#6aa6d8", "#7fd0ff"),
    "volume-light": ("#a3161f", "#b06a62", "#8f96a3", "#4d86b5", "#004a86"),
}
_TO_CONE = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@lru_cache(maxsize=16)
def table(name: str) -> Table:
    """256 colours from "nothing" to "much", as 0xffRRGGBB: one of ours or of pyqtgraph's."""
    if name in SIGNED:
        shades = _mixed(SIGNED[name], np.linspace(0.0, 1.0, len(SIGNED[name])))
    elif name in STOPS:
        shades = _even(STOPS[name])
    else:
        shades = pyqtgraph.colormap.get(name).getLookupTable(nPts=256)[:, :3]
    red, green, blue = shades.astype(np.uint32).T
    colours: Table = ((0xFF << 24) | (red << 16) | (green << 8) | blue).astype(np.uint32)
    return colours


def _even(stops: tuple[str, ...]) -> npt.NDArray[Any]:
    """Interpolate in Oklab (Ottosson 2020), stops spaced by their difference in lightness."""
    lightness = np.array([_oklab(stop)[0] for stop in stops])
    return _mixed(stops, np.concatenate([[0.0], np.cumsum(np.abs(np.diff(lightness)))]))


def _mixed(stops: tuple[str, ...], where: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """256 shades through stops at rising places, mixed in Oklab."""
    lab = np.array([_oklab(stop) for stop in stops])
    even = np.linspace(0.0, where[-1], 256)
    mixed = np.stack([np.interp(even, where, lab[:, i]) for i in range(3)], 1)
    cones = (mixed @ np.linalg.inv(_TO_LAB).T) ** 3
    linear = np.clip(cones @ np.linalg.inv(_TO_CONE).T, 0.0, 1.0)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    shades: npt.NDArray[Any] = np.rint(255.0 * curved)
    return shades


def _oklab(colour: str) -> npt.NDArray[Any]:
    shade = np.array(rgb(colour)) / 255.0
    linear = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
    lab: npt.NDArray[Any] = _TO_LAB @ np.cbrt(_TO_CONE @ linear)
    return lab


def with_alpha(colour: str, alpha: float) -> QColor:
    """A colour at an opacity from 0 to 1."""
    mixed = QColor(colour)
    mixed.setAlphaF(alpha)
    return mixed


def mix(first: str, second: str, share: float) -> str:
    """A colour on the way from ``first`` (share 0) to ``second`` (share 1)."""
    a, b = rgb(first), rgb(second)
    return QColor(*(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))).name()


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255."""
    parsed = QColor(colour)
    return parsed.red(), parsed.green(), parsed.blue()


def part_colour(index: int, *, dark: bool = True) -> str:
    """The colour of a mixture's part on a dark or a light ground."""
    colour = PART_COLOURS[index % len(PART_COLOURS)]
    return colour if dark else mix(colour, "#000000", 0.28)


def to_bytes(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Values as 0 … 255 on a fixed scale; NaN and −∞ count as low, +∞ as high."""
    scaled = (values - np.float32(low)) * np.float32(255.0 / max(high - low, 1e-30))
    np.fmax(scaled, 0.0, out=scaled)
    np.fmin(scaled, 255.0, out=scaled)
    return scaled.astype(np.uint8)
