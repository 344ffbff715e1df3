"""Test NLL of Boltzmann machines on statically binarised MNIST, with the interval of log Z.

A restricted machine with 500 hidden units and persistent chains, 20 minutes on two cores; beside
it, without a bar, a deep machine and a belief network, whose numbers are lower bounds of log p.
log Z comes from annealed importance sampling, 1,000 chains over 10,000 rungs, in pieces that are
written down: training and scoring go on where they were cut off, under ``bench/mnist_nll``.

``python -m tests.benchmarks --long --figure boltzmann_mnist --model rbm`` measures one model;
``python -m tests.benchmarks.boltzmann_mnist --model … --seconds … --threads … --clock processor``
asks for another budget and keeps its own files.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.estimators.boltzmann_scores import score
from engine.estimators.log_z_boltzmann import (
    LogZ,
    annealed_log_weights,
    annealed_log_z,
    base_of,
    pooled,
)
from engine.registry import build_dataset, build_model, models
from engine.training import Trainer
from tests.benchmarks import mnist_nll
from tests.benchmarks.mnist_nll import Plan, Recipe

NAME = "static MNIST by Boltzmann machines, in 20 minutes"
SECONDS = 3 * 2400
LONG = True

BUDGET = 1200.0
THREADS = 2
#: Chains of a piece, pieces, and rungs, of the final log Z.
N_CHAINS, N_PIECES, N_STEPS = 100, 10, 10_000
#: Of a point of the curve.
CURVE_CHAINS, CURVE_STEPS = 100, 500
#: Steps in which a layer of a deep model is trained alone.
DBM_STEPS, DBN_STEPS = 8_000, 70_000

RECIPES = {
    "rbm": Recipe(
        100.0,
        {
            "hidden_units": 500,
            "algorithm": "pcd",
            "gibbs_steps": 1,
            "momentum": 0.5,
            "weight_decay": 1e-5,
        },
        batch_size=100,
        learning_rate=0.1,
    ),
    "dbm": Recipe(
        math.inf,
        {
            "hidden_units": (500, 1000),
            "pretrain_steps": DBM_STEPS,
            "mean_field_steps": 5,
            "weight_decay": 1e-5,
        },
        batch_size=100,
        learning_rate=0.02,
    ),
    "dbn": Recipe(
        math.inf,
        {
            "hidden_units": (500, 784),
            "layer_steps": DBN_STEPS,
            "algorithm": "pcd",
            "tuning_rate": 0.3,
            "weight_decay": 1e-5,
        },
        batch_size=100,
        learning_rate=0.1,
    ),
}


def figures(
    quick: bool = False, done: Collection[str] = (), model: str = ""
) -> Iterator[dict[str, Any]]:
    """One figure per model, or that of one model."""
    torch.set_num_threads(THREADS)
    data = build_dataset("mnist")
    for name, recipe in RECIPES.items():
        if model not in ("", name) or figure_name(name) in done:
            continue
        seconds = mnist_nll.QUICK_BUDGET if quick else BUDGET
        plan = Plan(name, recipe, seconds, label=f"{name}{'_quick' if quick else ''}")
        if quick:
            forget(plan)
        yield measure(plan, data, quick=quick)


def figure_name(model: str) -> str:
    """The figure's words."""
    return f"{models()[model].card.title}: static MNIST, test"


def measure(
    plan: Plan, data: Dataset, *, quick: bool = False, n_pieces: int = N_PIECES
) -> dict[str, Any]:
    """Train to the end of the budget, then find log Z and score the test pictures once."""
    model: Any = build_model(
        plan.model, event_shape=data.event_shape, seed=0, dataset=data, **plan.recipe.config
    )
    recipe = plan.recipe
    trainer = Trainer(
        model,
        data,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        device=plan.device,
    )
    curve = mnist_nll.train(
        trainer, plan, data, partial(rough_nats, data=data), partial(rate, model=model)
    )
    model.eval()
    n_pieces, n_steps = (1, 200) if quick else (n_pieces, N_STEPS)
    log_z = final_log_z(model, plan, data, n_pieces, n_steps)
    test = data.test[: 500 if quick else None]
    found = score(model, test, log_z, generator=torch.Generator().manual_seed(0))
    elapsed, steps, nats = curve[-1]["seconds"], int(curve[-1]["steps"]), -found.value
    bar = recipe.bar
    return {
        "name": figure_name(plan.model),
        "value": nats,
        "unit": "nats",
        "bar": f"≤ {bar:g} in {BUDGET / 60:.0f} min" if math.isfinite(bar) else "",
        "met": None if quick or not math.isfinite(bar) else -found.low <= bar,
        "note": (
            f"{-found.high:.2f} … {-found.low:.2f} by log Z = {log_z.value:.2f} "
            f"({log_z.low:.2f} … {log_z.high:.2f}; {log_z.label}, {log_z.effective:.0f} effective)"
            f"{'' if found.is_exact else '; an upper bound'}; {plan.seconds / 60:.3g} min "
            f"({plan.clock} time) on {plan.device}, threads: {torch.get_num_threads()}; {steps} "
            f"steps of {trainer.batch_size}, {steps * trainer.batch_size / elapsed:.0f} pictures/s"
        ),
    }


def rate(spent: float, steps: int, *, model: Any) -> float:
    """A cosine to 0 over every phase in which a layer is trained alone, then over the budget."""
    each = getattr(model.config, "pretrain_steps", getattr(model.config, "layer_steps", 0))
    if steps < each * len(getattr(model, "weights", ())):
        return mnist_nll.cosine((steps % each) / each, steps)
    return mnist_nll.cosine(spent, steps)


def rough_nats(model: Any, pictures: Tensor, *, data: Dataset) -> float:
    """−log p of a point of the curve, by few chains and rungs."""
    generator = torch.Generator().manual_seed(0)
    log_z = annealed_log_z(
        model.machine,
        base_of(model, data.train, generator=generator),
        generator=generator,
        n_chains=CURVE_CHAINS,
        n_steps=CURVE_STEPS,
    )
    return -score(model, pictures, log_z, generator=generator).value


def final_log_z(model: Any, plan: Plan, data: Dataset, n_pieces: int, n_steps: int) -> LogZ:
    """log Z from pieces of chains, going on from those that are written down."""
    file = plan.file.with_suffix(".weights.json")
    found: list[float] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    generator = torch.Generator().manual_seed(0)
    machine, base = model.machine, base_of(model, data.train, generator=generator)
    while len(found) < N_CHAINS * n_pieces:
        generator = torch.Generator().manual_seed(len(found))
        found += annealed_log_weights(
            machine, base, generator=generator, n_chains=N_CHAINS, n_steps=n_steps
        ).tolist()
        file.write_text(json.dumps(found), encoding="utf-8")
        value = pooled(torch.tensor(found), n_steps).value
        sys.stderr.write(f"{plan.model}: log Z by {len(found)} chains: {value:.2f}\n")
    return pooled(torch.tensor(found, dtype=torch.float64), n_steps)


def forget(plan: Plan) -> None:
    """Drop what is written down."""
    mnist_nll.forget(plan)
    plan.file.with_suffix(".weights.json").unlink(missing_ok=True)


def main() -> None:
    """One model with another budget, thread count, clock or settings."""
    parser = mnist_nll.parser(__doc__, "rbm", BUDGET)
    parser.add_argument(
        "--pieces", type=int, default=N_PIECES, help=f"{N_CHAINS} chains of AIS in each"
    )
    parser.add_argument("--quick", action="store_true", help="a rough log Z, not to be quoted")
    given = parser.parse_args()
    plan = mnist_nll.plan_of(given, RECIPES, Recipe(math.nan))
    found = measure(plan, build_dataset("mnist"), quick=given.quick, n_pieces=given.pieces)
    sys.stdout.write(json.dumps(found, default=float) + "\n")


if __name__ == "__main__":
    main()
