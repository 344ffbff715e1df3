"""Train the small models that ship in ``assets/pretrained``: pictures move at once in the panel.

``python -m tests.benchmarks.make_pretrained digits`` trains one recipe with one thread and writes
``assets/pretrained/digits.safetensors``; without a name it makes all of them. What is written is
the state with the best held-out likelihood, with everything that training needs to go on.

``python -m tests.benchmarks.make_pretrained --keyframe FILE`` makes ``mnist.safetensors`` out of
the state that ``tests.benchmarks.mnist_nll`` keeps, as it is. The test figure is printed, and
stands in the file's notes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import save
from engine.dataset import Dataset, as_float
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_for, datasets
from engine.training import Keyframe, Trainer, plain_config
from engine.wire.messages import RunSpec
from tests.benchmarks import mnist_nll

FOLDER = Path(__file__).parents[2] / "assets" / "pretrained"
#: Bytes that a file may have.
LARGEST_FILE = 1_500_000
#: Steps between two looks at the held-out likelihood, and pictures scored at once.
LOOK_EVERY, SCORE_CHUNK = 100, 256
#: Learning rate with which training goes on from the benchmark's state, whose plan ends at 0.
GOES_ON_AT = 1e-3


@dataclass(frozen=True)
class Recipe:
    """One run: model and data with their settings, and how long it trains."""

    dataset: str
    n_steps: int
    batch_size: int
    learning_rate: float
    model: str = "gated_pixelcnn"
    model_config: dict[str, Any] = field(default_factory=dict)
    dataset_config: dict[str, Any] = field(default_factory=dict)


RECIPES = {
    "digits": Recipe(
        "digits",
        n_steps=900,
        batch_size=64,
        learning_rate=2e-3,
        model_config={"n_layers": 5, "n_channels": 32, "class_conditional": True},
        dataset_config={"levels": 17},
    ),
    "sprites": Recipe(
        "sprites",
        n_steps=1500,
        batch_size=32,
        learning_rate=2e-3,
        model_config={"n_layers": 5, "n_channels": 32, "class_conditional": True},
        dataset_config={"levels": 2},
    ),
}


def main() -> int:
    """Make the files that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keyframe", type=Path, help="a state of the static MNIST benchmark")
    parser.add_argument("--planned", type=float, default=3600.0, help="its seconds, in words")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(RECIPES):
        parser.error(f"given {', '.join(sorted(unknown))}, wanted some of {', '.join(RECIPES)}")
    torch.set_num_threads(arguments.threads)
    if arguments.keyframe:
        adopt(arguments.keyframe, FOLDER / "mnist.safetensors", arguments.planned)
        return 0
    for name in arguments.names or RECIPES:
        make(name, RECIPES[name], FOLDER / f"{name}.safetensors")
    return 0


def make(name: str, recipe: Recipe, path: Path) -> None:
    """Train one recipe and write its file.

    Raises:
        RuntimeError: The file is larger than :data:`LARGEST_FILE`.
    """
    start = time.perf_counter()
    kind = datasets()[recipe.dataset]
    if hasattr(kind, "load"):
        kind.load(kind.Config(**recipe.dataset_config))
    data = build_dataset(recipe.dataset, **recipe.dataset_config)
    spec = RunSpec(
        recipe.model,
        recipe.dataset,
        {
            **recipe.model_config,
            "batch_size": recipe.batch_size,
            "learning_rate": recipe.learning_rate,
        },
        recipe.dataset_config,
    )
    model = build_for(spec, data)
    trainer = Trainer(model, data, seed=spec.seed, device="cpu")
    trainer.restore(train(name, trainer, recipe))
    test = held_out(trainer, data, "test")
    seconds = time.perf_counter() - start
    words = (
        f"{test:.2f} nats on the test part, step {trainer.steps_done}, "
        f"{torch.get_num_threads()} thread, {seconds:.0f} s"
    )
    save(
        path,
        model,
        spec=spec,
        step=trainer.steps_done,
        keyframe=trainer.capture(),
        notes={"made by": f"python -m tests.benchmarks.make_pretrained {name}", "test": words},
    )
    tell(name, words, model, path)


def adopt(kept: Path, path: Path, planned: float) -> None:
    """Write the state of the benchmark's Gated PixelCNN as a run that can be opened.

    Raises:
        RuntimeError: The file is larger than :data:`LARGEST_FILE`.
    """
    recipe = mnist_nll.RECIPES["gated_pixelcnn"]
    data = build_dataset("mnist")
    settings = {"batch_size": recipe.batch_size, "learning_rate": recipe.learning_rate}
    spec = RunSpec("gated_pixelcnn", "mnist", {**recipe.config, **settings}, {})  # type: ignore[dict-item]
    model = build_for(spec, data)
    trainer = Trainer(model, data, seed=spec.seed, device="cpu")
    with safe_open(kept, framework="pt") as file:
        words = file.metadata()
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    trainer.restore(Keyframe(tensors, json.loads(words["meta"])))
    trainer.set_live({"learning_rate": GOES_ON_AT})  # the plan's own rate is not in the state
    last = json.loads(words["curve"])[-1]
    test = held_out(trainer, data, "test")
    told = (
        f"{test:.2f} nats on the test part, step {trainer.steps_done}, after "
        f"{last['seconds']:.0f} s on one thread of a plan of {planned:.0f} s"
    )
    save(
        path,
        model,
        spec=spec,
        step=trainer.steps_done,
        keyframe=trainer.capture(),
        notes={
            "made by": "python -m tests.benchmarks.make_pretrained --keyframe FILE",
            "test": told,
        },
    )
    tell("mnist", told, model, path)


def tell(name: str, words: str, model: GenerativeModel, path: Path) -> None:
    """What was made; raises ``RuntimeError`` if the file is too large."""
    say(f"{name}: {words}, {model.n_parameters} parameters, {path.stat().st_size} bytes")
    say(f"{name}: {plain_config(model.config)}")
    if path.stat().st_size > LARGEST_FILE:
        raise RuntimeError(f"{path.name} has {path.stat().st_size} bytes, wanted {LARGEST_FILE}")


def train(name: str, trainer: Trainer, recipe: Recipe) -> Keyframe:
    """Take the steps, the rate falling as a cosine to 0; the state with the best held-out NLL."""
    best, kept = math.inf, trainer.capture()
    for step in range(1, recipe.n_steps + 1):
        share = 0.5 * (1.0 + math.cos(math.pi * (step - 1) / recipe.n_steps))
        trainer.state.set_learning_rate(recipe.learning_rate * max(share, 1e-3))
        losses = trainer.step()
        if step % LOOK_EVERY and step < recipe.n_steps:
            continue
        valid = held_out(trainer, trainer.dataset, "valid")
        say(f"{name}: step {step}, training {float(losses['nll']):.2f}, held out {valid:.2f}")
        if valid < best:
            best, kept = valid, trainer.capture()
    return kept


@torch.no_grad()
def held_out(trainer: Trainer, data: Dataset, split: str) -> float:
    """Mean −log p of a split, nats, given the labels where the model uses them."""
    model: Any = trainer.model.eval()
    x = getattr(data, split)
    labels = getattr(data, f"{split}_labels") if model.uses_labels else None
    total = 0.0
    for first in range(0, len(x), SCORE_CHUNK):
        some = slice(first, first + SCORE_CHUNK)
        given: Tensor | None = None if labels is None else labels[some]
        total -= float(model.log_prob(as_float(x[some]), context=given).double().sum())
    model.train()
    return total / len(x)


def say(words: str) -> None:
    """One line for the person who waits."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
