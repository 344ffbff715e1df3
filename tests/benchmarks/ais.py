"""Annealed importance sampling against the exact log Z: 20 hidden units, trained on real digits.

The machine learns the binary 8×8 digits for a few seconds; its 2^20 hidden states are counted in
float64. The figure is the worst error of several seeds, each a run of 100 chains over 1,000 rungs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from engine.estimators.boltzmann import exact_log_z
from engine.estimators.log_z_boltzmann import annealed_log_z, base_biases
from engine.registry import build_dataset, build_model
from engine.training import fit

NAME = "annealed importance sampling"
SECONDS = 9
LONG = False

N_UNITS, N_TRAINING, N_SEEDS = 20, 2000, 10
N_CHAINS, N_STEPS = 100, 1000
BAR = 0.1


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """The worst error over the seeds, nats, and in how many the interval holds the truth."""
    torch.set_num_threads(1)
    data = build_dataset("digits", levels=2)
    model: Any = build_model(
        "rbm", event_shape=data.event_shape, dataset=data, hidden_units=N_UNITS
    )
    fit(model, data, steps=N_TRAINING, seed=0, device="cpu")
    machine = model.requires_grad_(False).machine
    base = base_biases(machine, data.train.flatten(1).float())
    exact = exact_log_z(machine)
    began, found = time.perf_counter(), []
    for seed in range(3 if quick else N_SEEDS):
        generator = torch.Generator().manual_seed(seed)
        found.append(
            annealed_log_z(machine, base, generator=generator, n_chains=N_CHAINS, n_steps=N_STEPS)
        )
    seconds = (time.perf_counter() - began) / len(found)
    worst = max(abs(z.value - exact) for z in found)
    hits = sum(z.low <= exact <= z.high for z in found)
    yield {
        "name": f"AIS against exact log Z, {N_UNITS} hidden units",
        "value": worst,
        "unit": "nats",
        "bar": f"≤ {BAR:g} nats",
        "met": worst <= BAR,
        "note": (
            f"worst of {len(found)} seeds, log Z = {exact:.3f}; {N_CHAINS} chains, {N_STEPS} "
            f"rungs, {seconds:.2f} s each; the 95 % interval holds it in {hits} of {len(found)}"
        ),
    }
