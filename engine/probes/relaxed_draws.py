"""One category of one observation, relaxed: draws on the simplex, their density, the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.capabilities import Encoding
from engine.estimators.concrete import gumbel_noise, relaxed_draw
from engine.estimators.density import as_events
from engine.estimators.grid import Box, midpoint_grid
from engine.estimators.latent_space import as_decoder
from engine.estimators.simplex import corners, gradient_error, triangle_log_density
from engine.probe import Result, View, probe
from engine.probes.data_points import split_of
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_DRAWS, COLDEST, HOTTEST = 20_000, 0.01, 100.0
#: Pixels a side of the shading, and the window that holds the triangle.
SIDE, LOW, HIGH = 160, (-1.0, -0.75), (1.0, 1.1)
#: Draws that judge the gradients.
N_GRADIENTS = 20_000


class Arguments(msgspec.Struct, frozen=True):
    """``n`` draws of ``category`` of the test observation ``index`` at ``temperature``."""

    temperature: float = 1.0
    category: int = 0
    index: int = 0
    n: int = 2000


@probe(
    summary="A category's relaxed draws on the simplex.",
    arguments=Arguments,
    needs=(Capability.ENCODING, Capability.DECODING),
)
def relaxed_draws(view: View, arguments: Arguments) -> Iterator[Result]:
    """``places`` (n, 2) of relaxed draws among ``corners`` (K, 2), one for each state.

    ``probs`` (K,) are q(z given x), ``shares`` (K,) how often each state was the largest: both
    agree, whatever the temperature. Of three states ``log_density`` (H, W), nats per unit of area
    over the window from ``low`` to ``high``, and ``mass``, its sum. ``soft_…`` and ``hard_…``
    (straight-through): ``bias``, ``bias_error`` and ``spread`` of the gradient of a known
    objective, see :mod:`engine.estimators.simplex`.

    Raises:
        ValueError: The model has no categories of real neighbours, or a number is out of range.
    """
    log_probs = _log_probs(view, arguments)
    tau, n_states = arguments.temperature, len(log_probs)
    ends = corners(n_states)
    noise = gumbel_noise((arguments.n, n_states), view.generator(1), log_probs)
    y = relaxed_draw(log_probs, noise, tau).exp()
    arrays: dict[str, Any] = {
        "places": (y @ ends).float(),
        "corners": ends,
        "probs": log_probs.exp(),
        "shares": torch.bincount(y.argmax(1), minlength=n_states).double() / arguments.n,
    }
    values: dict[str, Value] = {"temperature": tau, "category": arguments.category}
    for name, hard in (("soft", False), ("hard", True)):
        found = gradient_error(log_probs, tau, N_GRADIENTS, view.generator(2), hard=hard)
        values |= {f"{name}_bias": found.bias, f"{name}_bias_error": found.bias_error,
                   f"{name}_spread": found.spread}  # fmt: skip
    if n_states == 3:
        grid = midpoint_grid(Box(LOW, HIGH), SIDE)
        surface = triangle_log_density(log_probs, tau, grid.points)
        arrays |= {"log_density": surface.reshape(grid.shape).float(), "low": np.array(LOW),
                   "high": np.array(HIGH)}  # fmt: skip
        values["mass"] = float((surface.exp() * grid.weights).sum())
    yield Result(arrays, values)


def _log_probs(view: View, arguments: Arguments) -> Tensor:
    """log q(z given x) of one category of one test observation, (K,), float64."""
    given = arguments.temperature
    if not COLDEST <= given <= HOTTEST:
        raise ValueError(f"temperature: given {given:g}, wanted {COLDEST:g} to {HOTTEST:g}")
    if not 1 <= arguments.n <= MOST_DRAWS:
        raise ValueError(f"n: given {arguments.n}, wanted 1 to {MOST_DRAWS}")
    latent, model = as_decoder(view.model).latents[0], view.model
    if latent.kind != "category" or len(latent.shape) != 1 or not isinstance(model, Encoding):
        raise ValueError(f"{model.card.title} has no relaxed categories")
    if not 0 <= arguments.category < latent.shape[0]:
        raise ValueError(
            f"category: given {arguments.category}, wanted 0 to {latent.shape[0] - 1}"
        )
    data, _ = split_of(view.dataset, "test")
    if not 0 <= arguments.index < len(data):
        raise ValueError(f"index: given {arguments.index}, wanted 0 to {len(data) - 1}")
    x = as_events(model, data[arguments.index : arguments.index + 1])
    with torch.no_grad():
        found: Any = model.encode(x)
    log_probs: Tensor = found.log_probs[0, arguments.category].cpu().double()
    return log_probs
