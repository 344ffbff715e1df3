"""What ICA's models share: one square matrix between mixtures and independent sources."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.bijections.flow import Flow
from engine.bijections.linear import Linear


class UnmixingFlow(Flow):
    r"""A flow of one linear map, s = W u, from standardised mixtures u to sources s.

    .. math:: \log p(u) = \log|\det W| + \sum_i \log p_i(s_i)
    """

    @property
    @abstractmethod
    def unmixing(self) -> Tensor:
        """W, (D, D)."""

    @property
    def mixing(self) -> Tensor:
        """(D, D), in the units of the data: column j is what source j adds to each mixture."""
        inverse: Tensor = torch.linalg.inv(self.unmixing)
        return self.scale[:, None] * inverse

    def trained_layers(self) -> Sequence[Linear]:
        """The unmixing, data → base."""
        return [Linear(self.unmixing, "unmix")]

    def sources(self, x: Tensor) -> Tensor:
        """(B, *E) → the sources (B, D), in no order and with either sign."""
        return self.path(x).states[-1]
