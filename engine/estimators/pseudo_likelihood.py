r"""The pseudo-likelihood of a restricted Boltzmann machine: every unit given all the others.

.. math::
    \mathrm{PL}(x) = \sum_i \log p(x_i \mid x_{-i})
        = \sum_i \log \sigma\bigl(F(x^{(i)}) - F(x)\bigr)

x⁽ⁱ⁾ is x with unit i flipped. It needs no Z, and is **no likelihood**: it may rise while log p
falls, since it asks of a unit only what its neighbours have all but settled. J. Besag,
"Statistical analysis of non-lattice data", The Statistician 1975.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.nets.boltzmann import Boltzmann

#: Values held at once.
VALUES = 2**24


@torch.no_grad()
def pseudo_log_prob(machine: Boltzmann, x: Tensor) -> Tensor:
    """Σ_i log p(x_i given the others) of binary x (B, V), exactly, (B,), nats.

    Raises:
        ValueError: The machine has more than one hidden layer, or Gaussian units.
    """
    if len(machine.biases) != 2 or machine.variance is not None:
        raise ValueError(
            f"pseudo-likelihood: given a machine of {len(machine.biases)} layers"
            f"{'' if machine.variance is None else ', the first of them Gaussian'}, wanted two "
            "layers of binary units"
        )
    rows = max(1, VALUES // machine.weights[0].numel())
    return torch.cat([_of(machine, part) for part in torch.split(x, rows)])


def _of(machine: Boltzmann, x: Tensor) -> Tensor:
    bias, weight = machine.biases[0], machine.weights[0]
    turn = 1.0 - 2.0 * x
    inputs = machine.inputs([x, None], 1)
    flipped = inputs[:, None] + turn[:, :, None] * weight
    gain = F.softplus(flipped).sum(-1) - F.softplus(inputs).sum(-1)[:, None] + turn * bias
    return F.logsigmoid(-gain).sum(-1)
