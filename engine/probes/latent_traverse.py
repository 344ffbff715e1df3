r"""One latent coordinate after the other is moved, and everything else held.

Coordinates are ranked by the mean over the data of the divergence of their own marginal,

.. math::
    \mathrm{KL}_j = \frac1N \sum_n \mathrm{KL}(\mathcal N(\mu_{nj}, \sigma_{nj}^2) \,\|\, p(z_j))

which for a diagonal Gaussian q under an independent normal prior adds up to the bound's KL term.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.aggregate import moments_of
from engine.estimators.density import CancellationError
from engine.estimators.latent_space import (
    Codes,
    decoded_mean,
    encode,
    fill,
    find_latent,
    prior_draws,
    prior_of,
    size_of,
)
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_ROWS, MOST_STEPS, WIDEST = 64, 101, 20.0
#: Draws that tell the spread of a prior that is no normal, and most categories shown.
N_SPREAD, MOST_LEVELS = 4000, 400
#: All patterns of so many bits are shown.
MOST_BITS = 6


class Arguments(msgspec.Struct, frozen=True):
    """``rows`` coordinates, each moved ``reach`` prior deviations either way around ``z`` (Z,).

    Without ``z`` the middle is the prior's mean; ``n`` observations rank the coordinates.
    """

    rows: int = 12
    steps: int = 11
    reach: float = 2.5
    n: int = 1000
    latent: str = ""
    z: np.ndarray | None = None


@probe(
    summary="Traversals: each latent coordinate moved by itself.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def latent_traverse(view: View, arguments: Arguments) -> Iterator[Result]:
    """Decoded means ``pictures`` (R, S, *E), ``coordinates`` (R,), ``kl`` (R,), ``z`` (R, S).

    ``middle`` (Z,) is where all coordinates rest that are not moved.

    ``order`` says how they are ranked: ``"kl"`` (exact), ``"kl estimate"`` (of draws, of the
    marginals of a tilted q, or to a normal as wide as a prior that is none), or ``"index"`` where
    there is no encoder. A latent
    of a few levels has one row, of all its levels; one of several categories has a row for each,
    in which the others keep the states of one draw of the prior.

    Raises:
        ValueError: A number is out of range.
    """
    _check(arguments)
    latent = find_latent(view.model, arguments.latent)
    with suppress(CancellationError), torch.no_grad():
        if latent.kind == "real":
            yield _real(view, arguments, latent)
        else:
            yield _discrete(view, latent, arguments.rows)


def coordinate_kl(codes: Codes, mean: Tensor, deviation: Tensor) -> Tensor:
    """Mean KL of each coordinate's normal against N(mean, deviation²), (Z,), nats."""
    spread = codes.deviations().cpu().to(torch.float64) / deviation
    away = (codes.mean.cpu().to(torch.float64) - mean) / deviation
    return 0.5 * (spread.square() + away.square() - 1.0 - 2.0 * spread.log()).mean(0)


def _real(view: View, arguments: Arguments, latent: Latent) -> Result:
    mean, deviation, is_normal = _prior_moments(view, latent)
    ranked, order = _ranked(view, arguments, latent, (mean, deviation), is_normal=is_normal)
    coordinates = torch.arange(size_of(latent))
    if ranked is not None:
        coordinates = ranked.argsort(descending=True, stable=True)
    coordinates = coordinates[: arguments.rows]
    middle = mean if arguments.z is None else _middle(arguments.z, latent)
    offsets = torch.linspace(
        -arguments.reach, arguments.reach, arguments.steps, dtype=torch.float64
    )
    moved = mean[coordinates, None] + deviation[coordinates, None] * offsets  # (R, S)
    if arguments.z is not None:
        moved = middle[coordinates, None] + deviation[coordinates, None] * offsets
    z = middle.expand(*moved.shape, -1).clone()
    z.scatter_(2, coordinates[:, None, None].expand(*moved.shape, 1), moved[..., None])
    flat = z.reshape(-1, size_of(latent)).to(view.model.location.dtype).to(view.model.device)
    pictures = decoded_mean(view.model, flat, latent)
    kl = torch.full((len(coordinates),), torch.nan) if ranked is None else ranked[coordinates]
    arrays = {
        "pictures": pictures.reshape(*moved.shape, *view.model.event_shape).to(torch.float32),
        "coordinates": coordinates.to(torch.int32),
        "kl": kl.to(torch.float64),
        "z": moved,
        "middle": middle,
        "offsets": offsets,
    }
    values: dict[str, Value] = {"order": order, "n_coordinates": size_of(latent), "kind": "real"}
    return Result(arrays, values)


def _discrete(view: View, latent: Latent, n_rows: int) -> Result:
    """Every level of a category or of few bits; of many bits none, then each one by itself."""
    if latent.kind == "category" and latent.shape:
        return _categories(view, latent, n_rows)
    z = _levels(latent).to(view.model.device)
    z = z if latent.kind == "category" else z.to(view.model.location.dtype)
    pictures = decoded_mean(view.model, z, latent)
    arrays = {"pictures": pictures[None].to(torch.float32), "coordinates": torch.zeros(1).int()}
    return Result(arrays, {"order": "levels", "n_coordinates": len(z), "kind": latent.kind})


def _levels(latent: Latent) -> Tensor:
    if latent.kind == "category":
        return torch.arange(min(latent.levels or 1, MOST_LEVELS))
    size = size_of(latent)
    if size <= MOST_BITS:
        return torch.cartesian_prod(*[torch.arange(2)] * size).reshape(-1, size)
    return torch.cat([torch.zeros(1, size), torch.eye(size)])[:MOST_LEVELS]


def _categories(view: View, latent: Latent, n_rows: int) -> Result:
    """A row for each of the first categories: all its levels, the others held."""
    start = fill(view.model, {}, 1, noise=lambda _: view.generator(1))[latent.name].flatten()
    levels = torch.arange(min(latent.levels or 1, MOST_LEVELS)).to(start)
    coordinates = torch.arange(min(size_of(latent), n_rows))
    z = start.repeat(len(coordinates), len(levels), 1)
    for row in range(len(coordinates)):
        z[row, :, row] = levels
    pictures = decoded_mean(view.model, z.flatten(0, 1), latent)
    pictures = pictures.reshape(*z.shape[:2], *view.model.event_shape)
    arrays = {
        "pictures": pictures.to(torch.float32),
        "coordinates": coordinates.to(torch.int32),
        "z": levels.expand(len(coordinates), -1).to(torch.float64),
    }
    values: dict[str, Value] = {"order": "index", "n_coordinates": size_of(latent)}
    return Result(arrays, values | {"kind": latent.kind})


def _prior_moments(view: View, latent: Latent) -> tuple[Tensor, Tensor, bool]:
    prior = prior_of(view.model, latent)
    gaussian = None if prior is None else moments_of(prior)
    if gaussian is not None:
        return gaussian[0], gaussian[1].diagonal().sqrt(), True
    drawn = prior_draws(view.model, latent, N_SPREAD, view.generator(1)).cpu().to(torch.float64)
    return drawn.mean(0), drawn.std(0), False


def _ranked(
    view: View,
    arguments: Arguments,
    latent: Latent,
    prior: tuple[Tensor, Tensor],
    *,
    is_normal: bool,
) -> tuple[Tensor | None, str]:
    if not view.can(Capability.ENCODING):
        return None, "index"
    data = view.dataset.train
    chosen = data[choose(len(data), arguments.n, view)]
    codes = encode(
        view.model, chosen, latent, generator=view.generator(), cancelled=view.cancelled
    )
    exact = is_normal and codes.is_exact and codes.scale is not None
    return coordinate_kl(codes, *prior), "kl" if exact else "kl estimate"


def _middle(given: object, latent: Latent) -> Tensor:
    z = torch.from_numpy(np.array(given, dtype=np.float64)).flatten()
    if len(z) != size_of(latent) or not bool(z.isfinite().all()):
        raise ValueError(f"z: given {len(z)} values, wanted {size_of(latent)} finite ones")
    return z


def _check(arguments: Arguments) -> None:
    if not 1 <= arguments.rows <= MOST_ROWS:
        raise ValueError(f"rows: given {arguments.rows}, wanted 1 to {MOST_ROWS}")
    if not 2 <= arguments.steps <= MOST_STEPS:
        raise ValueError(f"steps: given {arguments.steps}, wanted 2 to {MOST_STEPS}")
    if not 0.0 < arguments.reach <= WIDEST:
        raise ValueError(f"reach: given {arguments.reach:g}, wanted above 0 and up to {WIDEST:g}")
    if arguments.n < 1:
        raise ValueError(f"n: given {arguments.n}, wanted 1 or more")
