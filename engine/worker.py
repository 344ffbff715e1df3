"""The child process: commands in order on the training thread, asks beside it on another.

Threads: *reader* (takes records off the wire, leaves when it closes), *training* (the main thread:
commands, then short slices of one run after the other, see :mod:`engine.fairness`), *answering*,
*outbox* and *heartbeat*.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import torch

from engine import checkpoint, heartbeat
from engine.absent import data_of, supply
from engine.answering import Answering
from engine.dataset import Dataset
from engine.devices import available_devices
from engine.failures import describe
from engine.fairness import Finish, choose, last_step
from engine.fetching import Fetches
from engine.launch import Options
from engine.lean_start import spare_the_compiler
from engine.matching import match_parameters
from engine.outbox import Outbox
from engine.recalls import Recalls
from engine.recipes import recipe_of
from engine.registry import dataset_card, datasets, model_card, models, probes
from engine.run import Run
from engine.shelving import Shelving, Shown
from engine.tables import preview
from engine.thumbnails import thumbnail
from engine.wire import messages as m
from engine.wire.channel import EngineEnd, WireError


class Later:
    """The command is acknowledged when it is done, not when it has begun."""


#: What a command gives back beside being acknowledged.
Outcome: TypeAlias = m.RunInfo | str | dict[str, m.Array] | Later | None
#: Seconds of training between two looks at the other runs.
SLICE_SECONDS = 0.02
#: Seconds for which a training step waits at most while something that is dragged is drawn.
ASIDE_SECONDS = 0.1
#: Seconds between two reports of metrics and state.
REPORT_SECONDS = 0.1


def serve(connection: Connection[Any, Any], options: Options) -> None:
    """Run until the window asks to leave or the wire closes."""
    spare_the_compiler()
    threads = options.threads or max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(threads)
    Worker(EngineEnd(connection), options, threads).serve()
    os._exit(0)  # at once: unwinding torch's threads would take a second


class Worker:
    """Owns the runs; everything here but the reader runs on the training thread."""

    def __init__(self, channel: EngineEnd, options: Options, threads: int) -> None:
        self._channel = channel
        self._options = options
        self._threads = threads
        self._outbox = Outbox(channel.send)
        self._commands: queue.SimpleQueue[m.Command] = queue.SimpleQueue()
        self._training = heartbeat.Phase()
        answering = heartbeat.Phase()
        self._answering = Answering(self._outbox.post, answering)
        self._fetches = Fetches(self._outbox.post, self._commands.put)
        self._runs: dict[str, Run] = {}
        self._reported = 0.0
        self._recalls = Recalls(lambda name: self._outbox.post(m.Ack(name)), self._recall_failed)
        self._shelving = Shelving(options.keyframe_folder, self._outbox.post)
        self._asked_to_keep: dict[str, float] = {}
        self._kept: dict[str, int] = {}
        self._news: set[str] = set()
        self._awaiting_past: set[str] = set()
        self._leaving = False
        self._phases = (self._training, answering)
        self._handlers: dict[type[m.Command], Callable[[Any], Outcome]] = {
            m.StartRun: self._start,
            m.OpenRun: self._open,
            m.TakePast: self._take_past,
            m.Play: self._play,
            m.SetFinish: self._set_finish,
            m.SetHold: self._set_hold,
            m.MatchParameters: self._match_parameters,
            m.Pause: self._pause,
            m.StepOnce: self._step_once,
            m.Reset: self._reset,
            m.SetPace: self._set_pace,
            m.SetLive: self._set_live,
            m.SetData: self._set_data,
            m.ForkRun: self._fork,
            m.Recall: self._recall,
            m.SetDevice: self._set_device,
            m.SaveRun: self._save,
            m.TellRecipe: self._tell_recipe,
            m.PreviewTable: self._preview,
            m.SampleDataset: self._sample_dataset,
            m.CloseRun: self._close,
            m.CancelFetch: self._cancel_fetch,
            m.Shutdown: self._shutdown,
        }

    def serve(self) -> None:
        """The training thread's loop."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        self._outbox.post(self._hello())
        self._answering.start()
        heartbeat.start(*self._phases, lambda beat: self._outbox.post(beat, "heartbeat"))
        while not self._leaving:
            self._obey()
            self._train()
            self._report()
        self._outbox.close()

    # --- records in ---------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            try:
                record = self._channel.receive()
            except (EOFError, OSError):
                os._exit(0)  # the window is gone: nothing here may outlive it
            except WireError as error:
                self._outbox.post(describe(error, "reading the wire"))
                continue
            if isinstance(record, m.Ask):
                self._answering.ask(record)
            elif isinstance(record, m.Credit):
                self._answering.streams.credit(record.slot, record.generation, record.n)
            elif isinstance(record, m.Cancel):
                self._answering.streams.cancel(record.slot, record.generation)
            else:
                self._commands.put(record)

    def _obey(self) -> None:
        """Carry out what is queued; wait for a command when nothing trains."""
        timeout = self._idle_seconds()
        while True:
            try:
                command = self._commands.get(timeout=timeout) if timeout else self._next()
            except queue.Empty:
                return
            timeout = 0.0
            self._carry_out(command)

    def _next(self) -> m.Command:
        return self._commands.get_nowait()

    def _idle_seconds(self) -> float:
        if self._recalls:
            return 0.0
        waits = [run.wait_seconds for run in self._runs.values() if run.is_training]
        return min([*waits, REPORT_SECONDS])

    def _carry_out(self, command: m.Command) -> None:
        if self._fetches.hold(command, self._lacking(command)):
            return
        name = type(command).__name__
        with self._training.during(name):
            try:
                outcome = self._handlers[type(command)](command)
            except Exception as error:  # whatever a command raises becomes a record
                failed = describe(error, "")
                run = getattr(command, "run", "")
                message = failed.message.removeprefix(": ")
                self._outbox.post(
                    msgspec.structs.replace(
                        failed, where=name, message=message, id=command.id, run=run
                    )
                )
                return
        if isinstance(outcome, Later):
            return
        info = outcome if isinstance(outcome, m.RunInfo) else None
        text = outcome if isinstance(outcome, str) else ""
        arrays = outcome if isinstance(outcome, dict) else {}
        run_id = getattr(command, "run", "")
        self._outbox.post(m.Ack(command.id, info, text, arrays))
        if run_id in self._runs:
            self._tell(self._runs[run_id])

    # --- commands -----------------------------------------------------------------------------

    def _start(self, command: m.StartRun) -> m.RunInfo:
        if not command.keyframe:
            like = self._run(command.data_of).dataset if command.data_of else None
            return self._admit(Run(command.run, command.spec, dataset=like), command.playing)
        loaded = checkpoint.load(command.keyframe)
        data = data_of(loaded)
        keyframe, history = loaded.keyframe, command.history
        # What was changed since it was written the window changes again.
        spec = msgspec.structs.replace(
            loaded.spec or command.spec, device=command.spec.device, seed=command.spec.seed
        )
        run = Run(command.run, spec, keyframe, dataset=data, history=history)
        self._shelving.adopt(run.name, history, run.history)
        return self._admit(run, command.playing)

    def _open(self, command: m.OpenRun) -> m.RunInfo:
        run = Run.open(command.run, command.path, command.device, command.history)
        self._shelving.adopt(run.name, command.history, run.history)
        if command.past_follows:
            self._awaiting_past.add(run.name)
        return self._admit(run, command.playing)

    def _take_past(self, command: m.TakePast) -> m.RunInfo:
        run = self._run(command.run)
        if run.name in self._awaiting_past:
            self._awaiting_past.discard(run.name)
            self._recalls.drop(run.name)
            run.remember(Path(command.history))
            self._shelving.adopt(run.name, command.history, run.history)
        return run.info()

    def _admit(self, run: Run, playing: bool) -> m.RunInfo:
        run.used = min((other.used for other in self._runs.values()), default=0.0)
        self._runs[run.name] = run
        self._answering.show(run.name, run.exhibit)
        self._share_budget()
        if playing:
            run.play(None)
        return run.info()

    def _share_budget(self) -> None:
        for run in self._runs.values():
            run.set_budget(self._options.history_budget // len(self._runs))

    def _lacking(self, command: m.Command) -> Dataset | None:
        """Data that are fetched before a run trains on them."""
        if not isinstance(command, m.Play | m.StepOnce) or command.run not in self._runs:
            return None
        data = self._runs[command.run].dataset
        return data if data.absent else None

    def _play(self, command: m.Play) -> m.RunInfo | None:
        run = self._run(command.run)
        found = self._find_data(run)
        others = [other.used for other in self._runs.values() if other.is_training]
        run.used = max(run.used, min(others, default=0.0))
        run.play(command.until)
        return found

    def _find_data(self, run: Run) -> m.RunInfo | None:
        """Take in data that were fetched just now; what the run is then."""
        if not run.dataset.absent:
            return None
        supply(run)
        return run.info()

    def _set_finish(self, command: m.SetFinish) -> None:
        run = self._run(command.run)
        hold = run.finish.hold
        run.set_finish(Finish(command.steps, command.seconds, command.convoy, hold))

    def _set_hold(self, command: m.SetHold) -> None:
        run = self._run(command.run)
        run.finish = replace(run.finish, hold=command.step)

    def _match_parameters(self, command: m.MatchParameters) -> str:
        wanted, shape = command.parameters, command.event_shape
        found = [match_parameters(name, shape, wanted) for name in command.models]
        return msgspec.json.encode(found).decode()

    def _pause(self, command: m.Pause) -> None:
        run = self._run(command.run)
        run.pause()
        self._keep_on_disk(run)

    def _step_once(self, command: m.StepOnce) -> m.RunInfo | None:
        run = self._run(command.run)
        found = self._find_data(run)
        run.play(run.step + command.count)
        return found

    def _reset(self, command: m.Reset) -> m.RunInfo:
        run = self._run(command.run)
        self._recalls.drop(run.name)
        self._awaiting_past.discard(run.name)
        run.reset()
        self._answering.show(run.name, run.exhibit)
        return run.info()

    def _set_pace(self, command: m.SetPace) -> None:
        self._run(command.run).set_pace(command.steps_per_second)

    def _set_live(self, command: m.SetLive) -> None:
        self._run(command.run).set_live(command.values)

    def _set_data(self, command: m.SetData) -> m.RunInfo:
        run = self._run(command.run)
        run.set_data(command.dataset, command.dataset_config)
        return run.info()

    def _fork(self, command: m.ForkRun) -> m.RunInfo:
        parent = self._run(command.parent)
        step = command.step if command.step >= 0 else parent.step
        child = parent.fork(command.run, step, command.values, command.playing)
        self._admit(child, False)
        return child.info()

    def _recall(self, command: m.Recall) -> Later | None:
        begun = self._recalls.want(command.id, self._run(command.run), command.step)
        return Later() if begun else None

    def _set_device(self, command: m.SetDevice) -> m.RunInfo:
        run = self._run(command.run)
        run.move(command.device)
        self._answering.show(run.name, run.exhibit)
        return run.info()

    def _save(self, command: m.SaveRun) -> str:
        run = self._run(command.run)
        self._tell(run)  # so that the window has the figures up to the step that is saved
        # What goes into a session is made durable as the whole file that it becomes.
        run.draft().write(command.path, durable=not command.history)
        if command.history:
            self._shelving.copy(Path(command.history), run.past)
        return command.path

    def _tell_recipe(self, command: m.TellRecipe) -> str:
        return msgspec.json.encode(recipe_of(self._run(command.run))).decode()

    def _preview(self, command: m.PreviewTable) -> str:
        return msgspec.json.encode(preview(command.path, key=command.key)).decode()

    def _sample_dataset(self, command: m.SampleDataset) -> dict[str, m.Array]:
        return thumbnail(command.dataset, command.n)

    def _cancel_fetch(self, command: m.CancelFetch) -> None:
        self._fetches.cancel(command.fetch)

    def _close(self, command: m.CloseRun) -> None:
        if self._fetches.drop(command.run) and command.run not in self._runs:
            return
        self._run(command.run)
        del self._runs[command.run]
        self._kept.pop(command.run, None)
        self._asked_to_keep.pop(command.run, None)
        self._awaiting_past.discard(command.run)
        self._answering.hide(command.run)
        self._recalls.drop(command.run)
        self._share_budget()
        if self._options.keyframe_folder:
            self._shelving.drop(command.run)

    def _shutdown(self, _: m.Shutdown) -> None:
        self._leaving = True

    def _run(self, name: str) -> Run:
        if name not in self._runs:
            raise ValueError(f"there is no run '{name}'")
        return self._runs[name]

    # --- training -----------------------------------------------------------------------------

    def _train(self) -> None:
        """A slice for the run that has had the least time among those that are due."""
        for done in self._recalls.work(SLICE_SECONDS, self._before_replay):
            self._tell(done)
        due = [r for r in self._runs.values() if r.is_training and r.wait_seconds <= 0]
        if not due:
            return
        run = choose(due)
        last = last_step(run, due)
        end = time.monotonic() + SLICE_SECONDS
        try:
            while run.is_training and run.wait_seconds <= 0:
                self._training.set(f"step {run.step + 1} of {run.name}")
                self._answering.let_urgent_pass(ASIDE_SECONDS)
                run.advance()
                is_far = last is not None and run.step >= last
                if is_far or time.monotonic() >= end or not self._commands.empty():
                    break
        except Exception as error:  # whatever a step raises becomes a record
            self._outbox.post(run.failed(error))
            self._keep_on_disk(run)
        self._training.set(heartbeat.IDLE)
        if not run.is_training:
            self._tell(run)

    def _before_replay(self, doing: str) -> None:
        self._training.set(doing)
        self._answering.let_urgent_pass(ASIDE_SECONDS)

    def _recall_failed(self, command: int, run: Run, error: Exception) -> None:
        failed = describe(error, "repeating steps")
        self._outbox.post(msgspec.structs.replace(failed, id=command, run=run.name))

    # --- reports ------------------------------------------------------------------------------

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        # The folder of a run that awaits its past is another's for so long.
        ours = [run for run in self._runs.values() if run.name not in self._awaiting_past]
        self._shelving.show([_shown(run) for run in ours])
        for run in self._runs.values():
            if run.is_training:
                self._tell(run)
                asked = self._asked_to_keep.setdefault(run.name, now)
                if now - asked >= self._options.keyframe_seconds:
                    self._keep_soon(run)
            elif self._recalls.progress(run.name) or run.name in self._news:
                self._tell(run)

    def _tell(self, run: Run) -> None:
        metrics = run.take_metrics()
        if metrics is not None:
            self._outbox.post(metrics)
        state = run.report()
        recalling = self._recalls.progress(run.name)
        if recalling:
            state = msgspec.structs.replace(state, repeating=recalling)
        self._news.discard(run.name)
        if run.name in self._kept:
            path, kept_step = str(self._shelving.keyframe_path(run.name)), self._kept[run.name]
            state = msgspec.structs.replace(state, keyframe=path, keyframe_step=kept_step)
        self._outbox.post(state, ("state", run.name))

    def _keep_on_disk(self, run: Run) -> None:
        """Write a keyframe at once: the run has come to rest."""
        if self._options.keyframe_folder and run.trainer.is_finite():
            self._asked_to_keep[run.name] = time.monotonic()
            self._shelving.keep_now(run.name, run.draft())
            self._kept[run.name] = run.step

    def _keep_soon(self, run: Run) -> None:
        """Have a keyframe written while training goes on."""
        if not self._options.keyframe_folder or not run.trainer.is_finite():
            return
        step = run.step

        def done() -> None:
            if self._runs.get(run.name) is run:
                self._kept[run.name] = step
                self._news.add(run.name)

        self._asked_to_keep[run.name] = time.monotonic()
        self._shelving.keep(run.name, run.draft(), done)

    def _hello(self) -> m.Hello:
        return m.Hello(
            protocol=m.PROTOCOL_VERSION,
            pid=os.getpid(),
            torch_version=str(torch.__version__),
            devices=available_devices(),
            threads=self._threads,
            models=tuple(model_card(kind) for kind in models().values()),
            datasets=tuple(dataset_card(kind) for kind in datasets().values()),
            probes=tuple(found.card for found in probes().values()),
        )


def _shown(run: Run) -> Shown:
    return Shown(run.name, run.past, run.worked if run.is_training else None)
