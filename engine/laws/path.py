"""Laws of flows and of autoregressive conditionals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.drawing import draw, uniform_noise
from engine.laws.base import (
    NotTestable,
    laws_of,
    levels_of,
    needs,
    no_global_noise,
    points,
    require,
    require_close,
    require_finite,
    require_shape,
    same_again,
)
from engine.nets.stepwise import naive_steps
from engine.wire.capability import Capability

#: Jacobians of larger events would take too long.
LARGEST_JACOBIAN = 256
#: Share of the values that the masks of the laws cover.
KNOWN_SHARE = 0.4


# --- flow path --------------------------------------------------------------------------------


def path_shape(model: Any, generator: torch.Generator) -> None:
    """States are (L + 1, B, D) and start at the data, log-dets (L, B), with one name a layer."""
    x = points(model, 5, generator)
    path = model.path(x, generator=generator)
    n_layers = len(path.names)
    require(n_layers > 0, "the path has no layers")
    require_shape("states", path.states, (n_layers + 1, 5, model.event_size))
    require_shape("log_dets", path.log_dets, (n_layers, 5))
    require_finite("states", path.states)
    require_finite("log_dets", path.log_dets)
    require_close("the first state, which is the data", path.states[0], x.reshape(5, -1))


def round_trip(model: Any, generator: torch.Generator) -> None:
    """Data → base → data comes back, and so does base → data → base."""
    x = points(model, 16, generator)
    again = same_again(generator)
    there = model.path(x, generator=generator)
    back = model.path(there.states[-1], inverse=True, generator=again)
    require_close("data after a round trip", back.states[0], x.reshape(16, -1))
    z = draw(model.base(), generator, (16,))
    again = same_again(generator)
    out = model.path(z, inverse=True, generator=generator)
    home = model.path(out.states[0].reshape(16, *model.event_shape), generator=again)
    require_close("base points after a round trip", home.states[-1], z, slack=100.0)


def inverse_same_states(model: Any, generator: torch.Generator) -> None:
    """The inverse path passes through the same states, in the same order, with the same dets."""
    x = points(model, 16, generator)
    again = same_again(generator)
    there = model.path(x, generator=generator)
    back = model.path(there.states[-1], inverse=True, generator=again)
    require_close("states of the inverse path", back.states, there.states, slack=10.0)
    require_close("log-dets of the inverse path", back.log_dets, there.log_dets, slack=10.0)


def jacobian(model: Any, generator: torch.Generator) -> None:
    """Σ log_dets = log abs det of the Jacobian of base by data, by autograd."""
    if model.event_size > LARGEST_JACOBIAN:
        raise NotTestable(f"events of {model.event_size} values are too large for a Jacobian")
    x = points(model, 4, generator).requires_grad_()
    path = model.path(x, generator=generator)
    rows = [
        torch.autograd.grad(path.states[-1][:, i].sum(), x, retain_graph=True)[0]
        for i in range(model.event_size)
    ]
    matrix = torch.stack([row.reshape(4, -1) for row in rows], 1)  # (B, D base, D data)
    wanted = torch.linalg.slogdet(matrix).logabsdet
    require_close("Σ log_dets against the Jacobian", path.log_dets.sum(0), wanted)


def change_of_variables(model: Any, generator: torch.Generator) -> None:
    """log p(x) = log p_base(z) + Σ log_dets."""
    needs(model, Capability.LOG_PROB)
    x = points(model, 16, generator)
    path = model.path(x, generator=generator)
    parts = _log_prob(model.base(), path.states[-1]) + path.log_dets.sum(0)
    require_close("log p_base + Σ log_dets against log_prob", parts, model.log_prob(x))


def _log_prob(distribution: Distribution, value: Tensor) -> Tensor:
    log_p: Tensor = distribution.log_prob(value)
    return log_p


# --- conditionals -----------------------------------------------------------------------------


def order_complete(model: Any, generator: torch.Generator) -> None:
    """The order holds each index once."""
    order = model.order.cpu()
    require_shape("order", order, (model.event_size,))
    require(
        torch.equal(order.sort().values, torch.arange(model.event_size)),
        f"order is not a permutation of 0 … {model.event_size - 1}",
    )


def triangular(model: Any, generator: torch.Generator) -> None:
    """Conditional i has no derivative by x_j unless j comes before i in the order."""
    size = model.event_size
    if size > LARGEST_JACOBIAN:
        raise NotTestable(f"events of {size} values are too large for a Jacobian")
    x = points(model, 3, generator).requires_grad_()
    fixed = points(model, 3, generator).reshape(3, size)
    log_p = _log_prob(model.conditionals(x), fixed)  # (B, D), a function of x's earlier values
    require_shape("log-densities of the conditionals", log_p, (3, size))
    places = torch.argsort(model.order.cpu())
    for i in range(size):
        (gradient,) = torch.autograd.grad(
            log_p[:, i].sum(), x, retain_graph=True, materialize_grads=True
        )
        later = gradient.reshape(3, size).abs().amax(0)[places >= places[i]]
        require(
            bool((later == 0.0).all()),
            f"conditional {i} has derivative {float(later.max()):.3g} by a value that does not "
            "come before it in the order",
        )


def unmoved_by_later(model: Any, generator: torch.Generator) -> None:
    """Changing a value leaves the conditionals up to it bit-identical, and moves some after it."""
    size = model.event_size
    x, fixed = points(model, 3, generator), points(model, 3, generator).reshape(3, size)
    other = points(model, 3, generator).reshape(3, size)
    before, places = _log_prob(model.conditionals(x), fixed), torch.argsort(model.order.cpu())
    moved = False
    for j in model.order.tolist()[: LARGEST_JACOBIAN // 4]:
        changed = x.reshape(3, size).clone()
        changed[:, j] = other[:, j]
        after = _log_prob(model.conditionals(changed.reshape(x.shape)), fixed)
        differs = (after != before).any(0)
        require(
            not bool(differs[places <= places[j]].any()),
            f"changing value {j} changes its own conditional or an earlier one",
        )
        moved = moved or bool(differs.any())
    require(moved or size == 1, "no conditional depends on any earlier value")


def chain_rule(model: Any, generator: torch.Generator) -> None:
    """The log-densities of the conditionals sum to log_prob."""
    needs(model, Capability.LOG_PROB)
    x = points(model, 8, generator)
    parts = _log_prob(model.conditionals(x), x.reshape(8, -1)).sum(-1)
    require_close("Σ of the conditionals' log-densities", parts, model.log_prob(x))


def steps_agree(model: Any, generator: torch.Generator) -> None:
    """Step by step gives the conditionals that one pass gives, in the order; one noise, one x."""
    size = model.event_size
    noise = _noise(model, 4, generator)
    steps = list(model.sample_steps(noise))
    require(
        [step.index for step in steps] == model.order.tolist(),
        "the steps do not follow the order",
    )
    x = steps[-1].x.reshape(4, *model.event_shape)
    require_finite("the sample", x)
    whole, flat = _log_prob(model.conditionals(x), x.reshape(4, size)), x.reshape(4, size)
    for step in steps:
        given = _log_prob(step.conditional, flat[:, step.index])
        require_close(f"conditional {step.index} of its step", given, whole[:, step.index])
    again = list(model.sample_steps(noise))[-1].x.reshape(4, size)
    require(torch.equal(again, flat), "the same noise gave another sample")


def cached_is_naive(model: Any, generator: torch.Generator) -> None:
    """Sampling step by step gives what the whole network, run once per value, gives."""
    noise, known = _noise(model, 4, generator), points(model, 4, generator)
    mask = torch.rand(known.shape, generator=generator).to(known.device) < KNOWN_SHARE
    every: tuple[dict[str, Any], ...] = (
        {},
        {"known": known, "mask": mask, "temperature": 0.7},
    )
    for settings in every:
        naive = list(naive_steps(model, noise, **settings))
        cached = list(model.sample_steps(noise, **settings))
        if levels_of(model) is not None:
            worst = int((naive[-1].x != cached[-1].x).sum())
            require(worst == 0, f"{worst} values differ from those of the naive sampler")
        else:
            require_close("a sample against the naive one", cached[-1].x, naive[-1].x)
        flat = naive[-1].x.reshape(4, -1)
        for one, other in zip(cached, naive, strict=True):
            given, wanted = (_log_prob(s.conditional, flat[:, s.index]) for s in (one, other))
            require_close(f"conditional {one.index} against the naive one", given, wanted)


def keeps_known(model: Any, generator: torch.Generator) -> None:
    """Values under the mask are kept, the others are drawn."""
    known = points(model, 4, generator)
    mask = torch.zeros(4, model.event_size, dtype=torch.bool)
    mask[:, :: 2 if model.event_size > 1 else 1] = True
    mask = mask.reshape(known.shape)
    steps = list(model.sample_steps(_noise(model, 4, generator), known=known, mask=mask))
    x = steps[-1].x.reshape(known.shape)
    require_close("known values after sampling", x[mask], known[mask])
    if not bool(mask.all()):
        require(bool((x[~mask] != known[~mask]).any()), "the unknown values were not drawn")


def steps_private_noise(model: Any, generator: torch.Generator) -> None:
    """Sampling step by step takes no chance but the noise given."""
    noise = _noise(model, 2, generator)
    with no_global_noise("sample_steps"):
        list(model.sample_steps(noise))


def _noise(model: Any, n: int, generator: torch.Generator) -> Tensor:
    return uniform_noise((n, model.event_size), generator, model.location)


LAWS = (
    *laws_of(
        Capability.FLOW_PATH,
        path_shape,
        round_trip,
        inverse_same_states,
        jacobian,
        change_of_variables,
    ),
    *laws_of(
        Capability.CONDITIONALS,
        order_complete,
        triangular,
        unmoved_by_later,
        chain_rule,
        steps_agree,
        cached_is_naive,
        keeps_known,
        steps_private_noise,
    ),
)
