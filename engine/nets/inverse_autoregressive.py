r"""One step of inverse autoregressive flow: latents are mixed with means read off earlier ones.

.. math::
    [m, s] = \mathrm{MADE}(z; h), \qquad \sigma = \frac{1}{1 + e^{-s}}, \qquad
    z' = \sigma \odot z + (1 - \sigma) \odot m, \qquad
    \log\left|\det \frac{\partial z'}{\partial z}\right| = \sum_i \log \sigma_i

m_i and s_i see z_j of earlier j in the order only, so the Jacobian is triangular and all
coordinates move in one pass; the way back takes one pass for each.

References:
    Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, *Improved Variational Inference with
    Inverse Autoregressive Flow*, NeurIPS 2016, equations 13-15 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.nets.masked import MaskedMLP

#: Where s starts: the gate is nearly open, and the step nearly the identity.
GATE_START = 2.0


class InverseAutoregressive(nn.Module):
    """The networks of one step; with the observation's features it is a :class:`GatedStep`.

    Args:
        order: (Z,), the order in which coordinates see each other.
        n_features: H, features of the observation.
        hidden_features: Widths of the masked network.
        activation: Its nonlinearity.
    """

    def __init__(
        self, order: Tensor, n_features: int, hidden_features: Sequence[int], *, activation: str
    ) -> None:
        super().__init__()
        self.net = MaskedMLP(order, hidden_features, 2, activation=activation)
        self.code = nn.Linear(n_features, self.net.widths[0], bias=False)
        # No hidden unit reaches the first coordinate: the features speak to the outputs as well.
        self.direct = nn.Linear(n_features, 2 * len(order), bias=False)
        with torch.no_grad():
            self.net.out.weight.mul_(0.1)
            self.direct.weight.mul_(0.1)
            self.net.out.bias.view(-1, 2).copy_(torch.tensor([0.0, GATE_START]))

    def given(self, features: Tensor) -> GatedStep:
        """The step for observations with features (B, H)."""
        return GatedStep(self.net, self.code(features), self.direct(features))


@dataclass(frozen=True)
class GatedStep:
    """One step for a batch: the masked network, and what the observation adds to it."""

    net: MaskedMLP
    code: Tensor
    direct: Tensor

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(…, B, Z) → the same shape, and log abs det ∂z'/∂z (…, B), nats."""
        out = self.net(z, self.code)
        m, s = (out + self.direct.view(*self.direct.shape[:-1], -1, 2)).unbind(-1)
        gate = torch.sigmoid(s)
        return gate * z + (1.0 - gate) * m, F.logsigmoid(s).sum(-1)
