"""Sampling from a model that reads: what is known is read at once, the rest value by value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.capabilities import Step
from engine.nets.class_mixture import mix_classes
from engine.nets.outputs import icdf, tempered
from engine.nets.stepwise import Steps

if TYPE_CHECKING:
    from engine.nets.sequence_model import SequenceModel


@dataclass(frozen=True)
class ReadState:
    """Where a sample stands; ``sample_steps`` goes on from it.

    Attributes:
        place: Values drawn so far, in the order.
        x: (N, *E), the sample so far. It may be replaced by another, which is then read anew.
        read: (N, *E), the sample that the memory has read.
        memory: The network's, after the start symbols and the first ``place`` − 1 values; None
            where it was not kept.
        log_weights: (K, N), log p(class given the sample so far); one row of zeros where the
            class is given or there is none.
    """

    place: int
    x: Tensor
    read: Tensor
    memory: object
    log_weights: Tensor


class SequenceReader:
    """One call of ``sample_steps``.

    Args:
        model: The model.
        steps: Its arguments, checked.
        start: Start symbols (N,), or None: then all classes run side by side.
    """

    def __init__(self, model: SequenceModel, steps: Steps, start: Tensor | None) -> None:
        self._model, self._steps, self._n = model, steps, len(steps.noise)
        every = torch.arange(model.n_starts, device=model.device)
        self._classes = every[:, None].expand(-1, self._n) if start is None else start[None]
        self._order = model.order.tolist()
        self._size = model.event_size
        with torch.no_grad():
            self._codes = model.codes().expand(self._size, -1)
        kept = steps.keep.all(0)[model.order].tolist()
        self._free_from = _next_free(kept)

    # --- where to begin -------------------------------------------------------------------------

    def resume(self, state: object) -> ReadState:
        """The state of a fresh sample, or of one that goes on.

        Raises:
            ValueError: ``state`` is no state of this model for so many samples.
        """
        n_classes = len(self._classes)
        if state is None:
            x = self._picture(self._steps.start)
            return ReadState(0, x, x, None, self._zeros(n_classes))
        if not isinstance(state, ReadState) or not 0 <= state.place <= self._size:
            raise ValueError("state: given something else, wanted the state of an earlier step")
        if state.log_weights.shape != (n_classes, self._n) or len(state.x) != self._n:
            raise ValueError(
                f"state: given one of {len(state.x)} samples and {len(state.log_weights)} "
                f"classes, wanted {self._n} and {n_classes}"
            )
        flat = state.x.reshape(self._n, -1).clone()
        ahead = self._model.order[state.place :]
        flat[:, ahead] = self._steps.start[:, ahead]
        x = self._picture(flat)
        return ReadState(state.place, x, state.read, state.memory, state.log_weights)

    def _memory_holds(self, state: ReadState) -> bool:
        """Whether the memory has read the sample's first values as they are now.

        With several classes the last value counts too: the classes' weights have seen it.
        """
        n_read = state.place if len(self._classes) > 1 else max(state.place - 1, 0)
        before = self._model.order[:n_read]
        now, then = (x.reshape(self._n, -1)[:, before] for x in (state.x, state.read))
        return state.memory is not None and torch.equal(now, then)

    # --- going on -------------------------------------------------------------------------------

    def run(self, state: ReadState) -> Iterator[Step]:
        """The steps from a state on."""
        flat, memory, weights = state.x.reshape(self._n, -1), state.memory, state.log_weights
        place = read_from = state.place
        if not self._memory_holds(state):
            memory, weights, read_from = None, self._zeros(len(self._classes)), 0
        while place < self._size:
            stop = min(self._free_from[place], self._size - 1)
            with torch.no_grad():
                params, memory = self._read(flat, read_from, stop, memory)
            for at in range(read_from, stop + 1):
                index = self._order[at]
                with torch.no_grad():
                    d = self._distribution(params[:, at - read_from], index, weights)
                    flat, conditional = self._drawn(d, flat, index) if at >= place else (flat, d)
                    weights = self._weighed(params[:, at - read_from], flat, index, weights)
                if at >= place:
                    x = self._picture(flat)
                    kept = memory if at == stop else None
                    yield Step(index, x, conditional, ReadState(at + 1, x, x, kept, weights))
            place = read_from = stop + 1

    def _read(self, flat: Tensor, first: int, last: int, memory: object) -> tuple[Tensor, object]:
        """Let the network read the inputs of places first … last: parameters (K·N, S, P)."""
        model = self._model
        if memory is None:
            memory = model.begin(self._classes.numel())
        values = self._inputs(flat, self._order[max(first - 1, 0) : last])
        values = values.repeat(len(self._classes), 1)
        if first == 0:
            h = model.symbols(values, self._classes.reshape(-1))
        else:
            h = model.symbols.values(values)
        found, memory = model.read(h + self._codes[first : last + 1], memory)
        params: Tensor = model.head(found)
        return params, memory

    def _inputs(self, flat: Tensor, indices: list[int]) -> Tensor:
        values = flat[:, indices]
        if self._model.family.discrete:
            return values
        return (values - self._model.location[indices]) / self._model.scale[indices]

    def _distribution(
        self, params: Tensor, index: int, weights: Tensor
    ) -> torch.distributions.Distribution:
        model = self._model
        location, scale = model.location[index], model.scale[index]
        if len(self._classes) == 1:
            return model.distribution(params, location, scale)
        each = params.view(len(self._classes), self._n, -1)
        return mix_classes(model.distribution(each, location, scale), weights.log_softmax(0))

    def _drawn(
        self, d: torch.distributions.Distribution, flat: Tensor, index: int
    ) -> tuple[Tensor, torch.distributions.Distribution]:
        """The samples with one more value, and the distribution from which it was drawn."""
        steps = self._steps
        conditional = tempered(d, steps.temperature, steps.top_p)
        flat = flat.clone()
        flat[:, index] = steps.keep_known(icdf(conditional, steps.noise[:, index]), index)
        return flat, conditional

    def _weighed(self, params: Tensor, flat: Tensor, index: int, weights: Tensor) -> Tensor:
        """Class weights after a value was drawn."""
        if len(self._classes) == 1:
            return weights
        each = params.view(len(self._classes), self._n, -1)
        value = self._inputs(flat, [index]).squeeze(1).expand(len(self._classes), -1)
        return weights + self._model.family.log_prob(each, value)

    def _picture(self, flat: Tensor) -> Tensor:
        return flat.view(self._n, *self._model.event_shape)

    def _zeros(self, n_classes: int) -> Tensor:
        return self._steps.noise.new_zeros(n_classes, self._n)


def _next_free(kept: list[bool]) -> list[int]:
    """For each place, the first one from it on that is not kept; the length if there is none."""
    found, free = [0] * len(kept), len(kept)
    for place in reversed(range(len(kept))):
        free = free if kept[place] else place
        found[place] = free
    return found
