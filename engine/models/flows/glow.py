r"""Glow: a multi-scale flow in which learned matrices mix the channels between couplings.

Each step normalises the channels, mixes them by an invertible 1 × 1 convolution and lets one half
scale and shift the other. Between scales half of the channels go to the base, under a prior that
the others predict, and blocks of 2 × 2 pixels become channels.

.. math::
    \log p(x) = \log \mathcal N(f(x); 0, I)
        + \sum_l \Bigl( H_l W_l \sum_c \bigl(s_{lc} + \log|\sigma_{lc}|\bigr)
        + \sum_b s_l(x_a) \Bigr)

with the log-scales s of actnorm, the diagonal σ of the convolution's LU form and the couplings'
log-scales s(x_a), which are bounded (:mod:`engine.bijections.affine`). Pictures of levels are
dequantised (:mod:`engine.bijections.picture_flow`).

References:
    Kingma and Dhariwal, *Glow: Generative Flow with Invertible 1×1 Convolutions*, NeurIPS 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.bijections.actnorm import ActNorm
from engine.bijections.map_coupling import ChannelCoupling, Networks
from engine.bijections.picture_flow import LACKS, PictureFlow, PictureFlowConfig
from engine.bijections.pointwise_conv import PointwiseConv
from engine.bijections.stacking import Stack
from engine.nets.coupling_networks import plain_network
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class Glow(PictureFlow):
    """Steps of actnorm, 1 × 1 convolution and coupling, on several scales."""

    card = ModelCard(
        name="glow",
        title="Glow",
        family="flows",
        summary=(
            "Channels are normalised, mixed by an invertible matrix, and half of them are scaled "
            "and shifted by what a network reads off the others. Half of the values leave for the "
            "base at every scale, where the rest predicts them."
        ),
        equation=(
            r"\log p(x) = \log \mathcal{N}(f(x); 0, I) + \sum_l \Big( H_l W_l \sum_c "
            r"(s_{lc} + \log|\sigma_{lc}|) + \sum_b s_l(x_a) \Big)"
        ),
        paper=Paper(
            "Diederik P. Kingma, Prafulla Dhariwal",
            2018,
            "Glow: Generative Flow with Invertible 1×1 Convolutions",
            "NeurIPS",
        ),
        lacks=LACKS,
    )

    @dataclass(frozen=True)
    class Config(PictureFlowConfig):
        """Settings of Glow."""

        n_layers: Annotated[
            int, Field(1, 64, step=1, symbol="K", help="Steps of flow on each scale.")
        ] = 8

    def compose(self, stack: Stack) -> None:
        """Per scale: squeeze, K steps, and half of the channels out."""
        for scale in range(1, self.config.n_scales + 1):
            stack.squeeze()
            for step in range(1, self.config.n_layers + 1):
                where, n_channels = f"scale {scale}, step {step}", stack.shape[0]
                stack.add(ActNorm(n_channels, f"{where}: actnorm"))
                stack.add(PointwiseConv(n_channels, f"{where}: 1×1 convolution"))
                network = self._networks(stack)
                stack.add(ChannelCoupling(n_channels, network, name=f"{where}: coupling"))
            if scale == self.config.n_scales or not stack.can_squeeze:
                break
            stack.factor_out(self._priors(stack), f"scale {scale}: prior")
        stack.add(ActNorm(stack.shape[0], "last: actnorm"))

    def _networks(self, stack: Stack) -> Networks:
        widths, kernel = self.config.hidden_features, stack.kernel_size
        return lambda n_in, n_out: plain_network(n_in, widths, n_out, kernel)

    def _priors(self, stack: Stack) -> Networks:
        kernel = stack.kernel_size
        return lambda n_in, n_out: plain_network(n_in, (), n_out, kernel)
