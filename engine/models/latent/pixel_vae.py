r"""PixelVAE: a VAE whose decoder is autoregressive, so z need not say what neighbours tell.

The decoder of a plain VAE draws every pixel by itself, and z has to explain all that pixels have
in common. Here each value is drawn given those before it *and* z: the decoder sees strokes and
edges for itself, and z is left with what is far apart. The further it sees, the less z has to say,
until the posterior is the prior (collapse), which the KL shows.

.. math::
    \log p(x \mid z) = \sum_{i=1}^{D} \log p(x_i \mid x_{<i}, z), \qquad
    \log p(x) \ge \mathbb E_{q(z \mid x)} \log p(x \mid z)
        - \mathrm{KL}(q(z \mid x) \,\|\, \mathcal N(0, I))

Pictures have a PixelCNN's masked convolutions, other events a masked network.

References:
    Gulrajani, Kumar, Ahmed, Taiga, Visin, Vazquez and Courville, *PixelVAE: A Latent Variable
    Model for Natural Images*, ICLR 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn
from torch.distributions import Distribution

from engine.latents import Latents
from engine.nets.coders import start_weights
from engine.nets.drawn_event import ConditionalEvents, Reading
from engine.nets.latent_model import LACKS, LatentConfig, LatentModel
from engine.nets.latent_pixels import ConvConditionals, MaskedConditionals, is_picture
from engine.nets.likelihoods import Params
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class PixelVAEConfig(LatentConfig):
    """Settings of :class:`PixelVAE`; the last four are those of pictures."""

    n_layers: Annotated[
        int,
        Field(0, 12, step=1, symbol="L", help="Masked blocks after the first convolution."),
    ] = 1
    n_channels: Annotated[
        int, Field(3, 256, step=4, symbol="C", help="Maps inside a masked block.")
    ] = 8
    kernel_size: Annotated[
        int, Field(1, 9, step=2, symbol="k", help="Kernel of the blocks; odd.")
    ] = 3
    first_kernel: Annotated[
        int,
        Field(1, 15, step=2, help="Kernel of the first masked convolution; 1 sees no neighbour."),
    ] = 3


class PixelVAE(LatentModel):
    """A Gaussian encoder, and a decoder that sees z and the values before."""

    Config = PixelVAEConfig
    card = ModelCard(
        name="pixel_vae",
        title="PixelVAE",
        family="latent",
        summary=(
            "A VAE whose decoder draws value by value: each is told z and the values before it. "
            "Neighbours explain the detail, z the whole; a decoder that sees far ignores z."
        ),
        equation=(
            r"\log p(x|z)=\sum_{i=1}^{D}\log p(x_i|x_{<i},z),\quad "
            r"\log p(x)\geq\mathbb{E}_{q}[\log p(x|z)]-\mathrm{KL}(q(z|x)\,\|\,\mathcal{N}(0,I))"
        ),
        paper=Paper(
            authors="Ishaan Gulrajani and others",
            year=2017,
            title="PixelVAE: A Latent Variable Model for Natural Images",
            where="ICLR",
        ),
        lacks=LACKS,
        features=("common_draw",),
    )

    def make_decoder(self) -> nn.Module:
        """The network of all conditionals."""
        config: PixelVAEConfig = self.config
        per_dimension = config.decoder_scale == "per_dimension"
        n_params = 1 if per_dimension else self.likelihood.n_params
        if not is_picture(self.event_shape):
            return MaskedConditionals(
                self.event_size, n_params, config.latent_features,
                hidden_features=config.hidden_features, activation=config.activation,
            )  # fmt: skip
        return ConvConditionals(
            self.event_shape,
            n_params,
            config.latent_features,
            network=config.network,
            hidden_features=config.hidden_features,
            n_channels=config.n_channels,
            n_layers=config.n_layers,
            kernels=(config.first_kernel, config.kernel_size),
            activation=config.activation,
        )

    def start(self) -> None:
        """Only the encoder's: the decoder has begun near the centre of the data."""
        start_weights(self.encoder)

    def params(self, latents: Latents) -> Params:
        """Refused: parameters depend on the values before, see :meth:`decode`."""
        raise ValueError("PixelVAE: given latents alone, wanted the earlier values as well")

    def log_prob_given(self, values: Tensor, latents: Latents) -> Tensor:
        """log p(x given z), (K, B), in the data's units, of values (B, D), latents (K, B, Z)."""
        return self.given(latents["z"]).log_prob_of_values(values)

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """p(x given z) of latents (…, Z): event *E, in data units."""
        return self.given(latents["z"])

    def given(self, z: Tensor) -> ConditionalEvents:
        """p(x given z) of latents (…, Z)."""
        network = self.decoder
        if not isinstance(network, ConvConditionals | MaskedConditionals):
            raise TypeError("the decoder is one of conditionals")
        reading = Reading(self.likelihood, self.location, self.scale, self.log_scale)
        return ConditionalEvents(network, z, self.event_shape, reading)
