"""A hierarchy of latents: one level is drawn again, and the noise of all others is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from engine.capabilities import Decoding
from engine.drawing import draw
from engine.estimators.density import as_events
from engine.estimators.latent_space import as_decoder, fill, find_latent, mean_of
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.probes.data_points import split_of
from engine.wire.capability import Capability

MOST = 64


class Arguments(msgspec.Struct, frozen=True):
    """``n`` draws of one level; ``index`` of a test observation to begin with, −1 for none."""

    level: str = ""
    n: int = 8
    index: int = -1
    seed: int = 0


@probe(
    summary="One level of a hierarchy drawn anew, the others held.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def latent_levels(view: View, arguments: Arguments) -> Iterator[Result]:
    """Decoded means ``pictures`` (n, *E), the first one before anything is drawn anew.

    Levels above the chosen one keep their values. Levels below it keep their *noise*
    ε = (z − m)/s under their normal prior N(m, s²), which the new level has moved, so that what
    changes is its doing alone; one whose prior is no normal keeps its value. With ``index`` all
    begin as one draw of q of that observation.

    Raises:
        ValueError: A number is out of range, or there is no level of that name.
    """
    if not 1 <= arguments.n <= MOST:
        raise ValueError(f"n: given {arguments.n}, wanted 1 to {MOST}")
    level = find_latent(view.model, arguments.level)
    decoder = as_decoder(view.model)
    with torch.no_grad():
        start = _encoded(view, arguments) if arguments.index >= 0 else {}
        generator = view.generator(7919 * (arguments.seed + 1))
        first = fill(view.model, start, 1, noise=lambda _: generator)
        rows = [first]
        for row in range(1, arguments.n):
            fresh = view.generator(7919 * (arguments.seed + 1) + row)
            rows.append(redrawn(decoder, first, level, fresh))
        pictures = [mean_of(decoder.decode(row))[0] for row in rows]
    arrays = {"pictures": torch.stack(pictures).cpu().to(torch.float32)}
    yield Result(arrays, {"level": level.name, "names": [e.name for e in decoder.latents]})


def redrawn(
    decoder: Decoding, first: dict[str, Tensor], level: Latent, generator: torch.Generator
) -> dict[str, Tensor]:
    """The latents (1, *Z) with one drawn again, those above and the noise of those below held."""
    found, is_below = dict[str, Tensor](), False
    for latent in decoder.latents:
        now = decoder.prior(found)
        if latent.name == level.name:
            found[latent.name] = draw(now, generator, () if now.batch_shape else (1,))
            is_below = True
        elif not is_below:
            found[latent.name] = first[latent.name]
        else:
            before = decoder.prior(_parents(decoder, first, latent))
            found[latent.name] = _carried(first[latent.name], before, now)
    return found


def _parents(decoder: Decoding, first: dict[str, Tensor], latent: Latent) -> dict[str, Tensor]:
    names = [each.name for each in decoder.latents]
    return {name: first[name] for name in names[: names.index(latent.name)]}


def _carried(value: Tensor, before: Distribution, now: Distribution) -> Tensor:
    """The value with the same noise under another normal; of any other prior the value itself."""
    if not all(isinstance(d, Independent) and isinstance(d.base_dist, Normal)
               for d in (before, now)):  # fmt: skip
        return value
    return now.mean + now.stddev * (value - before.mean) / before.stddev


def _encoded(view: View, arguments: Arguments) -> dict[str, Tensor]:
    data, _ = split_of(view.dataset, "test")
    model: Any = view.model
    if not view.can(Capability.ENCODING):
        raise ValueError(f"index: {model.card.title} has no encoder to begin with an observation")
    if arguments.index >= len(data):
        raise ValueError(f"index: given {arguments.index}, wanted up to {len(data) - 1}")
    x = as_events(model, data[arguments.index : arguments.index + 1])
    drawn = model.encode(x).sample(1, view.generator(3))[0]
    return {name: value[0] for name, value in drawn.items()}
