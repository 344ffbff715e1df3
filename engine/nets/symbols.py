"""Values as vectors: a table for symbols and levels, a line for real values, codes of places."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Spread of tables at the start, as in GPT-2.
INITIAL_SPREAD = 0.02

CODES = ("row_column", "learned", "sinusoidal", "none")


class Symbols(nn.Module):
    """Values (…) → vectors (…, W), and a start symbol for each class.

    Levels 0 … levels − 1 are looked up. Between two levels a vector is the straight line between
    theirs, so that a derivative by the values exists: what a value sees can be asked by gradient.
    Real values go along one line through the origin.

    Args:
        levels: Number of levels, or None for real values.
        width: W.
        n_starts: How many start symbols.
    """

    def __init__(self, levels: int | None, width: int, n_starts: int = 1) -> None:
        super().__init__()
        self.levels = levels
        self.n_rows = 1 if levels is None else levels
        self.table = nn.Parameter(INITIAL_SPREAD * torch.randn(self.n_rows + n_starts, width))

    def forward(self, u: Tensor, start: Tensor) -> Tensor:
        """Values (B, T − 1) after their start symbols (B,) → (B, T, W)."""
        starts = start + self.n_rows
        if self.levels is not None and not u.requires_grad:
            tokens = torch.cat([starts[:, None], u.long()], 1)
            return F.embedding(tokens, self.table)
        return torch.cat([F.embedding(starts, self.table)[:, None], self.values(u)], 1)

    def values(self, u: Tensor) -> Tensor:
        """Values (…) alone → (…, W)."""
        if self.levels is None:
            return u.unsqueeze(-1) * self.table[0]
        if not u.requires_grad:
            return F.embedding(u.long(), self.table)
        low = u.detach().floor().clamp(0, self.levels - 2)
        below, above = (F.embedding(low.long() + step, self.table) for step in (0, 1))
        return below + (u - low).unsqueeze(-1) * (above - below)


class PlaceCodes(nn.Module):
    r"""A vector (T, W) for each place of the order: which value is to come next.

    ``"row_column"`` adds learned vectors of the value's row, column and channel; ``"learned"`` has
    one for each place; ``"sinusoidal"`` is fixed,

    .. math:: c_{t, 2j} = \sin(t / 10000^{2j/W}), \quad c_{t, 2j+1} = \cos(t / 10000^{2j/W})

    Args:
        order: (D,), flat indices in the order of generation.
        event_shape: (D,), (H, W) or (C, H, W).
        width: W.
        kind: One of :data:`CODES`.

    Raises:
        ValueError: The kind is unknown.

    References:
        Vaswani et al., *Attention Is All You Need*, NeurIPS 2017, section 3.5.
    """

    where: Tensor
    waves: Tensor

    def __init__(self, order: Tensor, event_shape: tuple[int, ...], width: int, kind: str) -> None:
        super().__init__()
        if kind not in CODES:
            raise ValueError(f"codes: given '{kind}', wanted one of {', '.join(CODES)}")
        self.kind, self.tables = kind, nn.ParameterList()
        n_places = len(order)
        if kind == "row_column":
            sides = (1, 1, *event_shape)[-3:]
            self.register_buffer("where", torch.stack(torch.unravel_index(order, sides)))
            # One colour, or one row, says nothing.
            self.tables.extend(_table(side, width) for side in sides)
        elif kind == "learned":
            self.tables.append(_table(n_places, width))
        else:
            waves = sinusoids(n_places, width) if kind == "sinusoidal" else torch.zeros(1, width)
            self.register_buffer("waves", waves, persistent=False)

    def forward(self) -> Tensor:
        """(T, W), or (1, W) of zeros for ``"none"``."""
        if self.kind == "row_column":
            parts = [F.embedding(i, t) for i, t in zip(self.where, self.tables, strict=True)]
            return parts[0] + parts[1] + parts[2]
        if self.kind == "learned":
            code: Tensor = self.tables[0]
            return code
        return self.waves


def sinusoids(n_places: int, width: int) -> Tensor:
    """Sines and cosines of falling frequency, (n_places, width)."""
    pair = torch.arange(width) // 2
    phase = torch.arange(n_places)[:, None] * torch.exp(-math.log(10_000.0) * 2.0 * pair / width)
    return torch.where(torch.arange(width) % 2 == 0, phase.sin(), phase.cos())


def _table(n_rows: int, width: int) -> nn.Parameter:
    return nn.Parameter(INITIAL_SPREAD * torch.randn(n_rows, width))
