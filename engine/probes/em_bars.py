r"""The next few half-steps of EM as bars: log p = L + KL(q‖posterior) after each E and each M."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import torch

from engine.estimators.half_steps import Bar, HalfSteps, half_steps
from engine.estimators.precision import in_double
from engine.probe import Result, View, probe
from engine.probes.data_points import choose
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Half-steps asked for at most, and values of all events together.
MOST_HALF_STEPS = 200
MOST_VALUES = 2**22


class Arguments(msgspec.Struct, frozen=True):
    """How many half-steps ahead, and on how many training events."""

    n_half_steps: int = 8
    n: int = 5000


@probe(
    summary="L, KL(q‖posterior) and log p after the next E- and M-steps.",
    arguments=Arguments,
    needs=(Capability.LOG_PROB,),
)
def em_bars(view: View, arguments: Arguments) -> Iterator[Result]:
    """Half-steps ahead of the snapshot, on a copy of its model: nothing of the run changes.

    Arrays: ``log_prob``, ``elbo`` and ``kl`` (H,), means over the events, nats, float64, all
    exact; log_prob = elbo + kl. Values: ``labels``, "E" and "M" in turn; ``n``, the events, and
    ``n_all``, those of the training split (where both are equal the bars are what training does
    next, except that q begins afresh); ``unit``. They come bar by bar, the last with all of them.

    Raises:
        ValueError: The model has no half-steps, or a number is out of range.
    """
    if not 1 <= arguments.n_half_steps <= MOST_HALF_STEPS or arguments.n < 1:
        raise ValueError(
            f"em_bars: given {arguments.n_half_steps} half-steps on {arguments.n} events, wanted "
            f"1 to {MOST_HALF_STEPS} half-steps on at least 1 event"
        )
    if not isinstance(view.model, HalfSteps):
        raise ValueError(
            f"em_bars needs a model fitted by EM; {view.model.card.title} has no E- and M-step"
        )
    data = view.dataset.train
    most = min(arguments.n, max(1, MOST_VALUES // view.model.event_size))
    chosen = choose(len(data), most, view)
    twin, x = in_double(view.model, data[chosen])
    assert isinstance(twin, HalfSteps)
    bars: list[Bar] = []
    for bar in half_steps(twin, x, arguments.n_half_steps, stop=view.cancelled):
        bars.append(bar)
        final = len(bars) == arguments.n_half_steps
        yield Result(_arrays(bars), _values(bars, len(chosen), len(data)), final=final)


def _arrays(bars: list[Bar]) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor([getattr(bar, name) for bar in bars], dtype=torch.float64)
        for name in ("log_prob", "elbo", "kl")
    }


def _values(bars: list[Bar], n: int, n_all: int) -> dict[str, Value]:
    return {"labels": [bar.label for bar in bars], "n": n, "n_all": n_all, "unit": "nats"}
