"""KL(truth‖model) of the energy-based model after sixty seconds on two sets in the plane.

One thread, processor time, fresh draws at every step. Its negatives come from its own chains only:
MALA, and fresh starts out of the confining Gaussian that Metropolis' rule accepts or not. No grid,
no draw of the truth and no normalising constant is seen in training; they come in afterwards, in
the quadrature that scores it (512², float64).
``python -m tests.benchmarks.energy_sixty --clock wall`` counts wall-clock seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator
from typing import Any

import torch

from engine.estimators.quadrature import kl_divergence
from engine.registry import build_dataset, build_model
from tests.benchmarks.paced import CLOCKS, train_paced

NAME = "energy-based model after sixty seconds"
SECONDS = 140
LONG = True

DATASETS = ("eight_gaussians", "two_moons")
BUDGET, QUICK_BUDGET = 60.0, 3.0
BAR = 0.05
GRID = 512


def figures(
    quick: bool = False, done: Collection[str] = (), clock: str = "processor"
) -> Iterator[dict[str, Any]]:
    """The KL of the model with its default settings and a cosine rate, on each set."""
    torch.set_num_threads(1)
    seconds = QUICK_BUDGET if quick else BUDGET
    for dataset in DATASETS:
        name = f"KL after {seconds:.0f} s: ebm on {dataset}, own chains only"
        if name not in done:
            yield measure(name, dataset, seconds, clock)


def measure(name: str, dataset: str, seconds: float, clock: str) -> dict[str, Any]:
    """Train, then score by quadrature."""
    data = build_dataset(dataset, fresh=True)
    model = build_model("ebm", event_shape=data.event_shape)
    steps = train_paced(model, data, seconds, clock=clock)
    kl = kl_divergence(data, model.double(), grid=GRID)
    return {
        "name": name,
        "value": kl.value,
        "unit": "nats",
        "bar": f"≤ {BAR}",
        "met": kl.value <= BAR,
        "note": f"{kl.label}, ± {kl.error:.1g}; {steps} steps, {clock} time",
    }


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="processor")
    for found in figures(clock=parser.parse_args().clock):
        sys.stdout.write(f"{found['name']}  {found['value']:.4f}  {found['note']}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
