r"""A causal Transformer: each place looks back at all earlier ones, by several heads at once.

.. math::
    \mathrm{head}(h) = \mathrm{softmax}\!\Bigl(\frac{Q K^\top}{\sqrt{d}} + M\Bigr) V, \qquad
    Q, K, V = h W_Q, h W_K, h W_V, \qquad M_{ts} = -\infty \text{ for } s > t

Keys and values of earlier places do not change when a later one is added, so a sampler keeps
them: a further place costs one row of the attention instead of the whole network.

References:
    Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin, *Attention Is All You
    Need*, NeurIPS 2017; layer norm before each part: Radford et al., *Language Models are
    Unsupervised Multitask Learners*, 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.nets.mlp import check_widths
from engine.nets.symbols import INITIAL_SPREAD

NORMS = ("before", "after")


class Block(nn.Module):
    """Attention and a perceptron of width 4W, each with a residual and a layer norm.

    Args:
        width: W.
        n_heads: Heads, each of W / n_heads features.
        norm: ``"before"`` each part (GPT-2), or ``"after"`` the residual (Vaswani et al.).
    """

    def __init__(self, width: int, n_heads: int, norm: str) -> None:
        super().__init__()
        self.n_heads, self.head_features = n_heads, width // n_heads
        self.before = norm == "before"
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.heads, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def split(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, S, W) → queries, keys and values, (B, heads, S, d) each."""
        source = self.norm_attention(h) if self.before else h
        parts = self.heads(source).view(*h.shape[:2], 3, self.n_heads, self.head_features)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def rest(self, h: Tensor, seen: Tensor) -> Tensor:
        """What follows attention: (B, S, W) with the heads' (B, heads, S, d) → (B, S, W)."""
        h = h + self.mix(seen.transpose(1, 2).reshape(h.shape))
        if not self.before:
            h = self.norm_attention(h)
        inner = self.widen(self.norm_mlp(h) if self.before else h)
        h = h + self.narrow(F.gelu(inner, approximate="tanh"))
        return h if self.before else self.norm_mlp(h)

    def forward(self, h: Tensor) -> Tensor:
        """(B, T, W) → (B, T, W); place t sees places ≤ t."""
        q, k, v = self.split(h)
        return self.rest(h, F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def one(self, h: Tensor, keys: Tensor, values: Tensor, place: int) -> Tensor:
        """One place (N, W) → (N, W), its key and value stored; little but the arithmetic.

        Args:
            h: What the block reads.
            keys: (N, heads, d, T), earlier ones filled in.
            values: (N, heads, T, d).
            place: Of T.
        """
        n, shape, end = len(h), (h.shape[1],), place + 1
        first, second = self.norm_attention, self.norm_mlp
        source = F.layer_norm(h, shape, first.weight, first.bias) if self.before else h
        parts = F.linear(source, self.heads.weight, self.heads.bias)
        q, k, v = parts.view(n, 3, self.n_heads, self.head_features).unbind(1)
        keys.select(3, place).copy_(k)
        values.select(2, place).copy_(v)
        seen = (keys.flatten(0, 1)[:, :, :end], values.flatten(0, 1)[:, :end])
        found = _look(q.reshape(-1, 1, self.head_features), *seen).view(n, -1)
        h = F.linear(found, self.mix.weight, self.mix.bias).add_(h)
        h = h if self.before else F.layer_norm(h, shape, first.weight, first.bias)
        source = F.layer_norm(h, shape, second.weight, second.bias) if self.before else h
        inner = F.gelu(F.linear(source, self.widen.weight, self.widen.bias), approximate="tanh")
        h = F.linear(inner, self.narrow.weight, self.narrow.bias).add_(h)
        return h if self.before else F.layer_norm(h, shape, second.weight, second.bias)


class KeyValueStore:
    """Keys and values of all layers for N sequences, filled place after place.

    Entries are never overwritten: one who goes on from an earlier length gets a copy.
    """

    def __init__(
        self, n_layers: int, shape: tuple[int, int, int], n_places: int, like: Tensor
    ) -> None:
        n, n_heads, features = shape
        self.shape, self.n_places, self.used = shape, n_places, 0
        # Keys stand transposed, so that a query meets runs of memory in both products.
        self.keys = like.new_empty(n_layers, n, n_heads, features, n_places)
        self.values = like.new_empty(n_layers, n, n_heads, n_places, features)

    def copy(self, length: int) -> KeyValueStore:
        """Another store with the first ``length`` places."""
        other = KeyValueStore(len(self.keys), self.shape, self.n_places, self.keys)
        other.keys[..., :length] = self.keys[..., :length]
        other.values[..., :length, :] = self.values[..., :length, :]
        other.used = length
        return other


@dataclass(frozen=True)
class SeenPlaces:
    """How far a sequence has been read: the first ``length`` places of a store."""

    store: KeyValueStore
    length: int


class CausalTransformer(nn.Module):
    """L blocks, (B, T, W) → (B, T, W), in parallel or place after place.

    Args:
        n_layers: L.
        width: W.
        n_heads: Must divide W.
        norm: One of :data:`NORMS`.

    Raises:
        ValueError: A number is below 1, the heads do not divide W, or ``norm`` is unknown.
    """

    def __init__(self, n_layers: int, width: int, n_heads: int, norm: str = "before") -> None:
        super().__init__()
        check_widths([n_layers, width, n_heads])
        if width % n_heads:
            raise ValueError(f"n_heads: given {n_heads}, wanted a divisor of the width {width}")
        if norm not in NORMS:
            raise ValueError(f"norm: given '{norm}', wanted one of {', '.join(NORMS)}")
        self.width, self.n_heads = width, n_heads
        self.blocks = nn.ModuleList(Block(width, n_heads, norm) for _ in range(n_layers))
        self.norm: nn.Module = nn.LayerNorm(width) if norm == "before" else nn.Identity()
        self._start()

    @property
    def _each(self) -> list[Block]:
        return cast("list[Block]", list(self.blocks))

    @torch.no_grad()
    def _start(self) -> None:
        """Small weights, smaller where they are added to the residual stream, as in GPT-2."""
        for block in self._each:
            for layer in (block.heads, block.mix, block.widen, block.narrow):
                residual = layer is block.mix or layer is block.narrow
                spread = INITIAL_SPREAD / (math.sqrt(2 * len(self.blocks)) if residual else 1.0)
                layer.weight.normal_(0.0, spread)
                layer.bias.zero_()

    def forward(self, h: Tensor) -> Tensor:
        """All places at once; place t depends on places ≤ t alone."""
        for block in self._each:
            h = block(h)
        out: Tensor = self.norm(h)
        return out

    # --- place after place ----------------------------------------------------------------------

    def begin(self, n: int, n_places: int) -> SeenPlaces:
        """Nothing read yet, with room for ``n_places`` of n sequences."""
        shape = (n, self.n_heads, self.width // self.n_heads)
        like = next(self.parameters())
        return SeenPlaces(KeyValueStore(len(self.blocks), shape, n_places, like), 0)

    @torch.no_grad()
    def read(self, h: Tensor, seen: SeenPlaces) -> tuple[Tensor, SeenPlaces]:
        """Further places (N, S, W) after those seen → their outputs (N, S, W), and what is seen.

        For sampling: without gradient.
        """
        store, start, end = seen.store, seen.length, seen.length + h.shape[1]
        if store.used > start:
            store = store.copy(start)
        if h.shape[1] == 1:
            out = self._read_one(h[:, 0], store, start)[:, None]
        else:
            out = self._read_some(h, store, start)
        store.used = end
        return self.norm(out), SeenPlaces(store, end)

    def _read_one(self, h: Tensor, store: KeyValueStore, place: int) -> Tensor:
        for layer, block in enumerate(self._each):
            h = block.one(h, store.keys[layer], store.values[layer], place)
        return h

    def _read_some(self, h: Tensor, store: KeyValueStore, start: int) -> Tensor:
        end = start + h.shape[1]
        for layer, block in enumerate(self._each):
            keys, values = store.keys[layer], store.values[layer]
            q, k, v = block.split(h)
            keys[..., start:end] = k.transpose(2, 3)
            values[:, :, start:end] = v
            if start == 0:
                found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                seen = (keys.flatten(0, 1)[:, :, :end], values.flatten(0, 1)[:, :end])
                found = _look(q.flatten(0, 1), *seen).view(q.shape)
            h = block.rest(h, found)
        return h

    # --- looking into it ------------------------------------------------------------------------

    def attention(self, h: Tensor, places: Tensor) -> Tensor:
        """Weights softmax(QKᵀ/√d) of some places (P,), (L, B, heads, P, T); rows sum to 1."""
        rows = []
        for block in self._each:
            q, k, v = block.split(h)
            scores = q[:, :, places] @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            future = torch.arange(h.shape[1], device=h.device)[None] > places[:, None]
            rows.append(scores.masked_fill(future, -math.inf).softmax(-1))
            h = block.rest(h, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return torch.stack(rows)


def _look(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention (G, S, d) of the last S places on all keys (G, d, T) and values (G, T, d)."""
    scores = torch.bmm(q, keys).mul_(q.shape[-1] ** -0.5)
    if q.shape[1] > 1:
        before = keys.shape[2] - q.shape[1]
        future = torch.ones(scores.shape[1:], dtype=torch.bool, device=q.device).triu(before + 1)
        scores = scores.masked_fill(future, -math.inf)
    return torch.bmm(scores.softmax(-1), values)
