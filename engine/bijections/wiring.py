"""How a layer led by a network is laid out, and what all such layers share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.bijections.conditioner import Matrices, Shape, conditioner


@dataclass(frozen=True)
class Wiring:
    """The layout of a layer without its weights.

    Attributes:
        name: What panels call the layer.
        inputs: The coordinates that the network reads.
        targets: The n coordinates that are moved; the others pass through.
        shapes: The network's matrices.
        n_passes: Passes that the inverse needs: 1 where no target is an input, D where each
            target may depend on the earlier ones.
        n_outputs: Numbers that the network puts out for each target: first one number for all
            targets, then the next.
    """

    name: str
    inputs: slice
    targets: slice
    shapes: tuple[Shape, ...]
    n_passes: int = 1
    n_outputs: int = 2

    @property
    def n_targets(self) -> int:
        """How many coordinates are transformed."""
        return self.shapes[-1][1] // self.n_outputs


@dataclass(frozen=True)
class WiredLayer:
    """A :class:`Wiring` with its matrices, views of a flow's θ."""

    wiring: Wiring
    matrices: Matrices

    @property
    def name(self) -> str:
        """What panels call the layer."""
        return self.wiring.name

    @property
    def n_passes(self) -> tuple[int, int]:
        """Passes of the network in a row: data → base, base → data."""
        return 1, self.wiring.n_passes

    def outputs(self, x: Tensor) -> Tensor:
        """What the network says of (B, D): columns (n_outputs · n, B)."""
        return conditioner(self.matrices, x.t()[self.wiring.inputs])

    def replaced(self, x: Tensor, columns: Tensor) -> Tensor:
        """A copy of (B, D) with the targets replaced by columns (n, B)."""
        if self.wiring.n_targets == x.shape[1]:
            return columns.t()
        x = x.clone()
        x.t()[self.wiring.targets] = columns
        return x
