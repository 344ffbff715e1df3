r"""What a perfect sampler would score: the 5–95 % band of truth against truth.

Two independent samples of the truth are drawn R times and scored. The band runs from the 5 % to
the 95 % quantile of these scores. R is finite, so the quantiles are not known exactly: each end is
moved outwards to the order statistic that lies beyond the true quantile with 99.5 % confidence
(the distribution-free interval of a quantile, from the binomial distribution), so that the band
never claims to be narrower than is known. With R = 400 a perfect sampler then falls inside in
about 95 % of cases, and in 90 % in the limit.

References:
    David and Nagaraja, *Order Statistics*, 2003, section 7.1.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from engine.dataset import Dataset
from engine.estimators.density import Cancelled
from engine.estimators.mmd import median_bandwidth
from engine.estimators.sample_scores import SCORES, TruthSource, sample_scores

#: The quantiles.
LOW, HIGH = 0.05, 0.95
#: Normal quantile of the confidence with which an end is not too far in.
CONFIDENCE = 2.58
#: Fewer repetitions than these give no band; so many settle it.
FEWEST, ENOUGH = 40, 400
#: Bands remembered.
KEPT = 12
#: Seeds of repetitions, and that of the sample which gives the bandwidth.
STREAM, BANDWIDTH_SEED = 7_919_000, 4_242


@dataclass
class NullBand:
    """Scores of truth against truth, as many as there are by now.

    Attributes:
        source: Where the truth comes from.
        bandwidth: MMD's, fixed for these data.
        scores: (R, 3), a row per repetition.
    """

    source: TruthSource
    bandwidth: float
    scores: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def n_repetitions(self) -> int:
        """R, how many there are."""
        return len(self.scores)

    def extend(self, wanted: int, cancelled: Cancelled | None = None) -> None:
        """Simulate until there are so many; stops early when cancelled. Order plays no role."""
        while len(self.scores) < wanted and not (cancelled is not None and cancelled()):
            generator = torch.Generator().manual_seed(STREAM + len(self.scores))
            x, y = self.source.pair(generator)
            self.scores.append(sample_scores(x, y, self.bandwidth))

    def bands(self) -> npt.NDArray[np.float64]:
        """(3, 3): low end, median and high end of each score; NaN while R is too small."""
        if len(self.scores) < FEWEST:
            return np.full((len(SCORES), 3), math.nan)
        ordered = np.sort(np.array(self.scores), axis=0)
        low, high = band_places(len(ordered))
        return np.stack([ordered[low], np.median(ordered, axis=0), ordered[high]], 1)


def band_places(count: int) -> tuple[int, int]:
    """Which of so many ordered scores (from 0) are the ends of the band."""
    spread = CONFIDENCE * math.sqrt(LOW * (1.0 - LOW) * count)
    below = max(0, math.floor(LOW * count - spread))
    return below, count - 1 - below


_BANDS: OrderedDict[object, NullBand] = OrderedDict()


def null_band(source: TruthSource) -> NullBand:
    """The band of these data at this sample size: remembered, so that it grows from ask to ask."""
    key = _key(source)
    if key not in _BANDS:
        while len(_BANDS) >= KEPT:
            _BANDS.popitem(last=False)
        generator = torch.Generator().manual_seed(BANDWIDTH_SEED)
        distances = torch.pdist(source.reference(generator))
        _BANDS[key] = NullBand(source, median_bandwidth(distances))
    _BANDS.move_to_end(key)
    return _BANDS[key]


def _key(source: TruthSource) -> object:
    """Data of one name, configuration and training sample are one, whichever run owns them."""
    dataset: Dataset = source.dataset
    total = float(dataset.train.sum(dtype=torch.float64))
    return dataset.card.name, repr(dataset.config), len(dataset.train), total, source.n


__all__ = ["ENOUGH", "HIGH", "LOW", "NullBand", "band_places", "null_band"]
