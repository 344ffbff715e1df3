"""Whether chains have mixed, and how far their law at rest is from exp(−E/T)/Z."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor

from engine.dataset import KnownDensity
from engine.estimators.basins import Basins, find_basins
from engine.estimators.chain_diagnostics import autocorrelation, effective_sample_size, r_hat
from engine.estimators.density import CancellationError
from engine.estimators.grid import Box, midpoint_grid
from engine.estimators.landscape import Landscape, landscape_of
from engine.estimators.partition import log_z
from engine.estimators.stationary import cell_masses, histogram
from engine.estimators.walking import Walk
from engine.plane import data_box, make_plane
from engine.probe import Result, View, probe
from engine.probes.chain_walk import MOST_STEPS, ChainSet, begun, check, within
from engine.probes.energy_surface import scored
from engine.target import Target
from engine.wire.fields import Value

#: Chains whose traces are sent, and those that R-hat and effective sample size look at.
TRACED, JUDGED = 8, 64
#: The second half of a walk counts; of it so many late states, evenly apart, fill the histogram.
LATE = 25
#: Lags of the autocorrelation, as a share of the half that counts; cells a side of histograms.
LAGS, CELLS = 0.5, 24
#: A first look is taken after this part of the walk.
FIRST_LOOK = 4
#: Settings of the walk that an answer tells again, so that nobody takes it for another walk's.
TOLD = (
    "kernel", "n", "seed", "start", "step_size", "noise", "temperature", "n_leapfrog", "hottest",
    "owner", "of_class",
)  # fmt: skip
#: Nodes a side of the grid whose valleys are found.
NODES = 96
#: A log-density's box is that of the data, widened so many times by this factor until this
#: little mass is missing.
WIDER, WIDENINGS, MISSING = 1.4, 8, 1e-5
LEAST_STEPS = 40


class Arguments(ChainSet, frozen=True):
    """A chain set; ``compare``: MALA at the same step size beside it."""

    compare: bool = True


@probe(summary="Whether chains have mixed, and the bias of their law.", arguments=Arguments)
def chain_truth(view: View, arguments: Arguments) -> Iterator[Result]:
    """S steps of N chains; what is judged is their second half. Two values only.

    - ``traces`` (S + 1, C, 3): both values and E of the first C chains.
    - ``correlation`` (L + 1, 3): autocorrelation at lags 0 … L.
    - ``shares`` and ``exact`` (G, G), rows of y: the histogram of late states and the exact
      masses of its cells; ``mala_shares`` likewise.
    - ``masses`` and ``occupied`` (K,): exact masses of the energy's valleys, and the shares of
      late states in them; ``mala_occupied``; ``true_masses`` (K,) of the data's own density, where
      it is known; ``floors`` (K, 2), their lowest places.

    Values, each a list of three where it is of the two values and E: ``r_hat``, ``ess`` (of the
    judged chains), ``n_judged`` (their states); ``acceptance``; in nats ``kl``, of the
    histogram from the law, ``floor``, the part of it that is chance, by what halves of the chains
    show more than all of them (which one chain alone cannot tell), and ``bias``, the rest; with
    ``mala_kl`` … beside them; ``low``, ``high`` of the histogram; ``names``; ``diverged``, the
    share of chains; ``steps``, of which the second half was judged: a first look comes after a
    quarter of the walk; and the settings of the walk under their own names, see :data:`TOLD`.

    Raises:
        ValueError: An argument is out of range, the energy has not two values, or there is none.
    """
    within(arguments, ("steps", 0, MOST_STEPS))
    check(arguments, kept=arguments.steps + 1)
    if arguments.steps < LEAST_STEPS:
        raise ValueError(f"steps: given {arguments.steps}, wanted at least {LEAST_STEPS}")
    if view.model.event_size != 2:
        given = view.model.event_size
        raise ValueError(f"the law of chains by quadrature: given {given} values, wanted 2")
    land = landscape_of(view.model, view.dataset, arguments.owner, arguments.of_class)
    with suppress(CancellationError):
        box = law_box(view, land, arguments.temperature)
        basins = _basins(view, land, box, arguments.temperature)
        about: dict[str, Value] = {"low": list(box.low), "high": list(box.high),
                                   "names": [*make_plane(view.dataset).names, "E"]}  # fmt: skip
        about |= {name: getattr(arguments, name) for name in TOLD}
        arrays = {"masses": basins.masses, "floors": basins.floors}
        arrays |= _truth(view, basins, land)
        law = _Law(box, basins, _cells(land, box, arguments.temperature))
        beside = arguments.compare and arguments.kernel != "mala"
        own = Result()
        for own in _judged(view, land, arguments, law):
            yield Result({**own.arrays, **arrays}, {**own.values, **about},
                         final=own.final and not beside)  # fmt: skip
        for mala in _judged(view, land, replace_kernel(arguments, "mala"), law) if beside else ():
            names = [name for name in ("shares", "occupied") if name in mala.arrays]
            found = {f"mala_{name}": mala.arrays[name] for name in names}
            told = {f"mala_{name}": value for name, value in mala.values.items()}
            yield Result({**own.arrays, **arrays, **found}, {**own.values, **about, **told},
                         final=mala.final)  # fmt: skip


@dataclass(frozen=True)
class _Law:
    """What chains are held against: a box, its valleys, and the exact masses of its cells."""

    box: Box
    basins: Basins
    cells: Tensor


def _cells(land: Landscape, box: Box, temperature: float) -> Tensor:
    return cell_masses(
        lambda x: land.energy(x.to(land.location)), box, CELLS, temperature=temperature
    )


def replace_kernel(arguments: Arguments, kernel: str) -> Arguments:
    """The same of another kernel."""
    return msgspec.structs.replace(arguments, kernel=kernel)


def law_box(view: View, land: Landscape, temperature: float = 1.0) -> Box:
    """A box that holds the mass of exp(−E/T)."""
    if land.kind == "energy":
        box = log_z(view.model, of_class=land.of_class, cancelled=view.cancelled).box
    elif isinstance(view.dataset, Target):
        (left, right), (bottom, top) = view.dataset.box
        box = Box((left, bottom), (right, top))
    else:
        box = _until_whole(view, land, data_box(view.dataset, make_plane(view.dataset)))
    return _scaled(box, math.sqrt(temperature)) if temperature > 1.0 else box


def _truth(view: View, basins: Basins, land: Landscape) -> dict[str, Tensor]:
    """The masses of the data's own density in the model's valleys, where it is known."""
    other = land.kind == "target" or land.of_class >= 0
    if other or not isinstance(view.dataset, KnownDensity):
        return {}
    grid = midpoint_grid(basins.box, NODES)
    density = view.dataset.log_prob(grid.points).cpu().double().exp() * grid.weights
    density = density / density.sum()  # most of the error at sharp edges goes with this
    label = basins.label.flatten()
    masses = torch.zeros(len(basins.masses), dtype=torch.float64)
    seen = label >= 0
    return {"true_masses": masses.index_add(0, label[seen], density[seen])}


def _until_whole(view: View, land: Landscape, box: Box) -> Box:
    """A box that holds a normalised density."""
    for _ in range(WIDENINGS):
        grid = midpoint_grid(box, NODES)
        mass = float(((-scored(view, land, grid.points)).exp() * grid.weights).sum())
        if mass > 1.0 - MISSING:
            break
        box = _scaled(box, WIDER)
    return box


def _scaled(box: Box, factor: float) -> Box:
    low, high = torch.tensor(box.low), torch.tensor(box.high)
    middle, half = (low + high) / 2, factor * (high - low) / 2
    return Box(tuple((middle - half).tolist()), tuple((middle + half).tolist()))


def _basins(view: View, land: Landscape, box: Box, temperature: float) -> Basins:
    grid = midpoint_grid(box, NODES)
    energy = scored(view, land, grid.points).reshape(grid.shape)
    return find_basins(energy, box, temperature)


def _judged(view: View, land: Landscape, arguments: Arguments, law: _Law) -> Iterator[Result]:
    """One kernel's walk: what is to be said of its first part, and then of all of it."""
    walk = Walk(land, view.model, arguments.settings, arguments.seed)
    walk.begin(begun(view, land, make_plane(view.dataset), arguments))
    traces, rates = list[Tensor](), list[float]()
    looks = sorted({max(arguments.steps // FIRST_LOOK, LEAST_STEPS), arguments.steps})
    for k in range(arguments.steps + 1):
        if view.cancelled():
            raise CancellationError
        moved = walk.move()
        traces.append(torch.cat([moved.x, moved.energy[:, None]], 1).cpu())
        rates.append(float(moved.acceptance.mean()))
        if k in looks:
            yield _look(torch.stack(traces), rates, law, final=k == arguments.steps)


def _look(traces: Tensor, rates: list[float], law: _Law, *, final: bool) -> Result:
    """What traces (S + 1, N, 3) and acceptance rates (S + 1,) say, by their second half."""
    begin = len(traces) // 2
    half = traces[begin:, :JUDGED].double()
    usable = bool(half.isfinite().all()) and half.shape[1] > 1
    n_lags = min(int(LAGS * len(half)), len(half) - 1)
    unknown = torch.full((3,), math.nan, dtype=torch.float64)
    arrays = {
        "traces": traces[:, :TRACED].float(),
        "correlation": autocorrelation(half, n_lags) if usable else unknown[None],
    }
    values: dict[str, Value] = {
        "r_hat": (r_hat(half) if usable else unknown).tolist(),
        "ess": (effective_sample_size(half) if usable else unknown).tolist(),
        "n_judged": half.shape[0] * half.shape[1],
        "acceptance": sum(rates[begin:]) / len(rates[begin:]),
        "steps": len(traces) - 1,
    }
    every = max(1, (len(traces) - begin) // LATE)
    late = traces[begin:].flip(0)[::every, :, :2].double()
    finite = late.isfinite().all(2)
    values["diverged"] = float(1.0 - finite.double().mean())
    if finite.any():
        kl = _kl(late[finite], law)
        # Halves of the chains: what more independent chains take away is chance, the rest bias.
        halves = [late[:, k::2][finite[:, k::2]] for k in (0, 1)]
        apart = [_kl(half, law) for half in halves if len(half)]
        arrays |= {"shares": histogram(late[finite], law.box, CELLS), "exact": law.cells,
                   "occupied": law.basins.shares(late[finite])}  # fmt: skip
        values["kl"] = kl
        if len(apart) > 1:
            floor = max(sum(apart) / len(apart) - kl, 0.0)
            values |= {"floor": floor, "bias": kl - floor}
    return Result(arrays, values, final=final)


def _kl(points: Tensor, law: _Law) -> float:
    """KL(histogram‖law) over the cells, nats."""
    shares = histogram(points, law.box, CELLS)
    seen = shares > 0.0
    return float((shares[seen] * (shares[seen].log() - law.cells[seen].log())).sum())
