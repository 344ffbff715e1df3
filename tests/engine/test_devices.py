"""What CUDA is told; torch's flags can be read where there is no such device."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from engine import devices
from engine.devices import choose_device, repeat_on_cuda, rounded_factors


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.allow_tf32
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    cudnn.deterministic, cudnn.allow_tf32 = before


def test_choosing_cuda_has_it_repeat_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda: ("cuda", "cpu"))
    assert choose_device("cpu").type == "cpu"
    assert not torch.are_deterministic_algorithms_enabled()
    assert choose_device().type == "cuda"
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.allow_tf32


def test_convolutions_may_round_while_any_thread_has_a_step_in_hand() -> None:
    repeat_on_cuda()
    begun, end, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with rounded_factors():
            begun.set()
            end.wait(10.0)

    thread = threading.Thread(target=other)
    thread.start()
    assert begun.wait(10.0)
    with rounded_factors():
        seen.append(torch.backends.cudnn.allow_tf32)
    seen.append(torch.backends.cudnn.allow_tf32)
    end.set()
    thread.join()
    seen.append(torch.backends.cudnn.allow_tf32)
    assert seen == [True, True, False]


def test_a_step_that_breaks_leaves_whole_numbers() -> None:
    repeat_on_cuda()
    with pytest.raises(ValueError, match="planted"), rounded_factors():
        raise ValueError("planted")
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("release", "warns"), [("2.6.0+cu124", True), ("2.13.0", False)])
def test_an_older_torch_only_warns(
    monkeypatch: pytest.MonkeyPatch, release: str, warns: bool
) -> None:
    monkeypatch.setattr(torch, "__version__", release)
    repeat_on_cuda()
    assert torch.is_deterministic_algorithms_warn_only_enabled() == warns
