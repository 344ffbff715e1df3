r"""Chains on a landscape, one step at a time, each step under a seed of its own.

A chain set, a seed and a step name a state exactly: the noise of step k comes from (seed, k)
alone, so a walk that is continued at k goes the way that it would have gone anyway. Kernels walk
in the landscape's standardised units; what is told of a step is in data units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from engine.capabilities import Chain
from engine.drawing import normal_noise
from engine.estimators.landscape import Landscape
from engine.mcmc import hmc, langevin, mala, metropolis, tempering
from engine.mcmc.target import Info, State
from engine.model import GenerativeModel

#: A model's own kernels are called ``own:NAME``.
OWN = "own:"
#: Farther than so many standard deviations from the data a chain counts as diverged.
FAR = 1e4
#: What a step tells that is a length, and what is a place.
LENGTHS, PLACES = ("drift", "noise"), ("proposal", "trajectory", "moved")


@dataclass(frozen=True)
class Settings:
    """How chains move.

    Attributes:
        kernel: A name of :data:`KERNELS`, or ``own:`` and one of the model's kernels.
        step_size: λ, in squared standard deviations of the data; HMC's leapfrog step is √λ.
        noise: σ of the decoupled chain, in standard deviations of the data.
        temperature: T; the chain's target is exp(−E/T).
        n_leapfrog: L, leapfrog steps of one step of HMC.
        n_replicas, hottest: R and T_R of parallel tempering.
    """

    kernel: str = "langevin"
    step_size: float = 0.02
    noise: float = 0.05
    temperature: float = 1.0
    n_leapfrog: int = 10
    n_replicas: int = 4
    hottest: float = 16.0

    @property
    def temperatures(self) -> Tensor:
        """Those of the replicas, the coldest first."""
        return self.temperature * tempering.ladder(self.n_replicas, self.hottest)


@dataclass(frozen=True)
class Moved:
    """One step of N chains over D values, in data units.

    Attributes:
        x: (N, D) where the chains were.
        energy: (N,) E there, nats.
        after: (N, D) where they are now.
        accepted: (N,) bool.
        acceptance: (N,) probability to accept.
        diverged: (N,) bool: the energy rose absurdly, or the place is no number or far away.
        told: What the kernel says of its parts: ``drift`` and ``noise`` (N, D), ``proposal``
            (N, D), ``trajectory`` (L + 1, N, D), ``moved`` (N, R, D), ``swapped`` (N, R − 1).
    """

    x: Tensor
    energy: Tensor
    after: Tensor
    accepted: Tensor
    acceptance: Tensor
    diverged: Tensor
    told: Mapping[str, Tensor]


#: What a sampler of :mod:`engine.mcmc` is told beyond state, target and generator.
Told: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Kernel:
    """A sampler of :mod:`engine.mcmc`, and how it is told its settings.

    Attributes:
        init, step: As the sampler has them.
        told: Settings → keyword arguments of ``step``.
        exact: Whether exp(−E/T) is its stationary law at every step size.
        forgets: Whether the place alone decides how it goes on.
        begun: Settings → keyword arguments of ``init``.
    """

    init: Callable[..., State]
    step: Callable[..., tuple[State, Info]]
    told: Callable[[Settings], Told]
    exact: bool = True
    forgets: bool = True
    begun: Callable[[Settings], Told] = lambda _: {}


def _heat(how: Settings) -> Told:
    return {"step_size": how.step_size, "temperature": how.temperature}


KERNELS: Mapping[str, Kernel] = {
    "langevin": Kernel(langevin.init, langevin.step, _heat, exact=False),
    "decoupled": Kernel(
        langevin.init, langevin.step, lambda how: _heat(how) | {"noise_scale": how.noise},
        exact=False,
    ),
    "mala": Kernel(mala.init, mala.step, _heat),
    "hmc": Kernel(
        hmc.init, hmc.step,
        lambda how: _heat(how) | {"step_size": how.step_size**0.5, "n_steps": how.n_leapfrog},
    ),
    "metropolis": Kernel(metropolis.init, metropolis.step, _heat),
    "tempering": Kernel(
        tempering.init, tempering.step,
        lambda how: {"step_size": how.step_size, "temperatures": how.temperatures},
        forgets=False, begun=lambda how: {"n_replicas": how.n_replicas},
    ),
}  # fmt: skip


def own_kernels(model: GenerativeModel) -> tuple[str, ...]:
    """The model's own kernels over its events, as ``own:NAME``."""
    if not isinstance(model, Chain):
        return ()
    state = model.init(1, torch.Generator().manual_seed(0))
    return tuple(OWN + name for name in model.kernels) if set(state) == {"x"} else ()


@dataclass
class Walk:
    """N chains at step ``at``; :meth:`move` takes them on.

    Attributes:
        landscape: What they walk on.
        model: For kernels of its own.
        settings: How they move.
        seed: Names the chance of the whole walk.
        at: Steps taken so far.
    """

    landscape: Landscape
    model: GenerativeModel
    settings: Settings
    seed: int
    at: int = 0
    _state: State = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (*KERNELS, *own_kernels(self.model))
        if self.settings.kernel not in names:
            given = self.settings.kernel
            raise ValueError(f"kernel: given '{given}', wanted one of {', '.join(names)}")

    def begin(self, x: Tensor, at: int = 0) -> None:
        """Stand at x (N, D) in data units, at a step."""
        self.at = at
        u, kernel = self.landscape.standardise(x), KERNELS.get(self.settings.kernel)
        if kernel is None:
            self._state = {"x": u, "energy": self.landscape.energy(x)}
        else:
            self._state = kernel.init(u, self.landscape.walked, **kernel.begun(self.settings))

    @property
    def x(self) -> Tensor:
        """(N, D) where the chains are, in data units."""
        return self.landscape.unstandardise(self._state["x"])

    @property
    def energy(self) -> Tensor:
        """(N,) E there, nats."""
        return self._state["energy"]

    @torch.no_grad()
    def move(self) -> Moved:
        """One step of every chain."""
        generator, land, before = step_generator(self.seed, self.at), self.landscape, self._state
        kernel = KERNELS.get(self.settings.kernel)
        if kernel is None:
            info = self._move_by_model(generator)
        else:
            self._state, info = kernel.step(
                before, land.walked, generator=generator, **kernel.told(self.settings)
            )
            info = {n: v * land.scale if n in LENGTHS else v for n, v in info.items()}
            info = {n: land.unstandardise(v) if n in PLACES else v for n, v in info.items()}
        self.at += 1
        x, after = land.unstandardise(before["x"]), self.x
        everywhere = torch.ones(len(x), dtype=torch.bool, device=x.device)
        far = ((after - land.location).abs() > FAR * land.scale).any(1)
        lost = ~after.isfinite().all(1) | far | info.get("divergence", ~everywhere)
        return Moved(
            x=x,
            energy=before["energy"],
            after=after,
            accepted=info.get("accepted", everywhere),
            acceptance=info.get("acceptance", everywhere.to(x)),
            diverged=lost,
            told={"proposal": after} | info,
        )

    def _move_by_model(self, generator: torch.Generator) -> Info:
        """The model's kernels take and give events in data units."""
        model = self.model
        if not isinstance(model, Chain):
            raise ValueError(f"{model.card.title} has no kernels of its own")
        name = self.settings.kernel.removeprefix(OWN)
        events = {"x": self.x.reshape(-1, *model.event_shape)}
        if self.landscape.of_class >= 0:
            events["y"] = torch.full((len(events["x"]),), self.landscape.of_class)
        moved, info = model.step(events, name, generator)
        self._state = {"x": self.landscape.standardise(moved["x"].flatten(1)),
                       "energy": info["energy"]}  # fmt: skip
        flat = {n: v.flatten(1) for n, v in info.items() if n in (*LENGTHS, "proposal")}
        return flat | {n: v for n, v in info.items() if n in ("accepted", "acceptance")}


def step_generator(seed: int, step: int) -> torch.Generator:
    """The chance of one step of one walk; neighbouring numbers give unlike streams."""
    mixed = ((seed + 1) * 0x9E3779B1 + (step + 1) * 0x85EBCA77) % 2**32
    return torch.Generator().manual_seed(mixed)


def training_steps(model: GenerativeModel) -> int:
    """Chain steps in one training step of an energy-based model; 0 for all others."""
    settings = getattr(model, "chosen", model.config)
    return int(getattr(settings, "langevin_steps", None) or 0)


def starts(model: GenerativeModel, land: Landscape, n: int, generator: torch.Generator) -> Tensor:
    """N fresh starts (N, D) in data units: the model's own noise, else as wide as the data."""
    if isinstance(model, Chain) and own_kernels(model):
        return model.init(n, generator)["x"].flatten(1)
    return land.unstandardise(normal_noise((n, len(land.scale)), generator, land.scale))


__all__ = [
    "KERNELS",
    "OWN",
    "Kernel",
    "Moved",
    "Settings",
    "Walk",
    "own_kernels",
    "starts",
    "step_generator",
    "training_steps",
]
