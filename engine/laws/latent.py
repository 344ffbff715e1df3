"""Laws of encoders and decoders."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from engine.drawing import CommonDraw, draw
from engine.latents import PointMass
from engine.laws.base import (
    N_ERRORS,
    NotTestable,
    ancestral,
    check_latent,
    has,
    laws_of,
    needs,
    no_global_noise,
    points,
    require,
    require_close,
    require_finite,
    require_shape,
    same_again,
)
from engine.wire.capability import Capability

#: Draws of a posterior with which its log-density is tested, at so many points.
N_POSTERIOR_DRAWS = 4000
N_POSTERIOR_POINTS = 4
#: The test density's variance as a share of the posterior's: narrower, so that ratios are bounded.
NARROWING = 0.6
#: Real latents of more values than this give ratios with too much spread.
LARGEST_LATENT = 16
#: Draws of the prior for the marginal likelihood.
N_PRIOR_DRAWS = 20_000


# --- encoding ---------------------------------------------------------------------------------


def posterior_shape(model: Any, generator: torch.Generator) -> None:
    """K draws of each latent are (K, B, *Z), log_q is (K, B), all finite."""
    latents, log_q = model.encode(points(model, 5, generator)).sample(3, generator)
    require_shape("log_q", log_q, (3, 5))
    require_finite("log_q", log_q)
    for name, value in latents.items():
        require(
            tuple(value.shape[:2]) == (3, 5),
            f"latent '{name}' has shape {tuple(value.shape)}, wanted (3, 5, …)",
        )
    if has(model, Capability.DECODING):
        for latent in model.latents:
            require(latent.name in latents, f"the posterior has no latent '{latent.name}'")
            check_latent(latent, latents[latent.name], (3, 5))


def posterior_repeatable(model: Any, generator: torch.Generator) -> None:
    """The same generator state gives the same draws of the latents."""
    posterior = model.encode(points(model, 5, generator))
    again = same_again(generator)
    first, second = posterior.sample(4, generator), posterior.sample(4, again)
    require_close("log_q drawn twice from one generator state", first[1], second[1])
    for name, value in first[0].items():
        require(
            torch.equal(value, second[0][name]),
            f"latent '{name}' differs between two draws from one generator state",
        )


def posterior_private_noise(model: Any, generator: torch.Generator) -> None:
    """Encoding leaves every global random generator alone."""
    x = points(model, 5, generator)
    with no_global_noise("encode"):
        model.encode(x).sample(2, generator)


@torch.no_grad()
def log_q_agrees(model: Any, generator: torch.Generator) -> None:
    """log_q is the density of the draws: E_q[f(z)/q(z)] = 1 for any density f that q covers."""
    posterior = model.encode(points(model, N_POSTERIOR_POINTS, generator))
    reference, _ = posterior.sample(N_POSTERIOR_DRAWS, generator)
    latents, log_q = posterior.sample(N_POSTERIOR_DRAWS, generator)
    log_f = _test_density(reference, latents)
    ratio = (log_f - log_q).exp()
    mean = ratio.mean(0)
    # The test density was itself fitted to as many draws, hence twice the variance.
    error = (2.0 * ratio.var(0) / N_POSTERIOR_DRAWS).sqrt()
    # A category that was never drawn leaves no trace in the error; some twenty draws may miss it.
    n_categories = sum(int(v[0, 0].numel()) for v in latents.values() if not v.is_floating_point())
    missed = 20.0 * max(n_categories, 1) / N_POSTERIOR_DRAWS
    excess = (mean - 1.0).abs() - N_ERRORS * error - missed
    worst = int(excess.argmax())
    require(
        bool(excess[worst] <= 0.0),
        f"E_q[f/q] is {float(mean[worst]):.4f} ± {float(error[worst]):.4f}, wanted 1: "
        "log_q is not the density of the draws",
    )


def _test_density(reference: dict[str, Tensor], latents: dict[str, Tensor]) -> Tensor:
    """log f of drawn latents, (K, B), for an f fitted to reference draws."""
    if all(value.is_floating_point() for value in latents.values()):
        return _narrow_normal(_flat(reference), _flat(latents))
    if any(value.is_floating_point() for value in latents.values()):
        raise NotTestable("it needs latents that are all real, or all categories")
    mine, theirs = _side_by_side(reference).unbind(-1), _side_by_side(latents).unbind(-1)
    return torch.stack([_shares(a, b) for a, b in zip(mine, theirs, strict=True)]).sum(0)


def _shares(reference: Tensor, drawn: Tensor) -> Tensor:
    """Log-frequencies among the reference draws of one category, (K, B), nats."""
    levels = int(max(reference.max(), drawn.max())) + 1
    counts = torch.stack([column.bincount(minlength=levels) for column in reference.T])
    log_share = (counts / len(reference)).double().log()  # (B, levels)
    return log_share.gather(1, drawn.T).T


def _narrow_normal(reference: Tensor, z: Tensor) -> Tensor:
    size = z.shape[-1]
    if size > LARGEST_LATENT:
        raise NotTestable(f"latents of {size} values are too many")
    columns = []
    for mine, theirs in zip(reference.unbind(1), z.unbind(1), strict=True):
        covariance = torch.cov(mine.T).reshape(size, size) * NARROWING
        factor = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(factor, (theirs - mine.mean(0)).T, upper=False)
        log_det = factor.diagonal().log().sum()
        log_f = -0.5 * white.square().sum(0) - log_det - 0.5 * size * math.log(2.0 * math.pi)
        columns.append(log_f)
    return torch.stack(columns, 1)


def _flat(latents: dict[str, Tensor]) -> Tensor:
    """(K, B, all values), float64."""
    return _side_by_side(latents).double()


def _side_by_side(latents: dict[str, Tensor]) -> Tensor:
    """(K, B, all values), by name."""
    parts = [latents[name] for name in sorted(latents)]
    return torch.cat([part.reshape(*part.shape[:2], -1) for part in parts], -1)


# --- decoding ---------------------------------------------------------------------------------


def latents_declared(model: Any, generator: torch.Generator) -> None:
    """There is at least one latent, and no name stands twice."""
    names = [latent.name for latent in model.latents]
    require(bool(names), "latents is empty, wanted at least one")
    require(len(set(names)) == len(names), f"latents has names that stand twice: {names}")


def prior_as_declared(model: Any, generator: torch.Generator) -> None:
    """Draws of each prior have the shape and the kind that the latent declares."""
    drawn = ancestral(model, 16, generator)
    for latent in model.latents:
        check_latent(latent, drawn[latent.name], (16,))


def decode_finite(model: Any, generator: torch.Generator) -> None:
    """Decoding draws of the prior gives finite events of the right shape."""
    decoded = model.decode(ancestral(model, 64, generator))
    shape = (*decoded.batch_shape, *decoded.event_shape)
    wanted = (64, *model.event_shape)
    require(
        tuple(shape) == wanted and tuple(decoded.batch_shape) == (64,),
        f"decode has batch {tuple(decoded.batch_shape)} and event {tuple(decoded.event_shape)}, "
        f"wanted (64,) and {model.event_shape}",
    )
    require_finite("the centre of the decoded", _centre(decoded))
    require_finite("draws of the decoded", draw(decoded, generator))


def decode_follows_latents(model: Any, generator: torch.Generator) -> None:
    """Events decoded from different latents differ, and each depends on its own latents only."""
    if all(latent.levels == 1 for latent in model.latents):
        raise NotTestable("the latents can take one value only")
    latents = ancestral(model, 64, generator)
    together = _centre(model.decode(latents))
    first = _centre(model.decode({name: value[:1] for name, value in latents.items()}))
    require_close("an event decoded alone and in a batch", first, together[:1])
    require(
        bool((together - together[:1]).abs().max() > 0.0),
        "every draw of the prior decodes to the same event",
    )


@torch.no_grad()
def marginal(model: Any, generator: torch.Generator) -> None:
    """The mean of p(x given z) over the prior is p(x)."""
    needs(model, Capability.LOG_PROB)
    x = points(model, 4, generator)
    decoded = model.decode(ancestral(model, N_PRIOR_DRAWS, generator))
    if isinstance(decoded, PointMass):
        raise NotTestable("what is decoded is a point mass, which has no density")
    for row in x:
        p = decoded.log_prob(row.expand(N_PRIOR_DRAWS, *row.shape)).double().exp()
        given, error = float(p.mean()), float(p.std()) / N_PRIOR_DRAWS**0.5
        wanted = float(model.log_prob(row[None]).exp())
        if error > 0.1 * given:
            continue  # too few draws fall near this point to tell
        require(
            abs(given - wanted) <= N_ERRORS * error + 1e-9,
            f"the mean of p(x given z) is {given:.4g} ± {error:.2g}, but p(x) is {wanted:.4g}",
        )


def _centre(distribution: Distribution) -> Tensor:
    """The mean; for symbols, which have none, their probabilities; else a draw on common noise."""
    if isinstance(distribution, CommonDraw):
        return distribution.common_draw()
    if isinstance(distribution, Independent):
        return _centre(distribution.base_dist)
    if isinstance(distribution, Categorical):
        return distribution.probs
    return distribution.mean


LAWS = (
    *laws_of(
        Capability.ENCODING,
        posterior_shape,
        posterior_repeatable,
        posterior_private_noise,
        log_q_agrees,
    ),
    *laws_of(
        Capability.DECODING,
        latents_declared,
        prior_as_declared,
        decode_finite,
        decode_follows_latents,
        marginal,
    ),
)
