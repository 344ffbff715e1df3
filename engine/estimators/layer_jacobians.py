"""The Jacobian of each layer of a flow, by autograd, and the order in which it is triangular."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.capabilities import HasFlowPath

#: Entries below this share of a layer's largest one count as zero, where the layer's Jacobian was
#: found through the layers before it; found directly, zeros are exact.
RELATIVE_ZERO = 1e-9
#: How well a layer's own map must meet the next state of the path to stand for it.
AGREEMENT = 1e-9


class Map(Protocol):
    """A layer as far as needed here."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data side (B, D) → base side (B, D), and its log-determinant."""
        ...


@runtime_checkable
class HasLayers(Protocol):
    """A flow that gives its layers away one by one; what does not is taken apart by its path."""

    def layers(self) -> Sequence[Map]:
        """All layers, data → base."""
        ...


@dataclass(frozen=True)
class Jacobians:
    """What a flow does to space around B points.

    Attributes:
        states: (L + 1, B, D), detached.
        log_dets: (L, B), the path's own, nats.
        layers: (L, B, D, D): ∂states[l + 1] / ∂states[l], by autograd.
        stack: (B, D, D): ∂states[L] / ∂states[0], by autograd through all layers at once.
        names: L layer names.
        direct: Whether ``layers`` are derivatives of the layers themselves. Otherwise they come
            from those of whole stretches, J_l = S_{l+1} S_l⁻¹, which rounds.
    """

    states: Tensor
    log_dets: Tensor
    layers: Tensor
    stack: Tensor
    names: tuple[str, ...]
    direct: bool


def layers_of(model: object, n_steps: int) -> Sequence[Map]:
    """A flow's layers where it gives away one for each step of its path, else none."""
    layers = model.layers() if isinstance(model, HasLayers) else ()
    return layers if len(layers) == n_steps else ()


def jacobians(
    model: HasFlowPath, x: Tensor, generator: torch.Generator | None = None
) -> Jacobians:
    r"""Differentiate a flow layer by layer at points (B, *E), best in float64.

    .. math:: J_l = \partial h_{l+1} / \partial h_l, \qquad
        \log|\det \partial z / \partial x| = \sum_l \log|\det J_l|

    Every event stands D times in the batch that is differentiated, once for each output, so that
    one backward pass a layer is enough. Events of a batch must not touch each other, which holds
    for every model in eval mode.
    """
    flat = x.detach().reshape(len(x), -1)
    with torch.no_grad():
        path = model.path(flat.reshape(x.shape), generator=generator)
    states, size = path.states, flat.shape[1]
    with torch.enable_grad():
        many = flat.repeat_interleave(size, 0).requires_grad_(True)
        ends = model.path(many.reshape(-1, *x.shape[1:]), generator=generator).states
        stack = _rows(ends[-1], many)
        layers = _direct(model, states)
        direct = layers is not None
        if layers is None:
            layers = _from_stretches([_rows(state, many) for state in ends], stack)
    return Jacobians(states, path.log_dets, layers, stack, path.names, direct)


def _rows(y: Tensor, x: Tensor) -> Tensor:
    """∂y/∂x (B, D, D) of outputs and inputs (B · D, D) in which every event stands D times."""
    size = y.shape[1]
    shape = (len(y) // size, size, size)
    if not y.requires_grad:
        return torch.zeros(shape, dtype=x.dtype, device=x.device)
    chosen = torch.eye(size, dtype=y.dtype, device=y.device).repeat(shape[0], 1)
    (rows,) = torch.autograd.grad(y, x, chosen, retain_graph=True)
    return rows.reshape(shape)


def _direct(model: HasFlowPath, states: Tensor) -> Tensor | None:
    """By the layers themselves, where there are as many as steps and they make the same states."""
    layers = layers_of(model, len(states) - 1)
    if not layers:
        return None
    found, size = [], states.shape[-1]
    for layer, state, following in zip(layers, states[:-1], states[1:], strict=True):
        x = state.repeat_interleave(size, 0).requires_grad_(True)
        y = layer.forward(x)[0]
        scale = AGREEMENT * following.abs().amax().clamp_min(1.0)
        if y.shape != x.shape or bool((y[::size] - following).abs().amax() > scale):
            return None
        found.append(_rows(y, x))
    return torch.stack(found)


def _from_stretches(stretches: list[Tensor], stack: Tensor) -> Tensor:
    stretches = [*stretches[:-1], stack]
    pairs = pairwise(stretches)
    return torch.stack([torch.linalg.solve(before, after, left=False) for before, after in pairs])


def triangular_order(pattern: Tensor) -> list[int] | None:
    """An order of the coordinates in which a pattern (D, D) of zeros is lower triangular, or None.

    ``pattern[i, j]`` is true where output i depends on input j. A coordinate may stand once all
    others that its output depends on stand; of those that may, the first in number goes first.
    """
    wanted = pattern.clone().fill_diagonal_(False)
    left, order = list(range(len(wanted))), list[int]()
    while left:
        free = next((i for i in left if not bool(wanted[i, left].any())), None)
        if free is None:
            return None
        order.append(free)
        left.remove(free)
    return order


def dependence(layers: Tensor, *, direct: bool) -> Tensor:
    """(L, B, D, D) → (L, D, D): where any of the B points has a derivative that is not zero."""
    largest = layers.abs().amax((1, 2, 3), keepdim=True)
    return (layers.abs() > (0.0 if direct else RELATIVE_ZERO) * largest).any(1)


def condition_numbers(matrices: Tensor) -> Tensor:
    """Largest over smallest singular value of (…, D, D); infinite where a direction is lost.

    It is the ratio of the longest to the shortest axis of the ellipsoid that a small ball becomes.
    """
    lengths: Tensor = torch.linalg.svdvals(matrices)
    return lengths[..., 0] / lengths[..., -1]


def round_trip(model: HasFlowPath, x: Tensor, chance: Callable[[], torch.Generator]) -> Tensor:
    """(L + 1, B): how far each state of the way back lies from that of the way there.

    Forward from the data, then back from the base where that ended: the largest difference of any
    coordinate at every state. It is 0 at the base and grows towards the data, whose entry is the
    round-trip error of the whole flow. A step that overflowed counts as infinitely far.
    """
    there = model.path(x, generator=chance()).states
    back = model.path(there[-1], inverse=True, generator=chance()).states
    return (there - back).abs().amax(-1).nan_to_num(nan=torch.inf)
