"""A perceptron to one number or a few with its own input gradient, far faster than autograd's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.nets.mlp import check_widths

#: φ(a), and (∂L/∂φ, a) → ∂L/∂a.
Pair = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]
#: Outputs (B, K) → a number of each event (B,), and its gradient with respect to them (B, K).
Head = Callable[[Tensor], tuple[Tensor, Tensor]]

SMOOTH_ACTIVATIONS: dict[str, Pair] = {
    "silu": (F.silu, torch.ops.aten.silu_backward),
    "softplus": (F.softplus, lambda gradient, a: gradient * torch.sigmoid(a)),
    "tanh": (torch.tanh, lambda gradient, a: gradient * (1.0 - torch.tanh(a).square())),
}


class EnergyMLP(nn.Module):
    r"""(B, D) → (B, K), with smooth nonlinearities; (B,) where K = 1.

    .. math:: h_0 = x, \quad h_l = \phi(A_l h_{l-1} + b_l), \quad f = A_L h_{L-1} + b_L

    Args:
        in_features: D.
        hidden_features: Widths of the hidden layers.
        activation: One of :data:`SMOOTH_ACTIVATIONS`.
        spectral_norm: Divide every weight matrix by its largest singular value, found by one
            power iteration per :meth:`power_iteration` (Miyato et al. 2018).
        out_features: K.

    Raises:
        ValueError: A width is below 1 or the activation is unknown.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int],
        *,
        activation: str = "silu",
        spectral_norm: bool = False,
        out_features: int = 1,
    ) -> None:
        super().__init__()
        widths = [in_features, *hidden_features, out_features]
        check_widths(widths)
        self._build([(n, m) for m, n in pairwise(widths)], activation, spectral_norm)
        nn.init.normal_(self.biases[0], std=0.5)
        self._flatten_last()

    def _build(
        self, shapes: Sequence[tuple[int, ...]], activation: str, spectral_norm: bool
    ) -> None:
        """Weights of these shapes, outputs first, by He's rule; biases of 0."""
        if activation not in SMOOTH_ACTIVATIONS:
            known = ", ".join(SMOOTH_ACTIVATIONS)
            raise ValueError(f"activation: given '{activation}', wanted one of {known}")
        self._activate, self._activate_backward = SMOOTH_ACTIVATIONS[activation]
        self.weights = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(shape[0]) for shape in shapes)
        for weight in self.weights:
            nn.init.kaiming_normal_(weight)
        self.spectral_norm = spectral_norm

    @torch.no_grad()
    def _flatten_last(self) -> None:
        """Let the last layer start nearly flat, and find the first singular values."""
        self.weights[-1].mul_(0.1)
        if not self.spectral_norm:
            return
        for index, weight in enumerate(self.weights):
            left = F.normalize(torch.randn(len(weight)), dim=0)
            self.register_buffer(f"left_{index}", left)
        for _ in range(10):
            self.power_iteration()

    def forward(self, x: Tensor) -> Tensor:
        """f(x), (B,) where K = 1, else (B, K), with a graph."""
        outputs = self._forward(x)[0]
        return outputs.squeeze(-1) if outputs.shape[-1] == 1 else outputs

    @torch.no_grad()
    def value_and_gradient(self, x: Tensor, head: Head | None = None) -> tuple[Tensor, Tensor]:
        """A number of each event (B,) and its gradient (B, D), by one pass forth and one back.

        Args:
            x: (B, D).
            head: What makes the number of the K outputs; ``None`` takes the only one.

        Returns:
            Both without a graph.
        """
        outputs, inputs, weights = self._forward(x)
        if head is None:
            value, pull = outputs.squeeze(-1), torch.ones_like(outputs)
        else:
            value, pull = head(outputs)
        gradient = self._pull(len(weights) - 1, pull, weights[-1])
        for index in reversed(range(len(inputs))):
            slope = self._activate_backward(gradient, inputs[index])
            gradient = self._pull(index, slope, weights[index])
        return value, gradient.reshape(x.shape)

    @torch.no_grad()
    def power_iteration(self) -> None:
        """Bring the estimates of the largest singular values one step nearer."""
        if not self.spectral_norm:
            return
        for weight, left in zip(self.weights, self._lefts(), strict=True):
            matrix = weight.flatten(1)
            right = F.normalize(matrix.t() @ left, dim=0)
            left.copy_(F.normalize(matrix @ right, dim=0))

    def _layer(self, index: int, x: Tensor, weight: Tensor) -> Tensor:
        """What a layer makes of its input, before the nonlinearity."""
        return F.linear(x, weight, self.biases[index])

    def _pull(self, index: int, gradient: Tensor, weight: Tensor) -> Tensor:
        """The gradient with respect to a layer's input, of that with respect to its output."""
        return gradient @ weight

    def _forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The outputs (B, K), each layer's input to its nonlinearity, and the weights in force."""
        weights = self._weights()
        inputs: list[Tensor] = []
        for index, weight in enumerate(weights):
            if inputs:
                x = self._activate(inputs[-1])
            inputs.append(self._layer(index, x, weight))
        return inputs[-1], inputs[:-1], weights

    def _weights(self) -> list[Tensor]:
        if not self.spectral_norm:
            return list(self.weights)
        # u' W v with v = W'u / |W'u| is |W'u|: the gradient flows through the norm, not through u.
        pairs = zip(self.weights, self._lefts(), strict=True)
        return [weight / (weight.flatten(1).t() @ left).norm() for weight, left in pairs]

    def _lefts(self) -> list[Tensor]:
        return [self.get_buffer(f"left_{index}") for index in range(len(self.weights))]
