"""Our Transformer against transformers' GPT-2: the same weights give the same logits."""

from __future__ import annotations

import pytest
import torch

from engine.models.autoregressive.transformer import Transformer
from engine.registry import build_model

pytest.importorskip("transformers")


@pytest.mark.parametrize(("n_layers", "width", "n_heads"), [(1, 8, 1), (3, 24, 4)])
def test_the_same_weights_give_the_logits_of_gpt2(n_layers: int, width: int, n_heads: int) -> None:
    from tests.benchmarks.peer_gpt2 import copy_weights, gpt2_like, tokens_of

    model = build_model(
        "transformer", event_shape=(12,), levels=7, codes="learned",
        n_layers=n_layers, width=width, n_heads=n_heads,
    )  # fmt: skip
    assert isinstance(model, Transformer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded(5)))
    model.double()
    gpt2 = gpt2_like(model, tied=False).double().eval()
    copy_weights(model, gpt2)
    x = torch.randint(7, (5, 12), generator=seeded(1)).double()
    with torch.no_grad():
        logits = gpt2(input_ids=tokens_of(x, 7)).logits[..., :7] + model.head.bias
        ours = model.conditionals(x).logits
    assert float((ours - logits.log_softmax(-1)).abs().max()) < 1e-12
    assert float(logits.std()) > 0.5


def test_gpt2_has_as_many_parameters() -> None:
    from tests.benchmarks.peer_gpt2 import gpt2_like
    from tests.benchmarks.transformer_speed import SIZES

    for size in SIZES:
        model = size.build()
        n_theirs = sum(p.numel() for p in gpt2_like(model, tied=False).parameters())
        # Theirs has one more row in its last layer (the start symbol), ours a bias.
        config = model.config
        n_outputs = model.family.n_params
        extra = (config.levels + 1 - n_outputs) * config.width - n_outputs
        assert model.n_parameters == n_theirs - extra


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
