"""Laws of energies, Markov chains and critics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.capabilities import ChainState
from engine.drawing import normal_noise
from engine.laws.base import (
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

#: Step of finite differences in standard deviations, and the relative error allowed.
DIFFERENCES = {torch.float64: (1e-5, 1e-4), torch.float32: (1e-2, 5e-2)}
#: Share of points that may disagree: a step across the kink of a ReLU tells nothing.
KINK_SHARE = 0.1


# --- energy -----------------------------------------------------------------------------------


def energy_shape(model: Any, generator: torch.Generator) -> None:
    """Energies of (B, *E) are (B,), scores (B, *E), all finite."""
    x = points(model, 9, generator)
    energy, score = model.energy(x), model.score(x)
    require_shape("energy", energy, (9,))
    require_shape("score", score, tuple(x.shape))
    require_finite("energy", energy)
    require_finite("score", score)


def score_is_autograd(model: Any, generator: torch.Generator) -> None:
    """The score is −∂energy/∂x, by autograd."""
    x = points(model, 32, generator).requires_grad_()
    (gradient,) = torch.autograd.grad(model.energy(x).sum(), x)
    require_close("score against autograd", model.score(x.detach()).detach(), -gradient)


def score_is_difference(model: Any, generator: torch.Generator) -> None:
    """The score along a direction is the finite difference of −energy."""
    x = points(model, 64, generator)
    direction = normal_noise((64, model.event_size), generator, model.location) * model.scale
    direction = direction.reshape(x.shape)
    step, tolerance = DIFFERENCES.get(x.dtype, DIFFERENCES[torch.float32])
    up = model.energy(x + step * direction).detach()
    down = model.energy(x - step * direction).detach()
    wanted = -(up - down) / (2.0 * step)
    given = (model.score(x).detach() * direction).flatten(1).sum(-1)
    size = wanted.abs() + wanted.abs().mean() + 1e-6
    wrong = (given - wanted).abs() > tolerance * size
    worst = int(((given - wanted).abs() / size).argmax())
    require(
        float(wrong.to(x.dtype).mean()) <= KINK_SHARE,
        f"at {int(wrong.sum())} of 64 points the score differs from finite differences; at the "
        f"worst it is {float(given[worst]):.5g}, wanted {float(wanted[worst]):.5g}",
    )


def energy_batch_independent(model: Any, generator: torch.Generator) -> None:
    """A point's energy does not depend on its neighbours in the batch, nor on the moment."""
    _batch_independent("energy", model.energy, points(model, 8, generator))


def energy_is_density(model: Any, generator: torch.Generator) -> None:
    """Energy + log_prob is the same number everywhere: −log Z."""
    needs(model, Capability.LOG_PROB)
    x = points(model, 16, generator)
    constant = model.energy(x) + model.log_prob(x)
    require_close("energy + log_prob", constant, constant[:1].expand_as(constant))


# --- chain ------------------------------------------------------------------------------------


def kernels_named(model: Any, generator: torch.Generator) -> None:
    """There is at least one kernel, and no name stands twice."""
    names = list(model.kernels)
    require(bool(names), "kernels is empty, wanted at least one")
    require(len(set(names)) == len(names), f"kernels has names that stand twice: {names}")


def blocks_kept(model: Any, generator: torch.Generator) -> None:
    """A step keeps the names, shapes and number types of the blocks, and stays finite."""
    state = model.init(6, generator)
    for name, block in state.items():
        require(len(block) == 6, f"block '{name}' has {len(block)} rows, wanted 6 chains")
        require_finite(f"block '{name}' at the start", block)
    for kernel in model.kernels:
        after, info = model.step(dict(state), kernel, generator)
        require(
            set(after) == set(state),
            f"kernel '{kernel}' turns blocks {sorted(state)} into {sorted(after)}",
        )
        for name, block in after.items():
            require_shape(f"block '{name}' after '{kernel}'", block, tuple(state[name].shape))
            require_finite(f"block '{name}' after '{kernel}'", block)
            require(
                block.dtype == state[name].dtype,
                f"block '{name}' is {block.dtype} after '{kernel}', wanted {state[name].dtype}",
            )
        for name, value in info.items():
            require(isinstance(value, Tensor), f"info '{name}' of '{kernel}' is not a tensor")


def chain_repeatable(model: Any, generator: torch.Generator) -> None:
    """The same generator state gives the same walk, which moves."""
    again = same_again(generator)
    for kernel in model.kernels:
        first, second = _walk(model, kernel, generator), _walk(model, kernel, again)
        for name in first:
            require(
                torch.equal(first[name], second[name]),
                f"two walks of '{kernel}' from one generator state differ in block '{name}'",
            )
    start = model.init(6, generator)
    end = _walk_from(model, start, model.kernels[0], generator)
    moved = any(not torch.equal(start[name], end[name]) for name in start)
    require(moved, f"five steps of '{model.kernels[0]}' move nothing")


def input_untouched(model: Any, generator: torch.Generator) -> None:
    """A step makes a new state and leaves the old one as it was."""
    state = model.init(6, generator)
    copy = {name: block.clone() for name, block in state.items()}
    for kernel in model.kernels:
        model.step(state, kernel, generator)
        for name, block in copy.items():
            require(
                name in state and torch.equal(state[name], block),
                f"kernel '{kernel}' writes into block '{name}' of the state given",
            )


def chain_private_noise(model: Any, generator: torch.Generator) -> None:
    """Walking leaves every global random generator alone."""
    with no_global_noise("the chain"):
        for kernel in model.kernels:
            _walk(model, kernel, generator)


def _walk(model: Any, kernel: str, generator: torch.Generator) -> ChainState:
    return _walk_from(model, model.init(6, generator), kernel, generator)


def _walk_from(
    model: Any, state: ChainState, kernel: str, generator: torch.Generator
) -> ChainState:
    for _ in range(5):
        state, _ = model.step(state, kernel, generator)
    return state


# --- critic -----------------------------------------------------------------------------------


def critic_shape(model: Any, generator: torch.Generator) -> None:
    """Scores of (B, *E) are (B,) and finite."""
    value = model.critic(points(model, 9, generator))
    require_shape("critic", value, (9,))
    require_finite("critic", value)


def critic_gradient(model: Any, generator: torch.Generator) -> None:
    """The gradient reaches x."""
    x = points(model, 32, generator).requires_grad_()
    (gradient,) = torch.autograd.grad(model.critic(x).sum(), x, materialize_grads=True)
    require_finite("the gradient of the critic", gradient)
    require(bool(gradient.abs().max() > 0.0), "the gradient of the critic is 0 at all points")


def critic_batch_independent(model: Any, generator: torch.Generator) -> None:
    """A point's score does not depend on its neighbours in the batch, nor on the moment."""
    _batch_independent("critic", model.critic, points(model, 8, generator))


def _batch_independent(what: str, function: Any, x: Tensor) -> None:
    together = function(x)
    alone = torch.cat([function(row[None]) for row in x])
    require_close(f"{what} of a point alone and in a batch", alone, together)
    require_close(f"{what} asked twice", function(x), together)


LAWS = (
    *laws_of(
        Capability.ENERGY,
        energy_shape,
        score_is_autograd,
        score_is_difference,
        energy_batch_independent,
        energy_is_density,
    ),
    *laws_of(
        Capability.CHAIN,
        kernels_named,
        blocks_kept,
        chain_repeatable,
        input_untouched,
        chain_private_noise,
    ),
    *laws_of(Capability.CRITIC, critic_shape, critic_gradient, critic_batch_independent),
)
