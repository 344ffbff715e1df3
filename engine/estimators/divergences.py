r"""How far a model q is from a known truth p in one and two dimensions, by quadrature.

.. math::
    \mathrm{KL}(p \| q) = \int p \log\frac{p}{q}, \quad
    \mathrm{KL}(q \| p) = \int q \log\frac{q}{p}, \quad
    \mathrm{JS} = \tfrac12 \mathrm{KL}(p \| m) + \tfrac12 \mathrm{KL}(q \| m), \quad
    \mathrm{TV} = \tfrac12 \int |p - q|

with m = (p + q)/2; logs are natural, so JS ≤ ln 2 nats, and TV lies between 0 and 1. All come
from the same cells of one grid that holds both densities (:mod:`engine.estimators.wide_grid`), and
so does the cross-entropy E_p[−log q] = KL(p‖q) + H(p). Each number carries the difference to half
as many nodes a side; those that need all of q's mass also what the grid has missed of it.

A divergence is infinite where one density has mass and the other is 0; the mass concerned is then
what can be said. For a model with only a bound on log q, KL(p‖q) is an upper bound in expectation,
and the other three are those of the bound's own density, normalised: estimates.

References:
    Kullback and Leibler, *On Information and Sufficiency*, 1951; Lin, *Divergence Measures Based
    on the Shannon Entropy*, 1991.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from engine.dataset import Dataset, KnownDensity
from engine.estimators.density import Cancelled
from engine.estimators.grid import log_mass
from engine.estimators.mass import Tail, tail_of_draws
from engine.estimators.quadrature import NEGLIGIBLE, Estimate
from engine.estimators.scored_model import (
    ScoredModel,
    box_of,
    model_reach,
    n_nodes,
    score_model,
)
from engine.estimators.truth import AxisSpan, truth_spans
from engine.estimators.wide_grid import WideGrid, spans_of_data, wide_grid
from engine.model import GenerativeModel

#: Grids of truth kept per data set.
KEPT = 6


@dataclass(frozen=True)
class Divergences:
    """Every number with its error; nats, but for total variation and the masses.

    Attributes:
        kl: KL(truth‖model).
        reverse_kl: KL(model‖truth).
        js: Jensen–Shannon, at most ln 2.
        tv: Total variation, from 0 to 1.
        cross_entropy: E_p[−log q].
        outside: Mass of the model where the truth is 0.
        missed: Mass of the truth where the model is 0.
        mass: Integral of the model's density over the box of the truth.
        tail: Its mass beyond that box.
    """

    kl: Estimate
    reverse_kl: Estimate
    js: Estimate
    tv: Estimate
    cross_entropy: Estimate
    outside: Estimate
    missed: Estimate
    mass: Estimate
    tail: Tail


@dataclass(frozen=True)
class _Truth:
    """A grid, log p (P,) there, its shares of mass, and the cells that are not negligible."""

    wide: WideGrid
    log_p: Tensor
    shares: Tensor
    kept: Tensor


_SPANS: WeakKeyDictionary[Dataset, tuple[AxisSpan, ...]] = WeakKeyDictionary()
_TRUTHS: WeakKeyDictionary[Dataset, OrderedDict[tuple[int, float], _Truth]] = WeakKeyDictionary()


@torch.no_grad()
def compare(
    dataset: Dataset,
    model: GenerativeModel,
    *,
    grid: int = 512,
    n_draws: int = 32,
    cancelled: Cancelled | None = None,
) -> Divergences:
    """The four divergences, the cross-entropy and the model's mass.

    Args:
        dataset: With a known density over at most two dimensions.
        model: With a log-density, a bound or an energy.
        grid: Nodes a side of the truth's box (at least 4096 in one dimension; at most 128 for a
            bound in two, whose draws set the error).
        n_draws: Draws of the latents for a bound.
        cancelled: Asked between chunks.

    Raises:
        ValueError: The truth is unknown, D > 2, or the model has nothing to compare, or is not a
            number somewhere.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    spans = truth_box(dataset)
    scored = score_model(model, grid=grid, n_draws=n_draws, cancelled=cancelled)
    nodes = n_nodes(grid, len(spans), scored.kind)
    reach = model_reach(model, spans, scored.kind, cancelled)
    fine, coarse = (
        _sums(_truth_on(dataset, spans, n, reach), scored) for n in (nodes, nodes // 2)
    )
    return _Report(fine, coarse, scored).all_figures(_tail(model, spans, fine, coarse))


def truth_box(dataset: Dataset) -> tuple[AxisSpan, ...]:
    """The box of the truth, found once per data set; see :func:`truth_spans`."""
    if dataset not in _SPANS:
        _SPANS[dataset] = truth_spans(dataset)
    return _SPANS[dataset]


@torch.no_grad()
def model_mass(
    dataset: Dataset,
    model: GenerativeModel,
    *,
    grid: int = 256,
    n_draws: int = 32,
    cancelled: Cancelled | None = None,
) -> tuple[Estimate, Tail]:
    """The mass over the box of the data, and beyond it; the truth may be unknown.

    Raises:
        ValueError: As for :func:`compare`, but for the truth.
    """
    spans = spans_of_data(dataset)
    scored = score_model(model, grid=grid, n_draws=n_draws, cancelled=cancelled)
    nodes = n_nodes(grid, len(spans), scored.kind)
    reach = model_reach(model, spans, scored.kind, cancelled)
    fine, coarse = (_masses(wide_grid(spans, n, reach), scored) for n in (nodes, nodes // 2))
    report = _Report(fine, coarse, scored)
    return report.mass(), _tail(model, spans, fine, coarse)


# --- the truth ---------------------------------------------------------------------------------


def _truth_on(dataset: Dataset, spans: tuple[AxisSpan, ...], n: int, reach: float) -> _Truth:
    """The truth on a grid; kept, since a run asks for the same one again."""
    kept = _TRUTHS.setdefault(dataset, OrderedDict())
    key = (n, reach)
    if key not in kept:
        while len(kept) >= KEPT:
            kept.popitem(last=False)
        kept[key] = _evaluate_truth(dataset, wide_grid(spans, n, reach))
    kept.move_to_end(key)
    return kept[key]


def _evaluate_truth(dataset: Dataset, wide: WideGrid) -> _Truth:
    if not isinstance(dataset, KnownDensity):
        raise ValueError("divergences: given data of unknown density, wanted a known one")
    log_p = dataset.log_prob(wide.grid.points).cpu().to(torch.float64)
    mass = log_p.exp() * wide.grid.weights
    ranked, order = mass.sort()
    kept = order[ranked.cumsum(0) > NEGLIGIBLE].sort().values
    # Dividing by the truth's own mass on the grid removes most of the error at sharp edges.
    return _Truth(wide, log_p, mass / mass.sum(), kept)


# --- sums over one grid ------------------------------------------------------------------------


def _sums(truth: _Truth, model: ScoredModel) -> dict[str, float]:
    log_q = model.score(truth.wide)
    weights = truth.wide.grid.weights
    total = float(log_mass(log_q, weights))
    q = (log_q + weights.log() - total).exp()
    p, log_p = truth.shares, truth.log_p
    near = truth.kept
    found = {
        "kl": float((p[near] * (log_p[near] - log_q[near])).sum()),
        "cross_entropy": -float((p[near] * log_q[near]).sum()),
        "missed": float(p[near][log_q[near] == -math.inf].sum()),
        "outside": float(q[log_p == -math.inf].sum()),
        "tv": 0.5 * float((p - q).abs().sum()),
        "js": _jensen_shannon(p, q),
    }
    # The bound's own density is that which integrates to 1.
    level = log_q - total if model.kind == "bound" else log_q
    found["reverse_kl"] = _reverse(q, level, log_p, found["outside"])
    return found | _split_mass(truth.wide, log_q)


def _masses(wide: WideGrid, model: ScoredModel) -> dict[str, float]:
    return _split_mass(wide, model.score(wide))


def _split_mass(wide: WideGrid, log_q: Tensor) -> dict[str, float]:
    inside = wide.inside
    inner, outer = (
        math.exp(min(float(log_mass(log_q[part], wide.grid.weights[part])), 700.0))
        for part in (inside, ~inside)
    )
    return {"inner": inner, "outer": outer}


def _reverse(q: Tensor, log_q: Tensor, log_p: Tensor, outside: float) -> float:
    if outside > NEGLIGIBLE:
        return math.inf
    cells = (q > 0) & (log_p > -math.inf)
    return float((q[cells] * (log_q[cells] - log_p[cells])).sum())


def _jensen_shannon(p: Tensor, q: Tensor) -> float:
    # Twice the mixture m: halving the smallest numbers there are would give 0.
    both = p + q
    total = 0.0
    for share in (p, q):
        cells = share > 0
        total += 0.5 * float((share[cells] * (2.0 * share[cells] / both[cells]).log()).sum())
    return max(total, 0.0)


# --- numbers with errors -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Report:
    fine: dict[str, float]
    coarse: dict[str, float]
    model: ScoredModel

    def all_figures(self, tail: Tail) -> Divergences:
        z = self.model.log_z_error
        lost = 0.0 if self.model.kind == "bound" else abs(self._total - 1.0)
        bound = self.model.kind == "bound"
        other = "estimate" if bound else self.model.kind
        reverse = self.number(
            "reverse_kl", other, z + lost * max(1.0, abs(self.fine["reverse_kl"]))
        )
        return Divergences(
            kl=self.number("kl", self.model.kind, z),
            reverse_kl=reverse,
            js=self.number("js", other, lost * math.log(2.0)),
            tv=self.number("tv", other, lost),
            cross_entropy=self.number("cross_entropy", self.model.kind, z),
            outside=self.number("outside", other),
            missed=self.number("missed", other),
            mass=self.mass(),
            tail=tail,
        )  # fmt: skip

    def mass(self) -> Estimate:
        return self.number("inner", self.model.kind, self.model.log_z_error * self.fine["inner"])

    @property
    def _total(self) -> float:
        return self.fine["inner"] + self.fine["outer"]

    def number(self, name: str, kind: str, extra: float = 0.0) -> Estimate:
        fine, coarse = self.fine[name], self.coarse[name]
        finite = math.isfinite(fine) and math.isfinite(coarse)
        error = abs(fine - coarse) + extra if finite else math.inf
        # An infinite value is certain: it needs no error.
        return Estimate(fine, error if math.isfinite(fine) else 0.0, kind)


def _tail(
    model: GenerativeModel,
    spans: tuple[AxisSpan, ...],
    fine: dict[str, float],
    coarse: dict[str, float],
) -> Tail:
    """Draws of the model where it can sample, else the outer part of the grid."""
    drawn = tail_of_draws(model, box_of(spans))
    if drawn is not None:
        return drawn
    error = abs(fine["outer"] - coarse["outer"])
    return Tail(fine["outer"], error, "quadrature beyond the window")
