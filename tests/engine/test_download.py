"""Downloads against a server on the loopback address: checks, resuming, cancelling, refusals."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine import download
from engine.download import (
    DownloadCancelledError,
    DownloadError,
    RemoteFile,
    data_folder,
    fetch,
    fetch_all,
    find_file,
    missing_files,
)

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes: several blocks


class Server(ThreadingHTTPServer):
    """Answers ``/good``, ``/short`` (cut off in the middle once), ``/other`` and 404."""

    block_on_close = True
    asked: list[tuple[str, str]]
    cuts: int = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        start = self.headers.get("Range", "")
        self.server.asked.append((self.path, start))
        name = self.path.strip("/")
        if name not in ("good", "short", "norange", "other", "long"):
            self.send_error(404, "Not Found")
            return
        body = {"other": b"x" * len(CONTENT), "long": CONTENT * 2}.get(name, CONTENT)
        first = int(start.removeprefix("bytes=").rstrip("-")) if start else 0
        first = 0 if name == "norange" else first
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        end = len(body)
        if name == "short" and self.server.cuts:
            self.server.cuts -= 1
            end = first + (end - first) // 2
            self.close_connection = True
        try:
            self.wfile.write(body[first:end])
        except OSError:
            return  # the client has left, as a cancelled one does

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv(download.OFFLINE_VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Server(("127.0.0.1", 0), Handler)
    found.asked = []
    thread = threading.Thread(target=found.serve_forever, args=(0.02,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def remote(server: Server, *names: str, **changes: Any) -> RemoteFile:
    port = server.server_address[1]
    urls = tuple(f"http://127.0.0.1:{port}/{name}" for name in names)
    right = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT)}
    return RemoteFile("set/file.bin", urls, **{**right, **changes})


def test_a_file_is_fetched_once_with_progress(server: Server, tmp_path: Path) -> None:
    file = remote(server, "good")
    told: list[tuple[int, int]] = []
    path = fetch(file, folder=tmp_path, told=lambda n, total: told.append((n, total)))
    assert path == tmp_path / "set/file.bin"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) > 2
    assert told == sorted(told)
    assert fetch(file, folder=tmp_path) == path
    assert len(server.asked) == 1
    assert list(tmp_path.rglob("*.part")) == []


def test_another_file_that_serves_is_taken(server: Server, tmp_path: Path) -> None:
    file = remote(server, "good", instead=("own.npz",))
    (tmp_path / "own.npz").write_bytes(b"mine")
    assert find_file(file, tmp_path) == tmp_path / "own.npz"
    assert fetch(file, folder=tmp_path) == tmp_path / "own.npz"
    assert server.asked == []


def test_a_broken_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = 1
    assert fetch(remote(server, "short"), folder=tmp_path).read_bytes() == CONTENT
    assert [start for _, start in server.asked] == ["", f"bytes={len(CONTENT) // 2}-"]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "set/file.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1000])
    assert fetch(remote(server, "norange"), folder=tmp_path).read_bytes() == CONTENT


def test_a_part_of_other_bytes_is_thrown_away(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "set/file.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"y" * 1000)
    assert fetch(remote(server, "good"), folder=tmp_path).read_bytes() == CONTENT
    assert [start for _, start in server.asked] == ["bytes=1000-", ""]


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("other", {}, "has the SHA-256 "),
        ("long", {}, "wanted 307,200"),
        ("lost", {}, "the server answered 404 Not Found"),
        ("good", {"size": 400_000}, "the connection ended after 307,200 of 400,000 bytes"),
    ],
)
def test_what_is_wrong_is_named_and_not_kept(
    server: Server, tmp_path: Path, name: str, changes: dict[str, Any], reason: str
) -> None:
    file = remote(server, name, **changes)
    with pytest.raises(DownloadError) as caught:
        fetch(file, folder=tmp_path)
    sentence = str(caught.value)
    assert reason in sentence
    assert file.urls[0] in sentence
    assert str(tmp_path / "set/file.bin") in sentence
    assert find_file(file, tmp_path) is None
    if name in ("other", "long"):
        assert list(tmp_path.rglob("*.part")) == []


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    path = fetch(remote(server, "lost", "other", "good"), folder=tmp_path)
    assert path.read_bytes() == CONTENT
    assert [name for name, _ in server.asked] == ["/lost", "/other", "/good"]


def test_without_a_server_the_sentence_says_so(server: Server, tmp_path: Path) -> None:
    file = remote(server, "good")
    server.server_close()
    with pytest.raises(DownloadError, match=r"no connection: .*put it at"):
        fetch(file, folder=tmp_path)


def test_downloads_can_be_forbidden(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(download.OFFLINE_VARIABLE, "1")
    with pytest.raises(DownloadError, match="switched off by GENSCOPE_OFFLINE"):
        fetch(remote(server, "good"), folder=tmp_path)
    assert server.asked == []


def test_a_cancelled_download_keeps_what_has_come(server: Server, tmp_path: Path) -> None:
    file = remote(server, "good")
    done: list[int] = []
    with pytest.raises(DownloadCancelledError):
        fetch(
            file,
            folder=tmp_path,
            told=lambda n, _: done.append(n),
            cancelled=lambda: len(done) >= 2,
        )
    part = tmp_path / "set/file.bin.part"
    assert part.stat().st_size == done[-1] < len(CONTENT)
    assert part.read_bytes() == CONTENT[: done[-1]]
    assert fetch(file, folder=tmp_path).read_bytes() == CONTENT
    assert server.asked[-1][1] == f"bytes={done[-1]}-"


def test_two_threads_fetch_a_file_once(server: Server, tmp_path: Path) -> None:
    file = remote(server, "good")
    threads = [threading.Thread(target=fetch, args=(file,), kwargs={"folder": tmp_path})
               for _ in range(4)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert (tmp_path / file.name).read_bytes() == CONTENT


def test_several_files_count_together(server: Server, tmp_path: Path) -> None:
    base = remote(server, "good")
    files = [RemoteFile(f"{n}.bin", base.urls, base.sha256, base.size) for n in range(3)]
    (tmp_path / "1.bin").write_bytes(CONTENT)
    assert missing_files(files, tmp_path) == [files[0], files[2]]
    told: list[tuple[int, int]] = []
    paths = fetch_all(files, folder=tmp_path, told=lambda n, total: told.append((n, total)))
    assert [path.name for path in paths] == ["0.bin", "1.bin", "2.bin"]
    assert {total for _, total in told} == {2 * len(CONTENT)}
    assert told[-1][0] == 2 * len(CONTENT)
    assert told == sorted(told)


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file, where a folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(remote(server, "good"), folder=tmp_path)


def test_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv(download.DATA_VARIABLE)
    assert data_folder().parts[-2:] == ("genscope", "data")
