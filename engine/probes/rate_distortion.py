"""Where a model stands between rate and distortion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from engine.capabilities import Bound
from engine.dataset import KnownDensity
from engine.estimators.density import CancellationError
from engine.estimators.rate_distortion import rate_distortion_of
from engine.probe import Result, View, probe
from engine.probes.elbo_bars import MOST_DRAWS, MOST_EVENTS, held_out
from engine.wire.capability import Capability
from engine.wire.fields import Value


class Arguments(msgspec.Struct, frozen=True):
    """How many held-out events, and draws of the latents for each."""

    n: int = 512
    n_draws: int = 16


@probe(
    summary="Rate and distortion on held-out data.",
    arguments=Arguments,
    needs=(Capability.BOUND,),
)
def rate_distortion(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""Mean rate and distortion, nats per event: R + D = −ELBO, event by event.

    Values: ``rate``, ``distortion`` and ``elbo`` with ``…_error`` (one standard error over the
    events), ``residual`` (the largest abs of R + D + ELBO over the events), ``entropy`` of the
    data where it is known (no model's R + D can be below it), ``beta`` of the model's settings or
    None, ``n``.

    Raises:
        ValueError: A number is out of range.
    """
    if not (1 <= arguments.n <= MOST_EVENTS and 1 <= arguments.n_draws <= MOST_DRAWS):
        raise ValueError(
            f"rate_distortion: given n {arguments.n} and n_draws {arguments.n_draws}, wanted 1 to "
            f"{MOST_EVENTS} events and 1 to {MOST_DRAWS} draws"
        )
    model = view.model
    if not isinstance(model, Bound):
        raise ValueError(f"{model.card.title} has no bound")
    with suppress(CancellationError):
        x, labels = held_out(view, arguments.n)
        found = rate_distortion_of(
            model, x, n_draws=arguments.n_draws, generator=view.generator(), context=labels,
            cancelled=view.cancelled,
        )  # fmt: skip
        values: dict[str, Value] = {"n": len(x), **found.summary(), **of_data(view)}
        values["beta"] = beta_of(model.config)
        yield Result({}, values)


def of_data(view: View) -> dict[str, Value]:
    """The data's entropy where it is known: the floor of R + D."""
    data = view.dataset
    return {"entropy": data.entropy() if isinstance(data, KnownDensity) else None}


def beta_of(config: object) -> float | None:
    """The weight of the KL in a model's training, or None where it has no such setting."""
    beta = getattr(config, "beta", None)
    return float(beta) if isinstance(beta, int | float) else None
