"""A continuous flow whose every number is known: a linear field, and answers about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.wire.messages import RunInfo

Found = tuple[dict[str, Any], dict[str, Any]]
Arrays = dict[str, Any]

#: f(z, t) = RATE · z: z(t) = z(0) exp(RATE · t), and the trace is RATE · D at every time.
RATE = -0.8
#: Steps that were tried: from where, how far, their error, whether they were taken.
STEPS = ((0.0, 0.2, 0.5, True), (0.2, 0.5, 3.0, False), (0.2, 0.3, 0.7, True),
         (0.5, 0.5, 0.9, True))  # fmt: skip
N_EVALUATIONS = 26


def ode_trace(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    size, n = info.data.event.size, int(wanted["n"])
    dims, base = min(size, 2), wanted["start"] == "base"
    random = np.random.default_rng(0)
    begin = random.normal(size=(n, dims)) * 1.5
    if wanted.get("solver") == "rk4":
        times = np.linspace(0.0, 1.0, int(wanted["n_steps"]) + 1)
    else:
        times = np.array([0.0, *(t + h for t, h, _, taken in STEPS if taken)])
    times = times[::-1] if base else times
    passed = (times - times[0])[:, None, None]
    sign = -1.0 if base else 1.0
    steps = np.array([step[:3] for step in STEPS])
    side = int(wanted["side"])
    line = np.linspace(-3.0, 3.0, side)
    places = np.stack(np.meshgrid(*[line] * dims), -1).reshape(-1, dims)
    exact = np.full(len(times), RATE * size)
    noise = random.normal(size=(1, int(wanted["n_noises"])))
    found = {
        "times": times, "states": begin * np.exp(RATE * passed),
        "log_dets": np.tile(sign * RATE * size * passed[..., 0] * sign, (1, n)),
        "step_times": 1.0 - steps[:, 0] if base else steps[:, 0],
        "step_sizes": sign * steps[:, 1], "step_errors": steps[:, 2],
        "step_accepted": np.array([step[3] for step in STEPS]),
        "field_places": places, "field": RATE * places,
        "field_trace": np.full(len(places), RATE * size),
        "trace_exact": exact, "trace_estimates": exact[:, None] + 0.3 * noise,
        "trace_variance": np.full(len(times), 0.09),
        "log_det_estimates": RATE * size + 0.3 * noise[0],
    }  # fmt: skip
    if wanted["tolerances"]:
        tolerances = np.array(wanted["tolerances"])
        found |= {
            "tolerances": tolerances,
            "evaluations": np.rint(14 * tolerances**-0.2).astype(np.int32),
            "rejected": np.ones(len(tolerances), np.int32),
            "round_trip": 2 * tolerances, "log_det_error": 0.5 * tolerances,
        }  # fmt: skip
    return found, {
        "n_evaluations": N_EVALUATIONS, "n_accepted": 3, "n_rejected": 1, "solver": "dopri5",
        "rtol": 1e-3, "atol": 1e-3, "log_det": RATE * size, "noise": "rademacher",
        "trained_with": "exact", "time": wanted.get("time", 0.5), "low": [-3.0] * dims,
        "high": [3.0] * dims, "x_name": "x", "y_name": "y" if dims == 2 else "",
        "is_slice": size > 2, "log_det_variance": 0.09,
    }  # fmt: skip


PROBES: dict[str, Callable[[RunInfo, dict[str, Any], Arrays], Found]] = {"ode_trace": ode_trace}
