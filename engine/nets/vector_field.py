r"""A velocity f(z, t) of points in space, and its divergence, exact or estimated.

.. math::
    f(z, t) = A_{L+1} h_L + b_{L+1}, \quad h_l = \phi(A_l h_{l-1} + b_l), \quad
    h_0 = (z, \sin(\omega t + \varphi))

With σ_l = φ′(A_l h_{l−1} + b_l) the Jacobian is A_{L+1} diag(σ_L) A_L ⋯ diag(σ_1) A_1, and its
trace for two hidden layers is the bilinear form

.. math::
    \mathrm{tr}\,\frac{\partial f}{\partial z} = \sigma_2^\top M \sigma_1, \qquad
    M = A_2 \odot (A_1 A_3)^\top,

which costs as much as one layer, however many coordinates there are. For one hidden layer it is
linear in σ_1; for three and more the D columns of the Jacobian are carried along (forward mode),
which costs as much as D networks. Hutchinson's estimate εᵀ(∂f/∂z)ε carries along one column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from engine.drawing import normal_noise, uniform_noise
from engine.nets.mlp import check_widths

#: Smooth ones need fewer solver steps; an ELU's slope has a kink at 0.
ACTIVATION_NAMES = ("tanh", "softplus", "elu")
#: Kinds of noise for Hutchinson's estimate.
NOISES = ("rademacher", "gaussian")
#: Values of the Jacobian's columns that are carried along together.
MOST_COLUMN_VALUES = 2**22
#: Frequencies π, 2π and 3π of time.
N_FREQUENCIES = 3


class VectorField(nn.Module):
    """The network of f.

    Args:
        size: D.
        hidden_features: Widths of the hidden layers; none gives an affine field.
        activation: One of :data:`ACTIVATION_NAMES`.

    Raises:
        ValueError: A width is below 1 or the activation is unknown.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, size: int, hidden_features: Sequence[int], activation: str) -> None:
        super().__init__()
        check_widths(hidden_features)
        if activation not in ACTIVATION_NAMES:
            known = ", ".join(ACTIVATION_NAMES)
            raise ValueError(f"activation: given '{activation}', wanted one of {known}")
        self.size, self.activation, self.n_layers = size, activation, len(hidden_features)
        widths = (size + 2 * N_FREQUENCIES, *hidden_features, size)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        multiples = math.pi * torch.arange(1, N_FREQUENCIES + 1)
        quarter = torch.full((N_FREQUENCIES,), 0.5 * math.pi)
        self.register_buffer("frequencies", multiples.repeat(2), persistent=False)
        # A cosine is a sine a quarter of a turn ahead.
        phases = torch.cat([quarter, torch.zeros(N_FREQUENCIES)])
        self.register_buffer("phases", phases, persistent=False)

    def prepared(self) -> tuple[Tensor, ...]:
        """What the functions below are given: A_1 of z and of time, then biases and matrices.

        The trace's own form (M, or its like for one hidden layer) comes last. A network of tanh
        is handed out as the same function made of logistic sigmoids, whose kernel takes a sixth
        of the time.
        """
        weights = [cast(Tensor, layer.weight) for layer in self.layers]
        biases = [cast(Tensor, layer.bias) for layer in self.layers]
        if self.activation == "tanh":
            weights, biases = _as_sigmoids(weights, biases)
        of_z, of_time = weights[0][:, : self.size].contiguous(), weights[0][:, self.size :]
        rest = [part for pair in zip(biases[1:], weights[1:], strict=True) for part in pair]
        form = _trace_form(of_z, weights[1:])
        return (of_z, of_time, biases[0], *rest, form)

    def velocity(self, t: float, z: Tensor, prepared: Sequence[Tensor]) -> Tensor:
        """f of (B, D) at time t, (B, D)."""
        return self._through(t, z, prepared, slopes=None)

    def with_trace(self, t: float, z: Tensor, prepared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """f (B, D), and the exact tr ∂f/∂z (B,)."""
        slopes: list[Tensor] = []
        velocity = self._through(t, z, prepared, slopes)
        form = prepared[-1]
        if self.n_layers == 0:
            return velocity, form.expand(len(z))
        if self.n_layers == 1:
            return velocity, slopes[0] @ form
        if self.n_layers == 2:
            return velocity, (F.linear(slopes[0], form) * slopes[1]).sum(1)
        return velocity, self._trace_by_columns(slopes, prepared)

    def with_estimate(
        self, t: float, z: Tensor, noise: Tensor, prepared: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """f (B, D), and Hutchinson's εᵀ(∂f/∂z)ε (B,) for noise ε (B, D) of mean 0, variance 1."""
        slopes: list[Tensor] = []
        velocity = self._through(t, z, prepared, slopes)
        column = F.linear(noise, prepared[0])
        for slope, matrix in zip(slopes, prepared[4:-1:2], strict=True):
            column = F.linear(column * slope, matrix)
        return velocity, (column * noise).sum(1)

    def _trace_by_columns(self, slopes: Sequence[Tensor], prepared: Sequence[Tensor]) -> Tensor:
        """(B,): the Jacobian's columns, some of them at a time, through all layers."""
        trace = slopes[0].new_zeros(len(slopes[0]))
        at_once = max(1, MOST_COLUMN_VALUES // max(1, slopes[0].numel()))
        firsts = torch.split(prepared[0].t(), at_once)
        lasts = torch.split(prepared[-2], at_once)
        for first, last in zip(firsts, lasts, strict=True):
            columns = slopes[0].unsqueeze(1) * first  # (B, some of D, H)
            for slope, matrix in zip(slopes[1:], prepared[4:-2:2], strict=True):
                columns = F.linear(columns, matrix) * slope.unsqueeze(1)
            trace = trace + (columns * last).sum((1, 2))
        return trace

    def _through(
        self, t: float, z: Tensor, prepared: Sequence[Tensor], slopes: list[Tensor] | None
    ) -> Tensor:
        of_z, of_time, bias = prepared[:3]
        time = torch.add(self.phases, self.frequencies, alpha=t).sin_()
        values = torch.addmm(torch.addmv(bias, of_time, time), z, of_z.t())
        for bias, matrix in zip(prepared[3:-1:2], prepared[4:-1:2], strict=True):
            values = self._activate(values, slopes)
            values = torch.addmm(bias, values, matrix.t())
        return values

    def _activate(self, a: Tensor, slopes: list[Tensor] | None) -> Tensor:
        """φ(a), for tanh that of the sigmoids; where slopes are wanted φ′(a) joins them."""
        if slopes is None:
            return _value(self.activation, a)
        h, slope = _WithSlope.apply(a, self.activation)  # type: ignore[no-untyped-call]
        slopes.append(slope)
        return cast(Tensor, h)


class _WithSlope(torch.autograd.Function):
    """φ and φ′ of one tensor; their gradient is φ′ (h̄ + r s̄) with r = φ″/φ′, in few kernels."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        h = _value(kind, a)
        if kind == "tanh":
            slope = torch.addcmul(h, h, h, value=-1.0)
        else:
            slope = a.sigmoid() if kind == "softplus" else h.clamp_max(0.0).add_(1.0)
        ctx.kind = kind
        ctx.save_for_backward(h, slope)
        return h, slope

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_value: Tensor, of_slope: Tensor) -> tuple[Tensor, None]:
        h, slope = ctx.saved_tensors
        if ctx.kind == "tanh":
            gradient = torch.addcmul(of_slope, of_slope, h, value=-2.0)
        elif ctx.kind == "softplus":
            gradient = torch.addcmul(of_slope, of_slope, slope, value=-1.0)
        else:
            gradient = of_slope * (h < 0.0)
        return gradient.add_(of_value).mul_(slope), None


def _value(kind: str, a: Tensor) -> Tensor:
    """φ(a)."""
    if kind == "tanh":
        return a.sigmoid()
    return F.softplus(a) if kind == "softplus" else F.elu(a)


def _as_sigmoids(
    weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Weights of sigmoids for those of tanh a = 2σ(2a) − 1: whatever feeds one counts twice."""
    last = len(weights) - 1
    matrices, offsets = [], []
    for index, (matrix, bias) in enumerate(zip(weights, biases, strict=True)):
        into, out_of = 2.0 if index < last else 1.0, 2.0 if index > 0 else 1.0
        matrices.append(matrix * (into * out_of))
        offsets.append((bias - matrix.sum(1) if index > 0 else bias) * into)
    return matrices, offsets


def _trace_form(first: Tensor, others: Sequence[Tensor]) -> Tensor:
    """What the trace is a form of, for at most two hidden layers."""
    if len(others) == 0:
        return first.diagonal().sum()
    if len(others) == 1:
        return (others[0].t() * first).sum(1)
    return others[0] * (first @ others[1]).t() if len(others) == 2 else first.new_zeros(())


def trace_noise(
    kind: str, shape: tuple[int, ...], generator: torch.Generator, like: Tensor
) -> Tensor:
    """ε of mean 0 and variance 1, drawn on the CPU and moved to ``like``'s device.

    Raises:
        ValueError: ``kind`` is none of :data:`NOISES`.
    """
    if kind not in NOISES:
        raise ValueError(f"noise: given '{kind}', wanted one of {', '.join(NOISES)}")
    if kind == "gaussian":
        return normal_noise(shape, generator, like)
    return torch.where(uniform_noise(shape, generator, like) < 0.5, -1.0, 1.0).to(like)
