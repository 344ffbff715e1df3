"""The network that tells a layer what to do, as matrices cut from one vector.

All weights of a flow lie in one vector θ: the optimiser, the mask and ``zero_grad`` then cost one
kernel instead of one per matrix. A network is a tuple of matrices, each (in + 1, out) with the
bias as its last row: one layer is [h, 1] ↦ [h, 1] M. It works on columns (features first), where
each coordinate of a batch is contiguous in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.masked import layer_degrees

#: Shape (in + 1, out) of one matrix.
Shape = tuple[int, int]
Matrices = tuple[Tensor, ...]


def network_shapes(
    in_features: int, hidden_features: Sequence[int], out_features: int
) -> tuple[Shape, ...]:
    """The shapes of a perceptron's matrices, biases included."""
    widths = (in_features, *hidden_features, out_features)
    return tuple((before + 1, after) for before, after in pairwise(widths))


def unpack(theta: Tensor, networks: Sequence[Sequence[Shape]]) -> list[Matrices]:
    """Cut θ (P,) into the matrices of each network; views, so that gradients reach θ."""
    sizes = [rows * columns for shapes in networks for rows, columns in shapes]
    pieces = iter(torch.split(theta, sizes))
    return [tuple(next(pieces).view(shape) for shape in shapes) for shapes in networks]


def n_values(networks: Sequence[Sequence[Shape]]) -> int:
    """P, the length of θ."""
    return sum(rows * columns for shapes in networks for rows, columns in shapes)


def conditioner(matrices: Matrices, x: Tensor) -> Tensor:
    """The perceptron with ReLU between its matrices: columns (in, B) → (out, B)."""
    for matrix in matrices[:-1]:
        x = _affine(matrix, x).relu_()
    return _affine(matrices[-1], x)


def _affine(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.addmm(matrix[-1:].t(), matrix[:-1].t(), x)


@torch.no_grad()
def initialise(matrices: Matrices, masks: Matrices | None = None) -> None:
    """Draw a network in place, uniformly within ±1/√(inputs seen), biases included.

    Args:
        matrices: Views of θ.
        masks: Zeros and ones of the same shapes; masked weights become zero.
    """
    for index, matrix in enumerate(matrices):
        mask = torch.ones_like(matrix) if masks is None else masks[index]
        n_seen = (mask.sum(0, keepdim=True) - 1.0).clamp_min(1.0)
        matrix.copy_((torch.rand_like(matrix) * 2.0 - 1.0) / n_seen.sqrt() * mask)


def autoregressive_masks(
    order: Tensor, hidden_features: Sequence[int], n_outputs: int = 2
) -> Matrices:
    """MADE's masks for a network D → P·D: rows i, D + i … see only what comes before i in order.

    Args:
        order: (D,), the indices in the order in which they are generated.
        hidden_features: Widths of the hidden layers.
        n_outputs: P, numbers put out for each coordinate.

    Returns:
        One mask per matrix, (in + 1, out), zeros and ones; biases are never masked.
    """
    degrees = layer_degrees(order, hidden_features)
    masks = [before[:, None] <= after[None, :] for before, after in pairwise(degrees)]
    masks.append((degrees[-1][:, None] < degrees[0][None, :]).repeat(1, n_outputs))
    return tuple(F.pad(mask.float(), (0, 0, 0, 1), value=1.0) for mask in masks)
