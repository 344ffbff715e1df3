"""The PixelRNN's network: a masked convolution, recurrent layers with ways past them, a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.nets.masked_conv import MaskedConv2d, MaskedPointwise, colour_groups
from engine.nets.pixel_lstm import DiagonalBiLSTM, Memory, RowLSTM

#: The recurrent layers by name.
LAYERS: dict[str, type[RowLSTM] | type[DiagonalBiLSTM]] = {
    "row": RowLSTM,
    "diagonal": DiagonalBiLSTM,
}


class RecurrentPixels(nn.Module):
    """Pictures (B, colours, H, W) → parameters (B, colours·P, H, W) of their conditionals.

    Args:
        kind: A name from :data:`LAYERS`.
        n_colours: Colours of a pixel.
        n_maps: C, the size of a state; the way past the layers has twice as many maps.
        n_layers: Recurrent layers after the first convolution, which has mask A.
        first_kernel: Kernel of the first convolution.
        n_params: P, parameters of one value.

    Raises:
        ValueError: The kind is unknown, or there are fewer maps than colours.
    """

    def __init__(
        self,
        kind: str,
        n_colours: int,
        n_maps: int,
        *,
        n_layers: int,
        first_kernel: int,
        n_params: int,
    ) -> None:
        super().__init__()
        if kind not in LAYERS:
            raise ValueError(f"layer: given '{kind}', wanted one of {', '.join(LAYERS)}")
        pixels = colour_groups(n_colours, n_colours)
        wide, narrow = colour_groups(2 * n_maps, n_colours), colour_groups(n_maps, n_colours)
        self.first = MaskedConv2d(pixels, wide, first_kernel, "A")
        self.layers = nn.ModuleList(
            LAYERS[kind](wide, narrow, n_colours if place == 0 else 0) for place in range(n_layers)
        )
        self.head = MaskedPointwise(wide, wide)
        self.last = MaskedPointwise(wide, pixels.repeat_interleave(n_params))

    @property
    def recurrent(self) -> list[RowLSTM | DiagonalBiLSTM]:
        """The recurrent layers."""
        return [m for m in self.layers if isinstance(m, RowLSTM | DiagonalBiLSTM)]

    def forward(self, u: Tensor, biases: Sequence[Tensor] | None = None) -> Tensor:
        """Parameters of all conditionals; ``biases`` are added to each layer's gates."""
        x = self.first(u)
        for place, layer in enumerate(self.recurrent):
            x = layer(x, u, None if biases is None else biases[place])
        y: Tensor = self.last(torch.relu(self.head(torch.relu(x))))
        return y

    def remembered(
        self, u: Tensor, biases: Sequence[Tensor] | None = None
    ) -> list[tuple[Tensor, Memory]]:
        """Per layer the maps (B, 2C, H, W) that come in, and the states of all pixels."""
        found, x = [], self.first(u)
        for place, layer in enumerate(self.recurrent):
            memory = layer.states(x, u, None if biases is None else biases[place])
            found.append((x, memory))
            x = layer.after(x, memory)
        return found
