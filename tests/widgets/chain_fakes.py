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
    return arrays, {
        "start": first, "total": first + steps, "exact": kernel == "mala",
        "forgets": kernel != "tempering", "temperatures": [1.0, 2.0, 4.0, 8.0],
    }  # fmt: skip


PROBES = {"energy_surface": energy_surface, "chain_walk": chain_walk}
