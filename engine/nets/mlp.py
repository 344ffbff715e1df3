"""A multilayer perceptron: the plain organ of most small models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class MLP(nn.Sequential):
    r"""Linear layers with a nonlinearity between them, (…, in) → (…, out).

    .. math:: h_0 = x, \quad h_l = \phi(A_l h_{l-1} + b_l), \quad y = A_L h_{L-1} + b_L

    Args:
        in_features: Width of the input.
        hidden_features: Widths of the hidden layers; none gives a linear map.
        out_features: Width of the output.
        activation: One of :data:`ACTIVATIONS`.
        zero_last: Start with a last layer of zeros, so that the output starts at 0.

    Raises:
        ValueError: A width is below 1 or the activation is unknown.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int],
        out_features: int,
        *,
        activation: str = "relu",
        zero_last: bool = False,
    ) -> None:
        widths = [in_features, *hidden_features, out_features]
        check_widths(widths)
        kind = find_activation(activation)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), kind()]
        super().__init__(*layers[:-1])
        if zero_last:
            zero_parameters(self[-1])


def find_activation(name: str) -> type[nn.Module]:
    """The module class of an activation's name; ``ValueError`` lists the names there are."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: given '{name}', wanted one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def check_widths(widths: Sequence[int]) -> None:
    """Raise ``ValueError`` unless every layer width is at least 1."""
    if any(width < 1 for width in widths):
        raise ValueError(f"layer widths: given {tuple(widths)}, wanted whole numbers above 0")


def zero_parameters(module: nn.Module) -> None:
    """Set every parameter of a module to zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
