"""An axis whose numbers never touch: as many ticks as there is room for, on nice values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyqtgraph
from PySide6.QtGui import QFont, QFontMetricsF

from widgets.plots.ranges import nice_ceiling

#: Distance of two numbers one above the other, in lines: at least, and where there is room.
LINES_LEAST, LINES_WANTED = 1.4, 2.4
#: From so many lines on there is room.
ROOMY = 9.0
#: Free room between two numbers side by side, in widths of a zero.
GAP = 4.0
#: Numbers with more zeros than this are written with powers of ten.
MOST_ZEROS = 5
#: So many places behind the point; smaller powers of ten are written as powers.
MOST_PLACES = 3
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Axes that are wider carry no numbers.
WIDEST = 1e24


class Axis(pyqtgraph.AxisItem):  # type: ignore[misc]
    """One level of numbered ticks, spaced by their size in print."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self.enableAutoSIPrefix(False)
        self.setStyle(maxTickLevel=0, maxTextLevel=0)

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:  # noqa: N802, N803 - pyqtgraph's
        """The least of 1, 2, 5 × 10ⁿ at which neighbours keep their distance."""
        spread = maxVal - minVal
        if not (0 < spread < WIDEST and size > 0):
            return []
        spacing = nice_ceiling(spread / size)
        while spacing * size < spread * self._distance(minVal, maxVal, spacing, size):
            spacing = nice_ceiling(1.5 * spacing)
        return [(max(spacing, 1.0) if self.logMode else spacing, 0.0)]

    def logTickValues(  # noqa: N802 - pyqtgraph's
        self,
        minVal: float,  # noqa: N803
        maxVal: float,  # noqa: N803
        size: float,
        stdTicks: Any,  # noqa: N803
    ) -> Any:
        """Powers of ten; 1, 2, 5 × 10ⁿ where less than two powers are in view."""
        if not stdTicks or len(stdTicks[0][1]) >= 2:
            return stdTicks
        powers = np.arange(math.floor(minVal), math.ceil(maxVal) + 1)
        ticks = np.log10([factor * 10.0**p for p in powers for factor in (1, 2, 5)])
        return [(1.0, [float(t) for t in ticks if minVal <= t <= maxVal])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:  # noqa: N802 - pyqtgraph's
        """Numbers with just enough digits and a true minus."""
        if self.logMode:
            return [_power(v) for v in values]
        return [written(value * scale, spacing * scale) for value in values]

    def _distance(self, low: float, high: float, spacing: float, size: float) -> float:
        """Pixels that two neighbouring numbers need from middle to middle."""
        metrics = QFontMetricsF(self.style["tickFont"] or QFont())
        if self.orientation in ("left", "right"):
            roomy = size >= ROOMY * metrics.height()
            return (LINES_WANTED if roomy else LINES_LEAST) * metrics.height()
        ends = self.tickStrings([math.floor(low), math.floor(high)] if self.logMode else
                                [low, high], 1.0, spacing)  # fmt: skip
        widest = max(metrics.horizontalAdvance(text) for text in ends)
        return widest + GAP * metrics.horizontalAdvance("0")


def _power(exponent: float) -> str:
    """A number by its decimal logarithm; small powers of ten as such."""
    whole = round(exponent)
    if whole < -MOST_PLACES and abs(exponent - whole) < 1e-6:
        return "10" + str(whole).translate(RAISED)
    return f"{10.0**exponent:.6g}"


def written(value: float, spacing: float) -> str:
    """A tick's number, such as 0.25 with ticks 0.05 apart."""
    power = math.floor(math.log10(spacing)) if spacing > 0 else 0
    if abs(value) < spacing / 2:
        return "0"
    if power < -MOST_ZEROS + 1 or abs(value) >= 10.0**MOST_ZEROS:
        digits = max(6, math.floor(math.log10(abs(value))) - power + 1)
        return f"{value:.{digits}g}".replace("-", "−")
    return f"{value:.{max(0, -power)}f}".replace("-", "−")
