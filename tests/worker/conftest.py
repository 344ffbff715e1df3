"""A real child process and a small client of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.launch import EngineProcess, launch
from engine.wire import messages as m

PLUGIN = "tests.worker.faulty"
PATIENCE = 40.0


class Client:
    """Sends records and remembers everything that came back."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.heard: list[Any] = []
        self._last = 0

    def next_id(self) -> int:
        self._last += 1
        return self._last

    def send(self, record: Any) -> None:
        self.engine.channel.send(record)

    def wait(self, accept: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
        """The first record from now on that is accepted."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if self.engine.channel.poll(0.05):
                record = self.engine.channel.receive()
                self.heard.append(record)
                if accept(record):
                    return record
        last = [type(record).__name__ for record in self.heard[-20:]]
        raise AssertionError(f"nothing accepted; the last records were {last}")

    def wait_for(self, kind: type, **fields: Any) -> Any:
        return self.wait(
            lambda r: isinstance(r, kind) and all(getattr(r, k) == v for k, v in fields.items())
        )

    def command(self, kind: type[m.Command], *args: Any, **kwargs: Any) -> Any:
        """Send a command and wait for its ``Ack`` or ``Failed``."""
        name = self.next_id()
        self.send(kind(name, *args, **kwargs))
        return self.wait(lambda r: isinstance(r, m.Ack | m.Failed) and r.id == name)

    def start(self, model: str = "sound", run: str = "a", **options: Any) -> m.RunInfo:
        spec = m.RunSpec(model, "eight_gaussians", {}, {"n_samples": 500})
        ack = self.command(m.StartRun, run, spec, **options)
        assert isinstance(ack, m.Ack), ack
        assert ack.info is not None
        return ack.info

    def ask(self, generation: int, *, probe: str = "echo", value: int = 0, **where: Any) -> m.Slot:
        slot = m.Slot(where.get("panel", "p"), where.get("run", "a"), where.get("part", "x"))
        cursor = where.get("cursor")
        arguments = {"value": value, "seconds": where.get("seconds", 0.02)}
        self.send(m.Ask(slot, generation, probe, arguments, cursor=cursor))
        return slot

    def is_answering(self) -> bool:
        """Whether a fresh ask is still answered."""
        generation = 10_000 + self.next_id()
        self.ask(generation, part="alive", value=generation)
        answer = self.wait_for(m.Answer, generation=generation)
        return bool(answer.values["value"] == generation)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A child of one's own, for tests that do not leave it well."""
    made = _client(tmp_path)
    yield made
    made.engine.stop()


@pytest.fixture(scope="module")
def shared_child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    made = _client(tmp_path_factory.mktemp("keyframes"))
    yield made
    made.engine.stop()


@pytest.fixture
def shared(shared_child: Client) -> Iterator[Client]:
    """A child that tests share; each starts with no run and an empty memory."""
    shared_child.heard = shared_child.heard[:1]
    yield shared_child
    for run in ("a", "b", "bad", "good"):
        shared_child.command(m.CloseRun, run)


def _client(folder: Path) -> Client:
    made = Client(launch(plugins=[PLUGIN], keyframe_folder=str(folder), keyframe_seconds=0.2))
    made.wait_for(m.Hello)
    return made
