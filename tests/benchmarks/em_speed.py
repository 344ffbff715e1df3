"""EM sweeps of the Gaussian mixture against scikit-learn's, same start, same thread.

Both begin from the same parameters and take the same number of sweeps, so they do the same work:
their log-likelihoods at the end are compared too. scikit-learn's rate is read off the difference
between a long and a short ``fit``, in which its set-up drops out. Rounds alternate, so that a busy
moment of the machine meets both, and the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from engine.model import TrainState
from engine.registry import build_model

NAME = "EM against scikit-learn"
SECONDS = 30
LONG = False

N_POINTS = 100_000
N_COMPONENTS = 20
SIZES = (2, 10)
N_SWEEPS = 5
N_ROUNDS = 2
BAR = 1.0
#: Our parameters are stored in float32, theirs in float64.
AGREEMENT = 1e-5


def figures(quick: bool = False) -> Iterator[dict[str, Any]]:
    """Sweeps a second, ours ÷ scikit-learn's, in two and in ten dimensions."""
    torch.set_num_threads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for size in SIZES:
            yield contest(size, n_rounds=1 if quick else N_ROUNDS)


def contest(size: int, n_rounds: int) -> dict[str, Any]:
    """One number of dimensions."""
    x = cloud(size)
    model = build_model("gaussian_mixture", event_shape=(size,), n_components=N_COMPONENTS,
                        covariance_floor=0.0)  # fmt: skip
    ours, theirs = [], []
    for _ in range(n_rounds):
        model.prepare(x, generator=torch.Generator().manual_seed(0))
        start = [part.double().numpy() for part in model.components()]
        short, long = (peer_seconds(x, start, n) for n in (1, 1 + N_SWEEPS))
        theirs.append(N_SWEEPS / (long[0] - short[0]))
        ours.append(N_SWEEPS / our_seconds(model, x))
    require_agreement(model, x, start)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return {
        "name": f"EM sweeps/s ÷ scikit-learn, D = {size}",
        "value": ratio,
        "unit": "×",
        "bar": f"≥ {BAR:g} ×",
        "met": ratio >= BAR,
        "note": (
            f"{statistics.median(ours):.1f} against {statistics.median(theirs):.1f} sweeps/s, "
            f"{N_POINTS:,} points, K = {N_COMPONENTS}, full covariance, one thread"
        ),
    }


def cloud(size: int) -> Tensor:
    """Overlapping blobs, (N, size) float32."""
    generator = torch.Generator().manual_seed(0)
    centres = 2.0 * torch.randn(N_COMPONENTS, size, generator=generator)
    chosen = torch.randint(N_COMPONENTS, (N_POINTS,), generator=generator)
    return centres[chosen] + torch.randn(N_POINTS, size, generator=generator)


def our_seconds(model: Any, x: Tensor) -> float:
    """Wall-clock seconds of the sweeps."""
    state, generator = TrainState({}), torch.Generator()
    began = time.perf_counter()
    for _ in range(N_SWEEPS):
        model.train_step(x, state, generator)
    return time.perf_counter() - began


def peer_seconds(x: Tensor, start: list[Any], n_sweeps: int) -> tuple[float, GaussianMixture]:
    """Wall-clock seconds of scikit-learn's fit from the same parameters, and what it found."""
    weights, means, covariances = start
    peer = GaussianMixture(
        N_COMPONENTS,
        tol=0.0,
        reg_covar=0.0,
        max_iter=n_sweeps,
        weights_init=weights / weights.sum(),
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
        init_params="random_from_data",
    )
    points = x.double().numpy()
    began = time.perf_counter()
    peer.fit(points)
    return time.perf_counter() - began, peer


def require_agreement(model: Any, x: Tensor, start: list[Any]) -> None:
    """Both must have climbed to the same likelihood."""
    _, peer = peer_seconds(x, start, N_SWEEPS)
    theirs = peer.score(x.double().numpy())
    ours = float(model.double().log_prob(x).mean())
    model.float()
    if abs(ours - theirs) > AGREEMENT:
        raise RuntimeError(f"log-likelihood: ours {ours:.7f}, scikit-learn's {theirs:.7f} nats")
