"""KL(truth‖model) after sixty seconds of training, every model on three data sets.

One thread, fresh draws at every step, KL by quadrature on a 512² grid in float64. zuko's MAF gets
the same sixty seconds in the same run, and RealNVP and MAF must each end below it.
``python -m tests.benchmarks.kl_sixty_seconds --model maf --dataset two_spirals --seconds 60``
measures a part.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.estimators.quadrature import kl_divergence
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_model, model_names, models
from engine.training import CHUNK, fit
from engine.wire.cards import ModelCard, Paper
from tests.benchmarks import peers

NAME = "KL after sixty seconds of training"
SECONDS = 2100
LONG = True

DATASETS = ("eight_gaussians", "two_spirals", "checkerboard")
PEER = "zuko_maf"
BUDGET = 60.0
QUICK_BUDGET = 3.0
GRID = 512
#: What zuko's MAF reached on a quiet machine: a bar for runs in which it comes out worse.
PEER_REFERENCE = {"eight_gaussians": 0.099, "two_spirals": 0.403, "checkerboard": 0.152}
#: Flows that must end below the peer, and models with a bar of their own on one data set.
MUST_BEAT_PEER = ("realnvp", "maf")
BARS = {("gaussian_mixture", "eight_gaussians"): 0.01, ("ebm", "eight_gaussians"): 0.05}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained here, where its defaults are not used."""

    config: dict[str, object] = field(default_factory=dict)
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: str = "constant"


FLOW = Recipe({"n_layers": 12}, batch_size=256, learning_rate=5e-3, schedule="cosine")
RECIPES = {"realnvp": FLOW, "maf": FLOW, "ebm": Recipe(schedule="cosine")}
PEER_LAYERS, PEER_BATCH, PEER_RATE = 8, 512, 2e-3


def figures(quick: bool = False, done: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """All models on all three sets, the peer first on each."""
    yield from measure(model_names(), DATASETS, QUICK_BUDGET if quick else BUDGET, done)


def measure(
    names: Collection[str], datasets: Collection[str], seconds: float, done: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """One figure per model and data set; the peer is measured where a bar needs it."""
    torch.set_num_threads(1)
    for dataset in datasets:
        wanted = [name for name in names if title(name, dataset, seconds) not in done]
        peer = math.nan
        if any(name in MUST_BEAT_PEER for name in wanted):
            peer, note = peer_kl(dataset, seconds, peers.zuko_maf(PEER_LAYERS), "MAF")
            yield figure(PEER, dataset, seconds, peer, note)
        for name in wanted:
            yield our_figure(name, dataset, seconds, peer)


def title(name: str, dataset: str, seconds: float) -> str:
    """The figure's name."""
    return f"KL after {seconds:.0f} s: {name} on {dataset}"


def figure(name: str, dataset: str, seconds: float, value: object, note: str) -> dict[str, Any]:
    """A figure without a bar."""
    return {"name": title(name, dataset, seconds), "value": value, "unit": "nats", "note": note}


def our_figure(name: str, dataset: str, seconds: float, peer: float) -> dict[str, Any]:
    """Train one of our models and hold it against its bar, where it has one."""
    if not any(hasattr(models()[name], method) for method in ("log_prob", "elbo", "energy")):
        return {**figure(name, dataset, seconds, "–", "it has no density"), "unit": ""}
    kl, note = our_kl(name, dataset, seconds, RECIPES.get(name, Recipe()))
    found = figure(name, dataset, seconds, kl, note)
    if name in MUST_BEAT_PEER:
        bar = min(peer, PEER_REFERENCE[dataset]) if seconds >= BUDGET else peer
        return {**found, "bar": f"< {bar:.4f} (zuko's MAF)", "met": kl < bar}
    limit = BARS.get((name, dataset))
    return found if limit is None else {**found, "bar": f"≤ {limit}", "met": kl <= limit}


def our_kl(name: str, dataset: str, seconds: float, recipe: Recipe) -> tuple[float, str]:
    """KL in nats after training by ``fit``, and a note."""
    data = build_dataset(dataset, fresh=True)
    model = build_model(name, event_shape=data.event_shape, **recipe.config)
    done = fit(
        model,
        data,
        seconds=seconds,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
        device="cpu",
    )
    kl = kl_divergence(data, model.double(), grid=GRID)
    return kl.value, f"{kl.label}, ± {kl.error:.1g}; {done.steps} steps"


def peer_kl(dataset: str, seconds: float, flow: torch.nn.Module, words: str) -> tuple[float, str]:
    """A flow of zuko's by its README's loop, with a cosine rate and the same supply of batches."""
    data = build_dataset(dataset, fresh=True)
    optimiser = torch.optim.Adam(flow.parameters(), lr=PEER_RATE)
    clock = _Clock(optimiser, seconds)
    peers.zuko_loop(flow, optimiser, clock.batches(data))
    kl = kl_divergence(data, PeerModel(flow).double(), grid=GRID)
    size = peers.n_parameters(flow)
    return kl.value, f"{words}, {size:,} parameters, batch {PEER_BATCH}; {clock.steps} steps"


class _Clock:
    """Gives batches until the time is up, and lowers the rate along a cosine on the way."""

    def __init__(self, optimiser: torch.optim.Optimizer, seconds: float) -> None:
        self._optimiser, self._seconds = optimiser, seconds
        self.steps = 0

    def batches(self, data: Dataset) -> Iterator[Tensor]:
        """Fresh draws, many at a time as in ``fit``."""
        generator, start = torch.Generator().manual_seed(0), time.perf_counter()
        while True:
            draws = data.sample(CHUNK * PEER_BATCH, generator=generator)
            for batch in torch.split(draws, PEER_BATCH):
                progress = (time.perf_counter() - start) / self._seconds
                if progress >= 1.0:
                    return
                rate = PEER_RATE * 0.5 * (1.0 + math.cos(math.pi * progress))
                self._optimiser.param_groups[0]["lr"] = rate
                self.steps += 1
                yield batch


class PeerModel(GenerativeModel):
    """A zuko flow dressed as one of our models, for the quadrature."""

    card = ModelCard(PEER, "zuko's MAF", "flows", "", "", Paper("", 2017, ""))

    def __init__(self, flow: torch.nn.Module) -> None:
        super().__init__((2,), None)
        self.flow = flow

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """log p(x), nats."""
        scores: Tensor = self.flow().log_prob(x)
        return scores

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """−mean log p(x)."""
        return {"total": -self.log_prob(x).mean()}


def main() -> None:
    """Measure a part, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=model_names(), action="append")
    parser.add_argument("--dataset", choices=DATASETS, action="append")
    parser.add_argument("--seconds", type=float, default=BUDGET)
    chosen = parser.parse_args()
    names, datasets = chosen.model or model_names(), chosen.dataset or DATASETS
    for found in measure(names, datasets, chosen.seconds):
        value = found["value"]
        words = f"{value:.4f}" if isinstance(value, float) else value
        met = {True: "met", False: "NOT MET"}.get(found.get("met"), "")
        line = (found["name"], words, found.get("bar", ""), met, found["note"])
        sys.stdout.write("  ".join(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
