"""Boltzmann machines whose answers numpy makes: chains that turn one pixel a half-step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from engine.wire.capability import Capability
from engine.wire.event import Event
from engine.wire.fields import Field, FieldSpec
from engine.wire.messages import Answer, RunInfo, Slot
from tests.widgets.fakes import run_info
from widgets.panel import Panel

Arrays = dict[str, Any]
Found = tuple[Arrays, dict[str, Any]]
Spoil = Callable[[str, Any], Any]

N_EXAMPLES = 6


def machine(
    shape: tuple[int, ...] = (1, 4, 4), levels: int | None = 2, hidden: Any = 6, **changes: Any
) -> RunInfo:
    """A run of a machine with ``hidden`` units, a list when it is deep."""
    info = run_info("ebm", shape)
    field = FieldSpec("hidden_units", "int", 6, Field(1, 10))
    card = msgspec.structs.replace(
        info.card, name="rbm", title="Restricted Boltzmann machine", fields=(field,),
        capabilities=(Capability.ENERGY, Capability.CHAIN), **changes,
    )  # fmt: skip
    axes = ("channel", "row", "column") if len(shape) == 3 else ()
    event = Event(shape, axes, "binary" if levels == 2 else "real", levels)
    spec = msgspec.structs.replace(info.spec, model="rbm", model_config={"hidden_units": hidden})
    data = msgspec.structs.replace(info.data, event=event)
    return msgspec.structs.replace(info, card=card, spec=spec, data=data)


def widths(info: RunInfo) -> dict[str, int]:
    """Units of each block."""
    hidden = info.spec.model_config["hidden_units"]
    sizes = [hidden] if isinstance(hidden, int) else list(hidden)  # type: ignore[arg-type]
    names = ["h"] if len(sizes) == 1 else [f"h{n + 1}" for n in range(len(sizes))]
    return {"v": info.data.event.size, **dict(zip(names, map(int, sizes), strict=True))}


def gibbs_walk(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """All frames in one piece: unit t of every block is on in frame t and no other."""
    blocks = widths(info)
    n, frames, sweeps = wanted["n"], wanted["n_frames"], wanted.get("sweeps", 0)
    stride = 2 * sweeps or 1
    found: Arrays = {}
    for block, size in blocks.items():
        is_real = block == "v" and info.data.event.levels is None
        states = np.zeros((frames, n, size), np.float32 if is_real else np.uint8)
        for t in range(frames):
            for chain in range(n):
                states[t, chain, (t + chain) % size] = 1
        found[block] = states
        found[f"mean_{block}"] = np.clip(states.astype(np.float32), 0.1, 0.9)
    if "mask" in arrays:
        mask = arrays["mask"].reshape(-1)
        known = np.nan_to_num(arrays["known"].reshape(-1)[mask])
        found["v"][..., mask] = found["mean_v"][..., mask] = known
    found["energy"] = np.linspace(-3.0, -9.0, frames)[:, None].repeat(n, 1)
    found["free_energy"] = found["energy"] - 2.0
    found["kernel"] = np.array([-1, *(t % 2 for t in range(frames - 1))], np.int32)
    drawn = np.zeros((frames, len(blocks)), dtype=bool)
    drawn[1::2, 1:], drawn[2::2, 0] = True, True
    if "pass_after" in wanted:
        drawn[:, 0], drawn[:, 1:], drawn[-1, 0] = False, True, True
    found["drawn"] = drawn
    return found, {
        "frame": 0, "n_frames": frames, "stride": stride, "kernels": ["hidden", "visible"],
        "blocks": list(blocks), "free_of": ["v"],
        "joined": list(blocks)[1 if "pass_after" in wanted else 0:],
        "given": [" ".join(list(blocks)[max(i - 1, 0):i] + list(blocks)[i + 1:i + 2])
                  for i in range(len(blocks))],
        "n_clamped": int(arrays["mask"].sum()) if "mask" in arrays else 0,
    }  # fmt: skip


def gibbs_filters(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """Unit j has weights j/10 everywhere; the last one is dead."""
    blocks = list(widths(info).values())
    size, n = blocks[0], blocks[wanted.get("layer", 1)]
    strength = np.arange(n, dtype=np.float32) / 10
    found = {
        "filters": np.tile(strength[:, None], (1, size)),
        "own": np.tile(strength[:, None], (1, size)),
        "norms": strength * np.float32(size) ** 0.5,
        "biases": -strength,
        "visible_biases": np.zeros(size, np.float32),
        "activity": strength[::-1] / n,
        "spread": np.where(np.arange(n) == n - 1, 0.0, 0.2).astype(np.float32),
    }
    if info.data.event.levels is None:
        found |= {"directions": found["filters"], "centre": np.zeros(size, np.float32)}
    return found, {"layer": 1, "n_layers": len(blocks) - 1, "n_data": 50}


def mean_field(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """Means that come half the way to 1 with each sweep, and a bound to −2."""
    sizes, n = list(widths(info).values())[1:], wanted["n_sweeps"] + 1
    left = 0.5 ** np.arange(1, n + 1)
    found = {
        f"mu_{layer}": np.tile(1.0 - left[:, None], (1, size))
        for layer, size in enumerate(sizes, 1)
    }
    changes = np.tile(left[1:, None], (1, len(sizes)))
    found |= {"bound": -2.0 - 2 * left, "mean_bound": -3.0 - 2 * left, "change": changes}
    return found, {"exact": -2.0, "trained_with": 10, "n_data": 50}


def boltzmann_log_z(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """A restricted machine without weights, with biases −2 below and −1 above."""
    sizes = list(widths(info).values())
    n_rungs = len(wanted["rungs"])
    exact = 10.0 if min(sizes) < 6 else None
    width = 1.0 / np.arange(1, n_rungs + 1)
    found: Arrays = {
        "rungs": np.array(wanted["rungs"], np.float64), "ais": np.full(n_rungs, 10.1),
        "ais_low": 10.1 - width, "ais_high": 10.1 + width,
        "effective": np.linspace(5.0, 50.0, n_rungs),
    }  # fmt: skip
    if sum(sizes) <= 12:
        v, h = (np.arange(2**n)[:, None] >> np.arange(n) & 1 for n in sizes[:2])
        table = h.sum(1) + 2.0 * v.sum(1)[:, None]
        free = -np.log(np.exp(-table).sum(1))
        found |= {
            "table": table, "free": free, "formula": free.copy(),
            "states_v": v.astype(np.uint8), "states_h": h.astype(np.uint8),
        }  # fmt: skip
    half = 0.0 if exact is not None else 0.3
    values: dict[str, Any] = {
        "exact": exact, "share": 1.0, "kind": "exact" if exact is not None else "ais",
        "log_z": 10.0, "log_z_low": 10.0 - half, "log_z_high": 10.0 + half, "is_bound": 0,
        "pseudo_train": -3.0, "pseudo_test": -3.5, "n_data": 100, "n_pseudo": 50,
        "too_many": 0 if sum(sizes) <= 12 else sum(sizes),
    }  # fmt: skip
    for name, score in (("train", -7.0), ("test", -8.0)):
        values |= {f"{name}_value": score, f"{name}_low": score - half,
                   f"{name}_high": score + half, f"{name}_error": 0.11}  # fmt: skip
    return found, values


def data_examples(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """Picture k has its first k pixels on."""
    size = info.data.event.size
    rows = np.stack([np.arange(size) < k + 1 for k in range(N_EXAMPLES)]).astype(np.float32)
    shape = (N_EXAMPLES, *(int(side or 1) for side in info.data.event.shape))
    return {"examples": rows.reshape(shape), "labels": np.full(N_EXAMPLES, -1, np.int32)}, {}


def data_points(info: RunInfo, wanted: dict[str, Any], arrays: Arrays) -> Found:
    """A cloud."""
    points = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    return {"points": points, "labels": np.full(200, -1, np.int32)}, {}


PROBES: dict[str, Callable[[RunInfo, dict[str, Any], Arrays], Found]] = {
    "gibbs_walk": gibbs_walk, "gibbs_filters": gibbs_filters, "data_examples": data_examples,
    "data_points": data_points, "mean_field": mean_field,
    "boltzmann_log_z": boltzmann_log_z,
}  # fmt: skip


def serve(panel: Panel, info: RunInfo, spoil: Spoil = lambda name, a: a) -> dict[str, Answer]:
    """Answer all that a panel asks, until it asks nothing new."""
    answered: dict[str, Answer] = {}
    asked: dict[str, str] = {}
    for _ in range(3):
        for part, question in panel.asks(rest=True).items():
            if asked.get(part) == repr(question):
                continue
            asked[part] = repr(question)
            arrays, values = PROBES[question.probe](
                info, dict(question.arguments), dict(question.arrays)
            )
            spoilt = {name: spoil(name, array) for name, array in arrays.items()}
            answered[part] = Answer(Slot("gibbs", info.run, part), 1, 100, spoilt, values)
            panel.show_answer(part, answered[part])
    return answered
