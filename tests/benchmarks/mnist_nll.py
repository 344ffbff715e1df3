"""Test NLL on statically binarised MNIST after half an hour of training on two cores, in nats.

Learning rate warmed up, then by a cosine to zero at the end of the budget; the last weights are
scored once, on all 10,000 test pictures. The clock runs while training steps are taken, not while
the curve is measured (on 1,000 validation pictures). The state is written down at every point of
the curve: a run that was cut off goes on from there, under ``bench/mnist_nll``.

``python -m tests.benchmarks --long --figure mnist_nll --model gated_pixelcnn`` measures one model;
``python -m tests.benchmarks.mnist_nll --model … --seconds … --device … --set n_layers=12 …`` asks
for another budget, device or setting, and keeps its own files. ``--clock processor`` counts the
process's own processor time instead, for a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_model, model_names, models
from engine.training import Keyframe, Trainer, held_out_nll

NAME = "static MNIST in half an hour"
SECONDS = 5700
LONG = True

BUDGET = 1800.0
QUICK_BUDGET = 20.0
#: Seconds of training between two points of the curve, and pictures that a point is measured on.
CURVE_SECONDS = 120.0
N_CURVE = 1000
N_WARM_UP = 200
THREADS = 2
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
#: Model and pictures → nats per picture.
Score = Callable[[GenerativeModel, Tensor], float | None]
#: Share of the budget spent, and steps taken → share of the learning rate.
Rate = Callable[[float, int], float]
FOLDER = Path(__file__).parents[2] / "bench" / "mnist_nll"


@dataclass(frozen=True)
class Recipe:
    """How a model is trained here, and what it has to reach."""

    bar: float
    config: dict[str, object] = field(default_factory=dict)
    batch_size: int = 64
    learning_rate: float = 2e-3
    #: What is published of it, with larger models and budgets.
    paper: str = ""


RECIPES = {
    # Narrow and with small batches: on a processor, steps are worth more than channels.
    "gated_pixelcnn": Recipe(
        88.0,
        {"n_channels": 16, "n_layers": 8},
        batch_size=32,
        learning_rate=5e-3,
        paper="PixelCNN 81.30",
    ),
    # As wide as the paper's: with 1,024 units it learns the training set by heart.
    "made": Recipe(
        92.0,
        {"hidden_features": (8000,)},
        batch_size=128,
        learning_rate=1e-3,
        paper="86.64 with two layers and 32 masks",
    ),
    "diagonal_bilstm": Recipe(
        95.0, batch_size=32, learning_rate=5e-3, paper="80.75 with one layer, 79.20 with seven"
    ),
}
#: With a graphics card at hand, which has room for channels.
CUDA_RECIPES = {
    "gated_pixelcnn": Recipe(
        82.0,
        {"n_channels": 64, "n_layers": 12},
        batch_size=128,
        learning_rate=3e-3,
        paper="PixelCNN 81.30",
    ),
}


@dataclass(frozen=True)
class Plan:
    """One run: what is trained, for how long, where, and where it is written down."""

    model: str
    recipe: Recipe
    seconds: float = BUDGET
    device: str = "cpu"
    label: str = ""
    clock: str = "wall"

    @property
    def file(self) -> Path:
        """The state of training; the curve lies beside it."""
        return FOLDER / f"{self.label or self.model}.safetensors"

    @property
    def curve_file(self) -> Path:
        """Seconds, steps and nats of every point so far."""
        return self.file.with_suffix(".json")


def figures(
    quick: bool = False, done: Collection[str] = (), model: str = ""
) -> Iterator[dict[str, Any]]:
    """One figure per model, or that of one model."""
    torch.set_num_threads(THREADS)
    data = build_dataset("mnist")
    for name, recipe in RECIPES.items():
        if name not in model_names() or model not in ("", name) or figure_name(name) in done:
            continue
        label = f"{name}_quick" if quick else ""
        plan = Plan(name, recipe, QUICK_BUDGET if quick else BUDGET, label=label)
        if quick:
            forget(plan)
        yield measure(plan, data, n_test=500 if quick else None)


def figure_name(model: str) -> str:
    """The figure's words."""
    return f"{models()[model].card.title}: static MNIST, test"


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
    curve = train(trainer, plan, data)
    model.eval()
    nats = held_out_nll(model, data.test[:n_test])
    elapsed, steps = curve[-1]["seconds"], int(curve[-1]["steps"])
    rate = steps * trainer.batch_size / elapsed
    return {
        "name": figure_name(plan.model),
        "value": nats,
        "unit": "nats",
        "bar": f"≤ {plan.recipe.bar:g} in {BUDGET / 60:.0f} min",
        "met": None if n_test else nats is not None and nats <= plan.recipe.bar,
        "note": (
            f"{plan.seconds / 60:.3g} min ({plan.clock} time) on {plan.device}, "
            f"threads: {torch.get_num_threads()}; {steps} steps of "
            f"{trainer.batch_size}, {rate:.0f} pictures/s; {model.n_parameters:,} parameters; "
            f"published: {plan.recipe.paper or 'nothing'}; "
            f"curve in bench/mnist_nll/{plan.curve_file.name}"
        ),
    }


def cosine(spent: float, steps: int) -> float:
    """Share of the learning rate after a share of the budget: from 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * spent))


def train(
    trainer: Trainer, plan: Plan, data: Dataset, score: Score = held_out_nll, rate: Rate = cosine
) -> list[dict[str, float]]:
    """Go on from what is written down, to the end of the budget; returns the curve."""
    curve = resume(trainer, plan)
    spent = curve[-1]["seconds"] if curve else 0.0
    pictures = data.valid[:N_CURVE]
    while spent < plan.seconds:
        spent = stretch(trainer, plan, spent, rate)
        trainer.model.eval()
        nats = score(trainer.model, pictures)
        trainer.model.train()
        if nats is None or not math.isfinite(nats):
            raise FloatingPointError(f"{plan.model}: the NLL is not finite after {spent:.0f} s")
        curve.append({"seconds": spent, "steps": float(trainer.steps_done), "valid_nats": nats})
        keep(trainer, plan, curve)
        sys.stderr.write(f"{plan.model}: {spent:6.0f} s  {nats:.2f} nats (validation)\n")
    return curve


def stretch(trainer: Trainer, plan: Plan, spent: float, rate: Rate = cosine) -> float:
    """Train until the next point of the curve; returns the seconds spent in all."""
    clock = CLOCKS[plan.clock]
    start = clock()
    end = min(plan.seconds, spent + CURVE_SECONDS)
    now = spent
    while now < end:
        warm = min(1.0, (trainer.steps_done + 1) / N_WARM_UP)
        share = rate(now / plan.seconds, trainer.steps_done)
        trainer.state.set_learning_rate(plan.recipe.learning_rate * warm * share)
        trainer.step()
        now = spent + clock() - start
    return now


def keep(trainer: Trainer, plan: Plan, curve: list[dict[str, float]]) -> None:
    """Write the state of training and the curve down, the old ones whole until then."""
    plan.file.parent.mkdir(parents=True, exist_ok=True)
    (plan.file.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    frame = trainer.capture()
    tensors = {name: tensor.cpu().contiguous() for name, tensor in frame.tensors.items()}
    fresh = plan.file.with_suffix(".new")
    words = {"meta": json.dumps(frame.meta), "curve": json.dumps(curve)}
    save_file(tensors, fresh, metadata=words)
    fresh.replace(plan.file)
    plan.curve_file.write_text(json.dumps(curve, indent=1), encoding="utf-8")


def resume(trainer: Trainer, plan: Plan) -> list[dict[str, float]]:
    """Restore what is written down for the same budget; returns its curve, empty without one."""
    if not plan.file.is_file():
        return []
    with safe_open(plan.file, framework="pt") as file:
        words = file.metadata()
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in list(file.keys())}
    curve: list[dict[str, float]] = json.loads(words["curve"])
    trainer.restore(Keyframe(tensors, json.loads(words["meta"])))
    return curve


def forget(plan: Plan) -> None:
    """Drop what is written down."""
    plan.file.unlink(missing_ok=True)
    plan.curve_file.unlink(missing_ok=True)


def parser(
    description: str | None, model: str, seconds: float = BUDGET
) -> argparse.ArgumentParser:
    """What every benchmark of this kind takes: one model, its budget, clock and settings."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--model", default=model)
    made.add_argument("--seconds", type=float, default=seconds)
    made.add_argument("--device", default="cpu")
    made.add_argument("--batch-size", type=int, default=0)
    made.add_argument("--learning-rate", type=float, default=0.0)
    made.add_argument("--threads", type=int, default=THREADS)
    made.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    made.add_argument("--label", default="", help="a name for the files of this run")
    made.add_argument("--set", nargs="*", default=[], help="settings such as n_layers=12")
    return made


def plan_of(
    given: argparse.Namespace, recipes: Mapping[str, Recipe], usual: Recipe, kind: str = ""
) -> Plan:
    """The plan of what was typed, whose files are called by all of it; sets the threads.

    Args:
        given: What :func:`parser` read.
        recipes: By model.
        usual: The recipe of a model that has none.
        kind: A word for the files of this benchmark.
    """
    torch.set_num_threads(given.threads)
    usual = recipes.get(given.model, usual)
    recipe = Recipe(
        usual.bar,
        {**usual.config, **dict(item.split("=", 1) for item in given.set)},
        given.batch_size or usual.batch_size,
        given.learning_rate or usual.learning_rate,
        usual.paper,
    )
    settings = "".join(f"_{item.replace('=', '')}" for item in given.set)
    budget = f"{given.seconds:.0f}s_{given.device}"
    label = given.label or f"{given.model}{kind}{settings}_{budget}"
    return Plan(given.model, recipe, given.seconds, given.device, label, given.clock)


def main() -> None:
    """One model with another budget, device or settings."""
    given = parser(__doc__, "gated_pixelcnn").parse_args()
    recipes = {**RECIPES, **(CUDA_RECIPES if given.device == "cuda" else {})}
    plan = plan_of(given, recipes, Recipe(math.nan))
    sys.stdout.write(json.dumps(measure(plan, build_dataset("mnist")), default=float) + "\n")


if __name__ == "__main__":
    main()
