"""What RealNVP and MAF share: affine layers whose weights lie in one vector, trained by hand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.bijections.affine_layer import AffineLayer, Wiring
from engine.bijections.affine_nll import AffineNLL
from engine.bijections.conditioner import Matrices, initialise, n_values, unpack
from engine.bijections.flow import Flow
from engine.model import TrainState
from engine.nets.mlp import check_widths


class AffineFlow(Flow):
    """A flow of affine layers.

    Attributes:
        theta: All weights, (P,); :meth:`matrices` shows them layer by layer.
        mask: (P,) of zeros and ones, multiplied into θ; empty where nothing is masked.
    """

    mask: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        check_widths(config.hidden_features)
        self.wirings = tuple(self._wiring(index) for index in range(config.n_layers))
        self._networks = [wiring.shapes for wiring in self.wirings]
        masks = [self._masks(index) for index in range(config.n_layers)]
        flat = [matrix.flatten() for matrices in masks for matrix in matrices]
        self.register_buffer("mask", torch.cat(flat) if flat else torch.empty(0))
        self.theta = nn.Parameter(torch.empty(n_values(self._networks)))
        for matrices, layer_masks in zip(unpack(self.theta, self._networks), masks, strict=True):
            initialise(matrices, layer_masks or None)
        self._nll: AffineNLL | None = None

    @abstractmethod
    def _wiring(self, index: int) -> Wiring:
        """The layout of layer ``index``."""

    def _masks(self, index: int) -> Matrices:
        """The masks of layer ``index``; empty where nothing is masked."""
        return ()

    def matrices(self) -> list[Matrices]:
        """Per layer the network's matrices, each (in + 1, out) with the bias as last row."""
        return unpack(self.theta * self.mask if len(self.mask) else self.theta, self._networks)

    def trained_layers(self) -> Sequence[AffineLayer]:
        """The affine layers, data → base."""
        return [AffineLayer(*pair) for pair in zip(self.wirings, self.matrices(), strict=True)]

    def nll_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """−mean log p of (B, *E) in nats, and its gradient in θ, (P,), without autograd.

        The gradient lies in a buffer that the next call overwrites.
        """
        shape = (len(x), self.event_size)
        if self._nll is None or not self._nll.fits(self.theta, shape):
            mask = self.mask if len(self.mask) else None
            self._nll = AffineNLL(self.wirings, self.theta, mask, shape)
        nll = self._nll(self.standardise(x)) - self.standardise_log_det
        return nll, self._nll.gradient

    @torch.no_grad()
    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update, with the gradient written out by hand.

        Where ``max_gradient_norm`` is set the optimiser gets a gradient no longer than that;
        ``theta.grad`` afterwards is the whole one.
        """
        nll, gradient = self.nll_and_gradient(batch)
        self.theta.grad = clipped(gradient, self.config.max_gradient_norm)
        for optimiser in state.optimisers.values():
            optimiser.step()
        self.theta.grad = gradient
        return {"total": nll, "nll": nll}

    def __getstate__(self) -> dict[str, Any]:
        """Copies get their own buffers when they first train."""
        return {**self.__dict__, "_nll": None}


def clipped(gradient: Tensor, max_norm: float | None) -> Tensor:
    """The gradient, shortened to a Euclidean norm of at most ``max_norm``."""
    if max_norm is None:
        return gradient
    return gradient * torch.clamp_max(max_norm / torch.linalg.vector_norm(gradient), 1.0)
