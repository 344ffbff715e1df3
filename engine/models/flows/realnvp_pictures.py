r"""RealNVP as its paper draws it for pictures: checkerboards, then channels, on several scales.

On each scale every other pixel leads the rest, as on a chessboard; then blocks of 2 × 2 pixels
become channels, half of which lead the others; then half of the channels go to the base. Batch
normalisation stands after every coupling, with its log-determinant.

.. math::
    y = b \odot x + (1 - b) \odot \bigl(x \odot e^{s(b \odot x)} + t(b \odot x)\bigr), \qquad
    \log p(x) = \log \mathcal N(f(x); 0, I) + \sum_l \Bigl(\sum_i (1 - b_i)\, s_{l,i}
        - \tfrac12 H_l W_l \sum_c \log \sigma_{lc}^2\Bigr)

``realnvp`` treats a picture as a list of numbers with dense networks, and its weights lie in one
vector with a gradient written by hand; nothing of that fits convolutions, so this is a model of
its own. The log-scale is bounded as there (:mod:`engine.bijections.affine`), in the place of the
paper's learned tanh; pictures of levels are dequantised (:mod:`engine.bijections.picture_flow`).

References:
    Dinh, Sohl-Dickstein and Bengio, *Density Estimation Using Real NVP*, ICLR 2017, sections 3.4
    to 3.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from engine.bijections.map_batch_norm import MapBatchNorm
from engine.bijections.map_coupling import ChannelCoupling, CheckerboardCoupling, Networks
from engine.bijections.picture_flow import LACKS, PictureFlow, PictureFlowConfig
from engine.bijections.stacking import Stack
from engine.nets.coupling_networks import residual_network
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


class RealNVPPictures(PictureFlow):
    """Couplings under checkerboard and channel masks, on several scales."""

    card = ModelCard(
        name="realnvp_pictures",
        title="RealNVP (pictures)",
        family="flows",
        summary=(
            "Every other pixel, then half of the channels, is scaled and shifted by what residual "
            "convolutions read off the others. Half of the values leave for the base at every "
            "scale."
        ),
        equation=(
            r"y = b \odot x + (1 - b) \odot (x \odot e^{s(b \odot x)} + t(b \odot x)), \quad "
            r"\log p(x) = \log \mathcal{N}(f(x); 0, I) + \sum_l \log|\det_l|"
        ),
        paper=Paper(
            "Laurent Dinh, Jascha Sohl-Dickstein, Samy Bengio",
            2017,
            "Density Estimation Using Real NVP",
            "ICLR",
        ),
        lacks=LACKS,
    )

    @dataclass(frozen=True)
    class Config(PictureFlowConfig):
        """Settings of RealNVP for pictures."""

        n_scales: Annotated[
            int,
            Field(
                1,
                6,
                step=1,
                help="Scales: between two of them half of the channels go to the base. Odd sides "
                "allow fewer.",
            ),
        ] = 2
        hidden_features: Annotated[
            tuple[int, ...],
            Field(1, 1024, help="Channels inside each residual block of a coupling's network."),
        ] = (32, 32)
        n_layers: Annotated[
            int,
            Field(
                1,
                32,
                step=1,
                help="Couplings under each kind of mask; the last scale has one more.",
            ),
        ] = 3

    def compose(self, stack: Stack) -> None:
        """Per scale: checkerboards, squeeze, channels, half of the channels out."""
        for scale in range(1, self.config.n_scales + 1):
            is_last = scale == self.config.n_scales or not stack.can_squeeze
            n_couplings = self.config.n_layers + is_last
            if stack.shape[1] * stack.shape[2] > 1:
                self._checkerboards(stack, scale, n_couplings)
            else:
                self._channels(stack, scale, n_couplings)
            if is_last:
                return
            stack.squeeze()
            self._channels(stack, scale, self.config.n_layers)
            stack.let_go(stack.shape[0] // 2)

    def _checkerboards(self, stack: Stack, scale: int, n: int) -> None:
        for i in range(n):
            name = f"scale {scale}, checkerboard {i + 1}"
            networks = self._networks(stack)
            stack.add(
                CheckerboardCoupling(stack.shape, networks, parity=i % 2, name=f"{name}: coupling")
            )
            stack.add(MapBatchNorm(stack.shape[0], f"{name}: batch normalisation"))

    def _channels(self, stack: Stack, scale: int, n: int) -> None:
        for i in range(n):
            name = f"scale {scale}, channels {i + 1}"
            networks = self._networks(stack)
            layer = ChannelCoupling(
                stack.shape[0], networks, swapped=i % 2 == 1, name=f"{name}: coupling"
            )
            stack.add(layer)
            stack.add(MapBatchNorm(stack.shape[0], f"{name}: batch normalisation"))

    def _networks(self, stack: Stack) -> Networks:
        widths, kernel = self.config.hidden_features, stack.kernel_size
        return lambda n_in, n_out: residual_network(n_in, widths, n_out, kernel)
