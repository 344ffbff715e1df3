r"""Pictures of a flow that grow from coarse to fine, scale by scale.

In a multi-scale flow half of the values leave for the base at every scale. With S scales, column k
of 0 … S has the noise of the k coarsest scales and zeros for the finer ones, through all inverse
layers:

.. math:: x_k = f^{-1}(T\, m_k \odot \varepsilon), \qquad \varepsilon \sim p_Z

with the mask m_k of the values of those scales. So column 0 is the picture of no noise, the same
for every sample, and column S is exactly a sample at temperature T. Where a prior predicts the
values that leave (Glow), zero noise is its mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.drawing import draw
from engine.estimators.density import CancellationError
from engine.estimators.flow_pictures import as_data, from_base, picture_flow_of, scales_of
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

MOST_PICTURES, MOST_SEED = 64, 2**31 - 1
HIGHEST_TEMPERATURE = 4.0


class Arguments(msgspec.Struct, frozen=True):
    """How many samples, the spread T of their noise, and which noise."""

    n: int = 6
    temperature: float = 1.0
    seed: int = 0


@probe(
    summary="Pictures from base noise, growing from coarse to fine scales.",
    arguments=Arguments,
    needs=(Capability.FLOW_PATH,),
)
def flow_pictures(view: View, arguments: Arguments) -> Iterator[Result]:
    """``pictures`` (N, S + 1, *E); the last of each row is the sample.

    Values: ``kept``, how many values have noise in each column; ``temperature``.

    Raises:
        ValueError: An argument is out of range, or the events are no pictures.
    """
    _check(arguments)
    flow = picture_flow_of(view.model, view.dataset.event)
    noise = draw(flow.base(), view.generator(arguments.seed), (arguments.n,))
    masks = coarse_first(scales_of(flow)).to(noise)
    base = arguments.temperature * noise[:, None] * masks
    with suppress(CancellationError):
        places = from_base(flow, base.flatten(0, 1), view.cancelled)
        pictures = as_data(view.model, places)
        values: dict[str, Value] = {
            "kept": [int(mask.sum()) for mask in masks],
            "temperature": arguments.temperature,
        }
        shape = (arguments.n, len(masks), *view.model.event_shape)
        yield Result({"pictures": pictures.reshape(shape)}, values)


def coarse_first(scales: Tensor) -> Tensor:
    """Scales (D,) → masks (S + 1, D): none, the coarsest alone, … , all."""
    n_scales = int(scales.max()) + 1
    return torch.stack([scales >= n_scales - k for k in range(n_scales + 1)])


def _check(arguments: Arguments) -> None:
    for name, value, least, most in (
        ("n", arguments.n, 1, MOST_PICTURES),
        ("temperature", arguments.temperature, 0.0, HIGHEST_TEMPERATURE),
        ("seed", arguments.seed, 0, MOST_SEED),
    ):
        if not least <= value <= most:
            raise ValueError(f"{name}: given {value}, wanted {least} to {most}")
