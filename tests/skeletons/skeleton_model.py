"""One Gaussian per coordinate: the smallest model there can be, to be copied by a newcomer.

To add a model, copy this file into ``engine/models/<family>/`` under the name of its paper, or
keep it anywhere on the Python path and name it in the environment variable ``GENSCOPE_PLUGINS``::

    GENSCOPE_PLUGINS=my_model python main.py train skeleton --data two_moons --steps 500

Nothing else has to be edited. The form, the shell, the table of models, every panel that the
capabilities below make possible, and the law tests follow from this one file.

1. The **docstring** says the idea in two sentences, gives the equation and names the paper.
2. The **Config** is frozen; each field carries a range and one sentence of help, which build the
   form. Fields marked ``live`` may change while the model trains.
3. The **card** names the model.
4. The **class** stores its arguments and builds its parts. It sees no data and moves to no device.
   ``loss`` returns named scalars with "total". Every method of ``engine.capabilities`` that is
   defined is a promise: here SAMPLING and LOG_PROB, whose laws stand in ``engine.laws``.

.. math:: p(x) = \\prod_i \\mathcal N(x_i \\mid \\mu_i, e^{2 s_i})
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from engine.drawing import normal_noise
from engine.model import GenerativeModel
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class SkeletonConfig:
    """Settings of :class:`Skeleton`."""

    learning_rate: Annotated[
        float, Field(1e-5, 1.0, scale="log", live=True, help="Step size of Adam.")
    ] = 1e-2
    batch_size: Annotated[
        int, Field(1, 8192, scale="log", live=True, help="Points per training step.")
    ] = 256


class Skeleton(GenerativeModel):
    """A Gaussian with one mean and one width per coordinate, fitted by gradient descent."""

    Config = SkeletonConfig
    card = ModelCard(
        name="skeleton",
        title="Skeleton",
        family="latent",
        summary=(
            "Each coordinate is normal and knows nothing of the others. "
            "It is here to be copied, not to be good."
        ),
        equation=r"p(x)=\prod_i\mathcal{N}(x_i;\mu_i,\sigma_i^2)",
        paper=Paper(authors="C. F. Gauss", year=1809, title="Theoria motus corporum coelestium"),
    )

    def __init__(self, event_shape: tuple[int, ...], config: SkeletonConfig) -> None:
        super().__init__(event_shape, config)
        self.mean = nn.Parameter(torch.zeros(self.event_size))
        self.log_width = nn.Parameter(torch.zeros(self.event_size))

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean negative log-density, nats per event."""
        nll = -self.log_prob(x).mean()
        return {"total": nll, "nll": nll}

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """log p(x) of (B, *E), (B,), nats, in the units given."""
        u = self.standardise(x)  # (B, D)
        z = (u - self.mean) * torch.exp(-self.log_width)
        log_p = -0.5 * z.square() - self.log_width - 0.5 * math.log(2.0 * math.pi)
        return log_p.sum(-1) + self.standardise_log_det

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """N draws, (N, *E); all chance comes from the generator."""
        z = normal_noise((n, self.event_size), generator, self.mean)
        return self.unstandardise(self.mean + torch.exp(self.log_width) * z).detach()
