"""One observation among the latents: its q, its reconstruction, its neighbours in the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.capabilities import Bound
from engine.dataset import as_float
from engine.estimators.density import CancellationError, as_events
from engine.estimators.latent_space import Codes, encode, fill, find_real, mean_of
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, split_of
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_NEIGHBOURS, MOST_SEARCHED, MOST_FULL = 64, 100_000, 64
#: Draws for the bound, and values compared at once.
N_DRAWS, PIECE = 64, 2**22


class Arguments(msgspec.Struct, frozen=True):
    """Observation ``index`` of a split, or ``x`` itself; ``neighbours`` among ``searched``."""

    index: int = -1
    split: str = "train"
    x: np.ndarray | None = None
    neighbours: int = 0
    searched: int = 10_000
    latent: str = ""


@probe(
    summary="One observation: its posterior, reconstruction and neighbours.",
    arguments=Arguments,
    needs=(Capability.DECODING, Capability.ENCODING),
)
def latent_point(view: View, arguments: Arguments) -> Iterator[Result]:
    """``x`` (*E), ``mean`` (Z,), ``covariance`` (Z, Z) or ``deviations`` (Z,), ``rebuilt`` (*E).

    ``rebuilt`` decodes the posterior's means. ``elbo`` and ``kl`` are in nats at β = 1, of 64
    draws, None without a bound. With ``neighbours``: ``near_latent`` (k, *E) are the training
    observations whose posterior means are nearest, ``near_pixels`` those nearest themselves, with
    ``…_index`` and ``…_distance`` (k,).

    Raises:
        ValueError: A number is out of range, or ``x`` is no event of the data.
    """
    latent = find_real(view.model, arguments.latent)
    x = _observation(view, arguments)
    if not 0 <= arguments.neighbours <= MOST_NEIGHBOURS:
        given = arguments.neighbours
        raise ValueError(f"neighbours: given {given}, wanted 0 to {MOST_NEIGHBOURS}")
    with suppress(CancellationError), torch.no_grad():
        codes = encode(view.model, x, latent, generator=view.generator(), n_draws=1024)
        arrays: dict[str, Any] = {
            "x": x[0].cpu().to(torch.float32),
            "mean": codes.mean[0].double(),
            "deviations": codes.deviations()[0].double(),
            "rebuilt": _rebuilt(view, x, latent, codes).cpu().to(torch.float32),
        }
        if codes.mean.shape[1] <= MOST_FULL:
            eye = torch.eye(codes.mean.shape[1]).to(codes.mean)
            arrays["covariance"] = codes.covariances(eye)[0].double()
        values: dict[str, Value] = {"exact": codes.is_exact, **_bound(view, x)}
        if arguments.neighbours:
            arrays |= _neighbours(view, arguments, latent, (x, codes))
        yield Result(arrays, values)


def _observation(view: View, arguments: Arguments) -> Tensor:
    """(1, *E)."""
    shape = view.model.event_shape
    if arguments.x is not None:
        given = torch.from_numpy(np.array(arguments.x, dtype=np.float64))
        if given.numel() != view.model.event_size:
            raise ValueError(
                f"x: given {given.numel()} values, wanted {view.model.event_size} of an "
                "observation"
            )
        if not bool(given.isfinite().all()):
            raise ValueError("x: given NaN or infinity, wanted finite numbers")
        return as_events(view.model, given.reshape(1, *shape))
    data, _ = split_of(view.dataset, arguments.split)
    if not 0 <= arguments.index < len(data):
        raise ValueError(f"index: given {arguments.index}, wanted 0 to {len(data) - 1}")
    return as_events(view.model, data[arguments.index : arguments.index + 1])


def _rebuilt(view: View, x: Tensor, latent: Latent, codes: Codes) -> Tensor:
    """E p(x given z) at the posterior's means; latents beside the chosen one are one draw of q."""
    model: Any = view.model
    drawn = model.encode(x).sample(1, view.generator(3))[0]
    given = {name: value[0] for name, value in drawn.items()}
    given[latent.name] = codes.mean.reshape(1, *latent.shape)
    return mean_of(model.decode(fill(model, given, 1)))[0]


def _bound(view: View, x: Tensor) -> dict[str, Value]:
    if not isinstance(view.model, Bound):
        return {"elbo": None, "kl": None}
    elbo = view.model.elbo(x, n_draws=N_DRAWS, generator=view.generator(4))
    kl = sum(float(term[0]) for term in elbo.kl_terms.values())
    return {"elbo": float(elbo.total[0]), "kl": kl}


def _neighbours(
    view: View, arguments: Arguments, latent: Latent, own: tuple[Tensor, Codes]
) -> dict[str, Any]:
    if not 1 <= arguments.searched <= MOST_SEARCHED:
        raise ValueError(f"searched: given {arguments.searched}, wanted 1 to {MOST_SEARCHED}")
    data = view.dataset.train
    chosen = choose(len(data), arguments.searched, view)
    x, codes = own
    all_codes = encode(
        view.model, data[chosen], latent, generator=view.generator(), cancelled=view.cancelled
    )
    away = (all_codes.mean - codes.mean).square().sum(1).sqrt().cpu()
    found = {"latent": away, "pixels": _distances(view, data[chosen], x)}
    arrays: dict[str, Any] = {}
    for name, distance in found.items():
        near = distance.topk(min(arguments.neighbours, len(distance)), largest=False)
        index = chosen[near.indices]
        arrays |= {
            f"near_{name}": as_float(data[index]),
            f"near_{name}_index": index.to(torch.int32),
            f"near_{name}_distance": near.values.double(),
        }
    return arrays


def _distances(view: View, data: Tensor, x: Tensor) -> Tensor:
    """Euclidean distances (N,) in the units of the data."""
    flat = x.reshape(1, -1).cpu().to(torch.float32)
    rows = max(1, PIECE // flat.shape[1])
    pieces = []
    for piece in torch.split(data, rows):
        if view.cancelled():
            raise CancellationError
        pieces.append((piece.reshape(len(piece), -1).to(torch.float32) - flat).norm(dim=1))
    return torch.cat(pieces)
