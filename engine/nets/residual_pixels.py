r"""A plain stack of masked convolutions with residual blocks: the PixelCNN's network.

One masked k × k convolution in each block passes on what it sees, so that the reach to the upper
right grows by one column a row at most: what lies beyond that line is never seen, however deep
the stack. This is the blind spot.

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016,
    section 3.5, figure 5 and table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.nets.masked_conv import MaskedConv2d, MaskedPointwise, colour_groups


class ResidualBlock(nn.Module):
    """ReLU, 1 × 1 (2C → C), ReLU, masked k × k (C → C), ReLU, 1 × 1 (C → 2C), and the way past.

    Args:
        wide: (2C,), colour groups of the maps on the way past.
        narrow: (C,), colour groups of those inside.
        kernel_size: k, odd.
    """

    def __init__(self, wide: Tensor, narrow: Tensor, kernel_size: int) -> None:
        super().__init__()
        self.down = MaskedPointwise(wide, narrow)
        self.conv = MaskedConv2d(narrow, narrow, kernel_size, "B")
        self.up = MaskedPointwise(narrow, wide)

    def inner(self, x: Tensor) -> Tensor:
        """(B, 2C, H, W) → what the masked convolution sees, (B, C, H, W)."""
        return torch.relu(self.down(torch.relu(x)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2C, H, W) → the same shape."""
        y: Tensor = x + self.up(torch.relu(self.conv(self.inner(x))))
        return y


class ResidualPixels(nn.Module):
    """Pictures (B, colours, H, W) → parameters (B, colours·P, H, W) of their conditionals.

    Args:
        n_colours: Colours of a pixel.
        n_maps: C; the way past the blocks has twice as many.
        n_layers: Residual blocks after the first convolution, which has mask A.
        kernels: Kernel of the first convolution, and of the blocks.
        n_params: P, parameters of one value.
        first_mask: ``"B"`` is the classical mistake: every value then sees itself.
    """

    def __init__(
        self,
        n_colours: int,
        n_maps: int,
        n_layers: int,
        kernels: tuple[int, int],
        n_params: int,
        first_mask: str = "A",
    ) -> None:
        super().__init__()
        pixels = colour_groups(n_colours, n_colours)
        wide, narrow = colour_groups(2 * n_maps, n_colours), colour_groups(n_maps, n_colours)
        self.first = MaskedConv2d(pixels, wide, kernels[0], first_mask)
        self.blocks = nn.ModuleList(
            ResidualBlock(wide, narrow, kernels[1]) for _ in range(n_layers)
        )
        self.head = MaskedPointwise(wide, wide)
        self.last = MaskedPointwise(wide, pixels.repeat_interleave(n_params))

    def forward(self, u: Tensor, code: Tensor | None = None) -> Tensor:
        """Parameters of all conditionals, (B, colours·P, H, W).

        ``code`` (B, 2C, H, W) is added to what the first convolution puts out.
        """
        x = self.begin(u, code)
        for block in self.blocks:
            x = block(x)
        y: Tensor = self.last(torch.relu(self.head(torch.relu(x))))
        return y

    def begin(self, u: Tensor, code: Tensor | None = None) -> Tensor:
        """(B, 2C, H, W), what the first block sees."""
        x: Tensor = self.first(u)
        return x if code is None else x + code

    def seen(self, u: Tensor, code: Tensor | None = None) -> list[Tensor]:
        """What each masked convolution sees, from the pictures on: 1 + n_layers maps."""
        found, x = [u], self.begin(u, code)
        for block in self.blocks:
            assert isinstance(block, ResidualBlock)
            found.append(block.inner(x))
            x = block(x)
        return found
