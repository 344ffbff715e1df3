"""JEM on the 8×8 digits: does it classify, and does it draw digits of the class it is asked for?

One thread, processor time. Held out are the 350 + 447 pictures of the validation and test splits,
which no setting of training looks at. Samples are ends of Langevin chains on E(x, y) that start
from noise, as many of each class; a support vector machine that scikit-learn fits to the 1,000
training pictures says what it sees in them. Their mean pairwise distance, within a class, is held
against that of the training pictures: a sampler that draws one good 3 again and again fails there.
``python -m tests.benchmarks.jem_digits --seconds 60 --set data_noise=0.2`` measures another one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import torch
from sklearn.svm import SVC
from torch import Tensor

from engine.dataset import Dataset
from engine.registry import build_dataset, build_model
from tests.benchmarks.paced import CLOCKS, train_paced

NAME = "JEM on digits"
SECONDS = 330
LONG = True

BUDGET, QUICK_BUDGET = 240.0, 5.0
RECIPE: dict[str, object] = {"average": 0.99}
HELD_OUT = ("valid", "test")
N_EACH, CHAIN_STEPS = 40, 500
BAR_ACCURACY, BAR_RECOGNISED, BAR_DISTANCE = 0.96, 0.80, 0.20


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Accuracy, recognised samples, and their spread."""
    yield from measure(QUICK_BUDGET if quick else BUDGET, RECIPE, "processor")


def measure(seconds: float, config: dict[str, Any], clock: str) -> Iterator[dict[str, Any]]:
    """Train, then score."""
    torch.set_num_threads(1)
    data = build_dataset("digits")
    model: Any = build_model("jem", event_shape=data.event_shape, dataset=data, **config)
    steps = train_paced(model, data, seconds, clock=clock)
    right = [correct(model, getattr(data, split), labels_of(data, split)) for split in HELD_OUT]
    parts = ", ".join(
        f"{split} {100 * float(part.double().mean()):.1f} %"
        for split, part in zip(HELD_OUT, right, strict=True)
    )
    note = f"{parts}; {steps} steps in {seconds:.0f} s of {clock} time"
    share = float(torch.cat(right).double().mean())
    yield figure("accuracy on held-out pictures", share, BAR_ACCURACY, note)
    drawn, asked = samples(model)
    seen = judge(data).predict(drawn.flatten(1).clamp(0.0, 1.0).numpy())
    share = float((torch.as_tensor(seen) == asked).double().mean())
    note = f"{len(asked)} chains of {CHAIN_STEPS} steps from noise; the judge: RBF-SVM"
    yield figure("class-conditional samples recognised", share, BAR_RECOGNISED, note)
    ratio = spread(drawn, asked) / spread(data.train, labels_of(data, "train"))
    yield {
        "name": "JEM on digits: mean distance within a class ÷ that of the data",
        "value": ratio,
        "unit": "×",
        "bar": f"{1 - BAR_DISTANCE:g} … {1 + BAR_DISTANCE:g}",
        "met": abs(ratio - 1.0) <= BAR_DISTANCE,
        "note": "Euclidean, samples as the chains leave them",
    }


def figure(name: str, value: float, bar: float, note: str) -> dict[str, Any]:
    """A share with its bar."""
    return {
        "name": f"JEM on digits: {name}",
        "value": 100.0 * value,
        "unit": "%",
        "bar": f"≥ {100 * bar:.0f} %",
        "met": value >= bar,
        "note": note,
    }


@torch.no_grad()
def correct(model: Any, pictures: Tensor, labels: Tensor) -> Tensor:
    """Whether the likeliest class of each is its own, (N,)."""
    found: Tensor = model.logits(pictures).argmax(1) == labels
    return found


def labels_of(data: Dataset, split: str) -> Tensor:
    """(N,) int64 of a split."""
    labels: Tensor = getattr(data, f"{split}_labels")
    return labels


def samples(model: Any) -> tuple[Tensor, Tensor]:
    """Ends of chains (N, 1, 8, 8) that began in noise, and the classes that they were given."""
    noise, classes = torch.Generator().manual_seed(1), torch.arange(10).repeat(N_EACH)
    state = model.init(len(classes), noise, context=classes)
    for _ in range(CHAIN_STEPS):
        state, _ = model.step(state, model.kernels[0], noise)
    return state["x"], classes


def judge(data: Dataset) -> SVC:
    """A classifier that shares nothing with the model but the training pictures."""
    return SVC(C=10.0).fit(data.train.flatten(1).numpy(), labels_of(data, "train").numpy())


def spread(x: Tensor, labels: Tensor) -> float:
    """Mean Euclidean distance between pictures of one class, averaged over classes."""
    each = [torch.pdist(x[labels == k].flatten(1)).mean() for k in labels.unique()]
    return float(torch.stack(each).mean())


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=BUDGET)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="processor")
    parser.add_argument("--set", nargs="*", default=[], help="settings such as data_noise=0.2")
    given = parser.parse_args()
    config = {**RECIPE, **dict(item.split("=", 1) for item in given.set)}
    for found in measure(given.seconds, config, given.clock):
        words = f"{found['name']}  {found['value']:.4g} {found['unit']}  {found['note']}"
        sys.stdout.write(words + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
