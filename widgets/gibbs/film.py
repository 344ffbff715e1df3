"""Chains as they arrive: every half-step is kept, so any of them can be shown again."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.messages import Answer

Floats: TypeAlias = npt.NDArray[Any]

VISIBLE = "v"


class WalkFilm:
    """T frames of N chains.

    Attributes:
        states, means: By block (T, N, n_b); only frames that have arrived mean anything.
        energy, free_energy: (T, N), nats, up to log Z.
        drawn: (T, blocks) which blocks that half-step drew.
        kernels: Names of the half-steps of one sweep.
        given: By block, the blocks that it is drawn given; () where it is not drawn yet.
        joined: Blocks that the energies are of.
        free_of: Blocks that the free energy is a function of.
        stride: Half-steps between two frames.
        n: Frames that have arrived.
        step: Training step of the weights.
        chains_of: Training step of the persistent chains that it starts from, or None.
    """

    def __init__(self, first: Answer) -> None:
        values = first.values
        self.n_frames = _whole(values.get("n_frames"))
        self.stride = max(1, _whole(values.get("stride")))
        self.kernels = _names(values.get("kernels"))
        self.blocks = _names(values.get("blocks"))
        self.joined = _names(values.get("joined"))
        self.free_of = _names(values.get("free_of"))
        given = [tuple(words.split()) for words in _names(values.get("given"))]
        self.given = dict(zip(self.blocks, given, strict=False))
        self.n_clamped = _whole(values.get("n_clamped"))
        self.step = first.step
        kept = values.get("chains_of")
        self.chains_of = kept if isinstance(kept, int) else None
        self.states = {name: self._room(first, name) for name in self.blocks}
        self.means = {
            name: self._room(first, f"mean_{name}")
            for name in self.blocks
            if f"mean_{name}" in first.arrays
        }
        self.energy = self._room(first, "energy").astype(np.float64)
        self.free_energy = self._room(first, "free_energy").astype(np.float64)
        self.drawn = np.zeros((self.n_frames, len(self.blocks)), dtype=bool)
        self.n = 0
        self.take(first)

    def _room(self, first: Answer, name: str) -> Floats:
        given = first.arrays[name]
        return np.zeros((self.n_frames, *given.shape[1:]), given.dtype)

    @property
    def n_chains(self) -> int:
        """N."""
        return int(self.energy.shape[1])

    @property
    def hidden(self) -> tuple[str, ...]:
        """The blocks that are not seen, from the lowest."""
        return tuple(name for name in self.blocks if name != VISIBLE)

    @property
    def is_whole(self) -> bool:
        """Whether every frame has arrived."""
        return self.n >= self.n_frames

    def take(self, piece: Answer) -> None:
        """Put a piece in its place."""
        start = _whole(piece.values.get("frame"))
        stop = start + len(piece.arrays["energy"])
        if stop > self.n_frames:
            return
        for name, room in self.states.items():
            room[start:stop] = piece.arrays[name]
        for name, room in self.means.items():
            room[start:stop] = piece.arrays[f"mean_{name}"]
        self.energy[start:stop] = piece.arrays["energy"]
        self.free_energy[start:stop] = piece.arrays["free_energy"]
        self.drawn[start:stop] = piece.arrays["drawn"]
        self.n = max(self.n, stop)

    def drawn_at(self, place: int) -> tuple[str, ...]:
        """The blocks that the half-step before a frame drew."""
        return tuple(b for b, on in zip(self.blocks, self.drawn[place], strict=True) if on)

    def mean(self, block: str, place: int) -> Floats:
        """Means (N, n_b) of a block at a frame; its states where none were sent."""
        found: Floats = self.means.get(block, self.states[block])[place]
        return found

    def sweeps(self, place: int) -> float:
        """Sweeps taken at a frame."""
        return place * self.stride / max(len(self.kernels), 1)


class WalkReel:
    """The film that is shown, and the next one while it arrives.

    A new film takes over as soon as it has reached the place that is looked at.
    """

    def __init__(self) -> None:
        self.shown: WalkFilm | None = None
        self._coming: WalkFilm | None = None

    def clear(self) -> None:
        """Forget both."""
        self.shown = self._coming = None

    def take(self, piece: Answer, place: int) -> bool:
        """Take a piece in; True when it can be seen at ``place``."""
        if "energy" not in piece.arrays or "drawn" not in piece.arrays:
            return False
        if _whole(piece.values.get("frame")) == 0:
            self._coming = WalkFilm(piece)
        elif self._coming is not None:
            self._coming.take(piece)
        coming = self._coming
        if coming is None:
            return False
        if self.shown is None or coming.n > min(place, coming.n_frames - 1):
            self.shown = coming
        return self.shown is coming


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
