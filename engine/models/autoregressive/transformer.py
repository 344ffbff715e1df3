r"""A causal Transformer over pixels, symbols or numbers: attention instead of recurrence.

Every place looks at all earlier ones with weights computed from their contents, several heads at
once; a mask hides the future. All conditionals are found in one pass. A sampler keeps the keys
and values of what it has read, so that a sample costs about as much arithmetic as one pass.

.. math::
    p(x) = \prod_{t=1}^{D} p(x_t \mid x_{<t}), \qquad
    \mathrm{head} = \mathrm{softmax}\!\Bigl(\frac{QK^\top}{\sqrt d} + M\Bigr) V

References:
    Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin, *Attention Is All You
    Need*, NeurIPS 2017; over pixels: Chen et al., *Generative Pretraining from Pixels*, ICML 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from torch import Tensor

from engine.nets.scheduled import HalfLifeSetting, ScheduleSetting
from engine.nets.sequence_model import SequenceModel
from engine.nets.settings import (
    ClassesSetting,
    CodesSetting,
    ConditionalSetting,
    CurvesSetting,
    ExamplesSetting,
    OrderSetting,
    OutputSetting,
    RateSetting,
    SymbolsSetting,
)
from engine.nets.transformer import NORMS, CausalTransformer, SeenPlaces
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field


@dataclass(frozen=True)
class TransformerConfig:
    """Settings of :class:`Transformer`."""

    n_layers: Annotated[int, Field(1, 24, step=1, symbol="L", help="Blocks.")] = 4
    width: Annotated[int, Field(4, 1024, step=16, symbol="W", help="Features of each place.")] = 64
    n_heads: Annotated[
        int,
        Field(1, 16, step=1, symbol="h", help="Heads of attention; they must divide the width."),
    ] = 4
    norm: Annotated[
        str,
        Field(
            choices=NORMS,
            help="Layer norm before each part (GPT-2, steadier) or after it (the first paper).",
        ),
    ] = "before"
    codes: CodesSetting = "row_column"
    order: OrderSetting = "raster"
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    class_conditional: ConditionalSetting = False
    scheduled_sampling: ScheduleSetting = "none"
    half_life: HalfLifeSetting = 2000
    learning_rate: RateSetting = 1e-3
    batch_size: ExamplesSetting = 32
    levels: SymbolsSetting = 2
    n_classes: ClassesSetting = 10


class Transformer(SequenceModel):
    """Causal self-attention over the values in order, behind a start symbol."""

    Config = TransformerConfig
    card = ModelCard(
        name="transformer",
        title="Transformer",
        family="autoregressive",
        summary=(
            "Every value is predicted from all earlier ones, which several heads of attention "
            "weigh by what they hold. One pass gives every conditional; keys and values are "
            "kept while sampling."
        ),
        equation=(
            r"p(x)=\prod_{t=1}^{D}p(x_t\mid x_{<t}),\quad "
            r"\mathrm{head}=\mathrm{softmax}\left(\frac{QK^{\top}}{\sqrt{d}}\right)V"
        ),
        features=("attention",),
        paper=Paper(
            authors=(
                "A. Vaswani, N. Shazeer, N. Parmar, J. Uszkoreit, L. Jones, A. N. Gomez, "
                "Ł. Kaiser, I. Polosukhin"
            ),
            year=2017,
            title="Attention Is All You Need",
            where="NeurIPS",
        ),
    )

    def __init__(self, event_shape: tuple[int, ...], config: TransformerConfig) -> None:
        super().__init__(event_shape, config)
        self.net = CausalTransformer(config.n_layers, config.width, config.n_heads, config.norm)

    def features(self, h: Tensor) -> Tensor:
        """Inputs (B, T, W) → features (B, T, W), all places at once."""
        found: Tensor = self.net(h)
        return found

    def begin(self, n: int) -> SeenPlaces:
        """Room for the keys and values of n sequences."""
        return self.net.begin(n, self.event_size)

    def read(self, h: Tensor, memory: SeenPlaces) -> tuple[Tensor, SeenPlaces]:
        """Further inputs (N, S, W) → their features, and keys and values with theirs."""
        return self.net.read(h, memory)

    def memory_of_one(self) -> int:
        """Keys and values of one sequence."""
        size: int = 2 * self.config.n_layers * self.config.width * self.event_size
        return size

    @torch.no_grad()
    def attention(
        self, x: Tensor, index: int, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Where the conditional of one value looks, by layer and head.

        Each place reads the value before it, so a weight on a place is one on that value; the
        first place reads the start symbol.

        Args:
            x: (B, *E).
            index: Flat index of the value that is predicted.
            context: Labels (B,), for a model trained with labels.

        Returns:
            Weights on the values (L, B, heads, D), 0 from ``index`` on in the order, and on the
            start symbol (L, B, heads). Together they sum to 1.

        Raises:
            ValueError: The index is no value's, or the model wants labels.
        """
        if not 0 <= index < self.event_size:
            raise ValueError(f"index: given {index}, wanted 0 to {self.event_size - 1}")
        start = self.starts(context, len(x))
        if start is None:
            raise ValueError(f"{self.card.title}: given no labels, wanted one class an example")
        h = self.inputs(self.sequence(x), start)
        place = cast(int, self._places[index].item())
        rows = self.net.attention(h, torch.tensor([place], device=h.device)).squeeze(3)
        on_values = torch.zeros_like(rows)
        on_values[..., self._order[:-1]] = rows[..., 1:]
        return on_values, rows[..., 0]
