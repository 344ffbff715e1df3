"""The Transformer against torch's own layer, its formula, and the start at ln V."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.models.autoregressive.transformer import Transformer
from engine.nets.symbols import PlaceCodes, Symbols, sinusoids
from engine.nets.transformer import Block, CausalTransformer
from engine.probe import Result, View
from engine.probes.attention import attention
from engine.registry import build_model
from tests.engine.symbol_table import SymbolTable


def build(shape: tuple[int, ...], **config: object) -> Transformer:
    model = build_model("transformer", event_shape=shape, seed=3, **config)
    assert isinstance(model, Transformer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return model.double().eval()


@pytest.mark.parametrize("levels", [2, 17, 65, 256])
def test_the_loss_begins_at_ln_v(levels: int) -> None:
    model = build_model("transformer", event_shape=(64,), levels=levels, width=128)
    x = torch.randint(levels, (16, 64), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        loss = model.loss(x, generator=torch.Generator())["nll"] / 64
    assert float(loss) == pytest.approx(math.log(levels), abs=0.06)
    if levels == 65:
        assert round(math.log(levels), 3) == 4.174


@pytest.mark.parametrize("norm", ["before", "after"])
def test_a_block_is_torchs_encoder_layer(norm: str) -> None:
    torch.manual_seed(0)
    ours = Block(12, 3, norm).double()
    theirs = nn.TransformerEncoderLayer(
        12, 3, 48, 0.0, partial(F.gelu, approximate="tanh"), batch_first=True,
        norm_first=norm == "before", dtype=torch.float64,
    )  # fmt: skip
    pairs = [
        (theirs.self_attn.in_proj_weight, ours.heads.weight),
        (theirs.self_attn.in_proj_bias, ours.heads.bias),
        (theirs.self_attn.out_proj.weight, ours.mix.weight),
        (theirs.self_attn.out_proj.bias, ours.mix.bias),
        (theirs.linear1.weight, ours.widen.weight),
        (theirs.linear1.bias, ours.widen.bias),
        (theirs.linear2.weight, ours.narrow.weight),
        (theirs.linear2.bias, ours.narrow.bias),
    ]
    with torch.no_grad():
        for target, source in pairs:
            target.copy_(source)
        for layer in (ours.norm_attention, ours.norm_mlp):
            layer.weight.normal_()
            layer.bias.normal_()
        theirs.norm1.load_state_dict(ours.norm_attention.state_dict())
        theirs.norm2.load_state_dict(ours.norm_mlp.state_dict())
    h = torch.randn(4, 7, 12, dtype=torch.float64)
    mask = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)
    assert torch.allclose(ours(h), theirs(h, src_mask=mask), atol=1e-12)


@pytest.mark.parametrize("norm", ["before", "after"])
@pytest.mark.parametrize("cuts", [(1,) * 9, (4, 1, 1, 3), (1, 5, 3), (9,)])
def test_reading_in_parts_is_reading_at_once(norm: str, cuts: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = CausalTransformer(3, 12, 2, norm).double().requires_grad_(False)
    h = torch.randn(4, 9, 12, dtype=torch.float64)
    seen, parts = net.begin(4, 9), []
    for piece in torch.split(h, list(cuts), 1):
        found, seen = net.read(piece, seen)
        parts.append(found)
    assert torch.allclose(torch.cat(parts, 1), net(h), atol=1e-12)


def test_attention_is_its_formula() -> None:
    torch.manual_seed(0)
    net = CausalTransformer(1, 8, 2).double()
    with torch.no_grad():
        net.blocks[0].heads.weight.mul_(30.0)
        net.blocks[0].heads.bias.normal_()
    h, block = torch.randn(2, 6, 8, dtype=torch.float64), net.blocks[0]
    found = net.attention(h, torch.arange(6))
    assert found.shape == (1, 2, 2, 6, 6)
    mixed = (F.linear(block.norm_attention(h), block.heads.weight) + block.heads.bias).detach()
    for head in range(2):
        q, k = (mixed[..., part * 8 + head * 4 : part * 8 + head * 4 + 4] for part in (0, 1))
        for row in range(2):
            for t in range(6):
                scores = (k[row, : t + 1] @ q[row, t]).numpy() / math.sqrt(4)
                wanted = np.exp(scores) / np.exp(scores).sum()
                given = found[0, row, head, t].detach().numpy()
                np.testing.assert_allclose(given[: t + 1], wanted, atol=1e-12)
                assert not given[t + 1 :].any()


@pytest.mark.parametrize("order", ["raster", "column", "random"])
@pytest.mark.parametrize("labels", [False, True])
def test_the_attention_probe_adds_to_one_and_is_zero_on_the_future(
    order: str, labels: bool
) -> None:
    model = build((3, 2, 3), levels=4, order=order, class_conditional=labels, n_classes=2)
    pictures = torch.randint(4, (20, 3, 2, 3), generator=torch.Generator().manual_seed(0))
    view = View(model, SymbolTable(pictures, 4), 0)
    rank = torch.argsort(model.order)
    for index in range(18):
        result = ask(view, index)
        weights = torch.from_numpy(result.numpy()["weights"]).flatten(2)
        start = torch.from_numpy(result.numpy()["start"])
        assert weights.shape == (4, 4, 18)
        assert torch.allclose(weights.sum(-1) + start, torch.ones(4, 4), atol=1e-6)
        later = rank >= rank[index]
        assert not bool(weights[..., later].any())
        assert bool((weights[..., ~later] > 0).all())
        reach = torch.from_numpy(result.numpy()["reach"])
        place = int(rank[index])
        assert result.values["place"] == place
        assert bool(((reach >= 1 - 1e-5) & (reach <= place + 1 + 1e-5)).all())


def test_attention_lies_on_the_values_that_were_read() -> None:
    # One value is moved: in the first layer only the weight logits of that value may change.
    model = build((5,), levels=4, n_layers=1)
    x = torch.tensor([[0.0, 1.0, 2.0, 3.0, 0.0]]).double()
    other = x.clone()
    other[0, 1] = 3.0
    (one, s_one), (two, s_two) = (model.attention(picture, 3) for picture in (x, other))
    ratio_one, ratio_two = one[0, 0, :, 0] / s_one[0, 0], two[0, 0, :, 0] / s_two[0, 0]
    assert torch.allclose(ratio_one, ratio_two, atol=1e-12)
    moved = (one[0, 0, :, 1] / s_one[0, 0] - two[0, 0, :, 1] / s_two[0, 0]).abs()
    assert bool((moved > 1e-6).all())


def ask(view: View, index: int) -> Result:
    return list(attention.ask(view, {"index": index}))[-1]


def test_a_model_without_attention_says_so() -> None:
    model = build_model("rnn", event_shape=(4,), levels=2)
    view = View(model, SymbolTable(torch.zeros(20, 4), 2), 0)
    with pytest.raises(ValueError, match="RNN has no attention"):
        ask(view, 0)
    view = View(build((4,)), SymbolTable(torch.zeros(20, 4), 2), 0)
    with pytest.raises(ValueError, match="index: given 4, wanted 0 to 3"):
        ask(view, 4)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="n_heads: given 5, wanted a divisor of the width 64"):
        build((4,), n_heads=5)
    with pytest.raises(ValueError, match="norm: given 'beside'"):
        CausalTransformer(1, 8, 2, "beside")
    with pytest.raises(ValueError, match="codes: given 'morse'"):
        PlaceCodes(torch.arange(4), (4,), 8, "morse")


def test_sinusoids_by_hand() -> None:
    codes = sinusoids(20, 6)
    for place in range(20):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert float(codes[place, 2 * pair]) == pytest.approx(math.sin(angle), abs=1e-5)
            assert float(codes[place, 2 * pair + 1]) == pytest.approx(math.cos(angle), abs=1e-5)


def test_rows_and_columns_are_those_of_the_value_to_come() -> None:
    torch.manual_seed(0)
    order = torch.tensor([5, 0, 11, 7, 1, 2, 3, 4, 6, 8, 9, 10])
    codes = PlaceCodes(order, (2, 2, 3), 4, "row_column")
    channels, rows, columns = codes.tables
    for place, index in enumerate(order.tolist()):
        c, r, k = index // 6, index // 3 % 2, index % 3
        assert torch.allclose(codes()[place], channels[c] + rows[r] + columns[k], atol=1e-7)


def test_between_two_levels_a_vector_lies_on_the_line() -> None:
    torch.manual_seed(0)
    symbols = Symbols(4, 3).double()
    levels = torch.arange(4.0).double()
    plain = symbols.values(levels)
    assert torch.equal(plain, symbols.table[:4])
    assert torch.allclose(symbols.values(levels.clone().requires_grad_()), plain, atol=1e-14)
    between = symbols.values(torch.tensor([1.25]).double().requires_grad_())
    assert torch.allclose(between[0], 0.75 * plain[1] + 0.25 * plain[2], atol=1e-14)
