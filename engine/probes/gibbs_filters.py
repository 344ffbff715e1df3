"""What every hidden unit of a Boltzmann machine looks for, and how often it is on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.boltzmann import HasMachine
from engine.estimators.boltzmann_scores import Directed, Settling
from engine.estimators.boltzmann_walk import halves_of
from engine.estimators.pixels import check_count
from engine.nets.boltzmann import Boltzmann
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_DATA = 20_000


class Arguments(msgspec.Struct, frozen=True):
    """``n_data`` training observations tell how active a unit is; ``layer`` counts from 1."""

    n_data: int = 2000
    layer: int = 1


@probe(
    summary="Filters, biases and activity of the hidden units.",
    arguments=Arguments,
    needs=(Capability.CHAIN,),
)
def gibbs_filters(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""Of H hidden units of one layer; activity is p(h_j = 1 given x), averaged over data.

    Activity in a deep machine is mean-field's, in a belief network that of the pass up. Filters of
    higher layers are drawn through those between: W₁ W₂ is what the second layer sends down.

    - ``filters`` (H, V): weights to the visible units, of Gaussian ones per their variance and in
      standardised units.
    - ``own`` (H, n): weights to the layer below, the same for the first layer.
    - ``norms`` (H,): length of a unit's own weights. ``biases`` (H,).
    - ``activity`` (H,) in 0 … 1: mean over the data. ``spread`` (H,): standard deviation over
      data; of a unit that does not tell observations apart it is 0.
    - ``visible_biases`` (V,).
    - ``directions`` (H, V) and ``centre`` (V,), of Gaussian visible units only, in units of the
      data: the mean of v is the centre plus the directions of the units that are on.

    Values: ``layer``, ``n_layers``, ``n_data``.

    Raises:
        ValueError: The model is no Boltzmann machine, or a number is out of range.
    """
    halves_of(view.model)
    check_count("n_data", arguments.n_data, MOST_DATA)
    machine = layers_of(view.model)
    n_layers = len(machine.weights)
    if not 1 <= arguments.layer <= n_layers:
        raise ValueError(f"layer: given {arguments.layer}, wanted 1 to {n_layers}")
    with torch.no_grad():
        data = view.dataset.train
        chosen = data[choose(len(data), arguments.n_data, view)]
        u = view.model.standardise(as_float(chosen))
        active = beliefs(view.model, u, arguments.layer)
        down = torch.eye(machine.sizes[0]).to(u)
        for weight in machine.weights[: arguments.layer]:
            down = down @ weight
        own = machine.weights[arguments.layer - 1].t()
        arrays: dict[str, Tensor] = {
            "filters": down.t(),
            "own": own,
            "norms": torch.linalg.vector_norm(own, dim=1),
            "biases": machine.biases[arguments.layer],
            "visible_biases": machine.biases[0],
            "activity": active.mean(0),
            "spread": active.std(0, correction=0),
        }
        if machine.variance is not None:
            model = view.model
            pushed = down.t() * machine.variance
            arrays["directions"] = pushed * model.scale
            centre = machine.biases[0] * machine.variance
            arrays["centre"] = model.unstandardise(centre).flatten()
    values: dict[str, Value] = {
        "layer": arguments.layer, "n_layers": n_layers, "n_data": len(chosen)
    }  # fmt: skip
    yield Result({name: value.float() for name, value in arrays.items()}, values)


def layers_of(model: object) -> Boltzmann:
    """All layers' biases and weights, from the visible ones upwards, joined both ways or not."""
    if isinstance(model, Directed):
        return Boltzmann(tuple(model.biases), tuple(model.weights))
    return cast(HasMachine, model).machine


def beliefs(model: object, u: Tensor, layer: int) -> Tensor:
    """p(h_j = 1 given u) (N, H) of a layer, from 1, for visible units (N, V), standardised.

    Exact with one hidden layer; else mean-field's, or those of a belief network's pass up.
    """
    if isinstance(model, Settling):
        return model.mean_field(u)[layer - 1]
    machine = layers_of(model)
    for index in range(1, layer + 1):
        if isinstance(model, Directed) and index < model.top:
            u = torch.sigmoid(model.up(u, index))
        else:
            u = torch.sigmoid(torch.addmm(machine.biases[index], u, machine.weights[index - 1]))
    return u
