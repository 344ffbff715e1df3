"""How the values of one event lie on the screen: a picture's cells, or a row of symbols.

Values are given flat, in the event's own order (for pictures i = (c·H + r)·W + k), and a cell may
hold several of them: the red, green and blue of one pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.event import Event
from engine.wire.messages import RunInfo
from widgets.plots.colours import rgb

Floats: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]
Pixels: TypeAlias = npt.NDArray[np.uint32]

#: Symbols a row before the next row begins, and the colours of three channels.
MOST_COLUMNS = 32
CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class Cells:
    """The layout of an event of D values on C channels, H rows and W columns.

    Attributes:
        channels, rows, columns: C, H, W; a vector of symbols has one channel, and wraps.
        size: D; the last row of symbols may end early.
        low, high: Values drawn black and white.
        levels: Number of levels, or None for real values.
        alphabet: The symbol of each level, or "".
        is_picture: Whether the event has rows and columns of its own.
    """

    channels: int
    rows: int
    columns: int
    size: int
    low: float = 0.0
    high: float = 1.0
    levels: int | None = None
    alphabet: str = ""
    is_picture: bool = True

    @classmethod
    def of(cls, info: RunInfo) -> Cells:
        """The layout of a run's events."""
        event, data = info.data.event, info.data
        low, high = _ends(event, data.low, data.high)
        shape = [int(side or 1) for side in event.shape]
        is_picture = len(shape) >= 2
        if is_picture:
            channels, (rows, columns) = math.prod(shape[:-2]), shape[-2:]
        else:
            channels, columns = 1, min(math.prod(shape), MOST_COLUMNS)
            rows = -(-math.prod(shape) // columns)
        size, alphabet = math.prod(shape), event.alphabet or ""
        return cls(
            channels, rows, columns, size, low, high, event.levels, alphabet, is_picture=is_picture
        )

    @property
    def n_cells(self) -> int:
        """H·W."""
        return self.rows * self.columns

    def cell_of(self, index: int) -> tuple[int, int]:
        """Row and column of a flat index."""
        return divmod(index % self.n_cells, self.columns)

    def channel_of(self, index: int) -> int:
        """The channel of a flat index."""
        return index // self.n_cells

    def index_at(self, row: int, column: int, channel: int = 0) -> int | None:
        """The flat index of a cell's value, or None outside."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            return None
        index = (min(channel, self.channels - 1) * self.rows + row) * self.columns + column
        return index if index < self.size else None

    def words(self, index: int) -> str:
        """Where a value is: "row 3, column 5, red", counted from 1."""
        if not self.is_picture:
            return f"place {index + 1}"
        row, column = self.cell_of(index)
        words = f"row {row + 1}, column {column + 1}"
        return words + (f", {CHANNELS[self.channel_of(index)]}" if self.channels == 3 else "")

    def value_words(self, value: float) -> str:
        """A value as a level, as a symbol, or as a number."""
        if not math.isfinite(value):
            return "–"
        if self.levels is None:
            return f"{value:.3g}".replace("-", "−")
        level = round(value)
        if self.alphabet and 0 <= level < len(self.alphabet):
            return f"‘{self.alphabet[level]}’"
        return f"{level}"

    def written(self, flat: Floats, drawn: Mask) -> tuple[str, ...]:
        """What stands in the cells of one event (D,): for vectors only, whose cells are few."""
        if self.is_picture:
            return ()
        return tuple(
            self.value_words(float(value)).strip("‘’") if there else ""
            for value, there in zip(flat, drawn, strict=True)
        )

    def spread(self, flat: Floats) -> Floats:
        """Flat values (…, D) as (…, C, H, W); cells beyond the last value are NaN, or False."""
        room = self.channels * self.n_cells - flat.shape[-1]
        if room > 0:
            fill = False if flat.dtype == bool else np.nan
            rest = np.full((*flat.shape[:-1], room), fill, flat.dtype)
            flat = np.concatenate([flat, rest], -1)
        return flat.reshape(*flat.shape[:-1], self.channels, self.rows, self.columns)

    def any_channel(self, mask: Mask) -> Mask:
        """A mask (…, D) as cells (…, H, W) that are true where one of their values is."""
        return np.asarray(self.spread(mask).any(-3), dtype=bool)

    def pixels(self, flat: Floats, drawn: Mask, empty: str) -> Pixels:
        """Pictures (…, H, W) as 0xffRRGGBB; cells without a drawn value have the empty colour.

        Args:
            flat: Values (…, D).
            drawn: (D,) or (…, D), the values that there are.
            empty: The colour of what is not there yet.
        """
        shown = np.where(drawn, np.nan_to_num(flat.astype(np.float32)), np.float32(self.low))
        unit = (self.spread(shown) - self.low) / max(self.high - self.low, 1e-30)
        with np.errstate(invalid="ignore"):
            shade = np.nan_to_num(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint32)
        red, green, blue = (shade[..., min(c, self.channels - 1), :, :] for c in range(3))
        if self.channels == 2:
            red = green = blue = shade.mean(-3).astype(np.uint32)
        painted = np.uint32(0xFF000000) | (red << 16) | (green << 8) | blue
        there = self.any_channel(np.broadcast_to(drawn, flat.shape))
        return np.where(there, painted, packed_colour(empty)).astype(np.uint32)


def packed_colour(colour: str) -> np.uint32:
    """``#rrggbb`` as 0xffRRGGBB."""
    red, green, blue = rgb(colour)
    return np.uint32((0xFF << 24) | (red << 16) | (green << 8) | blue)


def setting(info: RunInfo, name: str) -> object:
    """A setting of the run's model: as the user chose it, else the default; None without it."""
    if name in info.spec.model_config:
        return info.spec.model_config[name]
    return next((spec.default for spec in info.card.fields if spec.name == name), None)


def uses_labels(info: RunInfo) -> bool:
    """Whether the model was built to be given a class."""
    return bool(setting(info, "class_conditional")) and len(info.data.labels) > 0


def leaks(info: RunInfo) -> bool:
    """Whether each value sees itself: the wrong mask in the first layer."""
    return setting(info, "first_mask") == "B"


def takes_any_order(info: RunInfo) -> bool:
    """Whether the model was trained for every order."""
    return "any_order" in info.card.features and bool(setting(info, "order_agnostic"))


def _ends(event: Event, low: tuple[float, ...], high: tuple[float, ...]) -> tuple[float, float]:
    if event.levels is not None:
        return 0.0, float(max(event.levels - 1, 1))
    if event.kind == "picture" or not low or not high:
        return 0.0, 1.0
    ends = float(min(low)), float(max(high))
    return ends if ends[1] > ends[0] and all(map(math.isfinite, ends)) else (0.0, 1.0)
