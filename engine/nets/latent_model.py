r"""What every model with a decoder and an amortised posterior has in common.

.. math::
    \log p(x) \ge \mathcal L(x) = \mathbb E_{q(z \mid x)} \log p(x \mid z)
        - \sum_l \mathrm{KL}_l, \qquad
    \text{loss} = -\mathbb E_q \log p(x \mid z) + \beta \sum_l \mathrm{KL}_l

As it stands :class:`LatentModel` is a VAE: one latent "z", a diagonal Gaussian posterior, a
standard normal prior, and values that are independent given z. A model file subclasses it, gives
``card`` and ``Config`` (a subclass of :class:`LatentConfig`), and replaces what differs:

- **Another posterior** (planar, IAF): :meth:`posterior` returns an object with
  ``sample(k, generator)`` → ({"z": (K, B, Z)} with gradient, log_q (K, B)); ``make_encoder`` if
  the encoder has to put out more than 2Z numbers. :meth:`kl_terms` returns
  ``self.kl_by_draws(drawn)``, as there is no closed form.
- **Another prior** (a flow, a mixture): :meth:`prior` returns its distribution, which
  :func:`engine.drawing.draw` can draw from; :meth:`kl_terms` as above. :meth:`log_prior` follows
  from ``prior``, unless there is a quicker way.
- **Another decoder** (autoregressive): :meth:`make_decoder`, :meth:`start` if it has weights of
  its own, :meth:`log_prob_given` for training, and :meth:`decode`, whose distribution brings
  ``log_prob``, ``mean`` (or ``common_draw``, see :class:`engine.drawing.CommonDraw`) and, unless
  it is one of torch's, ``draw(generator, shape)`` (see :class:`engine.drawing.Drawable`).
- **Several latents** (hierarchies, ladders, categories): :attr:`latents` in ancestral order,
  :meth:`prior` given the parents, :meth:`infer` (one pass that draws them all, and keeps in
  ``posterior`` what :meth:`kl_terms` makes the KL of each out of), :meth:`encode` (a posterior
  whose ``sample`` may call ``infer``), :meth:`params`.
- **Another objective** (IWAE): :meth:`loss`, out of the same pieces; :attr:`beta` alone for a
  weighted or warmed-up KL, with :attr:`steps_taken` for schedules.

``elbo`` is never replaced: it is at β = 1 whatever the loss is, and its log-weights hold for any
number of draws. Shapes: B batch, K draws, D flat event size, Z latent features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from engine.drawing import draw
from engine.latents import Elbo, Latent, Latents, Posterior
from engine.model import GenerativeModel, TrainState
from engine.nets.coders import NETWORKS, make_decoder, make_encoder, start_weights
from engine.nets.diagonal import LOG_SCALE_START, DiagonalPosterior, diagonal_posterior
from engine.nets.likelihoods import Params, make_likelihood
from engine.nets.mlp import ACTIVATIONS
from engine.nets.outputs import check_level_values
from engine.wire.capability import Capability
from engine.wire.fields import Field

#: Why such a model has no density.
LACKS = {
    Capability.LOG_PROB: (
        "The density of x is an integral over every latent z, which nobody can do: a VAE "
        "offers a bound instead."
    ),
}


@dataclass(frozen=True)
class LatentConfig:
    """Settings that all of them share."""

    latent_features: Annotated[
        int, Field(1, 512, step=1, symbol="Z", help="Number of latent coordinates.")
    ] = 2
    hidden_features: Annotated[
        tuple[int, ...],
        Field(
            1,
            4096,
            help="Widths of the encoder's hidden layers, or channels of its convolutions; the "
            "decoder's are reversed.",
        ),
    ] = (128, 128)
    network: Annotated[
        str,
        Field(
            choices=NETWORKS,
            help="Both networks: dense layers, or for pictures convolutions that halve them.",
        ),
    ] = "dense"
    activation: Annotated[
        str, Field(choices=tuple(ACTIVATIONS), help="Nonlinearity of both networks.")
    ] = "silu"
    decoder_scale: Annotated[
        str,
        Field(
            choices=("network", "per_dimension"),
            symbol=r"\sigma_x",
            help="Decoder noise: read off z by the network, or one learned width per coordinate. "
            "Black and white has none.",
        ),
    ] = "network"
    levels: Annotated[
        int | None,
        Field(2, 256, derived=True, help="Levels of each value; none for real numbers."),
    ] = None
    learning_rate: Annotated[
        float, Field(1e-6, 0.1, scale="log", symbol=r"\eta", live=True, help="Adam's step size.")
    ] = 2e-3
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", live=True, help="Points per step.")
    ] = 256


@dataclass(frozen=True)
class Drawn:
    """K draws of all latents of a batch, with their gradient.

    Attributes:
        posterior: What they were drawn from.
        latents: {latent: (K, B, *Z)}.
        log_q: (K, B), log q(z given x) of all latents together, nats.
    """

    posterior: Any
    latents: Mapping[str, Tensor]
    log_q: Tensor


class LatentModel(GenerativeModel):
    """A decoder, an encoder and the bound that trains them; see the module for what to replace.

    Args:
        event_shape: The shape *E of one observation.
        config: A :class:`LatentConfig`.
    """

    #: Steps of training taken before the one in hand, for schedules.
    steps_taken = 0

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        self.likelihood = make_likelihood(config.levels)
        self.encoder = self.make_encoder()
        self.decoder = self.make_decoder()
        self.start()
        self.log_scale: nn.Parameter | None = None
        if self.likelihood.n_params == 2 and config.decoder_scale == "per_dimension":
            self.log_scale = nn.Parameter(torch.full((self.event_size,), LOG_SCALE_START))
        if self.likelihood.levels is not None:
            self.location.fill_(0.5 * (self.likelihood.levels - 1))

    # --- networks: called once, by the constructor --------------------------------------------

    def make_encoder(self) -> nn.Module:
        """Inputs (…, D) → what :meth:`posterior` wants, here (…, 2Z)."""
        config = self.config
        return make_encoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            2 * config.latent_features,
            activation=config.activation,
        )

    def make_decoder(self) -> nn.Module:
        """Latents (…, Z) → what :meth:`params` wants, here (…, P·D)."""
        config = self.config
        per_dimension = config.decoder_scale == "per_dimension"
        return make_decoder(
            config.network,
            self.event_shape,
            config.hidden_features,
            config.latent_features,
            1 if per_dimension else self.likelihood.n_params,
            activation=config.activation,
        )

    def start(self) -> None:
        """Draw the weights that both networks begin with."""
        start_weights(self.encoder)
        start_weights(self.decoder)

    # --- data units ---------------------------------------------------------------------------

    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise real values; of levels only the mean is wanted, as some never vary."""
        super().prepare(data, generator=generator)
        if self.likelihood.levels is not None:
            self.scale.fill_(1.0)

    def values(self, x: Tensor) -> Tensor:
        """(B, *E) → (B, D) as the likelihood takes them: level indices, or standardised."""
        return self.standardise(x) if self.likelihood.levels is None else self._flat(x)

    def inputs(self, values: Tensor) -> Tensor:
        """(B, D) of :meth:`values` → what the encoder sees."""
        return self.likelihood.inputs(values, self.location)

    # --- training -----------------------------------------------------------------------------

    @property
    def beta(self) -> float:
        """Weight of the KL in the loss; the bound itself is always at 1."""
        return 1.0

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean over (B, *E) of −ELBO with one draw, in nats, and its parts.

        ``nll`` = ``reconstruction`` + ``kl``, where the first part is −log p(x given z) of the
        data in the units given; ``total`` weighs the KL by β. Several latents have a ``kl_…``
        each.
        """
        values = self.values(x)
        drawn = self.infer(self.inputs(values), 1, generator)
        reconstruction = -self.log_prob_given(values, drawn.latents).mean()
        each = {name: kl.mean() for name, kl in self.kl_terms(drawn).items()}
        kl = _summed(each)
        nll = reconstruction + kl
        beta = self.beta
        total = nll if beta == 1.0 else reconstruction + beta * kl
        parts = {f"kl_{name}": value for name, value in each.items()} if len(each) > 1 else {}
        return {"total": total, "nll": nll, "reconstruction": reconstruction, "kl": kl, **parts}

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update on a batch (B, *E); returns named scalars, detached."""
        self.steps_taken = state.step
        return super().train_step(batch, state, generator)

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        """The bound of (B, *E) at β = 1: the mean of K reconstructions less the KL of each latent.

        Raises:
            ValueError: The model is of levels, and some values are none of them.
        """
        if self.likelihood.levels is not None:
            check_level_values(x, self.likelihood.levels, self.card.title)
        values = self.values(x)
        drawn = self.infer(self.inputs(values), n_draws, generator)
        log_prob_given_z = self.log_prob_given(values, drawn.latents)
        kl_terms = self.kl_terms(drawn)
        reconstruction = log_prob_given_z.mean(0)
        log_weights = log_prob_given_z + self.log_prior(drawn.latents) - drawn.log_q
        return Elbo(reconstruction - _summed(kl_terms), reconstruction, kl_terms, log_weights)

    # --- the posterior ------------------------------------------------------------------------

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> Posterior:
        """q(z given x) of (B, *E)."""
        return self.posterior(self.inputs(self.values(x)))

    def posterior(self, inputs: Tensor) -> Posterior:
        """q(z given x) of what the encoder sees, (B, D)."""
        return diagonal_posterior(self.encoder(inputs))

    def infer(self, inputs: Tensor, k: int, generator: torch.Generator) -> Drawn:
        """K draws of all latents of a batch (B, D), with gradient."""
        posterior = self.posterior(inputs)
        return Drawn(posterior, *posterior.sample(k, generator))

    def kl_terms(self, drawn: Drawn) -> dict[str, Tensor]:
        """KL(q‖prior) of each latent, {latent: (B,)}: in closed form for diagonal Gaussians."""
        posterior: DiagonalPosterior = drawn.posterior
        return {"z": posterior.kl}

    def kl_by_draws(self, drawn: Drawn) -> dict[str, Tensor]:
        """The same of a single latent by its draws: the mean of log q − log prior, (B,)."""
        (name,) = drawn.latents
        return {name: (drawn.log_q - self.log_prior(drawn.latents)).mean(0)}

    # --- the prior ----------------------------------------------------------------------------

    @property
    def latents(self) -> tuple[Latent, ...]:
        """One vector "z"."""
        return (Latent("z", (self.config.latent_features,)),)

    def prior(self, parents: Latents) -> Distribution:
        """Standard normal, event (Z,)."""
        if "z" in parents:
            raise ValueError("prior: given z, wanted no parents: it is the only latent")
        zeros = torch.zeros(self.config.latent_features).to(self.location)
        normal = Normal(zeros, torch.ones_like(zeros), validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def log_prior(self, latents: Latents) -> Tensor:
        """log p(z) of {latent: (K, B, *Z)}, each given those before it: (K, B), nats."""
        known: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        for latent in self.latents:
            value = latents[latent.name]
            terms[latent.name] = self.prior(known).log_prob(value)
            known[latent.name] = value
        return _summed(terms)

    # --- the decoder --------------------------------------------------------------------------

    def params(self, latents: Latents) -> Params:
        """What the likelihood reads: a centre, and a log-scale where it has one, (…, D) each."""
        return self.read_params(self.decoder(latents["z"]))

    def read_params(self, out: Tensor) -> Params:
        """A decoder's output (…, P·D), or (…, D) with widths of its own, as parameters."""
        offset = self.likelihood.offset(self.location)
        if self.likelihood.n_params == 1 or self.log_scale is not None:
            centre = out if offset is None else out + offset
            widths = () if self.log_scale is None else (self.log_scale.expand_as(out),)
            return centre, *widths
        centre, log_scale = out.chunk(2, -1)
        return centre if offset is None else centre + offset, log_scale + LOG_SCALE_START

    def log_prob_given(self, values: Tensor, latents: Latents) -> Tensor:
        """log p(x given z), (K, B), in the data's units, of values (B, D), latents (K, B, …)."""
        log_p = self.likelihood.log_prob(self.params(latents), values)
        return log_p if self.likelihood.levels is not None else log_p + self.standardise_log_det

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """p(x given z) of latents (…, *Z): independent values with event *E, in data units."""
        shape = self.event_shape
        params = tuple(p.reshape(*p.shape[:-1], *shape) for p in self.params(latents))
        units = (self.location.reshape(shape), self.scale.reshape(shape))
        values = self.likelihood.distribution(params, *units)
        return Independent(values, len(shape), validate_args=False)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E): the latents from their priors, x from the decoder's noise."""
        latents: dict[str, Tensor] = {}
        for latent in self.latents:
            prior = self.prior(latents)
            latents[latent.name] = draw(prior, generator, () if prior.batch_shape else (n,))
        return draw(self.decode(latents), generator)


def _summed(terms: Mapping[str, Tensor]) -> Tensor:
    first, *others = terms.values()
    for other in others:
        first = first + other
    return first
