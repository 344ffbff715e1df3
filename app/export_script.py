"""A run as a Python script whose arrays equal the panel's.

It builds the same model and data, trains the same steps and asks the same questions. On the CPU,
with the same versions and number of threads, the arrays are equal bit for bit.
"""

from __future__ import annotations

import base64
import pprint
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.export_arrays import Shown, Taken
from app.export_pictures import ExportError
from engine.wire.messages import Array, RunInfo
from engine.wire.recipe import Recipe, RecipeChange

#: Arrays of more numbers than this are written as base64 of their bytes.
MOST_NUMBERS = 64
WIDTH = 96
ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = Path(__file__).with_name("export_script.txt")


def write_script(shown: Shown, recipes: Mapping[str, Recipe], path: Path, title: str) -> None:
    """Write a runnable script.

    Args:
        shown: What the panel shows.
        recipes: By run id: how each run came to be where it is.
        path: The script's file.
        title: What the script is about, in words.

    Raises:
        ExportError: The file cannot be written, or a run is younger than what it shows.
    """
    try:
        path.write_text(script(shown, recipes, title), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from None


def script_title(info: RunInfo, panel: str) -> str:
    """What a script is about."""
    return (
        f"{info.card.title} on {info.dataset.title}, as the panel '{panel}' of Genscope shows it."
    )


def script(shown: Shown, recipes: Mapping[str, Recipe], title: str) -> str:
    """The script's text; raises ``ExportError`` as :func:`write_script` does."""
    lacking = [run for run in shown.runs if run not in recipes]
    if lacking:
        raise ExportError(f"the recipe of {', '.join(lacking)} is not known; is the run closed?")
    first = recipes[shown.run]
    words = {
        "TITLE": title,
        "VERSION": first.torch_version,
        "THREADS": repr(first.threads),
        "HOME": repr(str(ROOT)),
        "PANEL": repr(shown.panel),
        "RUNS": _literal({run: _plan(recipes[run]) for run in shown.runs}),
        "QUESTIONS": _literal({part: _question(taken) for part, taken in shown.parts.items()}),
        "METRICS": repr(shown.metrics is not None and _steps_recorded(shown)),
        "RUN": repr(shown.run),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    return text


def _steps_recorded(shown: Shown) -> int:
    steps = shown.metrics.steps if shown.metrics is not None else np.empty(0)
    return int(steps[-1]) if len(steps) else 0


def _plan(recipe: Recipe) -> dict[str, Any]:
    """A run as a plain dictionary."""
    spec = recipe.spec
    plan: dict[str, Any] = {"file": recipe.path, "start": recipe.start} if recipe.path else {}
    return plan | {
        "model": spec.model,
        "model_config": dict(spec.model_config),
        "dataset": spec.dataset,
        "dataset_config": dict(spec.dataset_config),
        "seed": spec.seed,
        "device": recipe.device,
        "changes": [_change(change) for change in recipe.changes],
    }


def _change(change: RecipeChange) -> dict[str, Any]:
    if change.dataset:
        config = dict(change.dataset_config)
        return {"step": change.step, "dataset": change.dataset, "dataset_config": config}
    return {"step": change.step, "values": dict(change.values)}


def _question(taken: Taken) -> dict[str, Any]:
    question = taken.question
    return {
        "run": taken.run,
        "step": taken.step,
        "probe": question.probe,
        "arguments": dict(question.arguments),
        "arrays": {name: _array(np.asarray(array)) for name, array in question.arrays.items()},
        "stream": question.stream,
    }


def _array(array: Array) -> dict[str, Any]:
    plain: Any = array.tolist()
    if array.size > MOST_NUMBERS:
        plain = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": plain}


def _literal(value: object) -> str:
    """Python source of plain values; numbers come back exactly."""
    return pprint.pformat(value, width=WIDTH, sort_dicts=False, compact=True)
