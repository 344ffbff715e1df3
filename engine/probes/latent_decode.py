"""What chosen latents decode to, and how likely they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.drawing import draw
from engine.estimators.aggregate import aggregate_at
from engine.estimators.density import CancellationError
from engine.estimators.latent_space import (
    check_size,
    decoded,
    encode,
    find_real,
    mean_of,
    prior_of,
)
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Most latents at once, and draws of what one of them decodes to.
MOST, MOST_DRAWS = 4096, 4096


class Arguments(msgspec.Struct, frozen=True):
    """Latents ``z`` (M, Z); ``n_draws`` of p(x given z) each; ``n`` q's, 0 for no number."""

    z: np.ndarray
    latent: str = ""
    n_draws: int = 0
    n: int = 0


@probe(
    summary="What latents decode to, with their log-densities.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def latent_decode(view: View, arguments: Arguments) -> Iterator[Result]:
    """Means (M, *E) of p(x given z), their deviations, ``draws`` (M, K, *E) of it.

    ``log_prior`` (M,) is log p(z) where the latent has no parents; ``log_aggregate`` (M,) is
    log (1/n) Σ q(z given x) over ``n`` observations where q has a density, in nats, and
    ``aggregate_n`` how many there were. The other latents follow from their priors' means.

    Raises:
        ValueError: A number is out of range, or the values do not fit the latent.
    """
    latent = find_real(view.model, arguments.latent)
    z = _latents(view, arguments, latent)
    if not 0 <= arguments.n_draws <= MOST_DRAWS:
        raise ValueError(f"n_draws: given {arguments.n_draws}, wanted 0 to {MOST_DRAWS}")
    with suppress(CancellationError), torch.no_grad():
        distribution = decoded(view.model, z, latent)
        arrays = {"means": mean_of(distribution), "deviations": _deviations(distribution, z)}
        if arguments.n_draws:
            drawn = draw(distribution, view.generator(2), (arguments.n_draws,))
            arrays["draws"] = drawn.transpose(0, 1)
        values: dict[str, Value] = {"family": family(distribution), "aggregate_n": 0}
        prior = prior_of(view.model, latent)
        if prior is not None:
            arrays["log_prior"] = prior.log_prob(z.reshape(-1, *latent.shape)).double()
        scored = _aggregate(view, arguments, latent, z)
        if scored is not None:
            arrays["log_aggregate"], values["aggregate_n"] = scored
        yield Result({name: _plain(value) for name, value in arrays.items()}, values)


def family(distribution: Distribution) -> str:
    """What a decoder's distribution is called, such as ``"Normal"`` or ``"PointMass"``."""
    inner = distribution
    while hasattr(inner, "base_dist"):
        inner = inner.base_dist
    return type(inner).__name__


def _latents(view: View, arguments: Arguments, latent: Latent) -> Tensor:
    given = torch.from_numpy(np.array(arguments.z, dtype=np.float64))
    z = check_size(given, latent).to(view.model.location.dtype).to(view.model.device)
    if not 1 <= len(z) <= MOST:
        raise ValueError(f"z: given {len(z)} rows, wanted 1 to {MOST}")
    if not bool(z.isfinite().all()):
        raise ValueError("z: given NaN or infinity, wanted finite numbers")
    return z


def _aggregate(
    view: View, arguments: Arguments, latent: Latent, z: Tensor
) -> tuple[Tensor, int] | None:
    if arguments.n < 1 or not view.can(Capability.ENCODING):
        return None
    data = view.dataset.train
    chosen = data[choose(len(data), arguments.n, view)]
    codes = encode(
        view.model, chosen, latent, generator=view.generator(), cancelled=view.cancelled
    )
    if not codes.is_exact:
        return None
    return aggregate_at(codes, z, view.cancelled), len(chosen)


def _deviations(distribution: Distribution, z: Tensor) -> Tensor:
    """Standard deviations (M, *E); NaN where the distribution has none to tell."""
    try:
        variance: Tensor = distribution.variance
    except (NotImplementedError, AttributeError):
        return torch.full((len(z), *distribution.event_shape), torch.nan)
    return variance.sqrt()


def _plain(value: Tensor) -> Any:
    wide = value.dtype == torch.float64
    return value.detach().cpu().to(torch.float64 if wide else torch.float32).numpy()
