"""Equal areas: a strip's mass is the same in base and data, whatever the slope's sign."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.probe import View
from engine.probes.equal_areas import equal_areas
from engine.registry import build_dataset, build_model
from engine.training import fit


def ask(model: Any, data: Any, **arguments: Any) -> Any:
    (result,) = equal_areas.ask(View(model.eval(), data, 0), arguments, {})
    return result


def lecture(slope: float) -> Any:
    data = build_dataset("gaussian_1d")
    model = build_model(
        "change_of_variables", event_shape=(1,), dataset=data, base="uniform", learn=False,
        slope=slope, shift=1.0,
    )  # fmt: skip
    return model, data


@pytest.mark.parametrize("slope", [2.0, -2.0])
def test_the_lectures_line_has_half_the_density(slope: float) -> None:
    model, data = lecture(slope)
    found = ask(model, data, n_strips=4)
    arrays = {name: torch.as_tensor(a) for name, a in found.arrays.items()}
    torch.testing.assert_close(arrays["x_edges"], slope * arrays["z_edges"] + 1.0,
                               atol=1e-5, rtol=0)  # fmt: skip
    torch.testing.assert_close(arrays["density"], torch.full_like(arrays["x"], 0.5))
    torch.testing.assert_close(arrays["mass"], torch.full((4,), 0.25).double(), atol=1e-5, rtol=0)
    assert found.values == {"tail": 0.0, "falls": slope < 0}


def test_a_trained_flow_keeps_every_strips_mass() -> None:
    data = build_dataset("two_components_1d", n_samples=2000)
    model = build_model("nsf", event_shape=(1,), dataset=data, seed=0)
    fit(model, data, steps=60, device="cpu")
    found = ask(model, data, n_strips=20)
    arrays = {name: torch.as_tensor(a) for name, a in found.arrays.items()}
    assert found.values["tail"] > 0.0
    torch.testing.assert_close(arrays["mass"], arrays["base_mass"], atol=2e-4, rtol=0)
    x = arrays["x"].float()[:, None]
    with torch.no_grad():
        density = model.log_prob(x).exp().double()
    torch.testing.assert_close(arrays["density"], density, atol=1e-3, rtol=1e-3)
    widths = arrays["x_edges"].diff().abs()
    assert float(widths.max() / widths.min()) > 2.0


def test_more_values_and_odd_numbers_are_refused() -> None:
    plane = build_dataset("two_moons", n_samples=50)
    model = build_model("realnvp", event_shape=(2,), dataset=plane)
    with pytest.raises(ValueError, match="given events of 2 values, wanted one"):
        ask(model, plane)
    line, data = lecture(1.0)
    with pytest.raises(ValueError, match="n_strips: given 0"):
        ask(line, data, n_strips=0)
    with pytest.raises(ValueError, match="size: given 1"):
        ask(line, data, size=1)
