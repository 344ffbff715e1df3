"""Models that paint in an order, small and with conditionals that differ much, for the tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.capabilities import Step
from engine.nets.outputs import level_log_probs
from engine.nets.pixel_model import PixelModel
from engine.registry import build_model

#: Small nets, for the settings that each model has.
SMALL: dict[str, dict[str, Any]] = {
    "gated_pixelcnn": {"n_layers": 3, "n_channels": 6},
    "pixelcnn": {"n_layers": 2, "n_channels": 6},
    "row_lstm": {"n_layers": 2, "n_channels": 6},
    "diagonal_bilstm": {"n_layers": 2, "n_channels": 6},
    "multiscale_pixelrnn": {"n_layers": 1, "n_channels": 6, "factor": 2},
}
#: The models that can be given a class.
LABELLED: dict[str, dict[str, Any]] = {
    "gated_pixelcnn": SMALL["gated_pixelcnn"],
    "fvsbn": {"order": "column"},
    "nade": {"hidden_features": (7, 6), "order": "random"},
    "made": {"hidden_features": (30, 24), "order": "spiral", "n_components": 3},
}


def build(name: str, shape: tuple[int, ...], **settings: Any) -> PixelModel:
    """A model in float64 whose conditionals differ much from each other."""
    model = build_model(name, event_shape=shape, seed=4, **{**_small(name), **settings})
    assert isinstance(model, PixelModel)
    # Real draws come back as inputs: with wilder weights they run away.
    strength = 0.4 if model.config.levels else 0.1
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(strength * noise)
    return model.double().eval()


def _small(name: str) -> dict[str, Any]:
    return {**SMALL, **LABELLED}[name]


def pictures(model: PixelModel, n: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape, levels = (n, *model.event_shape), model.config.levels
    if levels is None:
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.randint(levels, shape, generator=generator).double()


def noise_for(model: PixelModel, n: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, model.event_size, generator=generator, dtype=torch.float64)


def labels_for(model: PixelModel, n: int) -> Tensor | None:
    return torch.arange(n) % model.config.n_classes if model.uses_labels else None


def same_steps(given: list[Step], wanted: list[Step]) -> float:
    """The largest difference of two runs' conditionals, whose indices and draws must be equal."""
    assert [step.index for step in given] == [step.index for step in wanted]
    worst = 0.0
    for mine, oracle in zip(given, wanted, strict=True):
        at = torch.randn(len(mine.x), dtype=torch.float64)
        try:
            pair = [level_log_probs(d) for d in (mine.conditional, oracle.conditional)]
        except ValueError:
            pair = [d.log_prob(at) for d in (mine.conditional, oracle.conditional)]
        worst = max(worst, float((pair[0].exp() - pair[1].exp()).abs().max()))
    return worst
