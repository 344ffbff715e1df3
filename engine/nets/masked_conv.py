r"""Convolutions that see only earlier pixels: masks A and B, and the order of colours R → G → B.

A kernel reaches the rows above and the row of the pixel itself up to its column; rows below are
cut off altogether, so nothing is multiplied by zeros there. Feature maps are split into one group
per colour. At the pixel itself mask A lets group g see groups before g only (for one colour:
nothing), mask B also its own.

References:
    van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016,
    section 3.4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKS = ("A", "B")


def colour_groups(n_maps: int, n_colours: int) -> Tensor:
    """(n_maps,), the colour to which each feature map belongs, in equal runs.

    Raises:
        ValueError: There are fewer maps than colours.
    """
    if n_maps < n_colours:
        raise ValueError(f"given {n_maps} feature maps, wanted at least {n_colours}, the colours")
    return torch.arange(n_maps) * n_colours // n_maps


def centre_mask(before: Tensor, after: Tensor, kind: str) -> Tensor:
    """(out, in) bool: what maps of groups ``after`` may see of groups ``before`` in one pixel.

    Raises:
        ValueError: ``kind`` is neither ``"A"`` nor ``"B"``.
    """
    if kind not in MASKS:
        raise ValueError(f"mask: given '{kind}', wanted one of {', '.join(MASKS)}")
    if kind == "A":
        return after[:, None] > before[None, :]
    return after[:, None] >= before[None, :]


class MaskedConv2d(nn.Module):
    """A k × k convolution (B, in, H, W) → (B, out, H, W) under mask A or B, zero padded.

    Args:
        before: (in,), colour group of each map that comes in.
        after: (out,), colour group of each map that goes out.
        kernel_size: k, odd.
        kind: ``"A"`` or ``"B"``.
        rows_above: Whether the kernel reaches above the pixel's row (else it is 1 × k).
        bias: Whether a bias is added.
    """

    mask: Tensor
    bias: Tensor | None

    def __init__(
        self,
        before: Tensor,
        after: Tensor,
        kernel_size: int,
        kind: str,
        *,
        rows_above: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_kernel(kernel_size)
        reach = self.reach = kernel_size // 2
        width = kernel_size if rows_above else reach + 1
        mask = torch.ones(len(after), len(before), reach + 1 if rows_above else 1, width)
        mask[:, :, -1, reach + 1 :] = 0.0
        mask[:, :, -1, reach] = centre_mask(before, after, kind).float()
        self.register_buffer("mask", mask, persistent=False)
        reference = nn.Conv2d(len(before), len(after), (mask.shape[2], width), bias=bias)
        self.weight, self.bias = reference.weight, reference.bias
        self.rows_above = rows_above

    def masked(self) -> Tensor:
        """The weight that is used, (out, in, rows, columns); its last row is the pixel's own."""
        return self.weight * self.mask

    def offset(self) -> Tensor:
        """(out,), the bias that is used, zeros where there is none."""
        return self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, out, H, W)."""
        right, above = (self.reach, self.reach) if self.rows_above else (0, 0)
        return F.conv2d(F.pad(x, (self.reach, right, above, 0)), self.masked(), self.bias)


class MaskedPointwise(nn.Module):
    """A 1 × 1 convolution whose groups see only their own and earlier ones (mask B)."""

    mask: Tensor
    bias: Tensor | None

    def __init__(self, before: Tensor, after: Tensor, *, bias: bool = True) -> None:
        super().__init__()
        reference = nn.Conv2d(len(before), len(after), 1, bias=bias)
        self.weight, self.bias = reference.weight, reference.bias
        mask = centre_mask(before, after, "B").float()[:, :, None, None]
        self.register_buffer("mask", mask, persistent=False)
        self.is_full = bool(mask.all())

    def masked(self) -> Tensor:
        """The weight that is used, (out, in, 1, 1)."""
        return self.weight if self.is_full else self.weight * self.mask

    def offset(self) -> Tensor:
        """(out,), the bias that is used, zeros where there is none."""
        return self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, out, H, W)."""
        return F.conv2d(x, self.masked(), self.bias)


def check_kernel(kernel_size: int) -> None:
    """Raise ``ValueError`` unless a kernel has a middle."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size: given {kernel_size}, wanted an odd whole number")
