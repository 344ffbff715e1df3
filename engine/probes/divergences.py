"""How far the model is from the known truth, and whether its density has mass 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from engine.dataset import KnownDensity
from engine.estimators.density import CancellationError
from engine.estimators.divergences import Divergences, compare, model_mass
from engine.estimators.mass import mass_values
from engine.estimators.quadrature import Estimate
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Nodes a side allowed.
SMALLEST, LARGEST = 16, 2048
#: From so many nodes on a coarse answer comes first, on so many.
FINE, COARSE = 256, 64
#: Numbers with an error and a kind of their own.
FIGURES = ("kl", "reverse_kl", "js", "tv", "cross_entropy", "outside", "missed")
BOUND_NOTE = (
    "The model has only a lower bound on log p(x): KL(truth‖model) is an upper bound, and the "
    "other numbers are estimates, those of the bound's own density scaled to mass 1."
)
CELLS_NOTE = "Error: difference to half as many nodes a side."


class Arguments(msgspec.Struct, frozen=True):
    """Nodes a side of the truth's box, and draws of the latents where there is only a bound."""

    size: int = 128
    n_draws: int = 32


@probe(summary="KL both ways, Jensen–Shannon, total variation and the mass.", arguments=Arguments)
def divergences(view: View, arguments: Arguments) -> Iterator[Result]:
    """No arrays; values, each ``name`` with ``name_error`` and ``name_kind``, nats.

    ``kl`` = KL(truth‖model), ``reverse_kl``, ``js``, ``tv`` (no unit), ``cross_entropy``,
    ``outside`` (the model's mass where the truth is 0) and ``missed`` (the reverse); ``entropy``
    and ``identity`` = cross-entropy − KL − H, which is 0 but for the quadrature. The kind of a
    number is ``"exact"``, ``"quadrature"`` (log Z too), ``"bound"`` (KL is at most this) or
    ``"estimate"``. ``mass`` over the window, ``tail`` beyond it, their sum ``total`` with its
    error, and ``mass_state`` (see :func:`engine.estimators.mass.mass_state`). Infinite numbers
    are infinite on the wire. Where a number cannot be had it is None and ``reason`` says why.

    Raises:
        ValueError: The size is out of range, or the model is not a number somewhere.
    """
    if not SMALLEST <= arguments.size <= LARGEST or arguments.n_draws < 1:
        raise ValueError(
            f"divergences: given size {arguments.size} and n_draws {arguments.n_draws}, wanted a "
            f"size from {SMALLEST} to {LARGEST} and at least 1 draw"
        )
    reason = _refusal(view)
    if reason:
        yield Result({}, _nothing(view) | {"reason": reason})
        return
    sizes = (COARSE, arguments.size) if arguments.size >= FINE else (arguments.size,)
    with suppress(CancellationError):
        for size in sizes:
            values = measure(view, size, arguments.n_draws)
            yield Result({}, values, final=size == sizes[-1])


def _refusal(view: View) -> str:
    model = view.model
    if not any(map(view.can, (Capability.LOG_PROB, Capability.BOUND, Capability.ENERGY))):
        why = model.card.lacks.get(Capability.LOG_PROB, "its samples come from a map of noise")
        return f"{model.card.title} has no density to compare: {why.rstrip('.')}."
    if model.event_size > 2:
        return (
            f"Quadrature reaches two dimensions; these data have {model.event_size}, where only "
            "the held-out score and the sample scores are left."
        )
    return ""


def _nothing(view: View) -> dict[str, Value]:
    truth = view.dataset
    known = isinstance(truth, KnownDensity)
    none: dict[str, Value] = {"kind": "none", "note": "", "reason": "", "size": 0}
    for name in (*FIGURES, "mass", "tail", "total"):
        none |= {name: None, f"{name}_error": None}
    return none | {
        **{f"{name}_kind": "none" for name in FIGURES},
        "entropy": truth.entropy() if isinstance(truth, KnownDensity) else None,
        "identity": None,
        "mass_state": "none",
        "tail_label": "",
        "truth_known": known,
    }


def measure(view: View, size: int, n_draws: int) -> dict[str, Value]:
    """The values of one answer; see :func:`divergences`.

    Raises:
        ValueError: The model is not a number somewhere.
        CancellationError: The view's ``cancelled()`` was true.
    """
    values = _nothing(view) | {"size": size}
    truth, options = view.dataset, {"grid": size, "n_draws": n_draws}
    if not isinstance(truth, KnownDensity):
        mass, tail = model_mass(truth, view.model, cancelled=view.cancelled, **options)
        reason = f"The true density of {truth.card.title} is unknown, so there is no divergence."
        return values | {"reason": reason, "kind": mass.kind} | mass_values(mass, tail)
    found = compare(truth, view.model, cancelled=view.cancelled, **options)
    return values | _words(found, truth.entropy()) | mass_values(found.mass, found.tail)


def _words(found: Divergences, entropy: float) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name in FIGURES:
        figure: Estimate = getattr(found, name)
        values |= {name: figure.value, f"{name}_error": figure.error, f"{name}_kind": figure.kind}
    gap = found.cross_entropy.value - found.kl.value - entropy
    kind = found.kl.kind
    return values | {
        "kind": kind,
        "note": f"{BOUND_NOTE if kind == 'bound' else ''} {CELLS_NOTE}".strip(),
        "identity": gap if math.isfinite(gap) else None,
    }
