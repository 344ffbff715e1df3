"""What all modes of the panel share: the run, how its chains walk, the walk, the energy."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal

from engine.wire.fields import Value
from engine.wire.messages import Answer, RunInfo
from widgets.chains.film import WalkFilm, WalkReel
from widgets.chains.slider import Scale
from widgets.chains.surface import Surface
from widgets.chains.words import COUNTS, LENGTHS, MOST_ROWS, STARTS, kernel_words
from widgets.panel import Question

Floats: TypeAlias = npt.NDArray[Any]

SCALES = (
    Scale("step_size", "λ", 1e-4, 10.0,
          "λ, the step size, in squared standard deviations of the data"),
    Scale("noise", "σ", 1e-3, 3.0,
          "σ, the noise of the decoupled chain, in standard deviations of the data"),
    Scale("temperature", "T", 0.05, 20.0,
          "T, the temperature: chains walk on exp(−E/T), and heat flattens the energy"),
    Scale("n_leapfrog", "L", 1, 40, "L, leapfrog steps of one step of HMC", whole=True),
    Scale("hottest", "Tᴿ", 2.0, 100.0, "The temperature of the hottest of four replicas"),
)  # fmt: skip
#: Of these a change in the middle of a walk goes on from where the chains are.
LIVE = {scale.name for scale in SCALES} | {"kernel"}
#: Chains whose every part of a step is told; seconds between two walks while a run trains.
TOLD, REDRAW_SECONDS = 64, 2.0
#: Nodes a side of the energy, and while it trains or is dragged; places a side of the forces.
SIZE, LIVE_SIZE, FORCES = 128, 64, 21


class Desk(QObject):
    """Settings, the newest walk, and the energy that it goes over.

    Signals:
        changed: A setting is another: everything that walks must ask again.
        restarted: A walk from the start is wanted, of another chain set.
    """

    changed = Signal()
    restarted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.info: RunInfo | None = None
        self.kernel, self.start, self.owner = "langevin", "noise", "model"
        self.n, self.length, self.seed = 1000, 400, 0
        self.of_class = -1
        self.at: tuple[float, float] | None = None
        self.step_size, self.noise, self.temperature = 0.02, 0.05, 1.0
        self.n_leapfrog, self.hottest = 10.0, 16.0
        self.watch = 0
        self.reel = WalkReel()
        self.surface: Surface | None = None
        self.window: tuple[tuple[float, float], tuple[float, float]] | None = None
        self.is_scrubbing = False
        self._branch: tuple[int, Floats] | None = None
        self._outdated: WalkFilm | None = None
        self._whole_at = 0.0

    # --- run ----------------------------------------------------------------------------------

    def open(self, info: RunInfo | None) -> None:
        """Another run: its walk and energy are yet to come."""
        self.info = info
        self.reel.clear()
        self.surface, self._branch, self.at, self._whole_at = None, None, None, 0.0
        self._outdated, self.of_class = None, -1
        if self.start in ("click", "buffer"):
            self.start = "noise"
        self.window = None
        if info is None:
            return
        low, high = info.data.low, info.data.high
        if len(low) == 2 and len(high) == 2:
            self.window = (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))
        self.owner = "target" if self.has_target else "model"

    @property
    def has_target(self) -> bool:
        """Whether an energy stands in the place of the data."""
        return self.info is not None and self.info.dataset.kind == "target"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that have an energy of their own."""
        if self.info is None or "class_energy" not in self.info.card.features:
            return ()
        return self.info.data.labels

    @property
    def film(self) -> WalkFilm | None:
        """The walk that is shown."""
        return self.reel.shown

    @property
    def steps(self) -> int:
        """The walk's length: what is wanted, or what its many chains leave room for."""
        return min(self.length, MOST_ROWS // self.n - 1)

    @property
    def is_wide(self) -> bool:
        """Whether events have more values than the two that are drawn."""
        return self.info is not None and self.info.data.event.size > 2

    @property
    def plane(self) -> dict[str, Value]:
        """The plane that is drawn, as probes take it."""
        if self.info is not None and self.info.data.event.kind == "picture":
            return {"plane": "pca"}
        return {}

    # --- settings -----------------------------------------------------------------------------

    def set(self, place: int, **values: Any) -> None:
        """Change settings by name while step ``place`` is looked at."""
        changed = {name for name, value in values.items() if getattr(self, name) != value}
        for name in changed:
            setattr(self, name, values[name])
        if not changed:
            return
        film = self.film
        if changed <= LIVE and film is not None and self._can_go_on(film, place):
            self._branch = place, film.row(place)["points"]
            self.reel.finish()
            self.changed.emit()
            return
        self.begin_again()

    def begin_again(self) -> None:
        """Walk from the start; what is shown until that walk arrives can't be gone on with."""
        self._branch, self._outdated = None, self.film
        self.restarted.emit()
        self.changed.emit()

    def _can_go_on(self, film: WalkFilm, place: int) -> bool:
        """Whether the places alone say how the walk goes on."""
        kept = self.kernel != "tempering" and film.n_chains == self.n and not self.is_wide
        kept = kept and film is not self._outdated
        return kept and 0 < place < min(film.n, self.steps)

    def save(self) -> dict[str, Value]:
        """The settings, for the layout file."""
        names = ("kernel", "start", "n", "length", "seed", "of_class", "watch")
        kept = (*names, *(scale.name for scale in SCALES))
        clicked = [] if self.at is None else list(self.at)
        return {name: getattr(self, name) for name in kept} | {"at": clicked}

    def restore(self, state: Mapping[str, Value], place: int) -> None:
        """Take them back where they are sensible, while step ``place`` is looked at."""
        allowed: dict[str, Sequence[Any]] = {
            "n": COUNTS, "length": LENGTHS, "start": tuple(name for name, *_ in STARTS),
            "of_class": range(-1, len(self.classes)),
        }  # fmt: skip
        taken: dict[str, Any] = {
            n: state[n] for n, values in allowed.items() if state.get(n) in values
        }
        if taken.get("start") == "click":
            at = _place(state.get("at")) or self.at
            taken |= {"start": "noise"} if at is None else {"at": at}
        kernel = state.get("kernel")
        if isinstance(kernel, str) and _is_kernel(kernel):
            taken["kernel"] = kernel
        for scale in SCALES:
            value = state.get(scale.name)
            if isinstance(value, int | float) and scale.low <= value <= scale.high:
                taken[scale.name] = float(value)
        whole = {name: state.get(name) for name in ("seed", "watch")}
        taken |= {n: v for n, v in whole.items() if type(v) is int and 0 <= v < 2**31}
        self.watch = int(taken.pop("watch", self.watch))
        self.set(place, **taken)

    # --- asking -------------------------------------------------------------------------------

    def moves(self) -> dict[str, Value]:
        """How the chains move, as probes take it; a kernel without a temperature walks at 1."""
        heated = "temperature" in kernel_words(self.kernel).settings
        return {
            "kernel": self.kernel, "step_size": self.step_size, "noise": self.noise,
            "temperature": self.temperature if heated else 1.0, "n_leapfrog": int(self.n_leapfrog),
            "hottest": self.hottest, "owner": self.owner, "of_class": self.of_class,
        }  # fmt: skip

    def walk_question(self, *, rest: bool) -> Question:
        """The walk; while a run trains it is walked anew every few seconds."""
        due = time.monotonic() - self._whole_at > REDRAW_SECONDS
        arguments = self.moves() | self.plane | {
            "n": self.n, "seed": self.seed, "start": self.start, "told": TOLD,
            "steps": self.steps,
        }  # fmt: skip
        if self.start == "click" and self.at is not None:
            arguments["at"] = list(self.at)
        arrays: dict[str, Floats] = {}
        if self._branch is not None:
            first, x = self._branch
            arguments |= {"first": first, "steps": max(self.steps - first, 0)}
            arrays["x"] = np.ascontiguousarray(x, np.float32)
        live = rest or self.is_scrubbing or due
        return Question("chain_walk", arguments, arrays, live=live, stream=True)

    def surface_question(self, *, rest: bool, forces: bool = False) -> Question | None:
        """The energy over what is in view; None while that is unknown."""
        if self.window is None:
            return None
        low, high = self.window
        arguments: dict[str, Value] = {
            "low": list(low), "high": list(high), "size": SIZE if rest else LIVE_SIZE,
            "side": FORCES if forces else 0, "owner": self.owner, "of_class": self.of_class,
        }  # fmt: skip
        coarse: dict[str, Value] = {"size": LIVE_SIZE}
        return Question("energy_surface", arguments | self.plane, coarse=coarse)

    def points_question(self) -> Question:
        """Observations, which also tell how far the picture must reach."""
        return Question("data_points", {"n": 1000} | self.plane, live=False)

    def show_walk(self, answer: Answer, place: int) -> None:
        """Take in a piece of the walk; one that fits no more begins anew."""
        if not self.reel.take(answer, place, self.moves()):
            self._branch = None
            self.changed.emit()
        if answer.final:
            self._whole_at = time.monotonic()


def _place(value: object) -> tuple[float, float] | None:
    """Two finite numbers, or None."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    if not all(isinstance(part, int | float) and math.isfinite(part) for part in value):
        return None
    return float(value[0]), float(value[1])


def _is_kernel(name: str) -> bool:
    try:
        kernel_words(name)
    except KeyError:
        return False
    return True
