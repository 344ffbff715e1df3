"""A model made ready for a wide grid: its best log-density, its log Z, and how far it reaches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capabilities import Sampling
from engine.estimators.density import Cancelled, log_density_of, score_points
from engine.estimators.grid import Box
from engine.estimators.mass import flat_draws
from engine.estimators.partition import NODES_1D, log_z
from engine.estimators.quadrature import BOUND_NODES
from engine.estimators.shared_bound import shared_bound, shares_draws
from engine.estimators.truth import AxisSpan
from engine.estimators.wide_grid import WideGrid, rounded_reach
from engine.model import GenerativeModel

#: Draws that show how far a model reaches.
N_REACH = 4096
#: Nodes a side of log Z for a coarse grid, and for a fine one.
LOG_Z_NODES = (128, 256)


@dataclass(frozen=True)
class ScoredModel:
    """How a model is scored.

    Attributes:
        kind: ``"exact"``, ``"bound"`` or ``"quadrature"`` (an energy with log Z by quadrature).
        score: log q (P,) at the points of a wide grid, nats, float64.
        log_z_error: Error of log Z, 0 where none was needed.
    """

    kind: str
    score: Callable[[WideGrid], Tensor]
    log_z_error: float = 0.0


def score_model(
    model: GenerativeModel, *, grid: int, n_draws: int, cancelled: Cancelled | None
) -> ScoredModel:
    """The best log-density that a model has, for a grid of so many nodes a side.

    Raises:
        ValueError: It has none; its score raises where it is not a finite number or −inf.
    """
    density = log_density_of(model, n_draws=n_draws)
    kind, shift, error = density.kind, 0.0, 0.0
    if kind == "energy":
        z = log_z(model, grid=LOG_Z_NODES[grid > LOG_Z_NODES[1]], cancelled=cancelled)
        kind, shift, error = "quadrature", z.value, z.error
    shared = kind == "bound" and model.event_size == 2 and shares_draws(model)

    def score(wide: WideGrid) -> Tensor:
        points = wide.grid.points
        if shared:
            raw = shared_bound(model, points.reshape(*wide.grid.shape, -1), n_draws=n_draws,
                               cancelled=cancelled).flatten()  # fmt: skip
        else:
            raw = score_points(density, model, points, cancelled=cancelled)
        return _checked(raw, model) - shift

    return ScoredModel(kind, score, error)


def _checked(scores: Tensor, model: GenerativeModel) -> Tensor:
    bad = int((scores.isnan() | (scores == math.inf)).sum())
    if bad:
        raise ValueError(
            f"the log-density of {model.card.title} is not a finite number at {bad} of "
            f"{len(scores)} points, wanted one everywhere"
        )
    return scores


def box_of(spans: tuple[AxisSpan, ...]) -> Box:
    """The spans as a box."""
    return Box(tuple(s.low for s in spans), tuple(s.high for s in spans))


def n_nodes(grid: int, dims: int, kind: str) -> int:
    """Inner nodes a side for a wanted number of them."""
    if kind == "bound":
        return max(grid, NODES_1D // 4) if dims == 1 else min(grid, BOUND_NODES)
    return max(grid, NODES_1D) if dims == 1 else grid


@torch.no_grad()
def model_reach(
    model: GenerativeModel,
    spans: tuple[AxisSpan, ...],
    kind: str,
    cancelled: Cancelled | None = None,
) -> float:
    """How far the model reaches beyond a box, in sides of it: from its draws, or log Z's box."""
    low, high = (torch.tensor([getattr(s, end) for s in spans], dtype=torch.float64)
                 for end in ("low", "high"))  # fmt: skip
    if isinstance(model, Sampling):
        draws = flat_draws(model, N_REACH)
        draws = draws[draws.isfinite().all(1)]
        if not len(draws):
            return rounded_reach(math.inf)
        first, last = draws.amin(0), draws.amax(0)
    elif kind == "quadrature":
        box = log_z(model, grid=LOG_Z_NODES[0], cancelled=cancelled).box
        first, last = (torch.tensor(ends, dtype=torch.float64) for ends in (box.low, box.high))
    else:
        return rounded_reach(math.inf)
    overhang = torch.maximum(low - first, last - high) / (high - low)
    return rounded_reach(float(overhang.max()))
