r"""log Z of a layered Boltzmann machine, by counting the states of one side.

.. math::
    \log Z = \log \sum_{s} e^{-F(s)}, \qquad \log p(x) = -F(x) - \log Z

s runs through all states of the even or of the odd layers, whichever have fewer units; the others
are summed out in closed form. Twenty units are a million states. Beyond that log Z is estimated,
see :mod:`engine.estimators.log_z_boltzmann`. Sums are taken in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.estimators.density import CancellationError, Cancelled
from engine.nets.boltzmann import Boltzmann

#: Units whose states are counted, at most.
MOST_UNITS = 20
#: Values held at once while counting.
VALUES = 2**22


@runtime_checkable
class HasMachine(Protocol):
    """A model whose unnormalised part is a layered Boltzmann machine."""

    @property
    def machine(self) -> Boltzmann:
        """The machine; its log Z is the model's."""
        ...

    def machine_data(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """What the machine's lowest layer sees of events (B, *E): units (B, n_0)."""
        ...


def can_count(machine: Boltzmann) -> bool:
    """Whether :func:`exact_log_z` takes the machine."""
    return n_counted(machine) <= MOST_UNITS


def n_counted(machine: Boltzmann) -> int:
    """Units on the smaller side."""
    return sum(machine.sizes[index] for index in machine.smaller_side())


@torch.no_grad()
def exact_log_z(
    machine: Boltzmann,
    *,
    side: tuple[int, ...] | None = None,
    cancelled: Cancelled | None = None,
) -> float:
    """log Z by a sum over all states of one side, nats, in float64.

    Args:
        machine: With at most 20 units on that side.
        side: The even or the odd layers; ``None`` takes those with fewer units.
        cancelled: Asked between pieces.

    Raises:
        ValueError: There are too many units, or real ones, on the side.
        engine.estimators.density.CancellationError: ``cancelled()`` was true.
    """
    side = machine.smaller_side() if side is None else side
    n_units = sum(machine.sizes[index] for index in side)
    if n_units > MOST_UNITS or any(machine.is_gaussian(index) for index in side):
        raise ValueError(
            f"log Z by counting: given {n_units} units on the side that is counted, wanted at "
            f"most {MOST_UNITS}, all of them binary"
        )
    wide = machine.double()
    rows = max(1, VALUES // sum(machine.sizes))
    total = torch.tensor(-torch.inf, dtype=torch.float64)
    for states in _pieces(n_units, rows, like=wide.biases[0]):
        if cancelled is not None and cancelled():
            raise CancellationError
        weights = -wide.free_energy(wide.split(side, states))
        total = torch.logaddexp(total, torch.logsumexp(weights, 0).cpu())
    return float(total)


def every_state(n_units: int, *, like: Tensor) -> Tensor:
    """All states of binary units, (2^n, n), in ``like``'s dtype and on its device."""
    return next(_pieces(n_units, 2**n_units, like=like))


def _pieces(n_units: int, rows: int, *, like: Tensor) -> Iterator[Tensor]:
    """All states, some rows at a time."""
    places = torch.arange(n_units, device=like.device)
    for start in range(0, 2**n_units, rows):
        numbers = torch.arange(start, min(start + rows, 2**n_units), device=like.device)
        yield ((numbers[:, None] >> places) & 1).to(like.dtype)
