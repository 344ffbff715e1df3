"""The bytes of a ``.safetensors`` file, read with distrust.

The format: eight bytes with the length of a JSON header (little-endian), the header, which names
each tensor's type, shape and place, and the tensors' bytes.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

#: Longest JSON header accepted, in bytes.
LONGEST_HEADER = 64 * 2**20
WANTED = "wanted a .safetensors file saved by Genscope"
PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
#: The format's names of number types.
TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class CheckpointError(ValueError):
    """A file cannot be saved or opened; the sentence says why."""


class _Place(msgspec.Struct):
    """One tensor's entry in the header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_container(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors (on the CPU, in memory of their own) of a file.

    Raises:
        CheckpointError: It is not there, not of this format, truncated or damaged.
    """
    try:
        metadata = _read_metadata(path)
        # Not mapped and copied tensor by tensor: stored steps are many and small.
        return metadata, dict(load(path.read_bytes()))
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}; {WANTED}") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path.name} is a folder; {WANTED}") from None
    except KeyError as error:
        raise CheckpointError(f"{path.name} holds numbers of an unknown type: {error}") from None
    except (SafetensorError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is damaged: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from None


def read_metadata(path: Path) -> dict[str, str] | None:
    """The metadata alone, without its tensors; None where the file cannot be read."""
    try:
        return _read_metadata(path)
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return None


def write_container(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: dict[str, str],
    *,
    durable: bool = True,
) -> None:
    """Write a file under another name beside it, then put it in its place.

    Args:
        path: Where to.
        tensors: By name; of any device.
        metadata: Words beside them.
        durable: Whether to wait until the disk holds it, so that it outlasts a power cut.

    Raises:
        CheckpointError: It cannot be written; an older file of that name is then untouched.
    """
    temporary = path.parent / f".genscope-{secrets.token_hex(8)}"
    try:
        pieces = _pieces(tensors, metadata)
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError | ValueError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path} cannot be written: {reason}") from None


def _pieces(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> list[bytes | memoryview]:
    """What the file consists of, in order; the tensors' bytes are views and not copies.

    Not left to the library, which copies every byte twice and whose files nobody but their owner
    could read.
    """
    values = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # Wide numbers first, as the format wants it, so that all are aligned.
    names = sorted(values, key=lambda name: (-values[name].element_size(), name))
    entries: dict[str, object] = {"__metadata__": metadata}
    bodies: list[bytes | memoryview] = []
    position = 0
    for name in names:
        value = values[name]
        if value.dtype not in TYPES:
            raise ValueError(f"{name} holds {value.dtype}, which the format does not know")
        end = position + value.numel() * value.element_size()
        entries[name] = _Place(TYPES[value.dtype], list(value.shape), (position, end))
        bodies.append(value.reshape(-1).view(torch.uint8).numpy().data)
        position = end
    header = msgspec.json.encode(entries)
    header += b" " * (-len(header) % 8)
    return [len(header).to_bytes(8, "little"), header, *bodies]


def _read_metadata(path: Path) -> dict[str, str]:
    if "\0" in str(path):
        raise FileNotFoundError
    if path.is_dir():
        raise IsADirectoryError
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):  # a pipe may never give a byte
        raise CheckpointError(f"{path.name} is no ordinary file; {WANTED}")
    size = about.st_size
    with path.open("rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if len(start) < 9 or start[8:] != b"{" or length > LONGEST_HEADER:
            raise CheckpointError(_foreign(path.name, start, size))
        if 8 + length > size:
            raise CheckpointError(f"{path.name} is truncated: it ends within its header")
        file.seek(8)
        text = file.read(length)
    entries = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    metadata = entries.pop("__metadata__", None)
    places = [msgspec.json.decode(raw, type=_Place) for raw in entries.values()]
    end = max((place.data_offsets[1] for place in places), default=0)
    if 8 + length + end > size:
        missing = 8 + length + end - size
        raise CheckpointError(f"{path.name} is truncated: its last {missing:,} bytes are missing")
    return msgspec.json.decode(metadata, type=dict[str, str]) if metadata is not None else {}


def _foreign(name: str, start: bytes, size: int) -> str:
    """Why a file that does not begin like this format is refused."""
    if not size:
        return f"{name} is empty; {WANTED}"
    if start[:2] in PICKLE_STARTS:
        return f"{name} is a pickle; Genscope never runs code from a file; {WANTED}"
    if start.startswith(b"PK\x03\x04"):
        return (
            f"{name} is a zip archive, perhaps a torch file, which holds a pickle; "
            f"Genscope never runs code from a file; {WANTED}"
        )
    if size < 9:
        return f"{name} is truncated: it has {size} bytes; {WANTED}"
    return f"{name} is not a safetensors file; {WANTED}"
