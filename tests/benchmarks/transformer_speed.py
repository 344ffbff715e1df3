"""Tokens per second in training: our Transformer by ``fit`` against transformers' GPT-2.

Same layers, heads, width, symbols, context, batch, number type, optimiser call and one thread;
random weights. Rounds alternate, and the figure is the median of the rounds' ratios. GPT-2's
batches are made beforehand; ours are drawn by ``fit``.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from engine.dataset import Dataset
from engine.models.autoregressive.transformer import Transformer
from engine.registry import build_model
from engine.training import fit
from tests.benchmarks import peer_gpt2
from tests.benchmarks.fit_speed import median_ratio, seconds_of
from tests.engine.symbol_table import SymbolTable

NAME = "training speed of the Transformer against GPT-2"
SECONDS = 45
LONG = False

RATE = 3e-4
BAR = 1.0
ROUND_SECONDS = 1.0
N_ROUNDS = 5
N_SEQUENCES = 256


@dataclass(frozen=True)
class Size:
    """One size of both networks."""

    name: str
    levels: int
    n_places: int
    n_layers: int
    width: int
    n_heads: int
    batch_size: int

    def build(self) -> Transformer:
        """Ours."""
        model = build_model(
            "transformer",
            event_shape=(self.n_places,),
            levels=self.levels,
            codes="learned",
            n_layers=self.n_layers,
            width=self.width,
            n_heads=self.n_heads,
        )
        assert isinstance(model, Transformer)
        return model


SIZES = (
    Size("65 characters, context 64", 65, 64, 4, 128, 4, 12),
    Size("17 levels, 8×8", 17, 64, 4, 64, 4, 32),
    Size("binary, 28×28", 2, 784, 4, 64, 4, 8),
)


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """One ratio for each size."""
    torch.set_num_threads(1)
    for size in SIZES:
        yield measure(size, n_rounds=3 if quick else N_ROUNDS)


def measure(size: Size, n_rounds: int) -> dict[str, Any]:
    """How many times the tokens per second of GPT-2 we train."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(size.levels, (N_SEQUENCES, size.n_places), generator=generator)
    model = size.build()
    gpt2 = peer_gpt2.gpt2_like(model).train()
    batches = [peer_gpt2.tokens_of(b, size.levels) for b in torch.split(rows, size.batch_size)]
    batches = [batch for batch in batches if len(batch) == size.batch_size]
    optimiser = torch.optim.Adam(gpt2.parameters(), lr=RATE, fused=True)
    runs = {
        "ours": partial(our_run, model, SymbolTable(rows, size.levels), size.batch_size),
        "gpt2": partial(gpt2_run, gpt2, optimiser, batches),
    }
    n_steps = 2 + int(ROUND_SECONDS / (seconds_of(runs["gpt2"], 3) / 3))
    rates: dict[str, list[float]] = {name: [] for name in runs}
    n_tokens = n_steps * size.batch_size * size.n_places
    for _ in range(n_rounds):
        for name, run in runs.items():
            rates[name].append(n_tokens / seconds_of(run, n_steps))
    ratio = median_ratio(rates["ours"], rates["gpt2"])
    n_theirs = sum(p.numel() for p in gpt2.parameters())
    return {
        "name": f"Transformer ÷ GPT-2, tokens/s in training, {size.name}",
        "value": ratio,
        "unit": "×",
        "bar": f"≥ {BAR} ×",
        "met": ratio >= BAR,
        "note": (
            f"{statistics.median(rates['ours']):.0f} against "
            f"{statistics.median(rates['gpt2']):.0f} tokens/s, {model.n_parameters} and "
            f"{n_theirs} parameters, batch {size.batch_size}, one thread"
        ),
    }


def our_run(model: Transformer, data: Dataset, batch_size: int, n_steps: int) -> None:
    """So many steps by the public ``fit``."""
    fit(model, data, steps=n_steps, batch_size=batch_size, learning_rate=RATE, device="cpu")


def gpt2_run(
    gpt2: Any, optimiser: torch.optim.Optimizer, batches: list[torch.Tensor], n_steps: int
) -> None:
    """So many steps by the documentation's loop."""
    peer_gpt2.gpt2_loop(gpt2, optimiser, (batches[i % len(batches)] for i in range(n_steps)))


if __name__ == "__main__":
    for figure in figures(quick="--quick" in sys.argv):
        words = (figure["name"], f"{figure['value']:.3g}", figure["unit"], figure["bar"])
        sys.stdout.write("  ".join((*words, figure["note"])) + "\n")
        sys.stdout.flush()
