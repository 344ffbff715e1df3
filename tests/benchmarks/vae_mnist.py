"""Importance-weighted test NLL of latent-variable models on statically binarised MNIST, in nats.

50 latent units, two layers of 200 units each way, 15 minutes of training on two cores; scored once
by the bound with 5,000 draws per picture on all 10,000 test pictures. Training, its learning rate,
clock and files are those of :mod:`tests.benchmarks.mnist_nll`; scoring is resumable as well, and
lies beside them.

``python -m tests.benchmarks --long --figure vae_mnist --model vae`` measures one model;
``python -m tests.benchmarks.vae_mnist --model … --seconds … --threads … --clock processor`` asks
for another budget and keeps its own files.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.estimators.importance import importance_bound
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_model, model_names, models
from engine.training import Trainer, held_out_nll
from tests.benchmarks import mnist_nll
from tests.benchmarks.mnist_nll import Plan, Recipe

NAME = "static MNIST by latent variables, in 15 minutes"
SECONDS = 3 * 1700
LONG = True

BUDGET = 900.0
N_DRAWS = 5000
#: Pictures scored between two notes in the file.
PIECE = 250
THREADS = 2
COMMON = {"latent_features": 50, "hidden_features": (200, 200), "activation": "silu"}
RECIPES = {
    "vae": Recipe(91.0, COMMON, batch_size=100, learning_rate=2e-3),
    "iwae": Recipe(90.0, COMMON | {"n_draws": 5}, batch_size=100, learning_rate=2e-3),
    # Not worse than the VAE: its bar is the VAE's. Small steps: wider ones learn by heart.
    "iaf_vae": Recipe(
        91.0,
        COMMON | {"n_steps": 2, "step_features": (100,), "n_features": 50},
        batch_size=100,
        learning_rate=2e-3,
    ),
    # Reported with its active units; there is no bar.
    "ladder_vae": Recipe(
        math.inf,
        COMMON | {"n_layers": 4, "taper": 0.5, "level_features": (200,), "warm_up_steps": 4000},
        batch_size=100,
        learning_rate=2e-3,
    ),
}


def figures(
    quick: bool = False, done: Collection[str] = (), model: str = ""
) -> Iterator[dict[str, Any]]:
    """One figure per model, or that of one model."""
    torch.set_num_threads(THREADS)
    data = build_dataset("mnist")
    for name, recipe in RECIPES.items():
        if name not in model_names() or model not in ("", name) or figure_name(name) in done:
            continue
        seconds = mnist_nll.QUICK_BUDGET if quick else BUDGET
        plan = Plan(name, recipe, seconds, label=f"{name}_latent{'_quick' if quick else ''}")
        if quick:
            forget(plan)
        yield measure(plan, data, n_test=32 if quick else None)


def figure_name(model: str) -> str:
    """The figure's words."""
    return f"{models()[model].card.title}: static MNIST, test, {N_DRAWS:,} draws"


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
    test = data.test[:n_test]
    nats = -float(score(model, test, plan).mean())
    elbo = held_out_nll(model, test)
    elapsed, steps, bar = curve[-1]["seconds"], int(curve[-1]["steps"]), plan.recipe.bar
    return {
        "name": figure_name(plan.model),
        "value": nats,
        "unit": "nats",
        "bar": f"≤ {bar:g} in {BUDGET / 60:.0f} min" if math.isfinite(bar) else "",
        "met": None if n_test or not math.isfinite(bar) else nats <= bar,
        "note": (
            f"−ELBO {elbo:.2f}; {plan.seconds / 60:.3g} min ({plan.clock} time) on {plan.device}, "
            f"threads: {torch.get_num_threads()}; {steps} steps of {trainer.batch_size}, "
            f"{steps * trainer.batch_size / elapsed:.0f} pictures/s; "
            f"{active_units(model, data.valid[:1000])}"
        ),
    }


def score(model: GenerativeModel, test: Tensor, plan: Plan) -> Tensor:
    """The bound of every picture, (N,), going on from the pieces that are written down."""
    file = plan.file.with_suffix(".bounds.json")
    found: list[float] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    while len(found) < len(test):
        piece = test[len(found) : len(found) + PIECE]
        found += importance_bound(model, piece, n_draws=N_DRAWS, seed=len(found)).tolist()
        file.write_text(json.dumps(found), encoding="utf-8")
        nats = -sum(found) / len(found)
        sys.stderr.write(f"{plan.model}: {len(found)} pictures scored, {nats:.2f} nats\n")
    return torch.tensor(found[: len(test)], dtype=torch.float64)


@torch.no_grad()
def active_units(model: Any, pictures: Tensor) -> str:
    """How many coordinates of each latent vary with x: variance of the mean of q above 0.01."""
    generator = torch.Generator().manual_seed(0)
    latents, _ = model.encode(pictures.float()).sample(64, generator)
    counts = {
        name: int((z.mean(0).var(0) > 0.01 + z.var(0).mean(0) / len(z)).sum())
        for name, z in latents.items()
        if z.is_floating_point()
    }
    return "active units: " + ", ".join(f"{name} {count}" for name, count in counts.items())


def forget(plan: Plan) -> None:
    """Drop what is written down."""
    mnist_nll.forget(plan)
    plan.file.with_suffix(".bounds.json").unlink(missing_ok=True)


def main() -> None:
    """One model with another budget, thread count, clock or settings."""
    given = mnist_nll.parser(__doc__, "vae", BUDGET).parse_args()
    plan = mnist_nll.plan_of(given, RECIPES, Recipe(math.nan, COMMON), "_latent")
    sys.stdout.write(json.dumps(measure(plan, build_dataset("mnist")), default=float) + "\n")


if __name__ == "__main__":
    main()
