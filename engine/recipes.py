"""A run's recipe, out of what it remembers: its first keyframe and the changes since."""

from __future__ import annotations

import dataclasses

import msgspec
import torch

from engine.changes import Change
from engine.run import Run
from engine.training import plain_value
from engine.wire.fields import Value
from engine.wire.messages import RunSpec
from engine.wire.recipe import Recipe, RecipeChange


def recipe_of(run: Run) -> Recipe:
    """How to have a run again from its beginning; the same steps then give the same weights.

    Raises:
        ValueError: Its beginning is neither step 0 nor a file.
    """
    start = min(run.history.keyframes.steps, default=run.step)
    if start > 0 and not run.path:
        raise ValueError(
            f"what happened before step {start} of this run is not known; save it and open the "
            "file, then a script can go on from there"
        )
    changes = tuple(_change(entry) for entry in run.changes.entries)
    return Recipe(
        spec=_first_spec(run, start),
        start=start,
        path=run.path if start > 0 else "",
        changes=changes,
        device=str(run.trainer.device),
        threads=torch.get_num_threads(),
        torch_version=str(torch.__version__),
    )


def _first_spec(run: Run, start: int) -> RunSpec:
    """The specification with the live settings and the data of the beginning."""
    milestone = run.history.keyframe_at(start)
    live = milestone.keyframe.meta.get("live", {}) if milestone is not None else {}
    config = run.first_data.config
    return msgspec.structs.replace(
        run.spec,
        model_config={**run.spec.model_config, **live},
        dataset=type(run.first_data).card.name,
        dataset_config=_plain(config),
    )


def _plain(config: object) -> dict[str, Value]:
    if not dataclasses.is_dataclass(config):
        return {}
    names = [item.name for item in dataclasses.fields(config)]
    return {name: plain_value(getattr(config, name)) for name in names}


def _change(entry: Change) -> RecipeChange:
    config = entry.data_config() if entry.dataset else {}
    return RecipeChange(entry.step, dict(entry.values), entry.dataset, config)
