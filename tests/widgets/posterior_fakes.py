"""What the probes of bounds and posteriors answer, made by numpy: two Gaussian latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import contourpy
import numpy as np

from engine.wire.fields import Value
from engine.wire.messages import RunInfo

Arrays = dict[str, Any]
Found = tuple[Arrays, dict[str, Value]]

ONE = {
    "one_log_prob": -2.4, "one_log_prob_error": 0.0, "one_kind": "quadrature",
    "one_label": "log p(x) by quadrature, 192 × 192 values of z", "one_elbo": -2.6,
    "one_elbo_error": 0.02, "one_gap": 0.2, "one_gap_error": 0.02, "one_gap_direct": None,
    "one_reconstruction": 0.3, "one_reconstruction_error": 0.02, "one_latents": ["z"],
    "one_kl": [2.9], "one_kl_error": [0.0], "n_draws": 1000,
}  # fmt: skip
SET = {
    "set_log_prob": -2.7, "set_log_prob_error": 0.02, "set_kind": "estimate",
    "set_label": "importance-weighted estimate, k = 64", "set_elbo": -2.9, "set_elbo_error": 0.03,
    "set_gap": 0.2, "set_gap_error": 0.01, "set_reconstruction": -0.2,
    "set_reconstruction_error": 0.03, "set_latents": ["z"], "set_kl": [2.7],
    "set_kl_error": [0.02], "n_set": 500, "set_draws": 64,
}  # fmt: skip


def elbo_bars(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    assert np.asarray(arrays["event"]).size == info.data.event.size
    return {}, {**ONE, **SET}  # type: ignore[dict-item]


def posterior_truth(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """N((0.4, −1.2), a tilted covariance), with q upright in it and a walk towards it."""
    x, y = np.linspace(-1.0, 2.0, 40), np.linspace(-3.0, 0.5, 50)
    mean, precision = np.array([0.4, -1.2]), np.array([[9.0, -3.0], [-3.0, 4.0]])
    away = np.stack(np.meshgrid(x, y), -1) - mean
    surface = -0.5 * np.einsum("...i,ij,...j", away, precision, away)
    surface = surface + 0.5 * np.log(np.linalg.det(precision)) - np.log(2 * np.pi)
    lines = contourpy.contour_generator(x, y, surface).lines(surface.max() - 2.0)
    line = np.concatenate(lines).astype(np.float32)
    n = int(wanted["n_steps"]) + 1
    share = np.linspace(0.0, 1.0, n)[:, None]
    found = {
        "x": x, "y": y, "log_posterior": surface.astype(np.float32), "contour_points": line,
        "contour_starts": np.array([0, len(line)], np.int32),
        "contour_level": np.zeros(1, np.int32),
        "q_mean": mean + 0.3, "q_covariance": np.diag([0.2, 0.2]),
        "best_mean": mean, "best_covariance": np.diag([1 / 9, 1 / 4]),
        "walk_means": mean + 0.3 * (1 - share),
        "walk_covariances": np.repeat(np.diag([0.2, 0.2])[None], n, 0),
        "walk_elbo": -2.6 + 0.12 * share[:, 0],
    }  # fmt: skip
    values: dict[str, Value] = {
        "kind": "quadrature", "names": ["z1", "z2"], "low": [-1.0, -3.0], "high": [2.0, 0.5],
        "masses": [0.25, 0.5, 0.75, 0.95], "log_prob": -2.4, "error": 1e-12, "edge_mass": 0.0,
        "elbo": -2.6, "elbo_error": 0.0, "best_elbo": -2.48, "amortisation_gap": 0.12,
        "approximation_gap": 0.08, "gap": 0.2, "family": "Gaussian without correlations",
        "is_gaussian": True, "n_starts": 4, "n_agreeing": 3, "start": str(wanted["start"]),
    }  # fmt: skip
    return found, values


def truth_of_one(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """The same for a single latent."""
    found, values = posterior_truth(info, wanted, arrays)
    x = found["x"]
    line = {name: found[name][..., :1] for name in ("q_mean", "best_mean", "walk_means")}
    line |= {name: found[name][..., :1, :1]
             for name in ("q_covariance", "best_covariance", "walk_covariances")}  # fmt: skip
    density = -4.5 * (x - 0.4) ** 2 + 0.5 * np.log(9.0 / (2 * np.pi))
    line |= {"x": x, "log_posterior": density, "walk_elbo": found["walk_elbo"]}
    return line, values | {"names": ["z"], "low": [-1.0], "high": [2.0]}


def truth_of_many(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """The same for twelve latents, without a picture."""
    found, values = posterior_truth(info, wanted, arrays)
    values |= {"kind": "estimate", "names": [f"z{i + 1}" for i in range(12)],
               "amortisation_gap_error": 0.01, "error": 0.05}  # fmt: skip
    return {name: found[name] for name in ("q_mean", "q_covariance", "walk_elbo")}, values


def latent_units(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    if info.card.name == "gaussian_mixture":
        share = np.array([0.5, 0.3, 0.2, 0.0])
        return _units(np.full(4, np.nan), share, share == 0.0, "category", "component")
    activity = np.array([0.001, 0.8])
    return _units(np.array([0.02, 1.5]), activity, activity <= 0.01, "real", "z")


def _units(kl: Any, activity: Any, dead: Any, kind: str, name: str) -> Found:
    n = len(kl)
    found = {
        "unit_latent": np.zeros(n, np.int64),
        "unit_index": np.arange(n),
        "unit_kl": kl,
        "unit_activity": activity,
        "unit_use": np.full(n, 0.5),
        "unit_dead": dead,
    }
    values: dict[str, Value] = {
        "latents": [name], "kinds": [kind], "kl": [2.6], "kl_error": [0.1], "n_units": [n],
        "n_dead": [int(dead.sum())], "perplexity": [2.8 if kind == "category" else float("nan")],
        "threshold": 0.01, "n": 128, "levels": [n if kind == "category" else 0],
    }  # fmt: skip
    return found, values


def rate_distortion(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    values: dict[str, Value] = {
        "rate": 2.6, "rate_error": 0.02, "distortion": 0.3, "distortion_error": 0.03,
        "elbo": -2.9, "elbo_error": 0.03, "residual": 1e-7, "entropy": 1.8, "beta": None,
        "n": int(wanted["n"]),
    }  # fmt: skip
    return {}, values


def beta_sweep(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    return swept(1.0)


def swept(beta: float) -> Found:
    rate = 3.0 / (1.0 + beta)
    values: dict[str, Value] = {
        "beta": beta, "seed": 0, "rate": rate, "distortion": 3.0 - rate + 0.1 * beta,
        "rate_error": 0.01, "distortion_error": 0.01, "elbo": -3.0 - 0.1 * beta, "progress": 0.5,
    }  # fmt: skip
    return {}, values


def factor_scores(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    values: dict[str, Value] = {
        "beta_vae": [0.62, 0.66], "factor_vae": [0.55, 0.5], "mig": [0.12, 0.1],
        "mig_sampled": [float("nan")] * 2, "chance": 0.2,
        "factors": ["shape", "scale", "rotation", "x", "y"], "n": 4000, "units": 6,
        "progress": 1.0,
    }  # fmt: skip
    return {"information": np.zeros((6, 5)), "entropies": np.ones(5)}, values


def label_probe(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    table = np.array([[0.4, 0.5], [0.6, 0.62], [0.8, 0.78], [np.nan, np.nan]])
    values: dict[str, Value] = {"chance": 0.1, "classes": [], "n_test": 447, "progress": 0.75}
    return {"counts": np.array([10, 30, 100, 300]), "latents": table, "raw": table - 0.1}, values


def em_bars(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    n = int(wanted["n_half_steps"])
    kl = np.where(np.arange(n) % 2 == 0, 0.0, 0.3 / (1 + np.arange(n)))
    log_prob = -2.0 - 1.0 / (1 + np.arange(n) // 2)
    values: dict[str, Value] = {
        "labels": ["E" if i % 2 == 0 else "M" for i in range(n)], "n": 1600, "n_all": 1600,
    }  # fmt: skip
    return {"log_prob": log_prob, "elbo": log_prob - kl, "kl": kl}, values


PROBES: dict[str, Callable[[RunInfo, dict[str, Any], Arrays], Found]] = {
    function.__name__: function
    for function in (
        elbo_bars, posterior_truth, latent_units, rate_distortion, beta_sweep, factor_scores,
        label_probe, em_bars,
    )
}  # fmt: skip
