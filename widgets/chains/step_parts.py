"""The parts of one step as short lines and dots over the plane, for a view that drapes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from widgets.chains.arrows import heads

Floats: TypeAlias = npt.NDArray[Any]

#: What a line is: drift or the way of HMC, noise or a plain proposal, the way to hotter replicas.
DRIFT, NOISE, HEAT = 0, 1, 2
#: What a dot is: a proposal that is refused or accepted, a hot replica.
REFUSED, ACCEPTED, HOT = 0, 1, 2
#: Pieces of a line that lies on the ground.
PIECES = 6


@dataclass(frozen=True)
class StepParts:
    """Lines (G, 2, 2) from end to end with what they are (G,), dots (P, 2) likewise (P,)."""

    lines: Floats
    line_kinds: Floats
    dots: Floats
    dot_kinds: Floats


def told_chains(n_told: int, n_arrows: int, watch: int) -> Floats:
    """Chains whose parts are drawn: the first ones, and the watched one."""
    first = np.arange(min(n_arrows, n_told))
    return np.union1d(first, [min(watch, n_told - 1)]) if n_told else first


def parts_of(row: dict[str, Floats], which: Floats) -> StepParts:
    """What is drawn of a film's row, of some chains by number."""
    x = row["points"][which].astype(np.float64)
    proposal = row["proposal"][which].astype(np.float64)
    lines: list[tuple[Floats, int]] = []
    dots, kinds = [proposal], [row["accepted"][which].astype(np.int64)]
    if "replicas" in row:
        replicas = row["replicas"][:, which].astype(np.float64)
        lines.append((_joined(replicas), HEAT))
        hot = replicas[1:].reshape(-1, 2)
        dots, kinds = [hot, *dots], [np.full(len(hot), HOT), *kinds]
    elif "trajectory" in row:
        lines.append((_joined(row["trajectory"][:, which].astype(np.float64)), DRIFT))
    elif "noise" in row:
        middle = x
        if "drift" in row:
            middle = x + row["drift"][which]
            lines.append((_arrows(x, middle), DRIFT))
        lines.append((_arrows(middle, middle + row["noise"][which]), NOISE))
    else:
        lines.append((_arrows(x, proposal), NOISE))
    return StepParts(
        np.concatenate([part for part, _ in lines]),
        np.concatenate([np.full(len(part), kind) for part, kind in lines]),
        np.concatenate(dots),
        np.concatenate(kinds),
    )


def draped(lines: Floats) -> Floats:
    """(G, 2, 2) cut into pieces (G · pieces, 2, 2), so that each can lie on the ground."""
    shares = np.linspace(0.0, 1.0, PIECES + 1)[None, :, None]
    knots = lines[:, :1] * (1.0 - shares) + lines[:, 1:] * shares
    return _pieces(knots)


def _joined(places: Floats) -> Floats:
    """(K, M, 2), K places of each of M chains one after the other → (M · (K − 1), 2, 2)."""
    return _pieces(places.swapaxes(0, 1))


def _arrows(tails: Floats, tips: Floats) -> Floats:
    """Shaft and head of each arrow, (4 M, 2, 2)."""
    return _pieces(heads(tails, tips))


def _pieces(ways: Floats) -> Floats:
    """(M, K, 2) → (M · (K − 1), 2, 2)."""
    return np.stack([ways[:, :-1], ways[:, 1:]], 2).reshape(-1, 2, 2)
