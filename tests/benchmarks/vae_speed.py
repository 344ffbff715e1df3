"""How many pictures a second a VAE trains on, against pythae's VAE of the same architecture.

784 binary values, two layers of 200 units each way, 50 latent units, one thread. Both trainers are
set up beforehand; rounds of ours and the peer's alternate, and the figure is the median of the
rounds' ratios. The clock is the process's own processor time, so that other work on the machine
slows neither.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from engine.registry import build_dataset, build_model
from engine.training import Trainer
from tests.benchmarks import peer_pythae

NAME = "training a VAE against pythae"
SECONDS = 30
LONG = False

BATCH_SIZE = 100
RATE = 1e-3
#: Pictures of one round.
N_PICTURES = 5000
N_ROUNDS = 5
BAR = 1.5
CONFIG = {"latent_features": 50, "hidden_features": (200, 200), "activation": "silu"}


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """The ratio against its trainer, and with the very same optimiser."""
    torch.set_num_threads(1)
    data = build_dataset("mnist")
    pictures = data.train[:N_PICTURES].float()
    with tempfile.TemporaryDirectory() as folder:
        for fused in (False, True):
            model = build_model("vae", event_shape=data.event_shape, dataset=data, **CONFIG)
            peer = peer_pythae.pythae_vae(data.event_shape, model.config)
            theirs_has = sum(parameter.numel() for parameter in peer.parameters())
            if model.n_parameters != theirs_has:
                raise RuntimeError(
                    f"ours has {model.n_parameters} parameters, the peer {theirs_has}"
                )
            settings = {"batch_size": BATCH_SIZE, "learning_rate": RATE}
            peers = peer_pythae.pythae_trainer(peer, pictures, folder, fused=fused, **settings)
            ours = partial(our_steps, Trainer(model, data, device="cpu", **settings))
            theirs = partial(peer_pythae.one_epoch, peers)
            yield compared(ours, theirs, fused=fused, n_rounds=2 if quick else N_ROUNDS)


def our_steps(trainer: Trainer) -> None:
    """As many steps as the peer takes in one epoch of its pictures."""
    for _ in range(N_PICTURES // BATCH_SIZE):
        trainer.step()


def compared(
    ours: Callable[[], object], theirs: Callable[[], object], *, fused: bool, n_rounds: int
) -> dict[str, Any]:
    """Alternate rounds of both after one to warm up."""
    rates: tuple[list[float], list[float]] = ([], [])
    for place in range(n_rounds + 1):
        for run, found in zip((ours, theirs), rates, strict=True):
            rate = N_PICTURES / seconds_of(run)
            if place:
                found.append(rate)
    ratio = statistics.median(a / b for a, b in zip(*rates, strict=True))
    how = "both fused Adam" if fused else "its README's trainer"
    bar = {} if fused else {"bar": f"≥ {BAR} ×", "met": ratio >= BAR}
    return {
        "name": f"train vae ÷ pythae VAE, {how}",
        "value": ratio,
        "unit": "×",
        **bar,
        "note": (
            f"{statistics.median(rates[0]):.0f} against {statistics.median(rates[1]):.0f} "
            f"pictures a second of processor time, batch {BATCH_SIZE}, one thread"
        ),
    }


def seconds_of(run: Callable[[], object]) -> float:
    """Processor seconds of a run."""
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    for figure in figures(quick="--quick" in sys.argv):
        words = (figure["name"], f"{figure['value']:.3g}", figure["unit"], figure.get("bar", ""))
        sys.stdout.write("  ".join((*words, figure["note"])) + "\n")
        sys.stdout.flush()
