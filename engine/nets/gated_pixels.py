r"""The two stacks of the Gated PixelCNN: a vertical one for the rows above, a horizontal one.

Vertical maps of row r depend on rows < r alone, all columns in reach; horizontal ones on the
pixels to the left in the same row, and on the vertical ones. Together they see every earlier
pixel in reach: no blind spot. Each layer is gated,

.. math:: y = \tanh(W_f * x + V_f^\top h) \odot \sigma(W_g * x + V_g^\top h)

with h a class label as one-hot code.

References:
    van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves and Kavukcuoglu, *Conditional Image
    Generation with PixelCNN Decoders*, NeurIPS 2016, sections 2.1-2.3 and figure 2.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from engine.nets.masked_conv import MaskedConv2d, MaskedPointwise, check_kernel, colour_groups


class GatedLayer(nn.Module):
    """One layer of both stacks: vertical and horizontal maps → the same, C each.

    Args:
        before: (in,), colour groups of the horizontal maps that come in.
        groups: (C,), colour groups of those that go out.
        kernel_size: k, odd.
        first: Whether the pictures themselves come in: mask A, and no residual path.
        n_classes: K label codes, or 0.
    """

    def __init__(
        self, before: Tensor, groups: Tensor, kernel_size: int, *, first: bool, n_classes: int = 0
    ) -> None:
        super().__init__()
        check_kernel(kernel_size)
        self.reach, self.first = kernel_size // 2, first
        n_maps, gates = len(groups), torch.cat([groups, groups])
        # The first layer leaves the pixel's own row out; later ones need not shift any more.
        self.rows = self.reach + (0 if first else 1)
        self.vertical = nn.Conv2d(len(before), 2 * n_maps, (self.rows, kernel_size))
        self.link = nn.Conv2d(2 * n_maps, 2 * n_maps, 1, bias=False)
        kind = "A" if first else "B"
        self.horizontal = MaskedConv2d(before, gates, kernel_size, kind, rows_above=False)
        self.out = MaskedPointwise(groups, groups, bias=False)
        self.label_code = nn.Embedding(n_classes, 4 * n_maps) if n_classes else None
        if self.label_code is not None:
            nn.init.normal_(self.label_code.weight, std=0.1)

    def codes(self, labels: Tensor | None) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """V'h of the vertical and of the horizontal gates, (B, 2C) each."""
        if self.label_code is None or labels is None:
            return None, None
        vertical, horizontal = self.label_code(labels).chunk(2, -1)
        return vertical, horizontal

    def forward(self, v: Tensor, h: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Vertical and horizontal maps (B, C, H, W) of the next layer."""
        a, b = self.vertical_gates(v), self.horizontal(h)
        b = b + self.link(a)
        code_v, code_h = self.codes(labels)
        if code_v is not None and code_h is not None:
            a, b = a + code_v[:, :, None, None], b + code_h[:, :, None, None]
        y = self.out(gate(b))
        return gate(a), y if self.first else h + y

    def vertical_gates(self, v: Tensor) -> Tensor:
        """What the rows above send to the vertical gates; after the first layer this row too."""
        padded = F.pad(v, (self.reach, self.reach, self.reach, 0))
        whole: Tensor = self.vertical(padded[:, :, :-1] if self.first else padded)
        return whole


class GatedStacks(nn.Module):
    """Pictures (B, colours, H, W) → parameters (B, colours·P, H, W) of their conditionals.

    Args:
        n_colours: Colours of a pixel.
        n_maps: C, feature maps of each stack.
        n_layers: Layers, of which the first has a kernel of its own.
        kernels: Kernel of the first layer, and of the others.
        n_params: P, parameters of one value.
        n_classes: Classes to condition on, or 0.
    """

    def __init__(
        self,
        n_colours: int,
        n_maps: int,
        n_layers: int,
        kernels: tuple[int, int],
        *,
        n_params: int,
        n_classes: int = 0,
    ) -> None:
        super().__init__()
        pixels = colour_groups(n_colours, n_colours)
        groups = colour_groups(n_maps, n_colours)
        first = GatedLayer(pixels, groups, kernels[0], first=True, n_classes=n_classes)
        rest = [
            GatedLayer(groups, groups, kernels[1], first=False, n_classes=n_classes)
            for _ in range(n_layers - 1)
        ]
        self.layers = nn.ModuleList([first, *rest])
        self.head = MaskedPointwise(groups, groups)
        self.last = MaskedPointwise(groups, pixels.repeat_interleave(n_params))

    def forward(self, u: Tensor, labels: Tensor | None = None) -> Tensor:
        """Parameters of all conditionals, (B, colours·P, H, W)."""
        v, h = self.layers[0](u, u, labels)
        # One colour says nothing of the layout: later convolutions are faster with maps last.
        v = v.contiguous(memory_format=torch.channels_last)
        h = h.contiguous(memory_format=torch.channels_last)
        for layer in self.layers[1:]:
            v, h = layer(v, h, labels)
        y: Tensor = self.last(torch.relu(self.head(torch.relu(h))))
        return y


class _Gate(torch.autograd.Function):
    """tanh(a) σ(b) with one pass of σ over both, as tanh(a) = 2σ(2a) − 1, and its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(B, 2C, …) → (B, C, …)."""
        size = x.shape[1] // 2
        both = torch.empty_like(x)
        value, door = both[:, :size], both[:, size:]
        torch.mul(x[:, :size], 2.0, out=value)
        door.copy_(x[:, size:])
        both.sigmoid_()
        value.mul_(2.0).sub_(1.0)
        ctx.save_for_backward(both)
        return value * door

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """∂/∂a = σ(b)(1 − tanh² a), ∂/∂b = tanh(a) σ(b)(1 − σ(b))."""
        (both,) = ctx.saved_tensors
        size = both.shape[1] // 2
        value, door = both[:, :size], both[:, size:]
        found = torch.empty_like(both)
        by_door = grad * door
        product = by_door * value
        torch.addcmul(by_door, product, value, value=-1.0, out=found[:, :size])
        torch.addcmul(product, product, door, value=-1.0, out=found[:, size:])
        return found


def gate(x: Tensor) -> Tensor:
    """tanh of the first half of the maps times σ of the second: (B, 2C, …) → (B, C, …)."""
    y: Tensor = _Gate.apply(x)  # type: ignore[no-untyped-call]
    return y
