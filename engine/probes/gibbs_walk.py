"""Block Gibbs chains of a Boltzmann machine, as a stream of numbered pieces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal, TypeAlias, cast

import msgspec
import numpy as np
import torch
from torch import Tensor

from engine.capabilities import Chain, ChainState
from engine.dataset import as_float
from engine.estimators.boltzmann import HasMachine
from engine.estimators.boltzmann_scores import Directed, Settling
from engine.estimators.boltzmann_walk import (
    VISIBLE,
    Clamp,
    Moment,
    energies,
    givens,
    halves_of,
    joined,
    walk,
)
from engine.estimators.pixels import check_count, event_of, levels_of, packed
from engine.model import GenerativeModel
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

Start: TypeAlias = Literal["noise", "data", "training"]

#: Frames and half-steps a piece, at most; the values that all frames together may have.
PIECE, PIECE_HALVES, MOST_VALUES = 16, 200, 2**26
MOST_CHAINS, MOST_FRAMES, MOST_STRIDE = 1024, 10_001, 100_000
#: Streams of chance.
NOISE_STREAM = 61


class Arguments(msgspec.Struct, frozen=True):
    """Which chains, and how much of them.

    Attributes:
        start: ``"noise"``: independent units at the model's biases; ``"data"``: the picture
            ``known`` in every chain where one is given, else held-out observations, one each;
            ``"training"``: the first of the persistent chains that train the model.
        first: Number, from 0, of the first of those observations.
        n: Chains.
        seed: Of all chance: a chain is named by start, seed and half-step.
        n_frames: Frames, the start among them.
        stride: Half-steps between two frames.
        pass_after: Of a belief network: so many sweeps of the top two layers, and then the pass
            down; 0 is one pass after every sweep.
        sweeps: Whole sweeps between two frames, in the place of ``stride``; 0 leaves that.
        means: Whether the means that units are drawn from are sent too.
        known, mask: (*E), visible values that stay where the mask is true; the others go on.
    """

    start: Start = "noise"
    first: int = 0
    n: int = 1
    seed: int = 0
    n_frames: int = 65
    stride: int = 1
    sweeps: int = 0
    pass_after: int = 0
    means: bool = True
    known: np.ndarray | None = None
    mask: np.ndarray | None = None


@probe(
    summary="Block Gibbs chains, half-step by half-step.",
    arguments=Arguments,
    needs=(Capability.CHAIN,),
)
def gibbs_walk(view: View, arguments: Arguments) -> Iterator[Result]:
    """Pieces of F frames each; N chains, and n_b units in block b.

    Arrays: for every block ``b`` (F, N, n_b), uint8, or float32 of Gaussian units, in units of the
    data; with ``means`` also ``mean_b`` (F, N, n_b) float32, the means that the block was last
    drawn from, probabilities where it is binary, the block itself before the first draw;
    ``energy`` and ``free_energy`` (F, N), nats, up to log Z; ``kernel`` (F,), which of ``kernels``
    led to the frame, −1 at the start; ``drawn`` (F, blocks), which blocks it drew.

    Values: ``frame`` (number of the piece's first frame), ``n_frames``, ``stride``, ``kernels``
    (one sweep's half-steps), ``blocks``, ``given`` (by block, what it is drawn given, as words
    with spaces between), ``joined`` (the blocks that the energies are of), ``free_of`` (those that
    the free energy is a function of; the others are summed out), ``n_clamped``; ``chains_of``, the
    training step of the persistent chains that it starts from.

    Raises:
        ValueError: The model is no Boltzmann machine, or an argument is out of range.
    """
    halves = halves_of(view.model)
    _check(arguments)
    if arguments.pass_after and not isinstance(view.model, Directed):
        raise ValueError("pass_after: given a model without a pass down, wanted a belief network")
    clamp = _clamp(view, arguments)
    generator = view.generator(NOISE_STREAM + arguments.seed)
    state = _start(view, arguments, clamp, generator)
    n_values = sum(value.numel() for value in state.values()) * arguments.n_frames
    if n_values > MOST_VALUES:
        raise ValueError(f"n_frames: given {n_values:,} values in all, wanted {MOST_VALUES:,}")
    both = joined(view.model, tuple(state))
    stride = arguments.sweeps * len(halves) or arguments.stride
    about: dict[str, Value] = {
        "n_frames": arguments.n_frames,
        "stride": stride,
        "kernels": list(halves),
        "blocks": list(state),
        "given": [" ".join(given) for given in givens(view.model, tuple(state)).values()],
        "joined": list(both),
        "free_of": list(both[::2]),
        "n_clamped": 0 if clamp is None else int(clamp.mask.sum()),
        "chains_of": view.memory()[0] if arguments.start == "training" else None,
    }
    schedule = ("top",) * arguments.pass_after + ("down",) if arguments.pass_after else ()
    moments = walk(view.model, state, generator=generator, clamp=clamp, halves=schedule)
    frames = islice(moments, 0, None, stride)
    size = min(PIECE, max(1, PIECE_HALVES // stride))
    for first in range(0, arguments.n_frames, size):
        piece = list(islice(frames, min(size, arguments.n_frames - first)))
        if view.cancelled():
            return
        arrays = _arrays(view.model, piece, halves, means=arguments.means)
        last = first + len(piece) == arguments.n_frames
        yield Result(arrays, about | {"frame": first}, final=last)


def _check(arguments: Arguments) -> None:
    check_count("n", arguments.n, MOST_CHAINS)
    check_count("n_frames", arguments.n_frames, MOST_FRAMES)
    check_count("stride", arguments.stride, MOST_STRIDE)
    if not 0 <= arguments.sweeps <= MOST_STRIDE:
        raise ValueError(f"sweeps: given {arguments.sweeps}, wanted 0 to {MOST_STRIDE}")
    if not 0 <= arguments.pass_after <= MOST_FRAMES:
        raise ValueError(f"pass_after: given {arguments.pass_after}, wanted 0 to {MOST_FRAMES}")
    if arguments.first < 0:
        raise ValueError(f"first: given {arguments.first}, wanted a number from 0 on")


def _clamp(view: View, arguments: Arguments) -> Clamp | None:
    if arguments.mask is None:
        return None
    if arguments.known is None:
        raise ValueError("known: given a mask alone, wanted the picture whose values are kept")
    if isinstance(view.model, Directed):
        raise ValueError(
            f"mask: {view.model.card.title} is directed below its top two layers, and no "
            "half-step of its chain draws them given the visible units"
        )
    shape = view.model.event_shape
    if arguments.mask.size != view.model.event_size:
        raise ValueError(f"mask: given shape {arguments.mask.shape}, wanted {shape}")
    known = event_of(view.model, arguments.known, view.dataset)
    mask = torch.from_numpy(arguments.mask.astype(bool)).reshape(shape).to(known.device)
    return Clamp(known, mask)


def _start(
    view: View, arguments: Arguments, clamp: Clamp | None, generator: torch.Generator
) -> ChainState:
    state = cast(Chain, view.model).init(arguments.n, generator)
    if arguments.start == "noise":
        return state
    if arguments.start == "training":
        return _kept(view, arguments.n, state, generator)
    v = state[VISIBLE]
    if arguments.known is not None:
        given = event_of(view.model, arguments.known, view.dataset) if clamp is None else None
        known = clamp.known if clamp is not None else given
        assert known is not None
        v = known.to(v).expand(v.shape).clone()
        return {**state, VISIBLE: v, **_beliefs(view.model, v, generator)}
    held_out = view.dataset.test
    rows = (arguments.first + torch.arange(arguments.n)) % len(held_out)
    v = as_float(held_out[rows]).to(v).reshape(v.shape)
    return {**state, VISIBLE: v, **_beliefs(view.model, v, generator)}


def _kept(view: View, n: int, state: ChainState, generator: torch.Generator) -> ChainState:
    """The training's own chains; of those that are kept as the top layer alone the rest is drawn.

    Raises:
        ValueError: The training keeps none, or fewer than n.
    """
    model, (_, memory) = view.model, view.memory()
    names = tuple(state)
    kept = {names[i]: memory[f"chain_{i}"] for i in range(len(names)) if f"chain_{i}" in memory}
    if "chains" in memory:
        machine, top = cast(HasMachine, model).machine, memory["chains"][:n].to(model.location)
        lower, upper = joined(model, names)
        below = machine.draw(0, machine.means(0, machine.inputs([None, top], 0)), generator)
        kept = {lower: model.unstandardise(below) if lower == VISIBLE else below, upper: top}
    found = len(next(iter(kept.values()))) if kept else 0
    if found < n:
        raise ValueError(
            f"start: given 'training', but {found} persistent chains are at hand, wanted {n}; "
            "they are kept while a run trains here with persistent chains (pcd)"
        )
    shaped = {
        name: value[:n].to(model.location).reshape(state[name].shape)
        for name, value in kept.items()
    }
    return state | shaped


def _beliefs(model: GenerativeModel, v: Tensor, generator: torch.Generator) -> ChainState:
    """Hidden layers for visible units: what the next draw would take no notice of is left out."""
    u = model.standardise(v)
    if isinstance(model, Directed):
        layers = model.drawn_up(u, generator, to=model.top - 1)[1:]
    elif isinstance(model, Settling):
        means = enumerate(model.mean_field(u), 1)
        layers = [model.machine.draw(index, mean, generator) for index, mean in means]
    else:
        layers = []
    return {f"h{index}": layer for index, layer in enumerate(layers, 1)}


def _arrays(
    model: GenerativeModel, piece: list[Moment], halves: tuple[str, ...], *, means: bool
) -> dict[str, Tensor]:
    arrays: dict[str, Tensor] = {}
    for name in piece[0].state:
        stacked = torch.stack([moment.state[name].flatten(1) for moment in piece])
        arrays[name] = packed(stacked, levels_of(model) if name == VISIBLE else 2)
        if means:
            rows = [moment.means.get(name) for moment in piece]
            pairs = zip(piece, rows, strict=True)
            filled = [(m.state[name] if row is None else row).flatten(1) for m, row in pairs]
            arrays[f"mean_{name}"] = torch.stack(filled).float()
    both = [energies(model, moment.state) for moment in piece]
    arrays["energy"] = torch.stack([energy for energy, _ in both])
    arrays["free_energy"] = torch.stack([free for _, free in both])
    places = [halves.index(m.kernel) if m.kernel else -1 for m in piece]
    arrays["kernel"] = torch.tensor(places, dtype=torch.int32)
    arrays["drawn"] = torch.tensor([[name in m.drawn for name in m.state] for m in piece])
    return arrays
