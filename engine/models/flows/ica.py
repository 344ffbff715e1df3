r"""ICA by maximum likelihood: mixtures are unmixed by one matrix, chosen so that data are likely.

Several sources that know nothing of each other were added up in different shares. A square matrix
undoes that, and of all matrices the one is sought under which the outputs look most like
independent values of a law that is not normal: a normal one would look the same from all sides.

.. math::
    s = W C^{-1/2} u, \qquad
    \log p(u) = \log|\det W C^{-1/2}| + \sum_{i=1}^{D} \log p_s(s_i)

Data are whitened before W, by their covariance C. The densities that can be had are the same, but
mixtures that are nearly alike no longer make the ascent crawl along a narrow ridge.

References:
    Bell and Sejnowski, *An Information-Maximization Approach to Blind Separation and Blind
    Deconvolution*, Neural Computation 7, 1995; as a likelihood: MacKay, *Maximum Likelihood and
    Covariant Algorithms for Independent Component Analysis*, 1996.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.bijections.bases import Factorised, HyperbolicSecant, Logistic, Sources
from engine.bijections.unmixing import UnmixingFlow
from engine.estimators.fast_ica import whitening
from engine.estimators.precision import as_double
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

SOURCES = ("logistic", "sech", "flat")


@dataclass(frozen=True)
class ICAConfig:
    """Settings of :class:`ICA`."""

    source: Annotated[
        str,
        Field(
            choices=SOURCES,
            symbol="p_s",
            help=(
                "What each source is taken for: logistic and 1/cosh are peaked, as sounds are; "
                "flat has two humps, for sources without tails."
            ),
        ),
    ] = "logistic"
    learning_rate: Annotated[
        float,
        Field(1e-6, 0.1, scale="log", symbol=r"\eta", help="Step size of Adam.", live=True),
    ] = 1e-2
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", help="Points per step.", live=True)
    ] = 256


class ICA(UnmixingFlow):
    """Square ICA by gradient ascent on the likelihood.

    Attributes:
        W: The unmixing matrix (D, D), of whitened data.
        white: C^(−1/2), (D, D), of standardised data.
    """

    Config = ICAConfig
    card = ModelCard(
        name="ica",
        title="ICA, maximum likelihood",
        family="flows",
        summary=(
            "Sources that know nothing of each other were mixed. One square matrix unmixes them: "
            "the one under which its outputs are most likely, as independent values of a law "
            "that is not normal."
        ),
        equation=(
            r"s = W C^{-1/2} u, \quad \log p(u) = \log|\det W C^{-1/2}| + \sum_i \log p_s(s_i)"
        ),
        paper=Paper(
            "Anthony J. Bell, Terrence J. Sejnowski",
            1995,
            "An Information-Maximization Approach to Blind Separation and Blind Deconvolution",
            "Neural Computation",
        ),
    )

    white: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: ICAConfig) -> None:
        super().__init__(event_shape, config)
        size = self.event_size
        self.register_buffer("white", torch.eye(size))
        self.W = nn.Parameter(torch.eye(size) + 0.1 * torch.randn(size, size) / size**0.5)

    @property
    def unmixing(self) -> Tensor:
        """W C^(−1/2), (D, D)."""
        return self.W @ self.white

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise and whiten."""
        super().prepare(data, generator=generator)
        u = as_double(self.standardise(data))
        self.white.copy_(whitening((u.T @ u / len(u)).cpu()))

    def base(self) -> Factorised:
        """The law of the sources."""
        if self.config.source == "flat":
            return Sources(self.location, torch.ones_like(self.location, dtype=torch.bool))
        kinds = {"logistic": Logistic, "sech": HyperbolicSecant}
        return kinds[self.config.source](self.location)
