"""A model's latents as vectors: which one is looked at, what the others are, where data lie.

Everything goes through the capabilities: ``latents``, ``prior``, ``decode``, and ``encode`` with
``Posterior.sample``. A posterior that names its ``distribution`` (a normal over one latent) gives
exact moments; of every other one they are those of draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from engine.capabilities import Decoding, Encoding
from engine.drawing import CommonDraw, draw
from engine.estimators.density import CancellationError, as_events
from engine.latents import Latent, Posterior, part_of
from engine.model import GenerativeModel

#: Values of events encoded at once, and most draws of a posterior whose moments are unknown.
VALUES, MOST_DRAWS = 2**20, 4096
#: Latents of more values are matched to draws coordinate by coordinate.
MOST_FULL = 16
LOG_TWO_PI = math.log(2.0 * math.pi)

Cancelled: TypeAlias = Callable[[], bool]


def never() -> bool:
    """Nothing is ever cancelled."""
    return False


@dataclass(frozen=True)
class Codes:
    """q(z given x) of B observations as Gaussians over one latent, flat.

    Attributes:
        mean: (B, Z).
        scale: (B, Z), standard deviations of a diagonal Gaussian; None with a factor.
        factor: Lower Cholesky factor, (B, Z, Z), or (Z, Z) of all; None of a diagonal one.
        draws: (K, B, Z) where q is no Gaussian: mean and factor are then theirs.
    """

    mean: Tensor
    scale: Tensor | None = None
    factor: Tensor | None = None
    draws: Tensor | None = None

    @property
    def is_exact(self) -> bool:
        """Whether q is this Gaussian, and not only as wide."""
        return self.draws is None

    def deviations(self) -> Tensor:
        """(B, Z), the standard deviation of each coordinate."""
        if self.scale is not None:
            return self.scale
        assert self.factor is not None
        return self.factor.square().sum(-1).sqrt().expand_as(self.mean)

    def covariances(self, basis: Tensor) -> Tensor:
        """(B, d, d) on the plane of orthonormal rows ``basis`` (d, Z)."""
        if self.scale is not None:
            return torch.einsum("iz,bz,jz->bij", basis, self.scale.square(), basis)
        assert self.factor is not None
        half = basis @ self.factor  # (B, d, Z) or (d, Z)
        return (half @ half.mT).expand(len(self.mean), len(basis), len(basis))

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z_m given x_b) of z (M, Z), (M, B), nats.

        Raises:
            ValueError: q is known by draws only.
        """
        if not self.is_exact:
            raise ValueError("q is known by draws only, so it has no density at a point")
        away = z[:, None] - self.mean  # (M, B, Z)
        if self.scale is not None:
            noise, log_det = away / self.scale, self.scale.log().sum(-1)
        else:
            assert self.factor is not None
            factor = self.factor.expand(len(self.mean), *self.factor.shape[-2:])
            noise = torch.linalg.solve_triangular(factor, away.unsqueeze(-1), upper=False)
            noise = noise.squeeze(-1)
            log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = 0.5 * z.shape[-1] * LOG_TWO_PI
        return -0.5 * noise.square().sum(-1) - log_det - constant


# --- latents ---------------------------------------------------------------------------------


def as_decoder(model: GenerativeModel) -> Decoding:
    """The model as one with latents; raises ``ValueError`` for others."""
    if not isinstance(model, Decoding):
        raise ValueError(f"{model.card.title} has no latent space to decode")
    return model


def find_latent(model: GenerativeModel, name: str = "") -> Latent:
    """A latent by name; "" is the first real one, else the first.

    Raises:
        ValueError: There is none of that name.
    """
    latents = as_decoder(model).latents
    if not name:
        return next((latent for latent in latents if latent.kind == "real"), latents[0])
    found = next((latent for latent in latents if latent.name == name), None)
    if found is None:
        known = ", ".join(latent.name for latent in latents)
        raise ValueError(f"latent: given '{name}', wanted one of {known}")
    return found


def find_real(model: GenerativeModel, name: str = "") -> Latent:
    """As :func:`find_latent`, and refuses one that is not real."""
    latent = find_latent(model, name)
    if latent.kind != "real":
        kind = "binary" if latent.kind == "binary" else f"a {latent.kind}"
        raise ValueError(
            f"latent: '{latent.name}' of {model.card.title} is {kind}, wanted a real one"
        )
    return latent


def size_of(latent: Latent) -> int:
    """Z, the number of values."""
    return int(torch.Size(latent.shape).numel())


def check_size(z: Tensor, latent: Latent) -> Tensor:
    """Values (M, Z) of a latent; raises ``ValueError`` for another width."""
    if z.dim() != 2 or z.shape[1] != size_of(latent):
        raise ValueError(f"z: given {list(z.shape)}, wanted rows of {size_of(latent)} values")
    return z


def fill(
    model: GenerativeModel,
    given: Mapping[str, Tensor],
    n: int,
    *,
    noise: Callable[[Latent], torch.Generator] | None = None,
) -> dict[str, Tensor]:
    """All latents (n, *Z): those given, the others from their prior in ancestral order.

    Args:
        model: With latents.
        given: Values (n, *Z), or (1, *Z) for all.
        n: How many.
        noise: A generator for each latent that is drawn; without it a normal prior gives its
            mean, and any other one a draw that is always the same.
    """
    decoder, found = as_decoder(model), dict[str, Tensor]()
    for latent in decoder.latents:
        if latent.name in given:
            value = given[latent.name]
            found[latent.name] = value.expand(n, *value.shape[1:])
            continue
        prior = decoder.prior(found)
        shape = () if prior.batch_shape else (n,)
        if noise is not None:
            value = draw(prior, noise(latent), shape)
        elif isinstance(prior, Independent) and isinstance(prior.base_dist, Normal):
            value = prior.mean.expand(*shape, *prior.mean.shape)
        else:
            value = draw(prior, torch.Generator().manual_seed(0), shape)
        found[latent.name] = value
    return found


def decoded(
    model: GenerativeModel, z: Tensor, latent: Latent, rest: Mapping[str, Tensor] | None = None
) -> Distribution:
    """p(x given z) of flat values (M, Z) of one latent, the others as :func:`fill` has them."""
    value = z.reshape(-1, *latent.shape)
    latents = fill(model, {**(rest or {}), latent.name: value}, len(value))
    return as_decoder(model).decode(latents)


def mean_of(distribution: Distribution) -> Tensor:
    """The mean, or where there is none a draw that is always the same."""
    if isinstance(distribution, CommonDraw):
        return distribution.common_draw()
    try:
        mean: Tensor = distribution.mean
    except (NotImplementedError, AttributeError):
        return draw(distribution, torch.Generator().manual_seed(0))
    return mean


def decoded_mean(
    model: GenerativeModel, z: Tensor, latent: Latent, rest: Mapping[str, Tensor] | None = None
) -> Tensor:
    """E p(x given z), (M, *E), piece by piece."""
    rows = max(16, VALUES // max(model.event_size, 1))
    pieces = [mean_of(decoded(model, piece, latent, rest)) for piece in torch.split(z, rows)]
    return torch.cat(pieces)


def prior_draws(
    model: GenerativeModel, latent: Latent, n: int, generator: torch.Generator
) -> Tensor:
    """N ancestral draws of one latent, flat (N, Z)."""
    return fill(model, {}, n, noise=lambda _: generator)[latent.name].reshape(n, -1)


def prior_of(model: GenerativeModel, latent: Latent) -> Distribution | None:
    """The latent's own prior where no other latent moves it, else None."""
    decoder, found = as_decoder(model), dict[str, Tensor]()
    for each in decoder.latents:
        prior = decoder.prior(found)
        if each.name == latent.name:
            return None if prior.batch_shape and found else prior
        shape = () if prior.batch_shape else (1,)
        found[each.name] = draw(prior, torch.Generator().manual_seed(0), shape)
    return None


# --- posteriors ------------------------------------------------------------------------------


@torch.no_grad()
def encode(
    model: GenerativeModel,
    x: Tensor,
    latent: Latent,
    *,
    generator: torch.Generator,
    n_draws: int = 64,
    cancelled: Cancelled = never,
) -> Codes:
    """q(z given x) of observations (B, *E) as Gaussians over one latent.

    Args:
        model: With an encoder.
        x: Observations in the units of the data.
        latent: A real one.
        generator: For posteriors whose moments are unknown.
        n_draws: K, draws of those.
        cancelled: Asked between pieces.

    Raises:
        ValueError: The model has no encoder, or a number is out of range.
        CancellationError: ``cancelled()`` was true.
    """
    if not isinstance(model, Encoding):
        raise ValueError(f"{model.card.title} has no encoder")
    if not 2 <= n_draws <= MOST_DRAWS:
        raise ValueError(f"n_draws: given {n_draws}, wanted 2 to {MOST_DRAWS}")
    pieces, latents = list[Codes](), as_decoder(model).latents
    for piece in torch.split(x, max(32, VALUES // max(model.event_size, 1))):
        if cancelled():
            raise CancellationError
        posterior = model.encode(as_events(model, piece))
        own = part_of(posterior, latent.name, latents)
        found = None if own is None else gaussian_codes(own, latent)
        if found is None:
            drawn = posterior.sample(n_draws, generator)[0][latent.name]
            found = matched_codes(drawn.reshape(n_draws, len(piece), -1))
        pieces.append(found)
    return _joined(pieces)


def gaussian_codes(posterior: Posterior, latent: Latent) -> Codes | None:
    """The posterior where it says that it is a normal over this latent, else None."""
    distribution = getattr(posterior, "distribution", None)
    if isinstance(distribution, MultivariateNormal):
        if tuple(distribution.event_shape) != tuple(latent.shape):
            return None
        factor = distribution.scale_tril
        shared = factor.stride(0) == 0 or len(factor) == 1
        return Codes(distribution.mean, factor=factor[0] if shared else factor)
    if not isinstance(distribution, Independent) or not isinstance(distribution.base_dist, Normal):
        return None
    if tuple(distribution.event_shape) != tuple(latent.shape):
        return None
    flat = distribution.mean.reshape(len(distribution.mean), -1)
    return Codes(flat, scale=distribution.stddev.reshape(flat.shape))


def matched_codes(drawn: Tensor) -> Codes:
    """Gaussians of the draws' (K, B, Z) own means and covariances."""
    mean = drawn.mean(0)
    away = drawn - mean
    if drawn.shape[-1] > MOST_FULL:
        return Codes(mean, scale=drawn.std(0).clamp_min(1e-9), draws=drawn)
    covariance = torch.einsum("kbi,kbj->bij", away, away) / (len(drawn) - 1)
    eye = torch.eye(drawn.shape[-1]).to(covariance)
    factor = torch.linalg.cholesky_ex(covariance + 1e-9 * eye).L
    return Codes(mean, factor=factor, draws=drawn)


def _joined(pieces: list[Codes]) -> Codes:
    first = pieces[0]
    mean = torch.cat([p.mean for p in pieces])
    scale = None if first.scale is None else torch.cat([_there(p.scale) for p in pieces])
    draws = None if first.draws is None else torch.cat([_there(p.draws) for p in pieces], 1)
    factor = first.factor
    if factor is not None and factor.dim() == 3:
        factor = torch.cat([_there(p.factor) for p in pieces])
    return Codes(mean, scale, factor, draws)


def _there(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
