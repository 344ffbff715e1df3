"""Data that are fetched while a real child trains: progress, cancelling, failure, and order."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine import checkpoint
from engine.datasets.mnist import SIZES
from engine.download import DATA_VARIABLE, OFFLINE_VARIABLE
from engine.launch import launch
from engine.registry import build_model
from engine.wire import messages as m
from tests.worker.conftest import Client
from tests.worker.remote import ADDRESS, CONTENT

PLUGINS = ["tests.worker.faulty", "tests.worker.remote"]


class Server(ThreadingHTTPServer):
    """Sends half of the file, waits until it is let on, then the rest; 404 for ``lost``."""

    go_on: threading.Event
    asked: int = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.path == "/lost":
            self.send_error(404, "Not Found")
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        half = max(start, len(CONTENT) // 2)
        try:
            self.wfile.write(CONTENT[start:half])
            self.wfile.flush()
            self.server.go_on.wait(30.0)
            self.wfile.write(CONTENT[half:])
        except OSError:
            return  # cancelled

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.go_on = threading.Event()
    thread = threading.Thread(target=found.serve_forever, args=(0.02,))
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, f"http://127.0.0.1:{found.server_address[1]}")
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setenv(DATA_VARIABLE, str(tmp_path_factory.mktemp("fetched")))
        patch.delenv(OFFLINE_VARIABLE, raising=False)
        yield found
    found.go_on.set()
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture(scope="module")
def one_child(one_server: Server) -> Iterator[Client]:
    made = Client(launch(plugins=PLUGINS))
    made.wait_for(m.Hello)
    yield made
    one_server.go_on.set()
    made.engine.stop()


@pytest.fixture
def server(one_server: Server) -> Server:
    """It holds the second half of each file back until ``go_on`` is set."""
    one_server.go_on.clear()
    one_server.asked = 0
    return one_server


@pytest.fixture
def child(one_child: Client, server: Server) -> Iterator[Client]:
    """A child without runs; each test asks for a file of its own."""
    one_child.heard = []
    yield one_child
    server.go_on.set()
    for run in ("a", "b", "c"):
        one_child.command(m.CloseRun, run)


def begin(client: Client, run: str, name: str) -> int:
    """Send a start whose data must be fetched; returns the command's id."""
    command = client.next_id()
    spec = m.RunSpec("sound", "remote", {}, {"file": name})
    client.send(m.StartRun(command, run, spec, playing=True))
    return command


def test_training_goes_on_while_data_are_fetched(child: Client, server: Server) -> None:
    child.start(run="a", playing=True)
    command = begin(child, "b", "file0")
    told = child.wait_for(m.Progress, id=command)
    assert (told.run, told.what, told.unit) == ("b", "Fetching Remote", "bytes")
    assert 0 < told.done <= told.total == len(CONTENT)
    reached = child.wait(lambda r: isinstance(r, m.RunState) and r.run == "a").step
    child.wait(lambda r: isinstance(r, m.RunState) and r.run == "a" and r.step > reached + 20)
    assert child.is_answering()
    assert not [r for r in child.heard if isinstance(r, m.Ack) and r.id == command]
    server.go_on.set()
    ack = child.wait_for(m.Ack, id=command)
    assert ack.info is not None
    assert ack.info.data.n_train == 1000
    child.wait(lambda r: isinstance(r, m.RunState) and r.run == "b" and r.step > 0)
    assert server.asked == 1
    again = begin(child, "c", "file0")
    assert child.wait_for(m.Ack, id=again).info.data.n_train == 1000
    assert server.asked == 1


def test_a_cancelled_fetch_fails_as_such(child: Client, server: Server) -> None:
    command = begin(child, "b", "file1")
    child.wait_for(m.Progress, id=command)
    ack = child.command(m.CancelFetch, "b", command)
    assert isinstance(ack, m.Ack)
    failed = next(r for r in child.heard if isinstance(r, m.Failed))
    assert (failed.id, failed.run, failed.kind) == (command, "b", "cancelled")
    assert failed.where == "StartRun"
    assert failed.message == "Remote: loading was cancelled"
    assert isinstance(child.command(m.CancelFetch, "b", command), m.Ack)
    server.go_on.set()
    # What had come is kept; once more, and it goes on from there.
    again = begin(child, "b", "file1")
    assert child.wait_for(m.Ack, id=again).info is not None
    assert not [r for r in child.heard if isinstance(r, m.Ack) and r.id == command]


def test_closing_a_run_that_waits_gives_it_up(child: Client) -> None:
    command = begin(child, "b", "file2")
    child.wait_for(m.Progress, id=command)
    assert isinstance(child.command(m.CloseRun, "b"), m.Ack)
    assert [r.kind for r in child.heard if isinstance(r, m.Failed)] == ["cancelled"]
    assert isinstance(child.command(m.CloseRun, "b"), m.Failed)


def test_what_cannot_be_fetched_is_told_with_address_and_folder(
    child: Client,
) -> None:
    command = begin(child, "b", "lost")
    failed = child.wait_for(m.Failed, id=command)
    assert failed.run == "b"
    assert failed.message.startswith("lost.bin could not be fetched from http://127.0.0.1")
    assert "404 Not Found" in failed.message
    assert os.environ[DATA_VARIABLE] in failed.message
    assert child.start(run="a").run == "a"


def test_data_change_waits_too(child: Client, server: Server) -> None:
    child.start(run="a", playing=True)
    command = child.next_id()
    child.send(m.SetData(command, "a", "remote", {"file": "changed"}))
    child.wait_for(m.Progress, id=command)
    server.go_on.set()
    ack = child.wait_for(m.Ack, id=command)
    assert ack.info is not None
    assert ack.info.spec.dataset == "remote"


def test_a_saved_run_opens_without_its_data_and_trains_when_they_are_here(
    child: Client, tmp_path: Path
) -> None:
    path = tmp_path / "run.safetensors"
    model = build_model("fvsbn", event_shape=(1, 28, 28), levels=2)
    spec = m.RunSpec("fvsbn", "mnist", {}, {"n_samples": 100})
    checkpoint.save(path, model, spec=spec, step=7)
    ack = child.command(m.OpenRun, "b", str(path), fetches=False)
    assert isinstance(ack, m.Ack)
    assert ack.info is not None
    assert ack.info.data.absent
    assert not [r for r in child.heard if isinstance(r, m.Progress)]
    drawn = np.random.default_rng(0)
    splits = {k: drawn.integers(0, 256, (n, 98), dtype=np.uint8) for k, n in SIZES.items()}
    np.savez(Path(os.environ[DATA_VARIABLE]) / "binarized_mnist.npz", **splits)
    ack = child.command(m.Play, "b", 9)
    assert isinstance(ack, m.Ack)
    assert ack.info is not None
    assert (ack.info.data.absent, ack.info.data.n_train) == ("", 100)
    child.wait(lambda r: isinstance(r, m.RunState) and r.run == "b" and r.step == 9)
    again = child.command(m.Play, "b", 10)
    assert isinstance(again, m.Ack)
    assert again.info is None


def test_wrong_settings_are_told_at_once(child: Client) -> None:
    spec = m.RunSpec("sound", "remote", {}, {"lost": 1})
    failed = child.command(m.StartRun, "b", spec)
    assert isinstance(failed, m.Failed)
    assert "there is no setting 'lost'" in failed.message


def test_own_pictures_are_read_beside_training(child: Client, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(20):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / f"{number}.png")
    spec = m.RunSpec("sound", "pictures", {}, {"path": str(folder), "size": 8})
    ack = child.command(m.StartRun, "b", spec)
    assert isinstance(ack, m.Ack), ack
    assert ack.info is not None
    assert ack.info.data.event.shape == (1, 8, 8)
    told = [r for r in child.heard if isinstance(r, m.Progress)]
    assert told
    assert {(r.what, r.unit, r.total) for r in told} == {
        ("Reading Your own pictures", "pictures", 20)
    }
    path = tmp_path / "run.safetensors"
    assert isinstance(child.command(m.SaveRun, "b", str(path)), m.Ack)
    for picture in folder.iterdir():
        picture.unlink()
    opened = child.command(m.OpenRun, "c", str(path))
    assert isinstance(opened, m.Ack), opened
    assert opened.info is not None
    assert opened.info.data.n_train == ack.info.data.n_train


def test_previews_fetch_nothing(child: Client, server: Server) -> None:
    failed = child.command(m.SampleDataset, "remote")
    assert isinstance(failed, m.Failed)
    assert "is not fetched yet" in failed.message
    assert server.asked == 0
    for name, shape in (("digits", (8, 8)), ("sprites", (24, 24)), ("two_moons", (300, 2))):
        ack = child.command(m.SampleDataset, name)
        assert isinstance(ack, m.Ack)
        sample = ack.arrays["sample"]
        assert sample.shape == shape
        assert float(sample.max()) == pytest.approx(1.0) or name == "two_moons"
