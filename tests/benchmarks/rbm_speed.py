"""Updates of the restricted Boltzmann machine against scikit-learn's, same work, one thread.

784 visible and 256 hidden units, batches of 100, one sweep of 100 persistent chains, the plain
gradient without momentum or decay, float32 on both sides; batches are there beforehand. Rounds
alternate, so that a busy moment of the machine meets both, and the figure is the median of the
rounds' ratios. Both learn the same data from independent units, and must learn as much of it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits
from torch import Tensor

from engine.model import TrainState
from engine.registry import build_model

NAME = "RBM against scikit-learn"
SECONDS = 6
LONG = False

N_VISIBLE, N_UNITS, BATCH_SIZE = 784, 256, 100
N_BATCHES, N_ROUNDS, RATE = 40, 9, 0.05
BAR = 1.5
#: Their free-energy gaps between data and independent pixels may differ by this share.
AGREEMENT = 0.1


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Updates a second, ours ÷ scikit-learn's."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield contest(3 if quick else N_ROUNDS)


def contest(n_rounds: int) -> dict[str, Any]:
    """Rounds of as many updates on each side."""
    batches = pictures()
    mine: Any = build_model(
        "rbm", event_shape=(N_VISIBLE,), hidden_units=N_UNITS, levels=2, algorithm="pcd",
        gibbs_steps=1, n_chains=BATCH_SIZE, centred=False, momentum=0.0, weight_decay=0.0,
    )  # fmt: skip
    mine.prepare(torch.cat(batches), generator=torch.Generator())
    state, generator = TrainState(mine.optimisers(RATE)), torch.Generator().manual_seed(0)
    peer = BernoulliRBM(N_UNITS, learning_rate=RATE, batch_size=BATCH_SIZE, random_state=0)
    arrays = [batch.numpy() for batch in batches]
    peer.partial_fit(arrays[0])
    peer.intercept_visible_ = mine.b.detach().numpy().copy()
    ours, theirs = [], []
    for _ in range(n_rounds):
        began = time.perf_counter()
        for batch in batches:
            mine.train_step(batch, state, generator)
        middle = time.perf_counter()
        for array in arrays:
            peer.partial_fit(array)
        ours.append(len(batches) / (middle - began))
        theirs.append(len(batches) / (time.perf_counter() - middle))
    require_agreement(mine, peer, torch.cat(batches))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return {
        "name": "RBM updates/s ÷ scikit-learn",
        "value": ratio,
        "unit": "×",
        "bar": f"≥ {BAR:g} ×",
        "met": ratio >= BAR,
        "note": (
            f"{statistics.median(ours):.0f} against {statistics.median(theirs):.0f} updates/s, "
            f"{N_VISIBLE}×{N_UNITS}, batch {BATCH_SIZE}, PCD-1, one thread, float32"
        ),
    }


def pictures() -> list[Tensor]:
    """Batches (100, 784) float32 of two overlaid templates out of ten, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    templates = torch.rand(10, N_VISIBLE, generator=generator) < 0.15
    shape = (2, N_BATCHES * BATCH_SIZE)
    first, second = templates[torch.randint(10, shape, generator=generator)]
    noise = torch.rand(first.shape, generator=generator) < 0.02
    return list(torch.split(((first | second) ^ noise).float(), BATCH_SIZE))


@torch.no_grad()
def require_agreement(mine: Any, peer: BernoulliRBM, x: Tensor) -> None:
    """Both must tell the data from pictures whose pixels are shuffled among pictures alike."""
    order = np.argsort(np.random.default_rng(0).random(x.shape), axis=0)
    shuffled = torch.from_numpy(np.take_along_axis(x.numpy(), order, axis=0))
    ours = float((mine.energy(shuffled) - mine.energy(x)).mean())
    gap = peer._free_energy(shuffled.numpy()) - peer._free_energy(x.numpy())
    theirs = float(gap.mean())
    if abs(ours - theirs) > AGREEMENT * abs(theirs):
        raise RuntimeError(f"free-energy gap: ours {ours:.2f}, scikit-learn's {theirs:.2f} nats")
