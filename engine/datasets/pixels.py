"""The base of every set of pictures: from grey levels 0 … K − 1 to the values that are trained on.

With ``levels`` none the values are real, (x + u)/K with u uniform in [0, 1) drawn once from
``seed``. With k levels the grey value x becomes ⌊x·k/K⌋, so that K levels are the values
themselves. Two levels are black and white, in one of several ways (``binarisation``):

- ``"threshold"``: ⌊2x/K⌋.
- ``"dynamic"``: white with probability x/(K − 1), drawn anew for every batch. Validation and test
  split are one draw from ``seed``, so that their figures stay comparable.
- ``"static"``: published fixed draws, where there are some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from engine.dataset import Dataset, as_float
from engine.wire.event import Event
from engine.wire.fields import Field

AXES = ("channel", "row", "column")
#: Names of the three splits, in the order in which they are given everywhere.
SPLITS = ("train", "valid", "test")
#: Values of the noise of dequantisation.
NOISE_STEPS = 2.0**16
LEVELS_HELP = "Levels 0 … k − 1 of each value: 2 is black and white, none makes them real."


#: Settings that sets of 256 levels share.
Levels = Annotated[int | None, Field(2, 256, symbol="k", help=LEVELS_HELP)]
Binarisation = Annotated[
    str,
    Field(
        choices=("dynamic", "threshold"),
        when=("levels", 2),
        help="How two levels come about: drawn anew for every batch with the grey value as "
        "probability, or cut at the middle.",
    ),
]
Seed = Annotated[int, Field(0, 2**31 - 1, help="Seed of dequantisation and of fixed draws.")]


class Pixels(Dataset):
    """Pictures (N, C, H, W) of ``n_levels`` grey levels a channel.

    A subclass sets ``card`` and ``Config`` (with ``levels``, ``binarisation`` and ``seed``) and
    calls :meth:`_fill`.
    """

    #: K, the number of levels as they come.
    n_levels: ClassVar[int] = 256

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """N training pictures (N, C, H, W), float32, drawn with replacement."""
        if not self.redraws:
            return self._resample(n, generator)
        chosen = torch.randint(len(self.source), (n,), generator=generator)
        return as_float(self.redraw(self.source[chosen], generator))

    @property
    def source(self) -> Tensor:
        """What a batch is made from: grey levels where it is drawn anew."""
        return self._grey if self.redraws else self.train

    def redraw(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Black and white (B, C, H, W) uint8: white with probability x/(K − 1)."""
        return draw_binary(batch, self.n_levels, generator)

    def _fill(self, grey: Sequence[Tensor], labels: Sequence[Tensor] | None = None) -> None:
        """Take the three splits, uint8 (N, C, H, W) of 0 … K − 1, and their labels."""
        self._describe(tuple(grey[0].shape[1:]))
        self._grey = grey[0] if self.redraws else grey[0][:0]
        splits = (self._values(part, place) for place, part in enumerate(grey))
        self.train, self.valid, self.test = splits
        if labels is not None:
            whole = (part.to(torch.int64) for part in labels)
            self.train_labels, self.valid_labels, self.test_labels = whole

    def _describe(self, shape: tuple[int, ...]) -> None:
        """What is known of pictures of a shape (C, H, W) before there are any."""
        config = self.config
        support = {None: "real", 2: "binary"}.get(config.levels, "integer")
        self.event = Event(shape=shape, axes=AXES, support=support, levels=config.levels)
        self.redraws = config.levels == 2 and config.binarisation == "dynamic"
        self.dequantised_levels = self.n_levels if config.levels is None else None
        self.values = self._in_words(shape[0])

    def _values(self, grey: Tensor, place: int) -> Tensor:
        """The values of one split, by the set's own seed."""
        generator = torch.Generator().manual_seed(3 * self.config.seed + place)
        return self._valued(grey, generator)

    def _valued(self, grey: Tensor, generator: torch.Generator) -> Tensor:
        levels: int | None = self.config.levels
        if self.redraws:
            return draw_binary(grey, self.n_levels, generator)
        return dequantise(grey, self.n_levels, generator) if levels is None else self._cut(grey)

    def _cut(self, grey: Tensor) -> Tensor:
        """⌊x·k/K⌋ by looking each level up."""
        levels: int = self.config.levels
        if levels == self.n_levels:
            return grey
        table = torch.arange(self.n_levels) * levels // self.n_levels
        return table.to(torch.uint8)[grey.int()]

    def _in_words(self, channels: int) -> str:
        levels = self.config.levels
        of = "grey levels" if channels == 1 else "levels of red, green and blue"
        if levels is None:
            return f"real: {self.n_levels} {of}, dequantised"
        if levels > 2:
            return f"{levels} {of}"
        return {
            "dynamic": "binary, dynamic binarisation: drawn anew for every batch; "
            "held-out pictures are one fixed draw",
            "static": "binary, static binarisation: the published fixed draws",
        }.get(self.config.binarisation, f"binary: values from {-(-self.n_levels // 2)} are white")


def draw_binary(grey: Tensor, n_levels: int, generator: torch.Generator) -> Tensor:
    """Bernoulli draws with probability x/(K − 1), uint8 on the device of ``grey``.

    A whole number v even on 0 … K − 2 is below x with just that probability, so none is rounded.
    """
    noise = torch.empty(grey.shape, dtype=torch.uint8)
    noise.random_(0, n_levels - 1, generator=generator)
    return (noise.to(grey.device) < grey).to(torch.uint8)


def dequantise(grey: Tensor, n_levels: int, generator: torch.Generator) -> Tensor:
    """(x + u)/K, float32 in [0, 1), with u even on the multiples of 2⁻¹⁶ in [0, 1).

    A finer u could be rounded up to the next level, since float32 has 24 bits.
    """
    noise = torch.rand(grey.shape, generator=generator)
    noise.mul_(NOISE_STEPS).floor_().div_(NOISE_STEPS)
    return noise.add_(grey).div_(n_levels)
