r"""A flow on a line as areas: the same mass between two points of the base and their images.

.. math:: \int_{z_k}^{z_{k+1}} p_Z(z)\, dz = \left|\int_{x(z_k)}^{x(z_{k+1})} p_X(x)\, dx\right|,
    \qquad p_X(x) = p_Z(z) \left|\frac{dz}{dx}\right|
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch
from torch import Tensor

from engine.bijections.bases import Factorised
from engine.capabilities import HasFlowPath
from engine.probe import Result, View, probe
from engine.wire.capability import Capability

#: Mass beyond the outermost strips where the base has no ends.
TAIL = 5e-4
MOST_STRIPS, MOST_NODES = 64, 4096


class Arguments(msgspec.Struct, frozen=True):
    """Strips of equal mass, and nodes of the curves."""

    n_strips: int = 10
    size: int = 401


@probe(
    summary="Strips of equal mass in base and data of a flow on a line.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def equal_areas(view: View, arguments: Arguments) -> Iterator[Result]:
    """Curves over ``size`` nodes z, and the edges of ``n_strips`` strips.

    Arrays, float64: ``z`` and ``x`` (P,), the map; ``base_density`` and ``density`` (P,), both
    densities there; ``z_edges`` and ``x_edges`` (K + 1,); ``base_mass`` and ``mass`` (K,), the
    mass of each strip on either side, the second by quadrature of the model's own density. Values:
    ``tail``, the mass left out at each end, and ``falls``, whether x falls as z rises.

    Raises:
        ValueError: The events have more than one value, or a number is out of range.
    """
    model = view.model
    if not 1 <= arguments.n_strips <= MOST_STRIPS:
        raise ValueError(f"n_strips: given {arguments.n_strips}, wanted 1 to {MOST_STRIPS}")
    if not 2 <= arguments.size <= MOST_NODES:
        raise ValueError(f"size: given {arguments.size}, wanted 2 to {MOST_NODES}")
    if model.event_size != 1:
        raise ValueError(f"equal_areas: given events of {model.event_size} values, wanted one")
    if not isinstance(model, HasFlowPath) or not isinstance(base := model.base(), Factorised):
        raise ValueError(f"{model.card.title} has no base whose quantiles are known")
    with torch.no_grad():
        ends = base.icdf(torch.tensor([[0.0], [1.0]]).to(model.location))
        tail = 0.0 if bool(ends.isfinite().all()) else TAIL
        levels = torch.linspace(tail, 1.0 - tail, arguments.n_strips + 1, dtype=torch.float64)
        z_edges = base.icdf(levels[:, None].to(model.location))
        z = torch.linspace(0.0, 1.0, arguments.size).to(z_edges)[:, None]
        z = z_edges[0] + z * (z_edges[-1] - z_edges[0])
        x, density = _at(model, base, z)
        x_edges, _ = _at(model, base, z_edges)
        arrays = {
            "z": z[:, 0],
            "x": x,
            "base_density": base.log_prob(z).exp(),
            "density": density,
            "z_edges": z_edges[:, 0],
            "x_edges": x_edges,
            "base_mass": levels.diff(),
            "mass": _masses(model, base, z_edges),
        }
    values = {"tail": tail, "falls": bool(x[-1] < x[0])}
    yield Result({name: a.cpu().double() for name, a in arrays.items()}, values)


def _at(model: HasFlowPath, base: Factorised, z: Tensor) -> tuple[Tensor, Tensor]:
    """x (P,) and the model's density there (P,) of base points (P, 1)."""
    path = model.path(z, inverse=True)
    log_p = base.log_prob(path.states[-1]) + path.log_dets.sum(0)
    return path.states[0].reshape(-1), log_p.exp()


def _masses(model: HasFlowPath, base: Factorised, edges: Tensor, nodes: int = 200) -> Tensor:
    """abs ∫ p_X dx over each strip, by the trapezoid rule in x, (K,) float64."""
    share = torch.linspace(0.0, 1.0, nodes + 1).to(edges)
    inner = edges[:-1] + share * edges.diff(dim=0)  # (K, nodes + 1)
    x, density = _at(model, base, inner.reshape(-1, 1))
    shape = inner.shape
    x, density = x.double().reshape(shape), density.double().reshape(shape)
    return torch.trapezoid(density, x, dim=1).abs()
