"""Laws of sampling, densities and bounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.laws.base import (
    N_ERRORS,
    NotTestable,
    has,
    has_edges,
    laws_of,
    levels_of,
    needs,
    no_global_noise,
    points,
    require,
    require_close,
    require_finite,
    require_not_below,
    require_shape,
    same_again,
)
from engine.wire.capability import Capability

#: A density must integrate to 1 within this.
MASS_TOLERANCE = 0.01
#: States of an event of levels that are summed one by one.
MOST_STATES = 2**16
#: Points per side of the lattice, by number of coordinates; the next is tried when one misses.
LATTICE_SIZES = {1: (2_000, 20_000, 200_000), 2: (160, 320, 640, 1280)}
#: Draws that set the lattice's box, and how far it reaches beyond them, as a share of its sides.
N_BOX_DRAWS = 4096
BOX_MARGIN = 0.25
#: Lattice points scored at once.
CHUNK = 65_536
#: Scales on each side of the box for a model that cannot sample.
BOX_SCALES = 8.0


# --- sampling ---------------------------------------------------------------------------------


def repeatable(model: Any, generator: torch.Generator) -> None:
    """The same generator state gives the same draws, and the next draws are others."""
    again = same_again(generator)
    first, second = model.sample(16, generator=generator), model.sample(16, generator=again)
    require(
        torch.equal(first, second),
        f"the same generator gave draws that differ by up to {_difference(first, second)}",
    )
    third = model.sample(16, generator=generator)
    require(not torch.equal(first, third), "two draws in a row from one generator are the same")


def sample_shape(model: Any, generator: torch.Generator) -> None:
    """N draws have shape (N, *E) and the model's number type, for one draw as for many."""
    for n in (1, 7):
        x = model.sample(n, generator=generator)
        require_shape(f"{n} draws", x, (n, *model.event_shape))
        require(
            x.dtype == model.location.dtype,
            f"draws are {x.dtype}, wanted the model's {model.location.dtype}",
        )


def finite(model: Any, generator: torch.Generator) -> None:
    """Draws are finite numbers."""
    require_finite("sample", model.sample(256, generator=generator))


def private_noise(model: Any, generator: torch.Generator) -> None:
    """Sampling leaves every global random generator alone."""
    with no_global_noise("sample"):
        model.sample(4, generator=generator)


@torch.no_grad()
def follows_density(model: Any, generator: torch.Generator) -> None:
    """The share of draws on each side of a line is the mass of the model's own density there."""
    needs(model, Capability.LOG_PROB)
    x = model.sample(N_BOX_DRAWS, generator=generator).reshape(N_BOX_DRAWS, -1)
    cuts = x.quantile(0.3, dim=0)
    total, masses = _integral(model, x, cuts)
    shares = (x <= cuts).to(x.dtype).mean(0)
    errors = (masses * (1.0 - masses) / len(x)).clamp_min(0.0).sqrt()
    allowed = N_ERRORS * errors + abs(total - 1.0) + 1e-3
    for i in range(x.shape[1]):
        require(
            bool((shares[i] - masses[i]).abs() <= allowed[i]),
            f"{float(shares[i]):.4f} of the draws have coordinate {i} below {float(cuts[i]):.3g}, "
            f"where the density has mass {float(masses[i]):.4f} ± {float(errors[i]):.4f}",
        )


# --- log-density ------------------------------------------------------------------------------


def log_prob_shape(model: Any, generator: torch.Generator) -> None:
    """log p of (B, *E) is (B,), and finite near the data."""
    log_p = model.log_prob(points(model, 9, generator))
    require_shape("log_prob", log_p, (9,))
    require_finite("log_prob", log_p)


def integrates_to_one(model: Any, generator: torch.Generator) -> None:
    """The mass is 1: on a lattice for events of one or two values, over all states of levels."""
    if levels_of(model) is not None:
        every = _states(model)
        total = float(_scores(model, every).double().exp().sum())
        allowed = len(every) * torch.finfo(model.location.dtype).eps + 1e-9
        require(
            abs(total - 1.0) <= allowed,
            f"the {len(every)} probabilities sum to {total:.9f}, wanted 1 ± {allowed:.1g}",
        )
        return
    total, _ = _integral(model, _spread(model, generator))
    require(
        abs(total - 1.0) <= MASS_TOLERANCE,
        f"the density integrates to {total:.4f}, wanted 1 ± {MASS_TOLERANCE:g}",
    )


def gradient_finite(model: Any, generator: torch.Generator) -> None:
    """∂ log p/∂x is finite and not zero everywhere."""
    if levels_of(model) is not None:
        raise NotTestable("the values are levels, between which log p has no derivative")
    if has_edges(model):
        raise NotTestable("the density may be flat between its edges")
    x = points(model, 16, generator).requires_grad_()
    (gradient,) = torch.autograd.grad(model.log_prob(x).sum(), x)
    require_finite("the gradient of log_prob", gradient)
    require(bool(gradient.abs().max() > 0.0), "the gradient of log_prob is 0 at all points")


def batch_independent(model: Any, generator: torch.Generator) -> None:
    """A point's log p does not depend on its neighbours in the batch, nor on the moment."""
    x = points(model, 8, generator)
    together = model.log_prob(x)
    alone = torch.cat([model.log_prob(row[None]) for row in x])
    require_close("log_prob of a point alone and in a batch", alone, together)
    require_close("log_prob asked twice", model.log_prob(x), together)


# --- bound ------------------------------------------------------------------------------------


def bound_shape(model: Any, generator: torch.Generator) -> None:
    """Total, reconstruction and each KL are (B,), the log-weights (K, B), all finite."""
    bound = model.elbo(points(model, 5, generator), n_draws=3, generator=generator)
    parts = {"total": bound.total, "reconstruction": bound.reconstruction, **bound.kl_terms}
    for name, value in parts.items():
        require_shape(f"elbo's {name}", value, (5,))
        require_finite(f"elbo's {name}", value)
    require_shape("elbo's log_weights", bound.log_weights, (3, 5))
    require_finite("elbo's log_weights", bound.log_weights)
    if has(model, Capability.DECODING):
        names = {latent.name for latent in model.latents}
        require(
            set(bound.kl_terms) == names,
            f"elbo has KL terms of {sorted(bound.kl_terms)}, wanted the latents {sorted(names)}",
        )


def identity(model: Any, generator: torch.Generator) -> None:
    """Total = reconstruction − Σ KL."""
    bound = model.elbo(points(model, 32, generator), generator=generator)
    parts = bound.reconstruction - torch.stack(list(bound.kl_terms.values())).sum(0)
    require_close("elbo's total against reconstruction − Σ KL", bound.total, parts)


def kl_not_negative(model: Any, generator: torch.Generator) -> None:
    """Each KL term is at least 0 in expectation; of shares of one KL only their sum."""
    x = points(model, 8, generator)
    bounds = [model.elbo(x, generator=generator).kl_terms for _ in range(32)]
    if getattr(model, "kl_is_shared", False):
        bounds = [{" + ".join(b): torch.stack(list(b.values())).sum(0)} for b in bounds]
    for name in bounds[0]:
        require_not_below(f"KL of '{name}'", torch.stack([b[name] for b in bounds]), 0.0)


def weights_agree(model: Any, generator: torch.Generator) -> None:
    """The mean log-weight is the total, in expectation."""
    x = points(model, 8, generator)
    weights = model.elbo(x, n_draws=512, generator=generator).log_weights
    totals = torch.stack([model.elbo(x, generator=generator).total for _ in range(128)])
    n_pairs = len(totals)
    difference = weights.reshape(n_pairs, -1, 8).mean(1) - totals
    size = totals.detach().abs().mean(0)
    require_not_below("mean log-weight − total", difference, 0.0, size)
    require_not_below("total − mean log-weight", -difference, 0.0, size)


def grows_with_draws(model: Any, generator: torch.Generator) -> None:
    """The K-draw bound grows with K, in expectation."""
    x = points(model, 16, generator)

    def bounds(k: int) -> Tensor:
        asked = [model.elbo(x, n_draws=k, generator=generator) for _ in range(32)]
        return torch.stack([bound.importance_weighted.mean() for bound in asked])

    for few, many in ((1, 8), (8, 64)):
        what = f"the {many}-draw bound − the {few}-draw bound"
        require_not_below(what, bounds(many) - bounds(few), 0.0)


def below_log_prob(model: Any, generator: torch.Generator) -> None:
    """The bound lies below log p, in expectation."""
    needs(model, Capability.LOG_PROB)
    x = points(model, 8, generator)
    totals = torch.stack([model.elbo(x, generator=generator).total for _ in range(64)])
    size = totals.detach().abs().mean(0)
    require_not_below("log p − elbo", model.log_prob(x) - totals, 0.0, size)


# --- quadrature -------------------------------------------------------------------------------


def _spread(model: Any, generator: torch.Generator) -> Tensor:
    """Points (M, D) whose box holds the model's mass."""
    if has(model, Capability.SAMPLING):
        x = model.sample(N_BOX_DRAWS, generator=generator)
        return torch.as_tensor(x).reshape(N_BOX_DRAWS, -1)
    reach = BOX_SCALES * model.scale
    return torch.stack([model.location - reach, model.location + reach])


@torch.no_grad()
def _integral(model: Any, spread: Tensor, cuts: Tensor | None = None) -> tuple[float, Tensor]:
    """The mass in a box around points (M, D), and below each coordinate's cut (D,)."""
    if levels_of(model) is not None and cuts is not None:
        every = _states(model)
        p = _scores(model, every).double().exp()
        return float(p.sum()), (p[:, None] * (every <= cuts)).sum(0).to(cuts)
    size = spread.shape[1]
    if size not in LATTICE_SIZES:
        raise NotTestable(f"events of {size} values are too large for a lattice")
    low, high = spread.amin(0), spread.amax(0)
    margin = BOX_MARGIN * (high - low)
    cuts = low if cuts is None else cuts
    coarser, total, below = 0.0, 0.0, torch.zeros_like(low)
    for n in LATTICE_SIZES[size]:
        coarser = total
        total, below = _midpoint(model, low - margin, high + margin, cuts, n)
        if abs(total - 1.0) <= MASS_TOLERANCE / 4.0:
            return total, below
    if abs(total - coarser) > MASS_TOLERANCE:
        raise NotTestable("the density has peaks that are too narrow for a lattice")
    return total, below


def _midpoint(model: Any, low: Tensor, high: Tensor, cuts: Tensor, n: int) -> tuple[float, Tensor]:
    """The midpoint rule with n cells a side: total mass and mass below the cuts (D,)."""
    step = (high - low) / n
    places = low + step * (torch.arange(n).to(low) + 0.5)[:, None]  # (n, D)
    lattice = torch.cartesian_prod(*places.T).reshape(-1, len(low))
    p = _scores(model, lattice).double().exp() * step.double().prod()
    # Of the cell that a cut passes through only a part lies below it.
    share = ((cuts - lattice) / step + 0.5).clamp(0.0, 1.0).double()
    return float(p.sum()), (p[:, None] * share).sum(0).to(low)


@torch.no_grad()
def _scores(model: Any, flat: Tensor) -> Tensor:
    """log p of flat events (M, D), (M,), in chunks."""
    chunks = torch.split(flat, CHUNK)
    return torch.cat([model.log_prob(c.reshape(-1, *model.event_shape)) for c in chunks])


def _states(model: Any) -> Tensor:
    """Every state of an event of levels, (levels^D, D)."""
    levels, size = levels_of(model) or 1, model.event_size
    if levels**size > MOST_STATES:
        raise NotTestable(f"events of {levels}^{size} states are too many to enumerate")
    every = torch.arange(levels**size)[:, None] // levels ** torch.arange(size)
    return (every % levels).to(model.location)


def _difference(first: Tensor, second: Tensor) -> str:
    return f"{float((first - second).abs().max()):.3g}"


LAWS = (
    *laws_of(
        Capability.SAMPLING, repeatable, sample_shape, finite, private_noise, follows_density
    ),
    *laws_of(
        Capability.LOG_PROB, log_prob_shape, integrates_to_one, gradient_finite, batch_independent
    ),
    *laws_of(
        Capability.BOUND,
        bound_shape,
        identity,
        kl_not_negative,
        weights_agree,
        grows_with_draws,
        below_log_prob,
    ),
)
