"""Why the density is what it is at a point: the sum of its terms, and what each is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Conditionals, HasFlowPath
from engine.estimators.density import CancellationError, check_draws
from engine.estimators.grid import midpoint_axis
from engine.estimators.mixture import mixture_parts
from engine.estimators.precision import in_double
from engine.estimators.terms import Terms, terms_at
from engine.model import GenerativeModel
from engine.plane import PlaneKind, coordinate_names
from engine.probe import Result, View, probe
from engine.probes.log_prob_at import Arguments as PointArguments
from engine.probes.log_prob_at import flat_event
from engine.wire.fields import Value

#: More conditionals than this are named but not drawn.
MOST_CURVES = 12
#: Places at which a conditional is drawn, and the share of its data's range added on each side.
CURVE_NODES = 257
CURVE_MARGIN = 0.15


class Arguments(msgspec.Struct, frozen=True):
    """One event, flat, in data units; or, where a plane is named, one point drawn on it."""

    point: tuple[float, ...]
    n_draws: int = 512
    plane: PlaneKind | None = None
    axes: tuple[int, ...] = (0, 1)


@probe(summary="log p at one point as a sum that adds up.", arguments=Arguments)
def why(view: View, arguments: Arguments) -> Iterator[Result]:
    r"""The number at a point, its terms in order, and their parts, all in double precision.

    Values: ``kind``, ``log_prob``, ``error``, ``unit``, ``residual`` (the number minus the sum of
    its terms); per term ``terms``, ``term_values``, ``term_errors``, ``term_words``. ``best`` is
    the likeliest component of a mixture, ``names`` are those of the coordinates.

    Arrays, each only where the model has it: a mixture's ``log_weights``, ``log_densities`` and
    ``responsibilities`` (K,), so that log p = log Σ_k exp(log_weights + log_densities); of an
    autoregressive model ``nodes`` and ``conditionals`` (D, P) in generated order with the event's
    own values ``at`` (D,); of a flow the ``states`` (L + 1, D) that the point passes through.

    Raises:
        ValueError: As :func:`engine.probes.log_prob_at.log_prob_at`.
    """
    check_draws(arguments.n_draws)
    given = PointArguments(arguments.point, arguments.n_draws, arguments.plane, arguments.axes)
    x = flat_event(view, given).reshape(1, *view.model.event_shape)
    names = coordinate_names(view.dataset)
    with suppress(CancellationError), torch.no_grad():
        found = terms_at(
            view.model,
            x,
            names,
            n_draws=arguments.n_draws,
            seed=view.seed,
            cancelled=view.cancelled,
        )
        model, event = in_double(view.model, x)
        arrays = _parts(model, event, view)
        yield Result(arrays, _values(found) | _names(model, arrays, names))


def _values(found: Terms) -> dict[str, Value]:
    return {
        "kind": found.kind,
        "log_prob": found.value,
        "error": found.error,
        "unit": found.unit,
        "residual": found.residual,
        "terms": [term.name for term in found.terms],
        "term_values": [term.value for term in found.terms],
        "term_errors": [term.error for term in found.terms],
        "term_words": [term.words for term in found.terms],
    }


def _names(
    model: GenerativeModel, arrays: dict[str, Tensor], names: tuple[str, ...]
) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if "responsibilities" in arrays:
        found["best"] = int(arrays["responsibilities"].argmax())
    if isinstance(model, Conditionals) and "at" in arrays:
        found["names"] = [names[int(index)] for index in model.order]
    return found


def _parts(model: GenerativeModel, x: Tensor, view: View) -> dict[str, Tensor]:
    if isinstance(model, HasFlowPath):
        return {"states": model.path(x).states[:, 0]}
    mixture = mixture_parts(model)
    if mixture is not None:
        joint = mixture.joint(x)[0]
        return {
            "log_weights": mixture.log_weights,
            "log_densities": joint - mixture.log_weights,
            "responsibilities": joint.softmax(0),
        }
    if isinstance(model, Conditionals) and model.event_size <= MOST_CURVES:
        return _curves(model, x, view)
    return {}


def _curves(model: Conditionals, x: Tensor, view: View) -> dict[str, Tensor]:
    """Each conditional's density along its own coordinate, given this event's earlier ones."""
    flat = view.dataset.train.reshape(len(view.dataset.train), -1).cpu().to(torch.float64)
    order = model.order.cpu()
    at = x.flatten(1)[0]
    low, high = torch.minimum(flat.amin(0), at), torch.maximum(flat.amax(0), at)
    room = CURVE_MARGIN * (high - low).clamp_min(1e-9)
    spans = zip((low - room).tolist(), (high + room).tolist(), strict=True)
    nodes = torch.stack([midpoint_axis(*span, CURVE_NODES).nodes for span in spans])  # (D, P)
    density = model.conditionals(x).log_prob(nodes.T).exp().T
    return {"nodes": nodes[order], "conditionals": density[order], "at": at[order]}
