"""How fast ``fit`` is against the training loops of other libraries' READMEs.

Same architecture, parameter count, data, batch and one thread. Rounds of ours and the peer's
alternate, so that a busy moment of the machine meets both, and the figure is the median of the
rounds' ratios. The peers' batches are drawn beforehand; ours are drawn by ``fit``.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from engine.dataset import Dataset
from engine.model import GenerativeModel
from engine.registry import build_dataset, build_model
from engine.training import fit
from tests.benchmarks import peers

NAME = "speed of fit against peers"
SECONDS = 105
LONG = False

BATCH_SIZE = 256
RATE = 1e-3
ROUND_SECONDS = 0.25
N_ROUNDS = 12
SLOW_ROUNDS = 4
DENSITY_BARS = {128: 40.0, 512: 1000.0}

Run = Callable[[int], object]


@dataclass(frozen=True)
class Contest:
    """One of our models against one peer, and how many times faster it should be.

    Attributes:
        settings: Of our model.
        n_tries: Steps that are timed first; few of a model whose steps are long, in fewer rounds.
    """

    peer: str
    ours: str
    settings: Mapping[str, Any]
    build: Callable[[], torch.nn.Module]
    loop: peers.Loop
    bar: float
    n_tries: int = 30


EIGHT = {"n_layers": 8}
CONTESTS = (
    Contest("zuko RealNVP", "realnvp", EIGHT, peers.zuko_realnvp, peers.zuko_loop, 1.8),
    Contest("zuko MAF", "maf", {"n_layers": 5}, peers.zuko_maf, peers.zuko_loop, 1.5),
    Contest(
        "normflows RealNVP", "realnvp", EIGHT, peers.normflows_realnvp, peers.normflows_loop, 1.8
    ),
    Contest("normflows NICE", "nice", EIGHT, peers.normflows_nice, peers.normflows_loop, 1.5),
    Contest("zuko NSF", "nsf", {"n_layers": 5}, peers.zuko_nsf, peers.zuko_loop, 1.5),
    Contest("zuko CNF", "cnf", peers.ZUKO_CNF, peers.zuko_cnf, peers.zuko_loop, 1.5, n_tries=3),
)


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Six ratios with their bars, twelve with equal optimisers, two densities."""
    torch.set_num_threads(1)
    data = build_dataset("two_moons")
    for contest in CONTESTS:
        rounds = N_ROUNDS if contest.n_tries > 3 else SLOW_ROUNDS
        yield from measure(contest, data, n_rounds=min(4, rounds) if quick else rounds)
    yield from densities()


def measure(contest: Contest, data: Dataset, n_rounds: int) -> Iterator[dict[str, Any]]:
    """The ratio with each library's own optimiser call, then with the very same one."""
    runs = contestants(contest, data)
    n = contest.n_tries
    n_steps = {name: steps_in(run, ROUND_SECONDS, n) for name, run in runs.items()}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            rates[name].append(n_steps[name] / seconds_of(run, n_steps[name]))
    ratio = median_ratio(rates["ours, fused"], rates["peer, plain"])
    yield {
        "name": f"fit {contest.ours} ÷ {contest.peer}, its README's loop",
        "value": ratio,
        "unit": "×",
        "bar": f"≥ {contest.bar} ×",
        "met": ratio >= contest.bar,
        "note": (
            f"{statistics.median(rates['ours, fused']):.0f} against "
            f"{statistics.median(rates['peer, plain']):.0f} steps/s, batch {BATCH_SIZE}"
        ),
    }
    for kind in ("plain", "fused"):
        yield {
            "name": f"fit {contest.ours} ÷ {contest.peer}, both {kind} Adam",
            "value": median_ratio(rates[f"ours, {kind}"], rates[f"peer, {kind}"]),
            "unit": "×",
        }


def contestants(contest: Contest, data: Dataset) -> dict[str, Run]:
    """Four runs of so many steps: ours and the peer's, with plain and with fused Adam."""
    runs: dict[str, Run] = {}
    batches = list(
        torch.split(data.train[: len(data.train) // BATCH_SIZE * BATCH_SIZE], BATCH_SIZE)
    )
    for kind, extra in (("fused", {"fused": True}), ("plain", {})):
        model = build_model(contest.ours, event_shape=(2,), **contest.settings)
        flow = contest.build()
        require_equal_size(contest, model, flow)
        ours, theirs = partial(torch.optim.Adam, **extra), partial(torch.optim.Adam, **extra)
        set_optimiser(model, ours)
        optimiser = theirs(flow.parameters(), lr=RATE)
        runs[f"ours, {kind}"] = partial(our_run, model, data)
        runs[f"peer, {kind}"] = partial(peer_run, contest.loop, flow, optimiser, batches)
    return runs


def require_equal_size(contest: Contest, model: GenerativeModel, flow: torch.nn.Module) -> None:
    """Both must have the same number of trained values."""
    ours, theirs = model.n_parameters, peers.n_parameters(flow)
    if ours != theirs:
        raise RuntimeError(f"{contest.peer}: ours has {ours} parameters, the peer {theirs}")


def set_optimiser(model: GenerativeModel, kind: Callable[..., torch.optim.Optimizer]) -> None:
    """Let ``fit`` use this optimiser call."""
    model.optimisers = lambda rate: {"model": kind(model.parameters(), lr=rate)}


def our_run(model: GenerativeModel, data: Dataset, n_steps: int) -> None:
    """So many steps by the public ``fit``."""
    fit(model, data, steps=n_steps, batch_size=BATCH_SIZE, learning_rate=RATE, device="cpu")


def peer_run(
    loop: peers.Loop,
    flow: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: list[torch.Tensor],
    n_steps: int,
) -> None:
    """So many steps by the README's loop."""
    loop(flow, optimiser, (batches[i % len(batches)] for i in range(n_steps)))


def densities() -> Iterator[dict[str, Any]]:
    """Seconds of one density picture of the default RealNVP, the best of several."""
    model = build_model("realnvp", event_shape=(2,))
    for side, bar in DENSITY_BARS.items():
        line = torch.linspace(-3.0, 3.0, side)
        points = torch.cartesian_prod(line, line)
        with torch.no_grad():
            run = partial(score_points, model, points)
            best = min(seconds_of(run, 1) for _ in range(12)) * 1e3
        yield {
            "name": f"RealNVP log-density on {side}²",
            "value": best,
            "unit": "ms",
            "bar": f"≤ {bar:.0f} ms",
            "met": best <= bar,
            "note": "one thread, best of 12",
        }


def score_points(model: Any, points: torch.Tensor, n_times: int) -> None:
    """So many density pictures."""
    for _ in range(n_times):
        model.log_prob(points)


def steps_in(run: Run, seconds: float, n_tries: int) -> int:
    """How many steps take about so long, after a warm-up."""
    run(n_tries // 3)
    return max(min(5, n_tries), round(n_tries * seconds / seconds_of(run, n_tries)))


def seconds_of(run: Run, n_steps: int) -> float:
    """Wall-clock seconds of a run."""
    start = time.perf_counter()
    run(n_steps)
    return time.perf_counter() - start


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    """The median over rounds of how many times faster we were."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    for figure in figures(quick="--quick" in sys.argv):
        words = (figure["name"], f"{figure['value']:.3g}", figure["unit"], figure.get("bar", ""))
        sys.stdout.write("  ".join((*words, figure.get("note", ""))) + "\n")
        sys.stdout.flush()
