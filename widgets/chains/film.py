"""Walks of many chains, kept row by row as they arrive: any step can be shown again, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.wire.fields import Value
from engine.wire.messages import Answer

Floats: TypeAlias = npt.NDArray[Any]
#: What every row has of all chains.
NEEDED = ("points", "energy", "acceptance")


class WalkFilm:
    """Row k is where the chains are after k steps, with the step that leaves from there.

    Attributes:
        step: Training step of the weights that they walk on.
        total: The step at which the walk ends.
        mean_energy, acceptance: Per row, nats and a probability.
        temperatures: Of the replicas of parallel tempering.
        how: Per row, the settings with which the step that leaves from it is taken.
        forgets: Whether the place alone decides how a chain goes on.
    """

    def __init__(self, first: Answer, how: Mapping[str, Value]) -> None:
        self.step = first.step
        self.how: list[Mapping[str, Value]] = []
        self.rows: list[dict[str, Floats]] = []
        self.mean_energy: list[float] = []
        self.acceptance: list[float] = []
        self.total = 0
        self.temperatures: tuple[float, ...] = ()
        self.forgets = True
        self.take(first, how)

    @property
    def n(self) -> int:
        """Rows that are there."""
        return len(self.rows)

    @property
    def n_chains(self) -> int:
        """Chains that walk together."""
        return len(self.rows[0]["points"]) if self.rows else 0

    @property
    def n_told(self) -> int:
        """Chains, the first ones, of which every part of a step is known."""
        return len(self.rows[0]["proposal"]) if self.rows and "proposal" in self.rows[0] else 0

    def take(self, piece: Answer, how: Mapping[str, Value]) -> None:
        """Put a piece in its place; what was there from its first row on is forgotten."""
        arrays = piece.arrays
        if any(name not in arrays for name in NEEDED):
            return
        shape = arrays["points"].shape
        if len(shape) != 3 or not shape[1] or arrays["energy"].shape != shape[:2]:
            return
        start = whole(piece.values.get("start"))
        if start > len(self.rows):
            return
        for kept in (self.rows, self.mean_energy, self.acceptance, self.how):
            del kept[start:]
        names = [name for name, array in arrays.items() if array.ndim and len(array) == shape[0]]
        for k in range(shape[0]):
            row = {name: arrays[name][k] for name in names}
            self.rows.append(row)
            self.how.append(how)
            energies = row["energy"][np.isfinite(row["energy"])]
            self.mean_energy.append(float(energies.mean()) if len(energies) else float("nan"))
            self.acceptance.append(float(row["acceptance"]))
        self.total = whole(piece.values.get("total"))
        self.forgets = bool(piece.values.get("forgets", True))
        found = piece.values.get("temperatures")
        self.temperatures = tuple(float(t) for t in found) if isinstance(found, list) else ()

    def row(self, k: int) -> dict[str, Floats]:
        """The row of a step, or the last one that is there."""
        return self.rows[min(max(k, 0), len(self.rows) - 1)]

    def kernel_at(self, k: int) -> str:
        """The kernel of the step that leaves from row k."""
        return str(self.how[min(max(k, 0), len(self.how) - 1)].get("kernel", ""))

    def temperature_at(self, k: int) -> float:
        """Its temperature; 1 of a model's own kernel."""
        how = self.how[min(max(k, 0), len(self.how) - 1)]
        heat = how.get("temperature")
        own = str(how.get("kernel", "")).startswith("own:")
        return float(heat) if isinstance(heat, int | float) and not own else 1.0

    def trail(self, chain: int, k: int, back: int) -> Floats:
        """(P, 2) where a chain has been in the last steps, up to step k."""
        rows = self.rows[max(0, k - back) : min(k, self.n - 1) + 1]
        return np.array([row["points"][chain] for row in rows], np.float64).reshape(-1, 2)

    def energies(self, chain: int) -> Floats:
        """(K,) E of one chain at every step, nats."""
        return np.array([row["energy"][chain] for row in self.rows], np.float64)

    def nearest(self, k: int, place: tuple[float, float]) -> int:
        """Of the chains of which all is known, the one nearest to a place at a step."""
        spots = self.row(k)["points"][: max(self.n_told, 1)].astype(np.float64)
        gaps = np.hypot(*(spots - np.asarray(place)).T)
        return int(np.argmin(np.where(np.isfinite(gaps), gaps, np.inf)))

    def n_lost(self, k: int) -> int:
        """Chains that have diverged, or whose step does."""
        row = self.row(k)
        lost = ~np.isfinite(row["points"]).all(1)
        return int((lost | row["diverged"]).sum()) if "diverged" in row else int(lost.sum())


class WalkReel:
    """The film that is shown, and the next one while it arrives.

    A new film (of newer weights, or of another chain set) takes over as soon as it has reached the
    step that is looked at; a walk that goes on from a step of the film that is shown is added.
    """

    def __init__(self) -> None:
        self.shown: WalkFilm | None = None
        self._coming: WalkFilm | None = None

    def clear(self) -> None:
        """Forget both."""
        self.shown = self._coming = None

    def take(self, piece: Answer, place: int, how: Mapping[str, Value]) -> bool:
        """Take a piece in, of steps with these settings.

        False where it goes on from a step that the film has not got.
        """
        start = whole(piece.values.get("start"))
        coming = self._coming
        if start == 0:
            film = WalkFilm(piece, how)
            if not film.rows:
                return True
            self._coming = coming = film
        elif coming is not None and coming.step == piece.step and start <= coming.n:
            coming.take(piece, how)
        else:
            return False
        late = coming.n > min(place, coming.total)
        if self.shown is None or late or coming.n > coming.total:
            self.shown = coming
        return True

    def finish(self) -> None:
        """What is shown is what the next pieces are added to."""
        if self.shown is not None:
            self._coming = self.shown


def whole(value: object) -> int:
    """A whole number of an answer's values."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
