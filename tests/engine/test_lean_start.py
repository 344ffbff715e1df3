"""Optimisers without the compiler give the same numbers and import less."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAIN = """
    import sys
    import torch
    from engine.lean_start import spare_the_compiler
    if {lean}:
        spare_the_compiler()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
    sgd = torch.optim.SGD([net.bias], lr=0.1, momentum=0.9)
    for _ in range(5):
        for optimiser in (adam, sgd):
            optimiser.zero_grad(set_to_none=True)
        net(torch.randn(8, 3)).square().sum().backward()
        adam.step()
        sgd.step()
    adam.load_state_dict(adam.state_dict())
    assert not adam.state_dict()["state"][0]["exp_avg"].requires_grad
    print([value.hex() for p in net.parameters() for value in p.detach().flatten().tolist()])
    print("torch._dynamo" in sys.modules)
"""


def train(lean: bool) -> list[str]:
    code = textwrap.dedent(TRAIN).format(lean=lean)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_numbers_are_the_same_without_the_compiler() -> None:
    plain, lean = train(False), train(True)
    assert plain[0] == lean[0]
    assert lean[1] == "False"
