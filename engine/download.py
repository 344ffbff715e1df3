"""Files of public data sets: found in the data folder, else fetched with a checked SHA-256.

The data folder is what the environment variable ``GENSCOPE_DATA`` names, else a folder in the
platform's cache. A download goes to ``NAME.part``, goes on from there after an interruption, and
takes the file's place only when its size and SHA-256 are right. ``GENSCOPE_OFFLINE=1`` forbids
the network.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import platformdirs

DATA_VARIABLE, OFFLINE_VARIABLE = "GENSCOPE_DATA", "GENSCOPE_OFFLINE"
#: Bytes read between two looks at whether the download is still wanted.
BLOCK = 2**16
#: Seconds without a byte after which a connection counts as lost.
SILENCE = 20.0
#: Tries of one address; each goes on where the one before it stopped.
TRIES = 3
MEGABYTE = 1e6

#: Called with bytes done and bytes in all.
Told: TypeAlias = Callable[[int, int], None]
Cancelled: TypeAlias = Callable[[], bool]


def told_nobody(done: int, total: int) -> None:
    """Nobody wants to know how far it is."""


def never() -> bool:
    """It is always still wanted."""
    return False


class DownloadError(ValueError):
    """A file could not be fetched; the sentence names address and folder."""


class DownloadCancelledError(Exception):
    """Nobody wants the file any more; what has come so far is kept."""


class _LostError(Exception):
    """A connection failed; the words say how. Another try may go on from there."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be found or fetched.

    Attributes:
        name: Where it lies in the data folder, such as ``"mnist/train-images-idx3-ubyte.gz"``.
        urls: Addresses of the same bytes, the best first.
        sha256: Of these bytes.
        size: Their number.
        instead: Names of other files that serve as well when they are there.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    instead: tuple[str, ...] = field(default=())


def data_folder() -> Path:
    """Where files of data sets lie."""
    named = os.environ.get(DATA_VARIABLE, "").strip()
    return Path(named) if named else Path(platformdirs.user_cache_dir("genscope", False), "data")


def find_file(file: RemoteFile, folder: Path | None = None) -> Path | None:
    """Where a file lies, under its own name or another one that serves; None where it is not."""
    folder = folder or data_folder()
    return next((p for n in (file.name, *file.instead) if (p := folder / n).is_file()), None)


def missing_files(files: Sequence[RemoteFile], folder: Path | None = None) -> list[RemoteFile]:
    """Those that are not in the data folder."""
    return [file for file in files if find_file(file, folder) is None]


def fetch_all(
    files: Sequence[RemoteFile],
    *,
    folder: Path | None = None,
    told: Told = told_nobody,
    cancelled: Cancelled = never,
) -> list[Path]:
    """All files in order, fetched where they are missing.

    Args:
        files: Which.
        folder: The data folder; None takes :func:`data_folder`.
        told: Called with the bytes fetched so far of all that were missing, and their number.
        cancelled: Asked between two blocks.

    Raises:
        DownloadError: A file cannot be had; the sentence says why, whence and whereto.
        DownloadCancelledError: ``cancelled()`` was true.
    """
    missing = missing_files(files, folder)
    total, done = sum(file.size for file in missing), 0
    for file in missing:
        so_far = partial(_tell_of_all, told, done, total)
        fetch(file, folder=folder, told=so_far, cancelled=cancelled)
        done += file.size
    return [_found(file, folder) for file in files]


def _tell_of_all(told: Told, done: int, total: int, n: int, _: int) -> None:
    """What one file has reached, as a part of all of them."""
    told(done + n, total)


def fetch(
    file: RemoteFile,
    *,
    folder: Path | None = None,
    told: Told = told_nobody,
    cancelled: Cancelled = never,
) -> Path:
    """One file, fetched where it is missing; raises as :func:`fetch_all` does."""
    folder = folder or data_folder()
    with _alone(str(folder / file.name), cancelled):
        found = find_file(file, folder)
        return found or _fetch(file, folder, told, cancelled)


def in_megabytes(size: int) -> str:
    """A size for a sentence, such as ``"11.6 MB"``."""
    return f"{size / MEGABYTE:.1f} MB"


def _found(file: RemoteFile, folder: Path | None) -> Path:
    path = find_file(file, folder)
    if path is None:
        raise DownloadError(f"{file.name} vanished from {folder or data_folder()}; try again")
    return path


# --- one download -------------------------------------------------------------------------------

_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def _alone(path: str, cancelled: Cancelled) -> Any:
    """One thread at a time fetches a file; the others wait and then find it."""
    lock = _LOCKS[path]
    while not lock.acquire(timeout=0.1):
        if cancelled():
            raise DownloadCancelledError
    try:
        yield
    finally:
        lock.release()


def _fetch(file: RemoteFile, folder: Path, told: Told, cancelled: Cancelled) -> Path:
    if os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0"):
        raise _error(file, folder, f"downloads are switched off by {OFFLINE_VARIABLE}")
    path = folder / file.name
    part = path.with_name(path.name + ".part")
    # A part that an earlier download left may be of other bytes: then once more from the start.
    again = file.urls[:1] if part.is_file() else ()
    reasons = []
    for url in (*again, *file.urls):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _fetch_part(url, file, part, told, cancelled)
            _check(file, part)
            os.replace(part, path)
        except _LostError as lost:
            reasons.append(str(lost))
        except OSError as error:
            raise _error(file, folder, f"{folder} cannot be written: {_reason(error)}") from None
        else:
            return path
    raise _error(file, folder, "; ".join(dict.fromkeys(reasons)))


def _fetch_part(url: str, file: RemoteFile, part: Path, told: Told, cancelled: Cancelled) -> None:
    """Bring the part to its full size; another try goes on where the one before it stopped."""
    for attempt in range(TRIES):
        before = _size(part)
        try:
            if before < file.size:
                _receive(url, file, part, told, cancelled)
            if _size(part) >= file.size:
                return
            reason = f"the connection ended after {_size(part):,} of {file.size:,} bytes"
        except _LostError as lost:
            reason = str(lost)
        if _size(part) == before or attempt == TRIES - 1:
            raise _LostError(reason)


def _receive(url: str, file: RemoteFile, part: Path, told: Told, cancelled: Cancelled) -> None:
    if cancelled():
        raise DownloadCancelledError
    with _open(url, _size(part)) as response:
        goes_on = getattr(response, "status", 200) == 206
        with part.open("ab" if goes_on else "wb") as out:
            _copy(response, out, file.size, told, cancelled)


def _copy(
    response: IO[bytes], out: IO[bytes], size: int, told: Told, cancelled: Cancelled
) -> None:
    """Block by block; stops behind ``size``, since the check will then say what is wrong."""
    while out.tell() <= size and (block := _block(response)):
        out.write(block)
        told(min(out.tell(), size), size)
        if cancelled():
            raise DownloadCancelledError


def _open(url: str, start: int) -> IO[bytes]:
    """The response of a server, from a byte on if it can do that."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "genscope", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return cast(IO[bytes], urlopen(Request(url, headers=headers), timeout=SILENCE))
    except HTTPError as error:
        error.close()
        raise _LostError(f"the server answered {error.code} {error.reason}") from None
    except URLError as error:
        raise _LostError(f"no connection: {_reason(error.reason)}") from None
    except (OSError, HTTPException) as error:
        raise _LostError(f"no connection: {_reason(error)}") from None


def _block(response: IO[bytes]) -> bytes:
    try:
        return response.read(BLOCK)
    except (OSError, HTTPException) as error:
        raise _LostError(f"the connection broke: {_reason(error)}") from None


def _reason(error: object) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _check(file: RemoteFile, part: Path) -> None:
    """Raise unless the part is the file; a wrong one is deleted, for no try to go on from it."""
    digest = hashlib.sha256()
    with part.open("rb") as content:
        while block := content.read(2**20):
            digest.update(block)
    size = _size(part)
    if digest.hexdigest() == file.sha256 and size == file.size:
        return
    part.unlink()
    if size != file.size:
        raise _LostError(f"what came has {size:,} bytes, wanted {file.size:,}")
    raise _LostError(
        f"what came has the SHA-256 {digest.hexdigest()[:12]}…, wanted {file.sha256[:12]}…"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _error(file: RemoteFile, folder: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{Path(file.name).name} could not be fetched from {' or '.join(file.urls)} ({reason}); "
        f"without a connection, put it at {folder / file.name}"
    )
