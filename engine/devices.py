"""Devices, and what is asked of CUDA: the same sums in the same order, whole numbers when shown.

cuDNN may round a convolution's factors to ten bits (TF32), which makes a wide one much quicker.
Training may, since it repeats itself all the same. What is shown of a model may not: the round
trips and Jacobians of a flow would tell. A question that is answered while training goes on can
meet either.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

#: The first torch with which no operation of ours is without an order on CUDA (cumsum was).
STRICT_FROM = (2, 11)

_lock = threading.Lock()
_steps_in_hand = 0


def choose_device(device: str = "auto") -> torch.device:
    """``"auto"`` is CUDA, then MPS, then CPU.

    Raises:
        ValueError: The device is unknown or not at hand.
    """
    if device not in ("auto", *available_devices()):
        known = ", ".join(available_devices())
        raise ValueError(f"device: given '{device}', wanted auto or one of {known}")
    chosen = torch.device(available_devices()[0] if device == "auto" else device)
    if chosen.type == "cuda":
        repeat_on_cuda()
    return chosen


def available_devices() -> tuple[str, ...]:
    """Devices at hand, the preferred one first."""
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


def repeat_on_cuda() -> None:
    """Have CUDA repeat itself bit for bit, without which there is no time travel.

    An operation that cannot raises torch's ``RuntimeError``, which names it; with an older torch
    than the tests have seen there it only warns.
    """
    # cuBLAS asks for it too, and reads it when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    release = tuple(map(int, torch.__version__.split(".")[:2]))
    torch.use_deterministic_algorithms(True, warn_only=release < STRICT_FROM)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


@contextmanager
def rounded_factors() -> Iterator[None]:
    """Within a step of training: convolutions may round, in every thread that has one in hand."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _steps_in_hand
    with _lock:
        _steps_in_hand += change
        torch.backends.cudnn.allow_tf32 = _steps_in_hand > 0
