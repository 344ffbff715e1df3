"""The tests of CUDA are skipped where there is none; that they can begin is seen everywhere."""

from __future__ import annotations

import pytest
import torch

from engine.registry import model_names, probes
from tests.gpu.cases import ARGUMENTS, make_trainer


@pytest.mark.parametrize("name", model_names())
def test_every_model_finds_data_and_takes_a_step(name: str) -> None:
    trainer = make_trainer(name, "cpu")
    assert torch.isfinite(trainer.step()["total"])


def test_arguments_are_those_of_the_probes() -> None:
    for name, arguments in ARGUMENTS.items():
        assert set(arguments) <= set(probes()[name].arguments.__struct_fields__), name
