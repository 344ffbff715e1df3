r"""Training as two forces on the energy: data pull it down, samples push it up.

.. math:: \Delta E(x) = -\eta \Bigl\langle \frac{\partial E(x)}{\partial \theta},\;
    \overline{\nabla_\theta E}(\text{data}) - \overline{\nabla_\theta E}(\text{samples})
    \Bigr\rangle

Hinton, "Training products of experts by minimizing contrastive divergence", 2002.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from engine.capabilities import Energy
from engine.estimators.density import CancellationError, as_events
from engine.estimators.grid import Grid, midpoint_grid
from engine.estimators.partition import log_z
from engine.estimators.picture import window
from engine.estimators.precision import in_double
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability

MOST_SIZE, MOST_POINTS = 192, 10_000
#: Grid places whose change is found at once.
CHUNK = 4096
#: Nodes a side of the quadrature of the exact gradient.
NODES = 96

Tangent = Mapping[str, Tensor]


class Arguments(msgspec.Struct, frozen=True):
    """A window and its nodes a side; ``negatives`` (N, 2), samples in data units; ``n`` data."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    negatives: np.ndarray
    size: int = 64
    n: int = 1000


@probe(
    summary="How one training step changes the energy: two forces.",
    arguments=Arguments,
    needs=(Capability.ENERGY,),
)
def two_forces(view: View, arguments: Arguments) -> Iterator[Result]:
    """A plain gradient step, per unit of its learning rate η; Adam rescales it by parameter.

    - ``x`` (W,), ``y`` (H,); ``positive`` and ``negative`` (H, W): the change of E by the data's
      gradient and by that of the samples given, which add up; ``exact``: the sum with exact
      samples, whose mean comes from quadrature; nats per unit of η.
    - ``data`` (n, 2): the observations.

    Values: ``cosine`` between the gradient by the samples given and the exact one, ``norm`` and
    ``exact_norm`` of the two gradients; ``mean_data``, ``mean_negatives``, ``mean_exact``: mean
    energies, nats; ``n`` and ``n_negatives``.

    Raises:
        ValueError: Values are not two, an argument is out of range, or log Z is out of reach.
    """
    model = view.model
    if model.event_size != 2 or not len(view.dataset.train):
        raise ValueError("two forces: given no observations of two values, wanted some")
    negatives = np.asarray(arguments.negatives, np.float64)
    if negatives.ndim != 2 or negatives.shape[1] != 2 or len(negatives) > MOST_POINTS:
        raise ValueError(f"negatives: given shape {negatives.shape}, wanted (N, 2)")
    if not 2 <= arguments.size <= MOST_SIZE or not 1 <= arguments.n <= MOST_POINTS:
        raise ValueError("size, n: out of range")
    negatives = negatives[np.isfinite(negatives).all(1)]
    if not len(negatives):
        raise ValueError("negatives: given none that are finite")
    with suppress(CancellationError):
        yield _answer(view, arguments, torch.from_numpy(negatives))


def _answer(view: View, arguments: Arguments, negatives: Tensor) -> Result:
    rows = choose(len(view.dataset.train), arguments.n, view)
    data = view.dataset.train[rows].flatten(1).cpu().double()
    box = log_z(view.model, cancelled=view.cancelled).box
    field = _Field.of(view.model)
    law = midpoint_grid(box, NODES)
    weights = (-field.energy(law.points)).softmax(0)
    even = [points.new_full((len(points),), 1.0 / len(points)) for points in (data, negatives)]
    down, mean_data = field.gradient(data, even[0])
    up, mean_negatives = field.gradient(negatives, even[1])
    true_up, mean_exact = field.gradient(law.points, weights)
    grid = midpoint_grid(window(arguments.low, arguments.high, 2), arguments.size)
    x, y = (axis.nodes for axis in grid.axes)
    own, exact = _difference(down, up), _difference(down, true_up)
    size, exact_size = _norm(own), _norm(exact)
    product = sum(float((own[name] * exact[name]).sum()) for name in own)
    maps = {
        "positive": -_change(view, field, grid, down),
        "negative": _change(view, field, grid, up),
        "exact": _change(view, field, grid, true_up),
    }
    maps["exact"] = maps["exact"] + maps["positive"]
    arrays: dict[str, Tensor | np.ndarray] = {"x": x, "y": y, "data": data.float()}
    arrays |= {name: values.float() for name, values in maps.items()}
    return Result(arrays, {
        "cosine": product / max(size * exact_size, 1e-300),
        "norm": size, "exact_norm": exact_size,
        "mean_data": mean_data, "mean_negatives": mean_negatives, "mean_exact": mean_exact,
        "n": len(data), "n_negatives": len(negatives),
    })  # fmt: skip


class _EnergyOf(nn.Module):
    """The energy as a module's forward pass, so that its weights can be replaced."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(self.model, Energy):
            raise TypeError("the model has no energy")
        return self.model.energy(as_events(self.model, x))


@dataclass(frozen=True)
class _Field:
    """E(x; θ) in float64, and its weights θ by name: those that E depends on."""

    network: _EnergyOf
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, model: GenerativeModel) -> _Field:
        network = _EnergyOf(in_double(model, torch.zeros(1))[0])
        names = {n: p.detach().clone().requires_grad_() for n, p in network.named_parameters()}
        probed = functional_call(network, names, (torch.ones(2, 2, dtype=torch.float64),))
        found = torch.autograd.grad(probed.sum(), list(names.values()), allow_unused=True)
        used = [name for name, slope in zip(names, found, strict=True) if slope is not None]
        return cls(network, {name: names[name].detach() for name in used})

    @torch.no_grad()
    def energy(self, x: Tensor) -> Tensor:
        """(P, 2) → (P,)."""
        found: Tensor = functional_call(self.network, self.weights, (x,))
        return found

    def gradient(self, x: Tensor, shares: Tensor) -> tuple[Tangent, float]:
        """∇θ of the mean energy of (P, 2) under shares (P,), and that mean."""
        live = {name: weight.clone().requires_grad_() for name, weight in self.weights.items()}
        mean = (shares * functional_call(self.network, live, (x,))).sum()
        slopes = torch.autograd.grad(mean, list(live.values()))
        return dict(zip(live, slopes, strict=True)), float(mean.detach())

    def along(self, x: Tensor, tangent: Tangent) -> Tensor:
        """⟨∂E(x)/∂θ, tangent⟩ at (P, 2), (P,), by differentiating ⟨vᵀ∂E/∂θ, tangent⟩ by v."""
        live = {name: weight.clone().requires_grad_() for name, weight in self.weights.items()}
        energy = functional_call(self.network, live, (x,))
        v = torch.zeros_like(energy, requires_grad=True)
        slopes = torch.autograd.grad(energy, list(live.values()), v, create_graph=True)
        products = [
            (slope * tangent[name]).sum() for name, slope in zip(live, slopes, strict=True)
        ]
        change: Tensor = torch.autograd.grad(torch.stack(products).sum(), v)[0]
        return change


def _change(view: View, field: _Field, grid: Grid, tangent: Tangent) -> Tensor:
    """(H, W): how E grows along a direction of the weights."""
    parts = []
    for points in torch.split(grid.points, CHUNK):
        if view.cancelled():
            raise CancellationError
        parts.append(field.along(points, tangent))
    return torch.cat(parts).reshape(grid.shape)


def _difference(one: Tangent, other: Tangent) -> dict[str, Tensor]:
    return {name: one[name] - other[name] for name in one}


def _norm(tangent: Tangent) -> float:
    return float(sum(float(value.square().sum()) for value in tangent.values()) ** 0.5)
