r"""A deep energy-based model: a network lowers its energy at the data and raises it elsewhere.

The network may be any function, because the unknown constant Z drops out of the gradient; what
"elsewhere" is comes from Markov chains that follow the model's own energy.

.. math::
    p(x) = \frac{e^{-E(x)}}{Z}, \qquad
    \nabla_\theta \bigl(-\log p(x)\bigr) = \nabla_\theta E(x)
        - \mathbb E_{\tilde x \sim p} \nabla_\theta E(\tilde x)

A weak quadratic term beside the network keeps Z finite, and the chains live in a replay buffer.
Of pictures the network is convolutional, and the model that of pictures with a little noise: grey
levels alone fill no volume, and their density would have no bound.

References:
    Du and Mordatch, *Implicit Generation and Modeling with Energy-Based Models*, NeurIPS 2019.
    Noise on the data: Nijkamp et al., *Learning Non-Convergent Non-Persistent Short-Run MCMC
    Toward Energy-Based Model*, NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.nets.energy_model import LACKS, EnergyModel
from engine.nets.energy_settings import EnergyConfig
from engine.wire.cards import ModelCard, Paper


@dataclass(frozen=True)
class EBMConfig(EnergyConfig):
    """Settings of :class:`EBM`; lengths are in standard deviations of the data."""


class EBM(EnergyModel):
    """A deep energy-based model: one number per event, trained with its own Markov chains."""

    Config = EBMConfig
    card = ModelCard(
        name="ebm",
        title="Energy-based model",
        family="energy",
        summary=(
            "A network gives every point an energy, low where data are likely. Markov chains "
            "find the places where it is wrongly low, and training raises it there."
        ),
        equation=(
            r"p(x)=\frac{e^{-E(x)}}{Z},\quad -\nabla\log p(x)=\nabla E(x)"
            r"-\mathbb{E}_{\tilde{x}\sim p}\left[\nabla E(\tilde{x})\right]"
        ),
        paper=Paper(
            authors="Yilun Du, Igor Mordatch",
            year=2019,
            title="Implicit Generation and Modeling with Energy-Based Models",
            where="NeurIPS",
        ),
        lacks=LACKS,
    )
