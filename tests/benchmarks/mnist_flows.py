r"""Bits per dimension of grey MNIST by flows over pictures, half an hour on two cores.

All 256 levels, dequantised with fresh noise at every step; the figure is the bound
:math:`-\mathbb E_u \log p(x + u) / (784 \ln 2)`, one draw of u per test picture, so it lies above
the true number. Training, its learning rate, clock and files are those of
:mod:`tests.benchmarks.mnist_nll`, the curve's points are nats.

``python -m tests.benchmarks --long --figure mnist_flows --model glow`` measures one model;
``python -m tests.benchmarks.mnist_flows --model … --seconds … --device …`` asks for another
budget or device, and keeps its own files.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterator
from typing import Any

import torch

from engine.dataset import Dataset
from engine.estimators.bits import bits_per_dim
from engine.registry import build_dataset, build_model, model_names, models
from engine.training import Trainer, held_out_nll
from tests.benchmarks import mnist_nll
from tests.benchmarks.mnist_nll import BUDGET, QUICK_BUDGET, Plan, Recipe

NAME = "grey MNIST by flows, in half an hour"
SECONDS = 2 * 1900
LONG = True

LEVELS = 256
THREADS = 2
RECIPES = {
    "glow": Recipe(1.6, {"alpha": 1e-6}, paper="1.05"),
    "realnvp_pictures": Recipe(1.6, {"alpha": 1e-4}, paper="1.06"),
}
#: With a graphics card at hand.
CUDA_RECIPES = {
    "glow": Recipe(
        1.1,
        {"alpha": 1e-6, "n_layers": 16, "hidden_features": (128, 128)},
        batch_size=256,
        learning_rate=1.5e-3,
        paper="1.05",
    ),
}


def figures(
    quick: bool = False, done: Collection[str] = (), model: str = ""
) -> Iterator[dict[str, Any]]:
    """One figure per model, or that of one model."""
    torch.set_num_threads(THREADS)
    data = build_dataset("mnist", levels=LEVELS)
    for name, recipe in RECIPES.items():
        if name not in model_names() or model not in ("", name) or figure_name(name) in done:
            continue
        seconds = QUICK_BUDGET if quick else BUDGET
        plan = Plan(name, recipe, seconds, label=f"{name}_grey{'_quick' if quick else ''}")
        if quick:
            mnist_nll.forget(plan)
        yield measure(plan, data, n_test=500 if quick else None)


def figure_name(model: str) -> str:
    """The figure's words."""
    return f"{models()[model].card.title}: grey MNIST, test"


def measure(plan: Plan, data: Dataset, n_test: int | None = None) -> dict[str, Any]:
    """Train to the end of the budget, then score the test pictures once."""
    model = build_model(
        plan.model, event_shape=data.event_shape, seed=0, dataset=data, **plan.recipe.config
    )
    trainer = Trainer(
        model,
        data,
        batch_size=plan.recipe.batch_size,
        learning_rate=plan.recipe.learning_rate,
        device=plan.device,
    )
    curve = mnist_nll.train(trainer, plan, data)
    model.eval()
    nats = held_out_nll(model, data.test[:n_test])
    bits = math.nan if nats is None else bits_per_dim(nats, data.event.size)
    steps = int(curve[-1]["steps"])
    return {
        "name": figure_name(plan.model),
        "value": bits,
        "unit": "bits/dim",
        "bar": f"aim ≤ {plan.recipe.bar:g} in {BUDGET / 60:.0f} min",
        "met": None if n_test else bits <= plan.recipe.bar,
        "note": (
            f"{plan.seconds / 60:.3g} min ({plan.clock} time) on {plan.device}, "
            f"threads: {torch.get_num_threads()}; {steps} steps of {trainer.batch_size}; "
            f"{model.n_parameters:,} parameters; {nats:.0f} nats; published: "
            f"{plan.recipe.paper or 'nothing'}; curve in bench/mnist_nll/{plan.curve_file.name}"
        ),
    }


def main() -> None:
    """One model with another budget, device or settings."""
    given = mnist_nll.parser(__doc__, "glow").parse_args()
    recipes = {**RECIPES, **(CUDA_RECIPES if given.device == "cuda" else {})}
    plan = mnist_nll.plan_of(given, recipes, Recipe(math.nan), "_grey")
    data = build_dataset("mnist", levels=LEVELS)
    sys.stdout.write(json.dumps(measure(plan, data), default=float) + "\n")


if __name__ == "__main__":
    main()
