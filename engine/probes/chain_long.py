"""Short run and long run: what becomes of chains far beyond the length of their training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor

from engine.estimators.density import CancellationError
from engine.estimators.grid import Box, midpoint_grid
from engine.estimators.landscape import Landscape, landscape_of
from engine.estimators.stationary import cell_masses, expected_kl, histogram
from engine.estimators.walking import Walk, training_steps
from engine.plane import PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.probes.chain_truth import law_box
from engine.probes.chain_walk import ChainSet, begun, check
from engine.probes.energy_surface import scored
from engine.wire.fields import Value

MOST_STEPS, MOST_CHAINS, MARKS = 100_000, 4000, 36
#: Cells a side of the histogram, and nodes a side for the exact mean energy.
CELLS, NODES = 24, 128
#: Held-out observations whose mean energy is told, at most.
MOST_DATA = 1000


class Arguments(ChainSet, frozen=True):
    """A chain set of more steps, and the drawn plane."""

    steps: int = 4000
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(summary="Chains far beyond the length of training.", arguments=Arguments)
def chain_long(view: View, arguments: Arguments) -> Iterator[Result]:
    """All marks so far in every piece: steps evenly apart in the logarithm, and the last one.

    - ``marks`` (M,) chain steps from 0; ``energy`` (M, 3): mean, and the 10 % and 90 % quantiles
      over the chains, nats; ``lost`` (M,), the share that is no number any more.
    - ``kl`` (M,) nats, of the chains' histogram from exp(−E/T)/Z; NaN for more than two values.
    - ``points`` (M, N', 2): the first 300 chains on the drawn plane.

    Values: ``floor``, the histogram's KL of as many exact draws, nats; ``exact_energy``, the mean
    E of exact samples by quadrature; both None for more than two values. ``data_energy``: the mean
    E of held-out observations as they are, without noise, None where there are none.
    ``training_steps``, chain steps in one training step; ``final`` the last mark.

    Raises:
        ValueError: An argument is out of range, or there is no such energy.
    """
    check(arguments, kept=1)
    if not 1 <= arguments.steps <= MOST_STEPS or arguments.n > MOST_CHAINS:
        raise ValueError(
            f"steps, n: given {arguments.steps} and {arguments.n}, wanted at most {MOST_STEPS} "
            f"and {MOST_CHAINS}"
        )
    land = landscape_of(view.model, view.dataset, arguments.owner, arguments.of_class)
    with suppress(CancellationError):
        yield from _walk(view, land, arguments)


def marks_until(steps: int) -> list[int]:
    """0, then about evenly in the logarithm up to the last step."""
    spread = torch.logspace(0.0, 1.0, MARKS, base=float(max(steps, 2))).round().long()
    return sorted({0, steps, *spread.clamp_max(steps).tolist()})


def _walk(view: View, land: Landscape, arguments: Arguments) -> Iterator[Result]:
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    walk = Walk(land, view.model, arguments.settings, arguments.seed)
    walk.begin(begun(view, land, plane, arguments))
    law = _Law.of(view, land, arguments) if view.model.event_size == 2 else None
    values: dict[str, Value] = {
        "floor": None if law is None else law.floor(arguments.n),
        "exact_energy": None if law is None else law.energy,
        "data_energy": _of_data(view, land),
        "training_steps": training_steps(view.model),
        "final": arguments.steps,
    }
    marks, found = marks_until(arguments.steps), list[tuple[Tensor, Tensor, float, float]]()
    for at, mark in enumerate(marks):
        while walk.at < mark:
            if view.cancelled():
                raise CancellationError
            walk.move()
        x, energy = walk.x.cpu(), walk.energy.cpu().double()
        fine = x.isfinite().all(1) & energy.isfinite()
        row = torch.full((3,), torch.nan, dtype=torch.float64)
        if fine.any():
            ends = energy[fine].quantile(torch.tensor([0.1, 0.9], dtype=torch.float64))
            row = torch.cat([energy[fine].mean()[None], ends])
        kl = law.kl(x[fine]) if law is not None and fine.any() else float("nan")
        drawn = plane.project(x[:300]).float()
        found.append((row, drawn, kl, float(1.0 - fine.double().mean())))
        arrays = {
            "marks": torch.tensor(marks[: at + 1]),
            "energy": torch.stack([f[0] for f in found]),
            "points": torch.stack([f[1] for f in found]),
            "kl": torch.tensor([f[2] for f in found], dtype=torch.float64),
            "lost": torch.tensor([f[3] for f in found]),
        }
        yield Result(arrays, values, final=mark == marks[-1])


def _of_data(view: View, land: Landscape) -> float | None:
    """Mean E of held-out observations, those of the landscape's class where it has one."""
    data, labels = view.dataset.test, view.dataset.test_labels
    if land.of_class >= 0 and labels is not None:
        data = data[labels == land.of_class]
    if not len(data) or land.kind == "target":
        return None
    return float(scored(view, land, data[:MOST_DATA].flatten(1)).mean())


class _Law:
    """Exact masses of cells, and the mean energy, by quadrature."""

    def __init__(self, masses: Tensor, box: Box, energy: float) -> None:
        self.masses, self.box, self.energy = masses, box, energy

    @classmethod
    def of(cls, view: View, land: Landscape, arguments: Arguments) -> _Law:
        heat = arguments.temperature
        box = law_box(view, land, heat)
        masses = cell_masses(
            lambda x: land.energy(x.to(land.location)), box, CELLS, temperature=heat
        )
        grid = midpoint_grid(box, NODES)
        energy = scored(view, land, grid.points)
        shares = (-energy / heat).softmax(0)
        return cls(masses, box, float((shares * energy.nan_to_num(posinf=0.0)).sum()))

    def kl(self, points: Tensor) -> float:
        """KL(histogram‖law), nats."""
        shares = histogram(points.double(), self.box, CELLS)
        seen = shares > 0.0
        return float((shares[seen] * (shares[seen].log() - self.masses[seen].log())).sum())

    def floor(self, n: int) -> float:
        """What n exact draws would show on average, nats."""
        return expected_kl(self.masses, n)
