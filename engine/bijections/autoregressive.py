"""The masked autoregressive layer: each coordinate is led by those before it in an order."""

from __future__ import annotations

from collections.abc import Sequence

from engine.bijections.conditioner import network_shapes
from engine.bijections.wiring import Wiring


def autoregressive(
    index: int, event_size: int, hidden_features: Sequence[int], n_outputs: int = 2
) -> Wiring:
    r"""The layer number ``index`` (from 0) of a stack; its order enters by masking θ.

    With two outputs a coordinate, log-scale and shift, it is the affine layer of MAF:

    .. math:: x_i = \mu_i(x_{<i}) + e^{\alpha_i(x_{<i})} u_i, \qquad
        \log|\det \partial u / \partial x| = -\sum_i \alpha_i(x_{<i})

    Data → base takes one pass of the network, base → data takes D. The network puts out
    :math:`s = -\alpha` and :math:`t = -\mu e^{-\alpha}`, so that :math:`u = x e^{s} + t`: with μ
    and α themselves, a step that changes both moves u far more, and training is less steady.

    References:
        Papamakarios, Pavlakou and Murray, *Masked Autoregressive Flow for Density Estimation*,
        NeurIPS 2017, eq. 3–5.
    """
    shapes = network_shapes(event_size, hidden_features, n_outputs * event_size)
    name, everything = f"autoregressive {index + 1}", slice(0, event_size)
    return Wiring(name, everything, everything, shapes, event_size, n_outputs)
