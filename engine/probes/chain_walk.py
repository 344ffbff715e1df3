"""Chains that walk on the energy, step by step, as a stream of numbered pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.estimators.density import CancellationError
from engine.estimators.landscape import Landscape, Owner, landscape_of
from engine.estimators.walking import KERNELS, Moved, Settings, Walk, starts, step_generator
from engine.plane import Plane, PlaneKind, make_plane
from engine.probe import Result, View, probe
from engine.target import Target
from engine.wire.fields import Value

#: Where chains begin: fresh noise, observations, the training's replay buffer, one given place.
Start: TypeAlias = Literal["noise", "data", "buffer", "click"]
#: Limits: chains, steps, their product, and chains of which every part of a step is told.
MOST_CHAINS, MOST_STEPS, MOST_ROWS, MOST_TOLD = 10_000, 20_000, 4_000_000, 256
#: Values of whole states that are sent, of events that are more than what is drawn.
MOST_VALUES = 2**24
#: Rows of one piece, once the first, short ones are there; and its numbers.
PIECE, PIECE_NUMBERS = 32, 2**18
#: The step whose seed draws the starts.
BEGIN = -1


class ChainSet(msgspec.Struct, frozen=True):
    """Which chains walk, and how: what every question about chains says.

    Attributes:
        n, seed: The chain set.
        start: Where it begins; ``at`` is the place of a click, in drawn coordinates.
        steps: How many follow.
        kernel, step_size, noise, temperature, n_leapfrog, n_replicas, hottest: See
            :class:`engine.estimators.walking.Settings`.
        owner: Whose energy.
        of_class: That of one class alone, E(x, y), of models that have such; −1: E(x).
    """

    n: int = 1000
    seed: int = 0
    start: Start = "noise"
    at: tuple[float, ...] = ()
    steps: int = 400
    kernel: str = "langevin"
    step_size: float = 0.02
    noise: float = 0.05
    temperature: float = 1.0
    n_leapfrog: int = 10
    n_replicas: int = 4
    hottest: float = 16.0
    owner: Owner = "model"
    of_class: int = -1

    @property
    def settings(self) -> Settings:
        """How the chains move."""
        return Settings(self.kernel, self.step_size, self.noise, self.temperature,
                        self.n_leapfrog, self.n_replicas, self.hottest)  # fmt: skip


class Arguments(ChainSet, frozen=True):
    """A chain set, over which of its steps.

    Attributes:
        first: The walk's first step.
        x: (N, D) where the chains are at ``first``; None: at their start, and ``first`` is 0.
        told: Chains, the first ones, of which drift, noise and proposal are told.
        plane, axes: The drawn plane.
    """

    first: int = 0
    x: np.ndarray | None = None
    told: int = 64
    plane: PlaneKind = "axes"
    axes: tuple[int, ...] = (0, 1)


@probe(summary="Chains that walk on the energy, step by step.", arguments=Arguments)
def chain_walk(view: View, arguments: Arguments) -> Iterator[Result]:
    """Rows k = ``first`` … ``first + steps``; ask as a stream to get all pieces.

    A row is a state and the step that leaves from it; the last row's step is the one that would
    come next. N chains, M of which all is told, P rows of a piece, d = 2 drawn values.

    - ``points`` (P, N, d), ``energy`` (P, N) nats at temperature 1, ``diverged`` (P, N) bool;
      ``states`` (P, S, D) of events of more than two values: the first M chains, or as many as
      there is room for.
    - ``acceptance`` (P,): the mean probability to accept.
    - ``proposal`` (P, M, d), ``accepted`` (P, M); ``drift`` and ``noise`` (P, M, d), whose sum is
      the proposal less the point, where the kernel has such parts; ``trajectory`` (P, L + 1, M, d)
      of HMC; ``replicas`` (P, R, M, d) of tempering, the coldest first, between moves and swaps,
      and ``swapped`` (P, R − 1, M).

    Values: ``start``, the first row's step; ``total``, the last step of all; ``exact`` and
    ``forgets`` of the kernel; ``temperatures`` of the replicas.

    Raises:
        ValueError: An argument is out of range, or there is no such energy.
    """
    within(arguments, ("steps", 0, MOST_STEPS), ("first", 0, 10**9), ("told", 0, MOST_TOLD))
    check(arguments, kept=arguments.steps + 1)
    land = landscape_of(view.model, view.dataset, arguments.owner, arguments.of_class)
    plane = make_plane(view.dataset, arguments.plane, arguments.axes)
    if plane.dims != 2:
        raise ValueError("chains on a surface: given one value, wanted at least two")
    walk = Walk(land, view.model, arguments.settings, arguments.seed)
    walk.begin(_given(view, land, plane, arguments), arguments.first)
    with suppress(CancellationError):
        yield from _pieces(view, walk, plane, arguments)


def check(arguments: ChainSet, *, kept: int) -> None:
    """Raise ``ValueError`` where a number is out of range, or ``kept`` states are too many."""
    within(
        arguments,
        ("n", 1, MOST_CHAINS),
        ("n_leapfrog", 1, 100), ("n_replicas", 2, 12),
        ("step_size", 0.0, 1e4), ("noise", 0.0, 1e4), ("temperature", 0.0, 1e4),
        ("hottest", 1.0, 1e4),
    )  # fmt: skip
    if arguments.n * kept > MOST_ROWS:
        most = MOST_ROWS // arguments.n
        raise ValueError(
            f"steps: given {arguments.steps}, wanted at most {most} of so many chains"
        )
    if arguments.temperature == 0.0 and arguments.kernel not in ("langevin", "decoupled"):
        raise ValueError("temperature: given 0, wanted more; only Langevin's step descends")


def within(arguments: ChainSet, *limits: tuple[str, float, float]) -> None:
    """Raise ``ValueError`` unless each named number lies between its two limits."""
    for name, least, most in limits:
        value = getattr(arguments, name)
        if not least <= value <= most:
            raise ValueError(f"{name}: given {value:g}, wanted {least:g} to {most:g}")


def _given(view: View, land: Landscape, plane: Plane, arguments: Arguments) -> Tensor:
    """(N, D) where a walk goes on, or begins."""
    n, size = arguments.n, view.model.event_size
    if arguments.x is not None:
        if arguments.x.shape != (n, size):
            given = tuple(arguments.x.shape)
            raise ValueError(f"x: given {given}, wanted {(n, size)}")
        return torch.tensor(np.array(arguments.x, np.float64)).to(land.location)
    if arguments.first:
        raise ValueError(f"first: given {arguments.first} without x, wanted 0")
    return begun(view, land, plane, arguments)


def begun(view: View, land: Landscape, plane: Plane, arguments: ChainSet) -> Tensor:
    """(N, D) where the chains begin, in data units."""
    n = arguments.n
    generator = step_generator(arguments.seed, BEGIN)
    if arguments.start == "data":
        return _observations(view, n, generator, arguments.of_class).flatten(1).to(land.location)
    if arguments.start == "click":
        if len(arguments.at) != plane.dims:
            raise ValueError(f"at: given {len(arguments.at)} numbers, wanted {plane.dims}")
        place = plane.lift(torch.tensor([arguments.at], dtype=torch.float64))
        return place.repeat(n, 1).to(land.location)
    if arguments.start == "buffer":
        return _of_buffer(view, land, n, generator)
    return starts(view.model, land, n, generator)


def replay_of(view: View) -> tuple[Tensor, Tensor | None, int]:
    """The training's chains (M, D) standardised, their ages (M,), and the step they are of.

    Raises:
        ValueError: The run keeps no replay buffer, or has not begun to.
    """
    step, memory = view.memory()
    replay = memory.get("replay")
    if replay is None or replay.flatten(1).shape[1] != view.model.event_size:
        raise ValueError(
            "the replay buffer: this run has none yet; an energy-based model fills it from its "
            "first training step on"
        )
    return replay.flatten(1), memory.get("ages"), step


def _of_buffer(view: View, land: Landscape, n: int, generator: torch.Generator) -> Tensor:
    replay = replay_of(view)[0].to(land.location)
    rows = torch.randperm(len(replay), generator=generator)
    if n > len(replay):
        rows = torch.randint(len(replay), (n,), generator=generator)
    return land.unstandardise(replay[rows[:n]])


def _observations(view: View, n: int, generator: torch.Generator, of_class: int) -> Tensor:
    data, labels = view.dataset.train, view.dataset.train_labels
    if of_class >= 0 and labels is not None:
        data = data[labels == of_class]
    if not len(data):
        if isinstance(view.dataset, Target):
            return view.dataset.sample(n, generator=generator)
        raise ValueError("there are no observations to start from")
    if n <= len(data):
        return data[torch.randperm(len(data), generator=generator)[:n]]
    return data[torch.randint(len(data), (n,), generator=generator)]


def _pieces(view: View, walk: Walk, plane: Plane, arguments: Arguments) -> Iterator[Result]:
    total = arguments.first + arguments.steps
    kernel = KERNELS.get(arguments.kernel)
    values: dict[str, Value] = {
        "total": total,
        "exact": kernel.exact if kernel is not None else "langevin" not in arguments.kernel
        and "decoupled" not in arguments.kernel,
        "forgets": kernel is None or kernel.forgets,
        "temperatures": arguments.settings.temperatures.tolist(),
    }  # fmt: skip
    told, whole = min(arguments.told, arguments.n), 0
    if view.model.event_size > plane.dims:
        whole = min(told, MOST_VALUES // (view.model.event_size * (arguments.steps + 1)))
    size = 1
    while walk.at <= total:
        start, rows = walk.at, list[Moved]()
        most = max(1, min(PIECE, PIECE_NUMBERS // (arguments.n * 3)))
        while len(rows) < min(size, most) and walk.at <= total:
            if view.cancelled():
                raise CancellationError
            rows.append(walk.move())
        arrays = _arrays(rows, plane, told, whole)
        yield Result(arrays, values | {"start": start}, final=walk.at > total)
        size *= 2


def _arrays(
    rows: list[Moved], plane: Plane, told: int, whole: int
) -> dict[str, Tensor | np.ndarray]:
    def stack(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors).float().cpu()

    def flat(tensors: list[Tensor]) -> np.ndarray:
        """Places (…, D) as the plane draws them."""
        found = stack(tensors)
        drawn = plane.project(found.reshape(-1, found.shape[-1]))
        return drawn.reshape(*found.shape[:-1], plane.dims).float().numpy()

    arrays: dict[str, Tensor | np.ndarray] = {
        "points": flat([row.x for row in rows]),
        "energy": stack([row.energy for row in rows]),
        "diverged": torch.stack([row.diverged for row in rows]).cpu(),
        "acceptance": stack([row.acceptance.mean() for row in rows]),
        "accepted": torch.stack([row.accepted[:told] for row in rows]).cpu(),
        "proposal": flat([row.told["proposal"][:told] for row in rows]),
    }
    if whole:
        arrays["states"] = stack([row.x[:whole] for row in rows])
    first = rows[0].told
    for name in ("drift", "noise"):
        if name in first:
            arrays[name] = (
                torch.stack([row.told[name][:told] for row in rows]).cpu().double() @ plane.basis.T
            ).float()
    if "trajectory" in first:
        arrays["trajectory"] = flat([row.told["trajectory"][:, :told] for row in rows])
    if "moved" in first:
        arrays["replicas"] = flat([row.told["moved"][:told].transpose(0, 1) for row in rows])
        arrays["swapped"] = torch.stack([row.told["swapped"][:told].T for row in rows]).cpu()
    return arrays
