"""Where a session is read from, with distrust: a ``.genscope`` file or a folder.

A file is read by its local headers, one entry after the other, and never by the directory at its
end: so a file that was cut off gives all that is left of it, and one with a damaged header goes on
at the next. Only names that a session can have are seen; nothing is ever unpacked by its own name.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from app.session_file import RECORD, SEAL, SessionError, entries_below, entry_of, name_seal

#: A local header: signature, version, flags, method, time, date, CRC, sizes, lengths.
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_START, _DIRECTORY_START = b"PK\x03\x04", b"PK\x01\x02"
#: Longest name that an entry of ours has.
_LONGEST_NAME = 256
_STORED = 0
#: Bytes looked at at once, and fewest of a file with one whole header of ours.
_CHUNK = 2**20
_SMALLEST = _LOCAL.size + len(RECORD)
#: Most entries that a file may have: far more than any session.
MOST_ENTRIES = 1_000_000
WANTED = "wanted a session saved by Genscope"
PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class DamagedError(SessionError):
    """One entry cannot be read."""


class Source(Protocol):
    """What can be read of a session."""

    name: str
    #: Whether entries may be missing although nothing says so (a crash, a cut).
    cut: bool

    def names(self) -> Iterable[str]:
        """Entries that are there."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """One entry; raises ``DamagedError``."""
        ...

    def extract(self, name: str, target: Path) -> None:
        """Put one entry into a file; raises ``DamagedError``."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _Entry(NamedTuple):
    start: int
    size: int
    crc: int


class FileSource:
    """A ``.genscope`` file.

    Args:
        path: The file.

    Raises:
        SessionError: It is not there, or no session.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._entries: dict[str, _Entry] = {}
        self._file, self._size = _open(path)
        try:
            self.cut = self._scan()
            if not self._entries:
                raise SessionError(_foreign(self.name, self._at(0, 4), self._size))
        except OSError as error:
            self._file.close()
            raise SessionError(f"{path.name} cannot be read: {error.strerror}") from None
        except BaseException:
            self._file.close()
            raise

    def names(self) -> Iterable[str]:
        """Entries that are there, in the file's order."""
        return self._entries

    def read(self, name: str, limit: int) -> bytes:
        """One entry; raises ``DamagedError`` where its checksum is wrong or it is too long."""
        entry = self._entries.get(name)
        if entry is None or entry.size > limit or entry.start + entry.size > self._size:
            raise DamagedError(f"{name} in {self.name} is missing, cut off or too long")
        try:
            data = self._at(entry.start, entry.size)
        except OSError as error:
            raise DamagedError(f"{name} in {self.name}: {error.strerror}") from None
        if zlib.crc32(data) != entry.crc:
            raise DamagedError(f"{name} in {self.name} is damaged: its checksum is wrong")
        return data

    def extract(self, name: str, target: Path) -> None:
        """Put one entry into a file; raises ``DamagedError``, ``OSError`` where none can be."""
        target.write_bytes(self.read(name, self._size))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _at(self, position: int, n_bytes: int) -> bytes:
        self._file.seek(position)
        return self._file.read(n_bytes)

    def _find(self, signature: bytes, position: int) -> int:
        """Where a signature stands from ``position`` on, or −1."""
        while position < self._size:
            chunk = self._at(position, _CHUNK)
            found = chunk.find(signature)
            if found >= 0:
                return position + found
            position += max(1, len(chunk) - len(signature) + 1)
        return -1

    def _scan(self) -> bool:
        """Take in all headers; whether the file ends before its directory."""
        position = self._find(_LOCAL_START, 0)
        end = 0
        while position >= 0 and len(self._entries) < MOST_ENTRIES:
            position, end = self._next(position, end)
        return self._at(end, 4) != _DIRECTORY_START

    def _next(self, position: int, end: int) -> tuple[int, int]:
        """Take in the header at ``position``; the next one's place or −1, and the entries' end."""
        begin = position + _LOCAL.size
        head = self._at(position, _LOCAL.size + _LONGEST_NAME)
        if len(head) < _LOCAL.size:
            return -1, end
        _, _, _, method, _, _, crc, packed, size, n_name, n_extra = _LOCAL.unpack_from(head)
        name = head[_LOCAL.size :][:n_name].decode("ascii", "replace")
        seal = head[_LOCAL.size + n_name :][: len(name_seal(name))]
        forged = n_extra and seal[:2] == SEAL and seal != name_seal(name)
        ours = (name == RECORD or entry_of(name) is not None) and not forged
        if not ours or method != _STORED or packed != size:
            return self._find(_LOCAL_START, begin), end
        start = begin + n_name + n_extra
        after = start + size
        self._entries.setdefault(name, _Entry(start, size, crc))
        follows = self._at(after, 4)
        if follows == _DIRECTORY_START:
            return -1, after
        # A header whose length was damaged points anywhere: look for the next one from here.
        return (
            (after, after) if follows == _LOCAL_START else (self._find(_LOCAL_START, begin), end)
        )


class FolderSource:
    """A session's folder, as autosave left it.

    Args:
        folder: The folder.
    """

    cut = True

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._folder = folder
        self._entries = dict(entries_below(folder))
        if (folder / RECORD).is_file():
            self._entries[RECORD] = folder / RECORD

    def names(self) -> Iterable[str]:
        """Entries that are there."""
        return self._entries

    def read(self, name: str, limit: int) -> bytes:
        """One entry; raises ``DamagedError``."""
        try:
            path = self._entries[name]
            if path.stat().st_size > limit:
                raise DamagedError(f"{name} in {self.name} is too long")
            return path.read_bytes()
        except (KeyError, OSError):
            raise DamagedError(f"{name} in {self.name} cannot be read") from None

    def extract(self, name: str, target: Path) -> None:
        """Put one entry into a file: the same file where the disk can, else a copy."""
        try:
            path = self._entries[name]
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
        except (KeyError, OSError):
            raise DamagedError(f"{name} in {self.name} cannot be read") from None

    def close(self) -> None:
        """Nothing is held."""


def open_source(path: Path) -> Source:
    """A session's file or folder; raises ``SessionError`` with a sentence."""
    return FolderSource(path) if path.is_dir() else FileSource(path)


def _open(path: Path) -> tuple[BinaryIO, int]:
    """A file and its size; raises ``SessionError``."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe may never give a byte
            raise SessionError(f"{path.name} is no ordinary file; {WANTED}")
        if not about.st_size:
            raise SessionError(f"{path.name} is empty; {WANTED}")
        return path.open("rb"), about.st_size
    except FileNotFoundError:
        raise SessionError(f"there is no file {path}; {WANTED}") from None
    except OSError as error:
        raise SessionError(f"{path.name} cannot be read: {error.strerror}") from None


def _foreign(name: str, start: bytes, size: int) -> str:
    """Why a file without a single entry of ours is refused."""
    if start[:2] in PICKLE_STARTS:
        return f"{name} is a pickle; Genscope never runs code from a file; {WANTED}"
    if start == _LOCAL_START and size > _SMALLEST:
        return f"{name} is a zip archive without a session in it; {WANTED}"
    if start[:2] == b"PK":
        return f"{name} is truncated: it has {size} bytes; {WANTED}"
    return f"{name} is no session; {WANTED}"


__all__ = ["DamagedError", "FileSource", "FolderSource", "Source", "open_source"]
