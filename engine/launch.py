"""Start the engine in a process of its own and hold the window's end of the wire. Torch-free."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from engine.wire.channel import WindowEnd
from engine.wire.messages import Shutdown

log = logging.getLogger(__name__)

#: Modules with further models, data sets and probes, separated by commas; the registry reads it.
PLUGINS_VARIABLE = "GENSCOPE_PLUGINS"
#: Seconds granted to each stage of stopping: ask, terminate, kill.
PATIENCE = 1.5


class Options(msgspec.Struct, frozen=True):
    """How a child runs.

    Attributes:
        nice: Added to the child's niceness where the system has one, so that the window stays
            fluid on machines with few cores.
        threads: Threads of one training step; ``None`` is the number of cores minus one.
        plugins: Modules with further models, data sets or probes.
        keyframe_folder: Where runs leave keyframes for a restart; "" for none.
        keyframe_seconds: Time between two keyframes on disk.
        history_budget: Bytes of memory for the stored steps of all runs together.
    """

    nice: int = 0
    threads: int | None = None
    plugins: tuple[str, ...] = ()
    keyframe_folder: str = ""
    keyframe_seconds: float = 5.0
    history_budget: int = 512 * 2**20


@dataclass
class EngineProcess:
    """A running child and the wire to it."""

    channel: WindowEnd
    process: BaseProcess

    @property
    def is_alive(self) -> bool:
        """Whether the child still runs."""
        return self.process.is_alive()

    def stop(self, patience: float = PATIENCE) -> None:
        """Ask, then terminate, then kill; each stage is logged and waited for."""
        try:
            self.channel.send(Shutdown(id=0))
        except OSError:
            log.info("engine %s: the wire is already closed", self.process.pid)
        for name in ("asked", "terminated", "killed"):
            self._stage(name)
            self.process.join(patience)
            if not self.process.is_alive():
                log.info("engine %s left after being %s", self.process.pid, name)
                break
        self.channel.close()

    def _stage(self, name: str) -> None:
        if name == "terminated":
            self.process.terminate()
        elif name == "killed":
            self.process.kill()


def launch(
    *,
    nice: int = 0,
    threads: int | None = None,
    plugins: Sequence[str] = (),
    keyframe_folder: str = "",
    keyframe_seconds: float = 5.0,
    history_budget: int = 512 * 2**20,
) -> EngineProcess:
    """Start a child; its first record will be a ``Hello`` (or the wire closes if it dies).

    Args:
        nice: See :class:`Options`.
        threads: See :class:`Options`.
        plugins: See :class:`Options`.
        keyframe_folder: See :class:`Options`.
        keyframe_seconds: See :class:`Options`.
        history_budget: See :class:`Options`.
    """
    options = Options(
        nice, threads, tuple(plugins), keyframe_folder, keyframe_seconds, history_budget
    )
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_child, args=(theirs, msgspec.json.encode(options)), name="genscope-engine"
    )
    process.daemon = True
    process.start()
    theirs.close()
    return EngineProcess(WindowEnd(ours), process)


def _child(connection: Connection[Any, Any], encoded: bytes) -> None:
    """Entry point of the child: the one place that may import the worker, and so torch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = msgspec.json.decode(encoded, type=Options)
    if options.nice and hasattr(os, "nice"):
        os.nice(options.nice)
    if options.plugins:
        os.environ[PLUGINS_VARIABLE] = ",".join(options.plugins)
    from engine.worker import serve

    serve(connection, options)
