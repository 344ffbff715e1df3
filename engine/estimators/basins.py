"""Valleys of an energy on a grid: every place belongs to the one that it rolls down into."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.estimators.grid import Box

#: Valleys whose wall is lower than this, from the higher floor, are one.
WALL_NATS = 0.5
#: Valleys of less mass than this are counted with the rest.
LEAST_MASS = 0.005


@dataclass(frozen=True)
class Basins:
    """K valleys, the heaviest first.

    Attributes:
        label: (H, W) number of the valley, from 0, or −1 for the rest.
        masses: (K,) of exp(−E/T)/Z, float64.
        floors: (K, 2) their lowest places.
        box: What the grid fills.
    """

    label: Tensor
    masses: Tensor
    floors: Tensor
    box: Box

    def shares(self, points: Tensor) -> Tensor:
        """Shares of points (P, 2) in each valley, (K,) float64; the rest is what lacks to 1."""
        rows, columns = self.label.shape
        sides = torch.tensor(self.box.high) - torch.tensor(self.box.low)
        at = (points.cpu().double() - torch.tensor(self.box.low)) / sides
        at = at * torch.tensor([columns, rows])
        inside = ((at >= 0) & (at < torch.tensor([columns, rows]))).all(1)
        x, y = at[inside].long().unbind(1)
        found = self.label[y, x]
        counts = torch.bincount(found[found >= 0], minlength=len(self.masses)).double()
        return counts / max(len(points), 1)


def find_basins(energy: Tensor, box: Box, temperature: float = 1.0) -> Basins:
    """Valleys of E (H, W) at the middles of a box's cells, in rows of y, nats."""
    flat = energy.double().flatten()
    flat = torch.where(flat.isfinite(), flat, torch.full_like(flat, 1e30)) / temperature
    roots = _rolled(flat.reshape(energy.shape)).flatten()
    roots = _merged(flat, roots, energy.shape)
    mass = (-flat).softmax(0)
    found, place = torch.unique(roots, return_inverse=True)
    masses = torch.zeros(len(found), dtype=torch.float64).index_add(0, place, mass)
    order = masses.argsort(descending=True)
    kept = order[masses[order] >= LEAST_MASS]
    rank = torch.full((len(found),), -1)
    rank[kept] = torch.arange(len(kept))
    rows, columns = energy.shape
    low, high = torch.tensor(box.low), torch.tensor(box.high)
    deepest = found[kept]
    cells = torch.stack([deepest % columns, deepest // columns], 1).double() + 0.5
    floors = low + cells * (high - low) / torch.tensor([columns, rows])
    return Basins(rank[place].reshape(energy.shape), masses[kept], floors, box)


def _rolled(energy: Tensor) -> Tensor:
    """(H, W) the flat index of the cell in which steepest descent from each cell ends."""
    rows, columns = energy.shape
    padded = torch.nn.functional.pad(energy, (1, 1, 1, 1), value=torch.inf)
    shifts = [(dy, dx) for dy in (0, -1, 1) for dx in (0, -1, 1)]  # itself first: it wins ties
    around = torch.stack(
        [padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in shifts]
    )
    best = around.argmin(0)
    steps = torch.tensor([dy * columns + dx for dy, dx in shifts])
    at = torch.arange(rows * columns).reshape(rows, columns) + steps[best]
    for _ in range(64):
        further = at.flatten()[at]
        if torch.equal(further, at):
            break
        at = further
    return at


def _merged(energy: Tensor, roots: Tensor, shape: torch.Size) -> Tensor:
    """Roots, with those of valleys behind a low wall replaced by the deepest one's."""
    cells = torch.arange(len(energy)).reshape(shape)
    pairs = torch.cat([
        torch.stack([a.flatten(), b.flatten()], 1)
        for a, b in ((cells[:, :-1], cells[:, 1:]), (cells[:-1], cells[1:]))
    ])  # fmt: skip
    pairs = pairs[roots[pairs[:, 0]] != roots[pairs[:, 1]]]
    walls = energy[pairs].amax(1)
    leader = {int(root): int(root) for root in torch.unique(roots)}

    def lead(root: int) -> int:
        while leader[root] != root:
            root = leader[root]
        return root

    for k in walls.argsort().tolist():
        a, b = (lead(int(roots[cell])) for cell in pairs[k])
        low, high = sorted((a, b), key=lambda root: float(energy[root]))
        if a != b and float(walls[k] - energy[high]) < WALL_NATS:
            leader[high] = low
    table = {root: lead(root) for root in leader}
    return torch.tensor([table[int(root)] for root in roots])
