"""``evaluate`` and ``sample``: what can be done with a saved run."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.shell_engine import ShellEngine, ShellError, to_json
from app.shell_figures import figure_rows
from app.shell_inputs import readable_file, writable_file
from engine.wire.capability import Capability
from engine.wire.cards import ModelCard
from engine.wire.fields import Value
from engine.wire.messages import OpenRun, RunInfo

RUN = "shell"
SPLITS = ("train", "valid", "test")
LARGEST_SIDE = 16_384
#: Points a side of the sample scores, and repetitions of truth against truth for their band.
SCORING: dict[str, Value] = {"n": 500, "repetitions": 400}


@contextmanager
def opened(file: Path, device: str) -> Iterator[tuple[ShellEngine, RunInfo]]:
    """An engine with a saved run open in it, and what the run is."""
    path = readable_file(file)
    with ShellEngine() as engine:
        info = engine.command(OpenRun(engine.next_id(), RUN, path, device)).info
        if info is None:
            raise RuntimeError("the engine opened a run without telling of it")
        yield engine, info


def evaluate(file: Path, split: str, device: str, *, json: bool) -> None:
    """Score a saved run on one split; figures are in nats."""
    if split not in SPLITS:
        raise ShellError(f"--split: given '{split}', wanted one of: {', '.join(SPLITS)}")
    with opened(file, device) as (engine, info):
        figures = dict(engine.ask(RUN, "evaluate", {"split": split}).values)
        if figures["nll"] is None and _draws(info.card):
            # Without a density its samples are what can be judged.
            figures |= engine.ask(RUN, "sample_scores", SCORING).values
    about: dict[str, Value] = {
        "file": str(file),
        "model": info.card.name,
        "dataset": info.dataset.name,
        "step": info.step,
        "split": split,
    }
    if json:
        typer.echo(to_json({**about, **{k: _finite(v) for k, v in figures.items()}}))
        return
    table = Table(title=f"{info.card.title} on {info.dataset.title}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("what it is")
    for name, value in about.items():
        table.add_row(name, str(value), "")
    for row in figure_rows(figures):
        table.add_row(*row)
    Console().print(table)


def _draws(card: ModelCard) -> bool:
    return bool({Capability.SAMPLING, Capability.CHAIN} & set(card.capabilities))


def _finite(value: Value) -> Value:
    """JSON has no infinity: the word stands for the number."""
    return "inf" if value == math.inf else value


def sample(file: Path, n: int, out: Path, seed: int, device: str, *, json: bool) -> None:
    """Draw ``n`` events (n, *E) in the data's units into a file."""
    writable_file(out, (".npy", ".npz", ".csv"))
    with opened(file, device) as (engine, info):
        samples = engine.ask(RUN, "draw", {"n": n, "seed": seed}).arrays["samples"]
    try:
        _write(samples, info.data.columns, out)
    except OSError as error:
        raise ShellError(f"--out: {out} cannot be written: {error.strerror}") from None
    shape = list(samples.shape)
    if json:
        about = {"file": str(file), "model": info.card.name, "step": info.step, "seed": seed}
        typer.echo(to_json({**about, "shape": shape, "out": str(out)}))
    else:
        typer.echo(f"{out}: {n} samples of {info.card.title}, step {info.step}, shape {shape}")


def _write(samples: np.ndarray, columns: tuple[str, ...], out: Path) -> None:
    if out.suffix.lower() == ".csv":
        flat = samples.reshape(len(samples), -1)
        known = len(columns) == flat.shape[1]
        heads = columns if known else [f"x{i}" for i in range(flat.shape[1])]
        with out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(heads)
            np.savetxt(file, flat, fmt="%.9g", delimiter=",")
        return
    with out.open("wb") as file:  # given a name, NumPy would append a suffix to "x.NPY"
        if out.suffix.lower() == ".npy":
            np.save(file, samples)
        else:
            np.savez_compressed(file, samples=samples)


def parse_size(text: str) -> tuple[int, int]:
    """``"1280x720"`` as two numbers; raises ``ShellError`` for anything else."""
    found = re.fullmatch(r"(\d+)[x×](\d+)", text)
    sides = [int(side) for side in found.groups()] if found else []
    if not sides or min(sides) < 64 or max(sides) > LARGEST_SIDE:
        raise ShellError(
            f"--size: given '{text}', wanted WIDTHxHEIGHT from 64 to {LARGEST_SIDE} pixels each"
        )
    return sides[0], sides[1]
