"""Answers of the probes of chains, by numpy, on a bowl E = |x|²/2 that everyone can check."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.wire.fields import Value
from engine.wire.messages import RunInfo

KERNELS = ["langevin", "decoupled", "mala", "hmc", "metropolis", "tempering", "own:mala"]
LEVELS = (0.5, 1.0, 2.0)
LOG_Z = float(np.log(2 * np.pi))
N_LEAPFROG, N_REPLICAS = 5, 4

Answered = tuple[dict[str, Any], dict[str, Value]]


def nodes(low: float, high: float, size: int) -> Any:
    return low + (np.arange(size) + 0.5) * (high - low) / size


def energy_surface(info: RunInfo, wanted: dict[str, Any], given: dict[str, Any]) -> Answered:
    (x0, y0), (x1, y1), size = wanted["low"], wanted["high"], wanted["size"]
    x, y = nodes(x0, x1, size), nodes(y0, y1, size)
    energy = (x[None] ** 2 + y[:, None] ** 2) / 2
    angle = np.linspace(0, 2 * np.pi, 40)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    lines = np.concatenate([np.sqrt(2 * level) * circle for level in LEVELS])
    arrays: dict[str, Any] = {
        "x": x, "y": y,
        "energy": energy.astype(np.float32),
        "contour_points": lines.astype(np.float32),
        "contour_starts": np.arange(0, len(lines) + 1, 40, dtype=np.int32),
        "contour_level": np.arange(len(LEVELS), dtype=np.int32),
    }  # fmt: skip
    if wanted.get("side"):
        across, up = nodes(x0, x1, wanted["side"]), nodes(y0, y1, wanted["side"])
        places = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
        arrays |= {"places": places, "forces": -places}
    wide = info.data.event.size > 2
    return arrays, {
        "kind": "energy", "label": "E(x), the model's", "lowest": 0.0, "levels": list(LEVELS),
        "log_z": None if wide else LOG_Z, "log_z_error": None if wide else 1e-9,
        "is_slice": wide, "x_name": "x", "y_name": "y", "kernels": list(KERNELS),
        "has_target": False, "steps": 5, "rate": 0.01, "sampler": "mala",
    }  # fmt: skip


def chain_walk(info: RunInfo, wanted: dict[str, Any], given: dict[str, Any]) -> Answered:
    """All rows in one piece: each chain halves its distance to the middle."""
    n, steps, first = min(wanted["n"], 1000), min(wanted["steps"], 20), wanted.get("first", 0)
    random = np.random.default_rng(wanted["seed"])
    x = given["x"][:n] if "x" in given else random.normal(size=(n, 2)) * 2
    points = x * 0.5 ** np.arange(steps + 1)[:, None, None]
    told = min(wanted["told"], n)
    drift, noise = -0.6 * points[:, :told], 0.1 * points[:, :told]
    kernel = wanted["kernel"]
    arrays: dict[str, Any] = {
        "points": points.astype(np.float32),
        "energy": ((points**2).sum(2) / 2).astype(np.float32),
        "diverged": np.zeros(points.shape[:2], bool),
        "acceptance": np.full(steps + 1, 1.0 if kernel == "langevin" else 0.75, np.float32),
        "accepted": np.ones((steps + 1, told), bool),
        "proposal": (points[:, :told] + drift + noise).astype(np.float32),
    }
    if kernel == "hmc":
        shares = np.linspace(0, 1, N_LEAPFROG + 1)[None, :, None, None]
        arrays["trajectory"] = points[:, None, :told] * (1 - 0.5 * shares)
    else:
        arrays |= {"drift": drift.astype(np.float32), "noise": noise.astype(np.float32)}
    if kernel == "tempering":
        factors = np.arange(1, N_REPLICAS + 1)[None, :, None, None]
        arrays["replicas"] = points[:, None, :told] * factors
        arrays["swapped"] = np.zeros((steps + 1, N_REPLICAS - 1, told), bool)
        arrays["swapped"][:, 0, 0] = True  # the first chain's cold replica, at every step
    return arrays, {
        "start": first, "total": first + steps, "exact": kernel == "mala",
        "forgets": kernel != "tempering", "temperatures": [1.0, 2.0, 4.0, 8.0],
    }  # fmt: skip


def two_forces(info: RunInfo, wanted: dict[str, Any], given: dict[str, Any]) -> Answered:
    (x0, y0), (x1, y1), size = wanted["low"], wanted["high"], wanted["size"]
    x, y = nodes(x0, x1, size), nodes(y0, y1, size)
    bowl = np.exp(-(x[None] ** 2 + y[:, None] ** 2) / 2)
    arrays = {
        "x": x, "y": y, "positive": -2.0 * bowl, "negative": 1.5 * bowl, "exact": 0.1 * bowl,
        "data": np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32),
    }  # fmt: skip
    return arrays, {
        "cosine": 0.5, "norm": 2.0, "exact_norm": 1.0, "mean_data": 1.0, "mean_negatives": 2.0,
        "mean_exact": 1.5, "n": 40, "n_negatives": len(given["negatives"]),
    }  # fmt: skip


def replay_buffer(info: RunInfo, wanted: dict[str, Any], given: dict[str, Any]) -> Answered:
    random = np.random.default_rng(2)
    points = random.normal(size=(60, 2)).astype(np.float32)
    arrays: dict[str, Any] = {
        "points": points, "energy": (points**2).sum(1) / 2, "ages": np.arange(60) * 5,
    }  # fmt: skip
    if wanted["n_pictures"]:
        arrays["pictures"] = random.random((16, *info.data.event.shape)).astype(np.float32)
    return arrays, {"n_all": 60, "step": 90, "steps": 5}


def chain_long(info: RunInfo, wanted: dict[str, Any], given: dict[str, Any]) -> Answered:
    marks = np.array([0, 1, 5, 10, 100, wanted["steps"]])
    mean = 1.0 + np.exp(-marks / 20)
    wide = info.data.event.size > 2
    return {
        "marks": marks, "energy": np.stack([mean, mean - 0.5, mean + 0.5], 1),
        "kl": np.full(len(marks), np.nan) if wide else 2 * np.exp(-marks / 20) + 0.05,
        "lost": np.zeros(len(marks), np.float32), "points": np.zeros((len(marks), 30, 2)),
    }, {
        "floor": None if wide else 0.04, "exact_energy": None if wide else 1.0,
        "training_steps": 5, "final": wanted["steps"], "data_energy": 1.25,
    }  # fmt: skip


def chain_truth(info: RunInfo, wanted: dict[str, Any], given: dict[str, Any]) -> Answered:
    random = np.random.default_rng(3)
    cells = random.random((6, 6))
    arrays: dict[str, Any] = {
        "traces": random.normal(size=(51, 8, 3)).astype(np.float32),
        "correlation": np.exp(-np.arange(20)[:, None] / np.array([2.0, 4.0, 8.0])),
        "masses": np.array([0.6, 0.4]), "occupied": np.array([0.9, 0.1]),
        "floors": np.array([[-1.0, 0.0], [1.0, 0.0]]),
        "exact": cells / cells.sum(), "shares": cells / cells.sum(),
    }  # fmt: skip
    values: dict[str, Value] = {
        "r_hat": [1.5, 1.1, 1.0], "ess": [30.0, 40.0, 500.0], "n_judged": 1600, "steps": 50,
        "acceptance": 0.6, "kl": 0.3, "floor": 0.01, "bias": 0.29, "diverged": 0.0,
        "low": [-3.0, -3.0], "high": [3.0, 3.0], "names": ["x", "y", "E"],
        "kernel": wanted["kernel"], "step_size": wanted["step_size"],
    }  # fmt: skip
    if wanted["compare"]:
        arrays |= {"mala_shares": arrays["exact"], "mala_occupied": np.array([0.6, 0.4])}
        values |= {"mala_kl": 0.011, "mala_floor": 0.01, "mala_bias": 0.001}
    return arrays, values


def outliers(info: RunInfo, wanted: dict[str, Any], given: dict[str, Any]) -> Answered:
    """Three kinds outside, each further away; of pictures with a classifier's doubt."""
    random = np.random.default_rng(4)
    spread = random.normal(size=(4, 50)) + np.array([0.0, 1.0, 9.0, 0.1])[:, None]
    arrays: dict[str, Any] = {"energy": spread}
    values: dict[str, Value] = {
        "names": ["independent values", "noise", "two at once"], "n": 50, "split": "validation",
        "auroc": [0.76, 1.0, 0.528], "auroc_error": [0.048, 0.0, 0.058],
    }  # fmt: skip
    if wanted["n_pictures"]:
        shape = info.data.event.shape
        arrays |= {
            "unsure": random.random((4, 50)), "pictures": random.random((4, 16, *shape)),
            "typical": random.random((16, *shape)), "odd": random.random((16, *shape)),
        }  # fmt: skip
        values |= {"auroc_unsure": [0.5, 0.6, 0.7], "auroc_unsure_error": [0.01, 0.02, 0.03]}
    return arrays, values


PROBES = {
    "energy_surface": energy_surface, "chain_walk": chain_walk, "two_forces": two_forces,
    "replay_buffer": replay_buffer, "chain_long": chain_long, "chain_truth": chain_truth,
    "outliers": outliers,
}  # fmt: skip
