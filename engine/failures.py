"""From an exception to the record and the sentence that a user sees."""

from __future__ import annotations

import traceback

import torch

from engine.wire.messages import Failed

OUT_OF_MEMORY = "out_of_memory"
DIVERGED = "diverged"
#: Exceptions whose own text is already a sentence for the user.
SPOKEN = (ValueError, TypeError, FloatingPointError, OSError)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "not enough memory" in text or "can't allocate memory" in text or "out of memory" in text
    )


def describe(error: BaseException, where: str) -> Failed:
    """A :class:`Failed` record with kind, sentence and traceback; the caller adds whose it is."""
    kind = OUT_OF_MEMORY if is_out_of_memory(error) else type(error).__name__
    return Failed(
        where=where,
        kind=kind,
        message=sentence(error, where),
        traceback="".join(traceback.format_exception(error)),
    )


def sentence(error: BaseException, where: str) -> str:
    """One sentence for the user."""
    if is_out_of_memory(error):
        return f"{where}: memory ran out"
    text = next(iter(str(error).strip().splitlines()), "")  # torch goes on with whole tensors
    if isinstance(error, SPOKEN) and text:
        return f"{where}: {text}"
    return f"{where}: {type(error).__name__}" + (f": {text}" if text else "")
