r"""Change of variables on a line: the one formula that all flows are made of.

A random number z is drawn from something simple and sent through x = a g(z) + b. Where the map is
steep the same mass spreads over more room, so that the density falls by the slope; a map that
falls mirrors the density but takes nothing from it, hence the absolute value.

.. math::
    x = a\, g(z) + b, \qquad p_X(x) = p_Z(z) \left|\frac{dz}{dx}\right|
        = \frac{p_Z(z)}{|a|\, g'(z)}

With z uniform on [0, 1], g(z) = z, a = 2 and b = 1 it is ½ on [1, 3]. Without ``learn`` a and b
are what the sliders say, in the units of the data. With it they follow the likelihood: by Adam for
a smooth base; a uniform base takes the narrowest interval that holds all the data, which for a
line is the best one. Coordinates of larger events are treated one by one.

References:
    The formula is older than any paper; for learning densities: Tabak and Vanden-Eijnden, *Density
    Estimation by Dual Ascent of the Log-Likelihood*, Communications in Mathematical Sciences 8,
    2010.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from engine.bijections.base import Bijection
from engine.bijections.bases import Factorised, Logistic, StandardNormal, UnitUniform
from engine.bijections.curve import CURVES, Curve, Line
from engine.bijections.flow import Flow
from engine.model import TrainState
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

BASES: dict[str, type[Factorised]] = {
    "normal": StandardNormal,
    "logistic": Logistic,
    "uniform": UnitUniform,
}
#: Share of the range by which a uniform base reaches beyond the data: rounding throws none out.
MARGIN = 1e-4


@dataclass(frozen=True)
class ChangeOfVariablesConfig:
    """Settings of :class:`ChangeOfVariables`."""

    base: Annotated[
        str, Field(choices=tuple(BASES), symbol="p_Z", help="What z is drawn from.")
    ] = "normal"
    curve: Annotated[
        str,
        Field(
            choices=CURVES,
            symbol="g",
            help="Line: g(z) = z. Sinh pulls the tails out, asinh draws them in.",
        ),
    ] = "line"
    learn: Annotated[
        bool, Field(help="Fit slope and shift to the data; else they are what you set.")
    ] = True
    slope: Annotated[
        float,
        Field(
            -100.0,
            100.0,
            step=0.1,
            symbol="a",
            live=True,
            when=("learn", False),
            help="How far a step of g(z) takes x; a negative one mirrors.",
        ),
    ] = 2.0
    shift: Annotated[
        float,
        Field(
            -100.0,
            100.0,
            step=0.1,
            symbol="b",
            live=True,
            when=("learn", False),
            help="Where g(z) = 0 lands.",
        ),
    ] = 1.0
    learning_rate: Annotated[
        float,
        Field(1e-6, 0.1, scale="log", symbol=r"\eta", help="Step size of Adam.", live=True),
    ] = 1e-2
    batch_size: Annotated[
        int, Field(1, 65536, scale="log", symbol="B", help="Points per step.", live=True)
    ] = 256


class ChangeOfVariables(Flow):
    """x = a g(z) + b for every coordinate.

    Attributes:
        slope: a, (D,); of standardised data where it is learned.
        shift: b, (D,), likewise.
    """

    Config = ChangeOfVariablesConfig
    card = ModelCard(
        name="change_of_variables",
        title="Change of variables",
        family="flows",
        summary=(
            "A random number is sent through a line or a curve. Where the map is steep its mass "
            "spreads over more room, and the density falls by the slope: the formula that all "
            "flows are made of."
        ),
        equation=r"x = a\,g(z) + b, \quad p_X(x) = p_Z(z)\,\left|\frac{dz}{dx}\right|",
        paper=Paper(
            "Esteban G. Tabak, Eric Vanden-Eijnden",
            2010,
            "Density Estimation by Dual Ascent of the Log-Likelihood",
            "Communications in Mathematical Sciences",
        ),
    )

    def __init__(self, event_shape: tuple[int, ...], config: ChangeOfVariablesConfig) -> None:
        super().__init__(event_shape, config)
        self.slope = nn.Parameter(torch.ones(self.event_size))
        self.shift = nn.Parameter(torch.zeros(self.event_size))
        self._follow()

    def base(self) -> Factorised:
        """The base that was chosen, over D values."""
        return BASES[self.config.base](self.location)

    def trained_layers(self) -> Sequence[Bijection]:
        """The line and, where there is one, the curve, data → base."""
        line = Line(self.slope, self.shift)
        return [line] if self.config.curve == "line" else [line, Curve(self.config.curve)]

    @torch.no_grad()
    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise where slope and shift are learned; a uniform base is laid over the data."""
        if not self.config.learn:
            return
        super().prepare(data, generator=generator)
        if self.config.base == "uniform":
            self._cover(self.standardise(data))

    def optimisers(self, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
        """Adam, unless nothing is to be learned by its likelihood's slope."""
        return super().optimisers(learning_rate) if self._climbs else {}

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update on (B, *E); nothing moves where nothing is learned."""
        if self._climbs:
            return super().train_step(batch, state, generator)
        with torch.no_grad():
            return self.loss(batch, generator=generator)

    def set_live(self, values: Mapping[str, Any]) -> None:
        """Slope and shift follow the sliders at once."""
        super().set_live(values)
        self._follow()

    @property
    def has_edges(self) -> bool:
        """Whether the density is 0 beyond some box."""
        return bool(self.config.base == "uniform")

    @property
    def _climbs(self) -> bool:
        # The density of a uniform base is flat: no slope leads anywhere.
        return bool(self.config.learn) and not self.has_edges

    @torch.no_grad()
    def _follow(self) -> None:
        if not self.config.learn:
            self.slope.fill_(self.config.slope)
            self.shift.fill_(self.config.shift)

    def _cover(self, u: Tensor) -> None:
        """Let z from 0 to 1 run over the range of (N, D), with a little room."""
        ends = torch.tensor([[0.0], [1.0]]).to(u)
        if self.config.curve != "line":
            ends = Curve(self.config.curve).inverse(ends)[0]
        low, high = u.amin(0), u.amax(0)
        room = MARGIN * (high - low).clamp_min(1e-2)
        self.slope.copy_((high - low + 2.0 * room) / (ends[1] - ends[0]))
        self.shift.copy_(low - room - self.slope * ends[0])
