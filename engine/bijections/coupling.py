"""The coupling: one half of the coordinates moves, led by the other half."""

from __future__ import annotations

from collections.abc import Sequence

from engine.bijections.conditioner import network_shapes
from engine.bijections.wiring import Wiring


def coupling(
    index: int, event_size: int, hidden_features: Sequence[int], n_outputs: int = 2
) -> Wiring:
    r"""The coupling number ``index`` (from 0) of a stack with alternating checkered masks.

    With two outputs a coordinate, log-scale and shift, it is the affine coupling:

    .. math:: y_a = x_a, \qquad y_b = x_b \odot e^{s(x_a)} + t(x_a), \qquad
        \log|\det| = \sum_b s(x_a)

    Even couplings read the coordinates 0, 2, … and move 1, 3, …; odd ones the other way round.
    With a single coordinate there is nothing to read: each layer moves it by learned
    constants.

    References:
        Dinh, Sohl-Dickstein and Bengio, *Density Estimation Using Real NVP*, ICLR 2017, eq. 4–8.
    """
    parity = index % 2
    inputs, targets = slice(parity, None, 2), slice(1 - parity, None, 2)
    if event_size == 1:
        inputs, targets = slice(0, 0), slice(0, 1)
    n_inputs, n_targets = (len(range(event_size)[part]) for part in (inputs, targets))
    shapes = network_shapes(n_inputs, hidden_features, n_outputs * n_targets)
    return Wiring(f"coupling {index + 1}", inputs, targets, shapes, n_outputs=n_outputs)
