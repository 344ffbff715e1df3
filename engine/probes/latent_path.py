"""From one latent to the next: what lies between, straight, on a sphere or along the decoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.density import CancellationError
from engine.estimators.latent_paths import (
    curve_energy,
    curve_length,
    geodesics,
    through,
)
from engine.estimators.latent_space import check_size, decoded, decoded_mean, find_real, mean_of
from engine.latents import Latent
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

PathKind = Literal["linear", "spherical", "geodesic"]
#: Most keyframes, frames from one to the next, and frames in all.
MOST_KEYS, MOST_FRAMES, MOST_IN_ALL = 32, 240, 2000


class Arguments(msgspec.Struct, frozen=True):
    """Latents ``keys`` (K, Z) in order; ``frames`` from one to the next; back to the first."""

    keys: np.ndarray
    kind: PathKind = "linear"
    frames: int = 16
    loop: bool = False
    latent: str = ""


@probe(
    summary="A path through chosen latents, decoded, with its energy and length.",
    arguments=Arguments,
    needs=(Capability.DECODING,),
)
def latent_path(view: View, arguments: Arguments) -> Iterator[Result]:
    """``z`` (T + 1, Z) and decoded means ``frames`` (T + 1, *E); ``keys_at`` (K,) frame numbers.

    ``energy`` and ``length`` are those of the decoded curve (sums over all segments), in squared
    units and units of the data; ``linear_energy`` and ``linear_length`` those of the straight one
    with as many frames. A geodesic comes in partial answers, each of no more energy.

    Raises:
        ValueError: A number is out of range, or the decoder cannot be differentiated.
    """
    latent = find_real(view.model, arguments.latent)
    keys = _keys(view, arguments, latent)
    with suppress(CancellationError):
        straight = through(keys, "linear", arguments.frames)
        decoded_straight = _decoded(view, latent, straight)
        if arguments.kind != "geodesic":
            curve = through(keys, arguments.kind, arguments.frames)
            yield _result(view, latent, arguments, curve, decoded_straight)
            return
        yield from _geodesic(view, arguments, latent, straight, decoded_straight)


def _geodesic(
    view: View, arguments: Arguments, latent: Latent, straight: Tensor, plain: Tensor
) -> Iterator[Result]:
    """Segment after segment; what is found of one is shown before the next is begun."""

    def decode(z: Tensor) -> Tensor:
        return mean_of(decoded(view.model, z, latent)).flatten(1)

    with torch.enable_grad():
        tried = decode(straight[:1].clone().requires_grad_())
    if not tried.requires_grad:
        title = view.model.card.title
        raise ValueError(f"a geodesic needs a decoder with a derivative; {title} has none")
    curve, n = straight.clone(), arguments.frames
    for start in range(0, len(straight) - 1, n):
        for better in geodesics(decode, straight[start : start + n + 1]):
            if view.cancelled():
                raise CancellationError
            curve[start : start + n + 1] = better
        final = start + n >= len(straight) - 1
        yield _result(view, latent, arguments, curve, plain, final=final)


def _result(
    view: View,
    latent: Latent,
    arguments: Arguments,
    curve: Tensor,
    plain: Tensor,
    final: bool = True,
) -> Result:
    frames = _decoded(view, latent, curve)
    flat, straight = frames.flatten(1).double(), plain.flatten(1).double()
    values: dict[str, Value] = {
        "kind": arguments.kind,
        "energy": float(curve_energy(flat)),
        "length": float(curve_length(flat)),
        "linear_energy": float(curve_energy(straight)),
        "linear_length": float(curve_length(straight)),
    }
    arrays = {
        "z": curve.detach().to(torch.float64),
        "frames": frames,
        "keys_at": torch.arange(0, len(curve), arguments.frames, dtype=torch.int32),
    }
    return Result(arrays, values, final=final)


def _decoded(view: View, latent: Latent, z: Tensor) -> Tensor:
    with torch.no_grad():
        return decoded_mean(view.model, z, latent).cpu().to(torch.float32)


def _keys(view: View, arguments: Arguments, latent: Latent) -> Tensor:
    given = torch.from_numpy(np.array(arguments.keys, dtype=np.float64))
    keys = check_size(given, latent)
    if not 2 <= len(keys) <= MOST_KEYS:
        raise ValueError(f"keys: given {len(keys)} latents, wanted 2 to {MOST_KEYS}")
    if not bool(keys.isfinite().all()):
        raise ValueError("keys: given NaN or infinity, wanted finite numbers")
    if arguments.loop:
        keys = torch.cat([keys, keys[:1]])
    most = min(MOST_FRAMES, MOST_IN_ALL // (len(keys) - 1))
    if not 1 <= arguments.frames <= most:
        raise ValueError(f"frames: given {arguments.frames}, wanted 1 to {most}")
    return keys.to(view.model.location.dtype).to(view.model.device)
