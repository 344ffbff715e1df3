r"""JEM: a classifier is an energy-based model that nobody has asked for its pictures yet.

A classifier's logits f(x)[y] are used only up to a number common to all classes. That number is
free, and says how likely x is:

.. math::
    E(x, y) = -f(x)[y], \qquad p(y \mid x) = \mathrm{softmax}(f(x))[y], \qquad
    E(x) = -\log \sum_y e^{f(x)[y]}

Adding g(x) to all logits leaves p(y given x) as it is and changes p(x). Training climbs
log p(x, y) = log p(y given x) + log p(x): cross-entropy for the first, chains on E(x) for the
second. Chains on E(x, y) draw pictures of one class; a high E(x) tells what is unlike the data.
The confining term beside it is the same for all classes.

References:
    Grathwohl, Wang, Jacobsen, Duvenaud, Norouzi and Swersky, *Your Classifier is Secretly an
    Energy Based Model and You Should Treat it Like One*, ICLR 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.nets.energy_mlp import Head
from engine.nets.energy_model import LACKS, EnergyModel
from engine.nets.energy_settings import EnergyConfig
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class JEMConfig(EnergyConfig):
    """Settings of :class:`JEM`; lengths are in standard deviations of the data."""

    hidden_features: Annotated[
        tuple[int, ...],
        Field(1, 4096, help="Widths of the hidden layers, or channels of the convolutions."),
    ] = (32, 64, 64)
    classification: Annotated[
        float,
        Field(
            0.0,
            100.0,
            step=0.1,
            symbol=r"\gamma",
            live=True,
            help="Weight of the cross-entropy; 1 is the joint likelihood, 0 leaves p(x) alone.",
        ),
    ] = 1.0
    class_noise: Annotated[
        float | None,
        Field(
            0.0,
            2.0,
            step=0.05,
            symbol=r"\sigma_y",
            live=True,
            help="Noise on what it learns to classify, at least data_noise, which keeps a large "
            "network from learning by heart (Bishop 1995). None: twice data_noise.",
        ),
    ] = None
    n_classes: Annotated[
        int, Field(1, 1000, derived=True, help="Classes, hence logits; 10 where data have none.")
    ] = 10


class JEM(EnergyModel):
    """A classifier trained as a joint density of data and labels.

    Data without labels teach it p(x) alone.
    """

    Config = JEMConfig
    card = ModelCard(
        name="jem",
        title="JEM",
        family="energy",
        summary=(
            "A classifier read as an energy: its logits say which class, and how large they all "
            "are says how likely the picture is. So it classifies, draws and doubts."
        ),
        equation=(
            r"p(y|x)=\mathrm{softmax}(f(x))_y,\qquad "
            r"p(x)=\frac{1}{Z}\sum_y e^{f(x)_y}"
        ),
        paper=Paper(
            authors="Will Grathwohl and others",
            year=2020,
            title="Your Classifier is Secretly an Energy Based Model",
            where="ICLR",
        ),
        lacks=LACKS,
        features=("class_energy",),
    )
    labels_optional: ClassVar[bool] = True

    @property
    def uses_labels(self) -> bool:
        """It takes them wherever there are some."""
        return True

    @property
    def n_outputs(self) -> int:
        """One logit per class."""
        return int(self.config.n_classes)

    # --- the classifier -----------------------------------------------------------------------

    def logits(self, x: Tensor) -> Tensor:
        """f(x) of (B, *E), (B, classes), of the averaged network."""
        return self._logits(self.standardise(x), averaged=True)

    def class_log_probs(self, x: Tensor) -> Tensor:
        """log p(y given x) of (B, *E), (B, classes), nats."""
        return self.logits(x).log_softmax(-1)

    def ood_score(self, x: Tensor) -> Tensor:
        """E(x) of (B, *E), (B,), nats: higher = less like the data, for what lies outside them."""
        return self.energy(x)

    def reduced(self, outputs: Tensor, context: Tensor | None) -> Tensor:
        """−log Σ_y exp f(x)[y], or with labels −f(x)[y]."""
        logits = outputs.reshape(len(outputs), -1)
        if context is None:
            return -logits.logsumexp(-1)
        return -logits.gather(1, self._checked(context, len(logits))[:, None]).squeeze(1)

    def head(self, context: Tensor | None) -> Head:
        """The same with its gradient with respect to the logits."""

        def evaluate(logits: Tensor) -> tuple[Tensor, Tensor]:
            if context is None:
                return -logits.logsumexp(-1), -logits.softmax(-1)
            chosen = F.one_hot(self._checked(context, len(logits)), logits.shape[1]).to(logits)
            return -(logits * chosen).sum(-1), -chosen

        return evaluate

    def losses(
        self,
        x: Tensor,
        negatives: Tensor,
        context: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Those of :meth:`contrast`, and with labels ``classification`` and ``accuracy``.

        ``classification`` is the mean of −log p(y given x), nats, with its weight in ``total``;
        ``accuracy`` the share of right answers. Both are of data with ``class_noise``.
        """
        losses = self.contrast(x, negatives)
        if context is None:
            return losses
        x = self._with_noise(x, self._more_noise(), generator)
        logits = self._logits(self.standardise(x), averaged=False)
        labels = self._checked(context, len(logits))
        entropy = F.cross_entropy(logits, labels)
        losses["total"] = losses["total"] + self.config.classification * entropy
        accuracy = (logits.argmax(-1) == labels).to(logits.dtype).mean()
        return {**losses, "classification": entropy, "accuracy": accuracy}

    def _more_noise(self) -> float:
        """σ that makes noise of ``data_noise`` into noise of ``class_noise``."""
        there, wanted = self.chosen.data_noise, self.config.class_noise
        wanted = 2.0 * there if wanted is None else wanted
        return math.sqrt(max(0.0, wanted**2 - there**2))

    def _logits(self, u: Tensor, *, averaged: bool) -> Tensor:
        outputs: Tensor = (self.average if averaged else self.net)(u)
        return outputs.reshape(len(u), -1)

    def _checked(self, labels: Tensor, n: int) -> Tensor:
        if labels.shape != (n,):
            raise ValueError(
                f"{self.card.title}: given labels of shape {tuple(labels.shape)}, wanted ({n},)"
            )
        return labels.to(self.location.device, torch.int64)
