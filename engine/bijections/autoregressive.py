"""The masked autoregressive layer: each coordinate is led by those before it in an order."""

from __future__ import annotations

from collections.abc import Sequence

from engine.bijections.affine import AffineMap, ShiftThenScale
from engine.bijections.affine_layer import Wiring
from engine.bijections.conditioner import network_shapes


def autoregressive(
    index: int,
    event_size: int,
    hidden_features: Sequence[int],
    kind: AffineMap | None = None,
) -> Wiring:
    r"""The layer number ``index`` (from 0) of a stack; its order enters by masking θ.

    .. math:: u_i = (x_i - \mu_i(x_{<i}))\, e^{-\alpha_i(x_{<i})}, \qquad
        \log|\det| = -\sum_i \alpha_i(x_{<i})

    Data → base takes one pass of the network, base → data takes D.

    References:
        Papamakarios, Pavlakou and Murray, *Masked Autoregressive Flow for Density Estimation*,
        NeurIPS 2017, eq. 3–5.
    """
    shapes = network_shapes(event_size, hidden_features, 2 * event_size)
    everything = slice(0, event_size)
    return Wiring(
        f"autoregressive {index + 1}",
        everything,
        everything,
        shapes,
        kind or ShiftThenScale(),
        n_passes=event_size,
    )
