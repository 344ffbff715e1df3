r"""How mean-field settles in a deep Boltzmann machine, sweep by sweep, and what its bound gains.

.. math:: \mu_l = \sigma(c_l + W_l^\top \mu_{l-1} + W_{l+1} \mu_{l+1}), \qquad
    \log p(v) + \log Z \ge -E(v, \mu) + \sum_{l,j} H(\mu_{lj})
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import cast

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.dataset import as_float
from engine.estimators.boltzmann import MOST_UNITS, HasMachine
from engine.estimators.boltzmann_scores import Bounded, Settling, counted
from engine.estimators.pixels import check_count, event_of
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_SWEEPS, MOST_DATA = 200, 2000


class Arguments(msgspec.Struct, frozen=True):
    """``picture`` (*E) is watched, the first training one where none is given.

    ``n_sweeps`` sweeps are taken; the bound's mean is over ``n_data`` held-out observations.
    """

    picture: np.ndarray | None = None
    n_sweeps: int = 20
    n_data: int = 200


@probe(
    summary="Mean-field in a deep Boltzmann machine, sweep by sweep.",
    arguments=Arguments,
    needs=(Capability.CHAIN,),
)
def mean_field(view: View, arguments: Arguments) -> Iterator[Result]:
    """S + 1 states, the first of them the pass upwards; L hidden layers of H_l units.

    - ``mu_1`` … (S + 1, H_l): the means of each layer given the picture.
    - ``change`` (S, L): the largest change of a mean in each sweep, of the picture.
    - ``bound`` (S + 1,): the bound of log p(x) + log Z of the picture, nats; ``mean_bound``
      (S + 1,): its mean over held-out data.

    Values: ``exact``: log p(x) + log Z of the picture, by counting where the layers above the
    first have at most 20 units, else None; ``trained_with``: the sweeps of the model's settings;
    ``n_data``.

    Raises:
        ValueError: The model has no mean-field, or an argument is out of range.
    """
    model = view.model
    if not isinstance(model, Settling) or not isinstance(model, Bounded):
        raise ValueError(
            f"{model.card.title} has no layers that settle; wanted a deep Boltzmann machine"
        )
    check_count("n_sweeps", arguments.n_sweeps, MOST_SWEEPS)
    check_count("n_data", arguments.n_data, MOST_DATA)
    picture = event_of(model, arguments.picture, view.dataset)[None]
    held_out = view.dataset.test
    data = as_float(held_out[choose(len(held_out), arguments.n_data, view)]).to(picture)
    u, states, mean_bounds, bounds = model.standardise(picture), [], [], []
    with torch.no_grad():
        for sweep in range(arguments.n_sweeps + 1):
            if view.cancelled():
                return
            states.append([means[0] for means in model.mean_field(u, sweep)])
            bounds.append(_bound(model, picture, sweep)[0])
            mean_bounds.append(_bound(model, data, sweep).mean())
        exact = _exact(model, picture)
    changes = [
        [float((a - b).abs().max()) for a, b in zip(after, before, strict=True)]
        for before, after in itertools.pairwise(states)
    ]
    arrays: dict[str, Tensor] = {
        f"mu_{layer + 1}": torch.stack([means[layer] for means in states]).float()
        for layer in range(len(states[0]))
    }
    arrays |= {
        "change": torch.tensor(changes),
        "bound": torch.stack(bounds),
        "mean_bound": torch.stack(mean_bounds),
    }
    values: dict[str, Value] = {
        "exact": exact,
        "trained_with": int(getattr(model.config, "mean_field_steps", 0)),
        "n_data": len(data),
    }
    yield Result(arrays, values)


def _bound(model: object, x: Tensor, sweeps: int) -> Tensor:
    """The bound (B,) after so many sweeps."""
    machine, settling = cast(HasMachine, model).machine, cast(Settling, model)
    v = x.flatten(1)
    means = settling.mean_field(v, sweeps)
    entropy = torch.zeros_like(v[:, 0])
    for mean in means:
        entropy = entropy + torch.special.entr(mean).sum(-1) + torch.special.entr(1 - mean).sum(-1)
    return entropy - machine.energy([v, *means])


def _exact(model: object, x: Tensor) -> float | None:
    machine = cast(HasMachine, model).machine
    given = machine.sizes[1:]
    if min(sum(given[0::2]), sum(given[1::2])) > MOST_UNITS:
        return None
    return float(counted(cast(HasMachine, model), x)[0])
