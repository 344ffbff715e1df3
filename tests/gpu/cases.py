"""What each model is tried on: points where it takes them, else small binary pictures."""

from __future__ import annotations

from typing import Any

from engine.dataset import Dataset
from engine.registry import build_dataset, build_model
from engine.training import Trainer
from engine.wire.fields import field_specs

#: Data sets in the order in which they are tried, with their settings.
DATA: tuple[tuple[str, dict[str, Any]], ...] = (
    ("eight_gaussians", {"n_samples": 1500}),
    ("digits", {"levels": 2}),
)
#: Smaller than usual, for models whose own size would only cost time here.
SMALL_ON_PICTURES: dict[str, Any] = {"n_layers": 2, "n_channels": 8, "batch_size": 32}
#: A place in such a picture, and a level for it.
INDEX, VALUE = 27, 1.0
#: Arguments of the probes that cannot be asked without any, of points and of pictures.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "density": {"low": [-3.0, -3.0], "high": [3.0, 3.0], "size": 48},
    "truth": {"low": [-3.0, -3.0], "high": [3.0, 3.0], "size": 48},
    "slices": {"low": [-3.0, -3.0], "high": [3.0, 3.0], "point": [0.5, -1.0], "size": 64},
    "log_prob_at": {"point": [0.5, -1.0]},
    "why": {"point": [0.5, -1.0]},
    "evaluate": {"grid": 64},
    "draw": {"n": 200},
    "samples": {"n": 200, "chain_steps": 5},
    "capacity_sweep": {"n_seeds": 1, "n_test": 200, "steps": 5},
    "sample_scores": {},
    "attention": {"index": INDEX},
    "chain_long": {"n": 50, "steps": 20},
    "chain_truth": {"n": 50, "steps": 40},
    "chain_walk": {"n": 50, "steps": 10},
    "gibbs_walk": {"n": 20, "n_frames": 4},
    "boltzmann_log_z": {"rungs": [20], "n_chains": 20},
    "energy_surface": {"low": [-3.0, -3.0], "high": [3.0, 3.0], "size": 24, "side": 5},
    "two_forces": {
        "low": [-3.0, -3.0],
        "high": [3.0, 3.0],
        "size": 12,
        "negatives": [[0.5, -1.0], [1.0, 0.0]],
    },
    "conditional_at": {"index": INDEX},
    "receptive_field": {"index": INDEX, "n": 4},
    "what_if": {"index": INDEX, "value": VALUE},
}


def make_trainer(name: str, device: str) -> Trainer:
    """A fresh model with data that it takes.

    Raises:
        ValueError: It takes none of :data:`DATA`.
    """
    refusals = []
    for data_name, config in DATA:
        data = build_dataset(data_name, **config)
        try:
            return _trainer(name, data, device)
        except ValueError as refusal:
            refusals.append(str(refusal))
    raise ValueError(f"{name} takes none of the data: {'; '.join(refusals)}")


def _trainer(name: str, data: Dataset, device: str) -> Trainer:
    kind = type(build_model(name, event_shape=data.event_shape, dataset=data))
    known = {spec.name for spec in field_specs(kind.Config)}
    small = SMALL_ON_PICTURES if len(data.event_shape) > 1 else {}
    config = {key: value for key, value in small.items() if key in known}
    model = build_model(name, event_shape=data.event_shape, seed=0, dataset=data, **config)
    return Trainer(model, data, seed=0, device=device)
