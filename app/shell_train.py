"""``train``: a run without a window, with a progress bar on stderr and one file at the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli import INTERRUPTED
from app.shell_engine import ShellEngine, ShellError, to_json
from app.shell_inputs import find_card, parse_data, parse_settings, writable_file
from engine.wire.messages import Hello, Metrics, RunInfo, RunSpec, SaveRun, StartRun

RUN = "shell"
#: Exit code of a run that diverged.
FAILED = 1


@dataclass(frozen=True)
class Job:
    """What the user typed."""

    model: str
    data: str
    steps: int
    seed: int
    out: Path
    settings: tuple[str, ...]
    data_settings: tuple[str, ...]
    device: str


@dataclass
class Report:
    """What the training came to."""

    step: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    complaint: str = ""
    latest: dict[str, float] = field(default_factory=dict)

    def take(self, metrics: Metrics) -> None:
        """Keep the newest figure of each column."""
        for index, name in enumerate(metrics.columns):
            known = metrics.table[:, index][~np.isnan(metrics.table[:, index])]
            if len(known):
                self.latest[name] = float(known[-1])

    def text(self, steps_per_second: float) -> str:
        """The figures beside the progress bar."""
        parts = [f"{steps_per_second:.0f} steps/s"]
        if "total" in self.latest:
            parts.append(f"loss {self.latest['total']:.3f}")
        if "held_out_nll" in self.latest:
            parts.append(f"held-out {self.latest['held_out_nll']:.3f} nats")
        return " · ".join(parts)


class Interrupt:
    """Set by the first Ctrl+C; the second one ends the program at once."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGINT."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def train(job: Job, *, json: bool) -> int:
    """Train, save, report; returns the exit code.

    Raises:
        ShellError: Something in ``job`` is wrong, or a training step failed.
    """
    writable_file(job.out, (".safetensors",))
    with ShellEngine() as engine, _interruptible() as interrupt:
        spec = make_spec(job, engine.hello)
        info = engine.command(StartRun(engine.next_id(), RUN, spec)).info
        if info is None:
            raise RuntimeError("the engine started a run without telling of it")
        typer.echo(
            f"training {info.card.title} ({info.n_parameters:,} parameters) on "
            f"{info.dataset.title}, {info.device}; Ctrl+C saves what there is",
            err=True,
        )
        report = _follow(engine, job, interrupt)
        engine.command(SaveRun(engine.next_id(), RUN, str(job.out.resolve())))
    _tell(job, info, report, json=json)
    if report.complaint:
        return FAILED
    return INTERRUPTED if report.interrupted else 0


def make_spec(job: Job, hello: Hello) -> RunSpec:
    """Everything that decides the run, checked against the engine's cards."""
    dataset, dataset_config = parse_data(job.data, job.data_settings, hello.datasets)
    card = find_card(hello.models, job.model, "model")
    config = parse_settings(job.settings, card.fields)
    return RunSpec(job.model, dataset, config, dataset_config, job.seed, job.device)


def _follow(engine: ShellEngine, job: Job, interrupt: Interrupt) -> Report:
    """Play to the end or to Ctrl+C, with a progress bar."""
    report = Report()
    began = time.monotonic()
    with _progress() as progress, _last_finite(report):
        task = progress.add_task(job.model, total=job.steps, figures="")
        for event in engine.play(RUN, job.steps, lambda: interrupt.requested):
            if isinstance(event, Metrics):
                report.take(event)
                continue
            report.step = event.step
            speed = event.steps_per_second or event.step / (time.monotonic() - began)
            progress.update(task, completed=event.step, figures=report.text(speed))
    report.interrupted = interrupt.requested and report.step < job.steps
    report.seconds = time.monotonic() - began
    return report


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def _last_finite(report: Report) -> Iterator[None]:
    """A run that diverges has something to save: its last finite snapshot."""
    try:
        yield
    except ShellError as error:
        if not error.diverged:
            raise
        report.complaint = str(error)


@contextmanager
def _interruptible() -> Iterator[Interrupt]:
    interrupt = Interrupt()
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(job: Job, info: RunInfo, report: Report, *, json: bool) -> None:
    speed = report.step / report.seconds if report.seconds else 0.0
    if report.complaint:
        typer.echo(f"genscope: {report.complaint}", err=True)
    if report.interrupted:
        typer.echo(f"interrupted at step {report.step}; what there is was saved", err=True)
    if not json:
        typer.echo(f"{job.out}: {info.card.title}, step {report.step}, {report.text(speed)}")
        return
    record = {
        "model": job.model,
        "data": job.data,
        "dataset": info.spec.dataset,
        "seed": job.seed,
        "device": info.device,
        "n_parameters": info.n_parameters,
        "steps": report.step,
        "seconds": report.seconds,
        "steps_per_second": speed,
        "loss": report.latest.get("total"),
        "held_out_nll": report.latest.get("held_out_nll"),
        "interrupted": report.interrupted,
        "complaint": report.complaint,
        "out": str(job.out),
    }
    typer.echo(to_json(record))
