"""What every hidden unit of a Boltzmann machine looks for, and how often it is on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.boltzmann import HasMachine
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

    Higher layers see the means of the layer below, upwards only, and their filters are drawn
    through the layers between: W₁ W₂ is what a unit of the second layer would send down.

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
        below = view.model.standardise(as_float(chosen))
        down = torch.eye(machine.sizes[0]).to(below)
        for index in range(1, arguments.layer + 1):
            weight = machine.weights[index - 1]
            below = torch.sigmoid(torch.addmm(machine.biases[index], below, weight))
            down = down @ weight
        own = machine.weights[arguments.layer - 1].t()
        arrays: dict[str, Tensor] = {
            "filters": down.t(),
            "own": own,
            "norms": torch.linalg.vector_norm(own, dim=1),
            "biases": machine.biases[arguments.layer],
            "visible_biases": machine.biases[0],
            "activity": below.mean(0),
            "spread": below.std(0, correction=0),
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
    """The layers of a machine with their biases and weights, from the visible ones upwards."""
    return cast(HasMachine, model).machine
