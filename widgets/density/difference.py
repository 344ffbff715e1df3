"""The signed difference of model and truth over the plane, on a scale with zero in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Answer
from widgets.controls.chips import Chip
from widgets.density.words import number
from widgets.look import Palette
from widgets.plots.heatmap import Scale
from widgets.plots.ranges import StickyCeiling, mass_ceiling

Floats: TypeAlias = npt.NDArray[Any]

#: A difference of logarithms is cut off at so many nats either way.
LOG_LIMIT = 3.0
#: Where both lie so many nats below the highest of either, the difference is left blank.
DEPTH = 12.0
#: The scale ends at this share of the truth's own ceiling, whatever the model does.
CEILING_SHARE = 0.5
#: The kinds of surface that are densities.
DENSITIES = {"exact", "bound", "quadrature"}


@dataclass(frozen=True)
class Variation:
    """½ ∫ abs(model − truth) over a window, and the difference to half the grid."""

    value: float
    error: float


class Difference:
    """Two answers over the same cells, subtracted; keeps its colour scale."""

    def __init__(self) -> None:
        self._ceiling = StickyCeiling()
        self._model: Answer | None = None
        self._truth: Answer | None = None

    def reset(self) -> None:
        """Forget answers and scale."""
        self._ceiling.reset()
        self._model = self._truth = None

    def take(self, *, model: Answer | None = None, truth: Answer | None = None) -> None:
        """Keep the newest answers."""
        self._model, self._truth = model or self._model, truth or self._truth

    @property
    def pair(self) -> tuple[Answer, Answer] | None:
        """Model and truth, where both are densities over the very same cells."""
        model, truth = self._model, self._truth
        if model is None or truth is None or model.values.get("kind") not in DENSITIES:
            return None
        same = all(_same(model.arrays.get(axis), truth.arrays.get(axis)) for axis in "xy")
        return (model, truth) if same else None

    def picture(self, palette: Palette, *, log: bool) -> tuple[Floats, Scale] | None:
        """Values to colour (H, W) and their scale, or None while there is no pair."""
        pair = self.pair
        if pair is None:
            return None
        if log:
            words = "log model − log truth, nats"
            scale = Scale(-LOG_LIMIT, LOG_LIMIT, words, palette.signed, True, True)
            return log_difference(*pair), scale
        top = CEILING_SHARE * self._ceiling.update(mass_ceiling(_density(pair[1])))
        scale = Scale(-top, top, "model − truth, per unit²", palette.signed, True, True)
        return _density(pair[0]) - _density(pair[1]), scale

    def chips(self, *, log: bool) -> tuple[Chip, ...]:
        """The total variation in view, and what the logarithms leave out."""
        pair = self.pair
        if pair is None:
            return ()
        found = total_variation(*pair)
        text = f"½∫|model − truth| = {number(found.value, 3)} ± {number(found.error, 1)} in view"
        side = pair[0].arrays["log_density"].shape[0]
        words = (
            f"Total variation over the visible window, by quadrature on {side}² cells; the error "
            "is that of halving the grid. 0: the same, 1: they share nothing"
        )
        if pair[0].values.get("kind") == "bound":
            words += ". The model's density is a lower bound here, so this is an estimate"
        blank = f"blank where both < e^−{DEPTH:.0f} of the peak"
        meaning = "Where neither density matters their ratio is not drawn"
        chips = (Chip(text, words, framed=True),)
        return (*chips, Chip(blank, meaning, framed=True)) if log else chips


def log_difference(model: Answer, truth: Answer) -> Floats:
    """log q − log p in nats, ±∞ where one of them is 0; 0 where both are negligible."""
    log_q, log_p = (np.asarray(a.arrays["log_density"], np.float64) for a in (model, truth))
    higher = np.maximum(log_q, log_p)
    finite = higher[np.isfinite(higher)]
    floor = float(finite.max()) - DEPTH if len(finite) else 0.0
    with np.errstate(invalid="ignore"):
        return np.where(higher < floor, 0.0, log_q - log_p)


def total_variation(model: Answer, truth: Answer) -> Variation:
    """½ ∫ abs(q − p) over the cells of both answers."""
    difference = _density(model) - _density(truth)
    x, y = (np.asarray(model.arrays[axis], np.float64) for axis in "xy")
    cell = float((x[1] - x[0]) * (y[1] - y[0]))
    fine = 0.5 * float(np.abs(difference).sum()) * cell
    rows, columns = (side // 2 * 2 for side in difference.shape)
    blocks = difference[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).sum((1, 3))
    return Variation(fine, abs(fine - 0.5 * float(np.abs(blocks).sum()) * cell))


def _density(answer: Answer) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        density: Floats = np.exp(np.asarray(answer.arrays["log_density"], np.float64))
    return density


def _same(first: Floats | None, second: Floats | None) -> bool:
    if first is None or second is None or len(first) != len(second) or len(first) < 2:
        return False
    return bool(np.allclose(first, second, rtol=0.0, atol=1e-6 * abs(first[-1] - first[0])))
