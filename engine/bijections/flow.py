"""The base of every flow of discrete layers: likelihood, sampling and paths from its layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.bijections.base import Bijection, n_passes, walk
from engine.bijections.bases import Factorised, StandardNormal
from engine.bijections.standardise import Standardise
from engine.capabilities import FlowPath
from engine.model import GenerativeModel

#: Rows taken through all layers together where no gradient is wanted: few enough that their
#: activations stay in a processor's cache.
CHUNK = 4096


class Flow(GenerativeModel):
    r"""An invertible map f from data to a base of independent values.

    .. math:: \log p(x) = \log p_Z(f(x)) + \log|\det \partial f / \partial x|

    A subclass defines :meth:`trained_layers`; standardisation is put in front of them. The base
    is a standard normal unless it defines :meth:`base` too.
    """

    @abstractmethod
    def trained_layers(self) -> Sequence[Bijection]:
        """The layers after standardisation, data → base."""

    def layers(self) -> tuple[Bijection, ...]:
        """All layers, data → base; the first standardises."""
        return (Standardise(self.location, self.scale), *self.trained_layers())

    def base(self) -> Factorised:
        """The base p_Z over D values: a standard normal."""
        return StandardNormal(self.location)

    @property
    def n_passes(self) -> tuple[tuple[int, int], ...]:
        """Per layer, data → base: passes in a row for a density, and for a sample."""
        return tuple(n_passes(layer) for layer in self.layers())

    def path(
        self,
        x: Tensor,
        *,
        inverse: bool = False,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> FlowPath:
        """The path of (B, *E) data, or with ``inverse`` of (B, D) base points; see ``FlowPath``.

        ``states[0]`` is the data in the units given, and log p(x) is the base's log-density of
        ``states[-1]`` plus the sum of ``log_dets``. A flow of discrete layers needs no generator.
        """
        self._refuse(context)
        if not inverse:
            return walk(self.layers(), self._enter(x))
        if x.shape[1:] != (self.event_size,):
            raise ValueError(
                f"{self.card.title}: given base points of shape {tuple(x.shape[1:])}, "
                f"wanted ({self.event_size},)"
            )
        return walk(self.layers(), x.to(self.location), inverse=True)

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """log p(x) of (B, *E), shape (B,), nats, of the data in the units given."""
        self._refuse(context)
        x, layers = self._enter(x), self.layers()
        if len(x) <= CHUNK or self._wants_gradient(x):
            return self._log_prob(layers, x)
        return torch.cat([self._log_prob(layers, piece) for piece in torch.split(x, CHUNK)])

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """N draws (N, *E): base noise through the inverse layers."""
        self._refuse(context)
        noise, layers = self.base().draw(generator, (n,)), self.layers()
        pieces = [_to_data(layers, piece) for piece in torch.split(noise, CHUNK)]
        return torch.cat(pieces).reshape(n, *self.event_shape)

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """``"total"`` and ``"nll"``: −mean log p(x), nats per event."""
        nll = -self._log_prob(self.layers(), self._enter(x)).mean()
        return {"total": nll, "nll": nll}

    def _log_prob(self, layers: Sequence[Bijection], x: Tensor) -> Tensor:
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for layer in layers:
            x, log_det = layer.forward(x)
            total = total + log_det
        return total + self.base().log_prob(x)

    def _wants_gradient(self, x: Tensor) -> bool:
        trained = x.requires_grad or any(p.requires_grad for p in self.parameters())
        return torch.is_grad_enabled() and trained

    def _enter(self, x: Tensor) -> Tensor:
        # Columns lie contiguously, which is how the layers read them.
        return self._flat(x).to(self.location).t().contiguous().t()

    def _refuse(self, context: Tensor | None) -> None:
        if context is not None:
            raise ValueError(f"{self.card.title}: given a context, wanted none")


def _to_data(layers: Sequence[Bijection], y: Tensor) -> Tensor:
    for layer in reversed(layers):
        y, _ = layer.inverse(y)
    return y
