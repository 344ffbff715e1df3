"""Where the data lie among the latents: posterior means, labels, known factors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.estimators.density import CancellationError
from engine.estimators.latent_space import as_decoder, encode, find_latent, prior_draws, size_of
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.probes.data_points import choose, split_of
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Most observations, and most values that cross.
MOST, MOST_VALUES = 200_000, 2**23


class Arguments(msgspec.Struct, frozen=True):
    """How many observations of which split, and which latent ("" is the first real one)."""

    n: int = 2000
    split: str = "train"
    latent: str = ""
    n_draws: int = 64


@probe(
    summary="Posterior means of the data, and what the latents are.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def latent_encodings(view: View, arguments: Arguments) -> Iterator[Result]:
    """Means (N, Z) of q(z given x), their standard deviations (N, Z), labels, factors, indices.

    ``kind`` is ``"mean"`` where q is a known Gaussian, ``"mean of draws"`` where it is not, and
    ``"prior"`` where the model has no encoder: then the points are draws of the prior. A latent
    that is not real gives no points. The latents are named in ``names``, ``kinds``, ``sizes`` and
    ``levels``.

    Raises:
        ValueError: A number is out of range, or there is no latent of that name.
    """
    if not 1 <= arguments.n <= MOST:
        raise ValueError(f"n: given {arguments.n}, wanted 1 to {MOST}")
    latent = find_latent(view.model, arguments.latent)
    values = _about(view, latent)
    data, labels = split_of(view.dataset, arguments.split)
    if latent.kind != "real":
        yield Result({}, values | {"kind": "none", "n_all": len(data)})
        return
    most = max(1, MOST_VALUES // max(size_of(latent), 1))
    chosen = choose(len(data), min(arguments.n, most), view)
    with suppress(CancellationError), torch.no_grad():
        arrays, kind = _points(view, arguments, latent, data[chosen])
        if kind != "prior":
            arrays |= _known(view.dataset, arguments.split, labels, chosen)
        yield Result(arrays, values | {"kind": kind, "n_all": len(data)})


def _about(view: View, latent: Latent) -> dict[str, Value]:
    latents = as_decoder(view.model).latents
    return {
        "latent": latent.name,
        "names": [each.name for each in latents],
        "kinds": [each.kind for each in latents],
        "sizes": [size_of(each) for each in latents],
        "levels": [each.levels or 0 for each in latents],
        "encodes": view.can(Capability.ENCODING),
    }


def _points(
    view: View, arguments: Arguments, latent: Latent, x: Tensor
) -> tuple[dict[str, Tensor], str]:
    if not view.can(Capability.ENCODING):
        drawn = prior_draws(view.model, latent, len(x), view.generator())
        return {"means": drawn.to(torch.float32)}, "prior"
    codes = encode(
        view.model, x, latent, generator=view.generator(), n_draws=arguments.n_draws,
        cancelled=view.cancelled,
    )  # fmt: skip
    arrays = {
        "means": codes.mean.to(torch.float32),
        "deviations": codes.deviations().to(torch.float32),
    }
    return arrays, "mean" if codes.is_exact else "mean of draws"


def _known(
    dataset: Dataset, split: str, labels: Tensor | None, chosen: Tensor
) -> dict[str, Tensor]:
    arrays = {"indices": chosen.to(torch.int32)}
    if labels is not None:
        arrays["labels"] = labels.cpu()[chosen].to(torch.int32)
    factors: Tensor | None = getattr(dataset, f"{split}_factors")
    if factors is not None:
        arrays["factors"] = factors[chosen].to(torch.float32)
    return arrays
