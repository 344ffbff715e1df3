"""KL(truth‖model) after sixty seconds of training: our best flow against zuko's spline flow.

One thread, fresh draws at every step, KL by quadrature on a 512² grid in float64; zuko's NSF gets
the same sixty seconds in the same run. The whole table is kept.
``python -m tests.benchmarks --long --figure flow_sixty --model nsf`` measures one model.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

import torch

from tests.benchmarks import kl_sixty_seconds as sixty
from tests.benchmarks import peers
from tests.benchmarks.kl_sixty_seconds import Recipe

NAME = "flows after sixty seconds"
SECONDS = 1100
LONG = True

DATASETS = ("eight_gaussians", "two_spirals", "checkerboard", "pinwheel")
PEER, PEER_LAYERS = "zuko_nsf", 5
#: The best of ours may end at this share of the peer's KL.
SHARE = 0.7
RECIPES = {
    "realnvp": sixty.FLOW,
    "maf": sixty.FLOW,
    "nsf": Recipe(
        {"n_layers": 3, "n_bins": 16}, batch_size=512, learning_rate=5e-3, schedule="cosine"
    ),
}


def figures(
    quick: bool = False, done: Collection[str] = (), model: str = ""
) -> Iterator[dict[str, Any]]:
    """Each of our flows, the peer, and the best against the peer, on each set."""
    torch.set_num_threads(1)
    seconds = sixty.QUICK_BUDGET if quick else sixty.BUDGET
    for dataset in DATASETS[:1] if quick else DATASETS:
        name = f"best flow ÷ zuko's NSF after {seconds:.0f} s on {dataset}"
        if name in done:
            continue
        peer, note = sixty.peer_kl(dataset, seconds, peers.zuko_nsf(PEER_LAYERS), "NSF")
        yield sixty.figure(PEER, dataset, seconds, peer, note)
        found = {}
        for flow, recipe in RECIPES.items():
            if model in ("", flow):
                found[flow], note = sixty.our_kl(flow, dataset, seconds, recipe)
                yield sixty.figure(flow, dataset, seconds, found[flow], note)
        best = min(found, key=lambda flow: found[flow])
        ratio = found[best] / peer if peer > 0 else math.nan
        yield {
            "name": name,
            "value": ratio,
            "unit": "×",
            "bar": f"≤ {SHARE}",
            "met": ratio <= SHARE,
            "note": f"{best}: {found[best]:.4f} against {peer:.4f} nats",
        }
