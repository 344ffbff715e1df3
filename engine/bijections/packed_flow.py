"""Flows whose weights all lie in one vector θ: one kernel for each optimiser, mask and norm."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.bijections.conditioner import Matrices, Shape, initialise, n_values, unpack
from engine.bijections.flow import Flow
from engine.bijections.wiring import Wiring
from engine.model import TrainState
from engine.nets.mlp import check_widths


class PackedFlow(Flow):
    """A flow whose weights are matrices cut from one vector.

    A subclass calls :meth:`pack` at the end of its constructor.

    Attributes:
        theta: All weights, (P,); :meth:`matrices` shows them layer by layer.
        mask: (P,) of zeros and ones, multiplied into θ; empty where nothing is masked.
    """

    mask: Tensor

    def pack(
        self, networks: Sequence[Sequence[Shape]], masks: Sequence[Matrices] | None = None
    ) -> None:
        """Make θ for matrices of these shapes, drawn as networks are, and its mask."""
        self._networks = [tuple(shapes) for shapes in networks]
        flat = [matrix.flatten() for matrices in masks or () for matrix in matrices]
        self.register_buffer("mask", torch.cat(flat) if flat else torch.empty(0))
        self.theta = nn.Parameter(torch.empty(n_values(self._networks)))
        for index, matrices in enumerate(unpack(self.theta, self._networks)):
            initialise(matrices, masks[index] if masks else None)

    def matrices(self) -> list[Matrices]:
        """Per network its matrices, each (in + 1, out) with the bias as last row."""
        return unpack(self.theta * self.mask if len(self.mask) else self.theta, self._networks)

    def nll_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """−mean log p of (B, *E) in nats, and its gradient in θ, (P,).

        The gradient may lie in a buffer that the next call overwrites.
        """
        with torch.enable_grad():
            nll = -self.log_prob(x).mean()
            (gradient,) = torch.autograd.grad(nll, self.theta)
        return nll.detach(), gradient

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update.

        Where ``max_gradient_norm`` is set the optimiser gets a gradient no longer than that;
        ``theta.grad`` afterwards is the whole one.
        """
        nll, gradient = self.nll_and_gradient(batch)
        self.theta.grad = clipped(gradient, self.config.max_gradient_norm)
        for optimiser in state.optimisers.values():
            optimiser.step()
        self.theta.grad = gradient
        return {"total": nll, "nll": nll}


class WiredFlow(PackedFlow):
    """A packed flow of layers led by networks.

    Attributes:
        wirings: The layout of each layer, data → base.
    """

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        check_widths(config.hidden_features)
        self.wirings = tuple(self._wiring(index) for index in range(config.n_layers))
        masks = [self._masks(index) for index in range(config.n_layers)]
        networks = [wiring.shapes for wiring in self.wirings]
        self.pack([*networks, *self._others()], masks if any(masks) else None)

    @abstractmethod
    def _wiring(self, index: int) -> Wiring:
        """The layout of layer ``index``."""

    def _masks(self, index: int) -> Matrices:
        """The masks of layer ``index``; empty where nothing is masked."""
        return ()

    def _others(self) -> Sequence[Sequence[Shape]]:
        """Shapes of what lies in θ behind the networks; only where nothing is masked."""
        return ()


class NLL(Protocol):
    """The likelihood of a batch with its gradient written out by hand."""

    gradient: Tensor

    def fits(self, theta: Tensor, shape: tuple[int, int]) -> bool:
        """Whether the buffers are those of this θ and batch shape."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Standardised (B, D) → NLL in nats, a scalar; ``gradient`` is filled."""
        ...


class HandWrittenFlow(WiredFlow):
    """A wired flow whose gradient is written out by hand, without autograd."""

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        self._nll: NLL | None = None

    @abstractmethod
    def make_nll(self, shape: tuple[int, int]) -> NLL:
        """The likelihood of batches (B, D) of this shape."""

    def nll_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """−mean log p of (B, *E) in nats, and its gradient in θ, (P,), without autograd.

        The gradient lies in a buffer that the next call overwrites.
        """
        shape = (len(x), self.event_size)
        if self._nll is None or not self._nll.fits(self.theta, shape):
            self._nll = self.make_nll(shape)
        nll = self._nll(self.standardise(x)) - self.standardise_log_det
        return nll, self._nll.gradient

    def __getstate__(self) -> dict[str, Any]:
        """Copies get their own buffers when they first train."""
        return {**self.__dict__, "_nll": None}


def clipped(gradient: Tensor, max_norm: float | None) -> Tensor:
    """The gradient, shortened to a Euclidean norm of at most ``max_norm``."""
    if max_norm is None:
        return gradient
    return gradient * torch.clamp_max(max_norm / torch.linalg.vector_norm(gradient), 1.0)
