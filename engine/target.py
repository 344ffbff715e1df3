r"""Targets: an energy without samples, in the place of a data set, for variational inference.

.. math:: p(x) = \exp(-E(x)) / Z

A model is fitted to the energy alone (see :mod:`engine.variational`). Where the window asks for
the truth, log Z comes from quadrature; draws that are shown or scored come from the same grid.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.wire.cards import DatasetInfo
from engine.wire.event import Event
from engine.wire.fields import Field

#: Cells a side of the grid that normalises.
CELLS = 1536


@dataclass(frozen=True)
class TargetConfig:
    """How fast the energy is switched on."""

    anneal_steps: Annotated[
        int,
        Field(
            0,
            1_000_000,
            help="Steps over which the energy is scaled up from 1 % to all of it; 0: at once.",
        ),
    ] = 2000

    def inverse_temperature(self, step: int) -> float:
        """β of the annealed free energy: min(1, 0.01 + step / anneal_steps)."""
        return min(1.0, 0.01 + step / self.anneal_steps) if self.anneal_steps else 1.0


class Target(Dataset):
    """An energy over two coordinates.

    A subclass sets ``card`` (of kind ``"target"``), ``Config`` (a :class:`TargetConfig`) and
    ``box``, outside which p has no mass worth the name, and defines :meth:`energy`.
    """

    #: Low and high end of each coordinate.
    box: ClassVar[tuple[tuple[float, float], tuple[float, float]]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.event = Event(shape=(2,), axes=("z1", "z2"))
        self.train = self.valid = self.test = torch.empty(0, 2)
        self.notes = ("A target has no observations: models are fitted to its energy.",)

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """E of (B, 2), shape (B,), nats; differentiable; float64 is kept."""

    def log_prob(self, x: Tensor) -> Tensor:
        """−E(x) − log Z of (B, 2), shape (B,), nats; log Z by quadrature over the box."""
        return -self.energy(x) - self._cells.log_z

    def entropy(self) -> float:
        """H(p) = E_p[E] + log Z in nats, by the same quadrature."""
        return self._cells.entropy

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N draws (N, 2), float32, of the grid's cells: to be shown and scored, never trained on.

        A cell is chosen by its mass, a place in it evenly.
        """
        cells = self._cells
        chosen = torch.searchsorted(
            cells.cumulated, torch.rand(n, generator=generator, dtype=torch.float64)
        ).clamp(max=CELLS * CELLS - 1)
        places = torch.stack([chosen // CELLS, chosen % CELLS], 1).to(torch.float64)
        offsets = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        return (cells.low + (places + offsets) * cells.steps).to(torch.float32)

    def info(self) -> DatasetInfo:
        """What the window must know of it."""
        (left, right), (bottom, top) = self.box
        return DatasetInfo(
            event=self.event,
            n_train=0,
            n_valid=0,
            n_test=0,
            has_density=True,
            entropy=self.entropy(),
            low=(left, bottom),
            high=(right, top),
            columns=self.event.axes,
            notes=self.notes,
        )

    @cached_property
    def _cells(self) -> _Cells:
        low = torch.tensor([side[0] for side in self.box], dtype=torch.float64)
        high = torch.tensor([side[1] for side in self.box], dtype=torch.float64)
        steps = (high - low) / CELLS
        middles = low + (torch.arange(CELLS, dtype=torch.float64)[:, None] + 0.5) * steps
        points = torch.cartesian_prod(middles[:, 0], middles[:, 1])
        energy = self.energy(points)
        log_mass = -energy + steps.log().sum()
        log_z = float(log_mass.logsumexp(0))
        mass = (log_mass - log_z).exp()
        entropy = float((mass * energy).sum()) + log_z
        return _Cells(low, steps, log_z, entropy, mass.cumsum(0))


@dataclass(frozen=True)
class _Cells:
    """The grid: its corner and steps (2,), log Z, the entropy and the cumulated masses."""

    low: Tensor
    steps: Tensor
    log_z: float
    entropy: float
    cumulated: Tensor
