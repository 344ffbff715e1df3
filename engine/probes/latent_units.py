"""Collapse: what each latent unit carries, and which carry nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Bound, Decoding, Encoding
from engine.estimators.density import CancellationError
from engine.estimators.evidence import measured_elbo
from engine.estimators.unit_use import IGNORED_BELOW, unit_use
from engine.estimators.units import (
    ACTIVE_FROM,
    activity,
    least_unit_kl,
    perplexity,
    posterior_means,
    unit_kl,
)
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.probes.elbo_bars import held_out
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_EVENTS = 20_000
#: A value of a code that fewer than so many of the events use is unused.
USED_FROM = 0.5


class Arguments(msgspec.Struct, frozen=True):
    """How many held-out events, and draws for the KL of each latent."""

    n: int = 512
    n_draws: int = 16


@probe(
    summary="KL and activity of every latent unit; which are dead.",
    arguments=Arguments,
    needs=(Capability.BOUND, Capability.ENCODING, Capability.DECODING),
)
def latent_units(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""Per latent its KL; per unit KL and activity Var_x E_q[z_u]; per code how it is used.

    Values: ``latents`` with their ``kinds``, ``kl`` (nats, mean over held-out events), its
    ``kl_error`` (one standard error), ``n_units`` and ``n_dead``; of categories ``perplexity``
    (NaN for others) of so many ``levels``, ``threshold`` (0.01), ``n`` events; ``kl_is_least``
    where q is no Gaussian: the KL of a unit is then at least what is given. Arrays: for all
    units together ``unit_latent`` (U,) and ``unit_index`` (U,) int, ``unit_kl`` (U,) nats (NaN
    where nobody can tell it apart), ``unit_activity`` (U,), ``unit_use`` (U,) nats (what the
    decoder makes of it, see :mod:`engine.estimators.unit_use`), ``unit_dead`` (U,) bool: its
    activity is at most the threshold, or the decoder ignores it. Of a category each unit is one
    value, its activity is its share of the data, and it is dead when no event uses it.

    Raises:
        ValueError: A number is out of range.
    """
    if not 2 <= arguments.n <= MOST_EVENTS or arguments.n_draws < 1:
        raise ValueError(
            f"latent_units: given n {arguments.n} and n_draws {arguments.n_draws}, wanted 2 to "
            f"{MOST_EVENTS} events and at least 1 draw"
        )
    model = view.model
    if not (isinstance(model, Bound) and isinstance(model, Encoding)):
        raise ValueError(f"{model.card.title} has no encoder")
    if not isinstance(model, Decoding):
        raise ValueError(f"{model.card.title} has no latents")
    with suppress(CancellationError), torch.no_grad():
        x, labels = held_out(view, arguments.n)
        latents = model.latents
        elbo = measured_elbo(
            model, x, n_draws=arguments.n_draws, generator=view.generator(), context=labels,
            cancelled=view.cancelled,
        )  # fmt: skip
        means = posterior_means(
            model, latents, x, generator=view.generator(5), context=labels,
            cancelled=view.cancelled,
        )  # fmt: skip
        per_unit = unit_kl(model, latents, x, context=labels) | _of_single(latents, elbo.kl_terms)
        least = {} if per_unit else least_unit_kl(
            model, latents, x, generator=view.generator(9), context=labels
        )  # fmt: skip
        per_unit |= least
        use = unit_use(
            model, latents, x, generator=view.generator(7), context=labels,
            cancelled=view.cancelled,
        )  # fmt: skip
        rows = [
            _units(latent, means[latent.name].values, activity(means[latent.name]),
                   per_unit.get(latent.name), use.get(latent.name))
            for latent in latents
        ]  # fmt: skip
        values = _values(latents, elbo.kl_terms, rows, len(x))
        yield Result(_arrays(rows), values | {"kl_is_least": bool(least)})


def _of_single(latents: tuple[Latent, ...], kl_terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The KL of latents that are one unit: that unit's own, {latent: (1,)}."""
    return {
        latent.name: kl_terms[latent.name].mean()[None]
        for latent in latents
        if latent.kind != "category" and math.prod(latent.shape) == 1
    }


class _Units(msgspec.Struct, frozen=True):
    """The units of one latent: KL, activity or share, use, dead or not; perplexity of a code."""

    kl: Any
    activity: Any
    use: Any
    dead: Any
    perplexity: float


def _units(
    latent: Latent, means: Tensor, moved: Tensor, kl: Tensor | None, use: Tensor | None
) -> _Units:
    unknown = torch.full_like(moved, torch.nan)
    if latent.kind == "category":
        share = means.mean(0)
        dead = means.sum(0) < USED_FROM
        return _Units(unknown, share, unknown, dead, perplexity(means, math.prod(latent.shape)))
    use = unknown if use is None else use
    dead = (moved <= ACTIVE_FROM) | (use <= IGNORED_BELOW)
    return _Units(unknown if kl is None else kl, moved, use, dead, math.nan)


def _arrays(rows: list[_Units]) -> dict[str, Any]:
    sizes = [len(row.activity) for row in rows]
    return {
        "unit_latent": torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(sizes)),
        "unit_index": torch.cat([torch.arange(size) for size in sizes]),
        "unit_kl": torch.cat([row.kl for row in rows]),
        "unit_activity": torch.cat([row.activity for row in rows]),
        "unit_use": torch.cat([row.use for row in rows]),
        "unit_dead": torch.cat([row.dead for row in rows]),
    }


def _values(
    latents: tuple[Latent, ...], kl_terms: dict[str, Tensor], rows: list[_Units], n: int
) -> dict[str, Value]:
    kl = [kl_terms.get(latent.name) for latent in latents]
    return {
        "latents": [latent.name for latent in latents],
        "kinds": [latent.kind for latent in latents],
        "kl": [math.nan if k is None else float(k.mean()) for k in kl],
        "kl_error": [math.nan if k is None else float(k.std()) / len(k) ** 0.5 for k in kl],
        "n_units": [len(row.activity) for row in rows],
        "n_dead": [int(row.dead.sum()) for row in rows],
        "levels": [latent.levels or 0 for latent in latents],
        "perplexity": [row.perplexity for row in rows],
        "threshold": ACTIVE_FROM,
        "n": n,
    }
