"""Scheduled sampling: its schedules, ε = 1, the mixed history, and where its optimum lies."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.model import TrainState
from engine.nets.outputs import icdf
from engine.nets.scheduled import SCHEDULES, mix_inputs, sigmoid_rate, teacher_share
from engine.nets.sequence_model import SequenceModel
from engine.registry import build_model
from engine.training import Trainer, fit
from tests.engine.symbol_table import SymbolTable

MODELS = ("transformer", "rnn")
SMALL: dict[str, dict[str, Any]] = {
    "transformer": {"n_layers": 1, "width": 12, "n_heads": 2},
    "rnn": {"n_layers": 1, "width": 10},
}


def build(name: str, **config: Any) -> SequenceModel:
    model = build_model(name, event_shape=(6,), levels=4, **{**SMALL[name], **config})
    assert isinstance(model, SequenceModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return model.double()


def data(n: int = 8) -> Tensor:
    return torch.randint(4, (n, 6), generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("half_life", [1, 10, 2000, 10**6])
def test_all_schedules_have_one_half_at_the_half_life(half_life: int) -> None:
    for schedule in SCHEDULES[1:]:
        assert teacher_share(schedule, half_life, half_life) == pytest.approx(0.5, abs=1e-9)
        steps = [0, 1, half_life // 2, half_life, 2 * half_life, 5 * half_life, 10**9]
        shares = [teacher_share(schedule, half_life, step) for step in sorted(steps)]
        assert shares == sorted(shares, reverse=True)
        assert 0.0 <= shares[-1] < 1e-3
        assert shares[0] <= 1.0
    assert teacher_share("none", half_life, 10**9) == 1.0
    assert teacher_share("linear", half_life, 0) == teacher_share("exponential", half_life, 0) == 1


def test_the_schedules_by_hand() -> None:
    assert teacher_share("linear", 100, 50) == pytest.approx(0.75)
    assert teacher_share("linear", 100, 300) == 0.0
    assert teacher_share("exponential", 100, 50) == pytest.approx(math.sqrt(0.5))
    k = sigmoid_rate(100)
    assert k * math.log(k) == pytest.approx(100.0)
    assert teacher_share("inverse_sigmoid", 100, 30) == pytest.approx(
        k / (k + math.exp(30 / k)), rel=1e-12
    )


def test_wrong_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="given 'cubic', wanted one of none, linear"):
        teacher_share("cubic", 10, 0)
    with pytest.raises(ValueError, match="half_life: given 0"):
        teacher_share("linear", 0, 0)


def test_the_share_of_data_among_the_inputs() -> None:
    ours, drawn = torch.zeros(200, 100), torch.ones(200, 100)
    for share in (0.0, 0.3, 1.0):
        mixed = mix_inputs(ours, drawn, share, torch.Generator().manual_seed(0))
        assert float((mixed == 0).float().mean()) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_share_one_is_teacher_forcing_exactly(name: str) -> None:
    model, x = build(name), data()
    start = torch.zeros(8, dtype=torch.long)
    forced = model.sequence_params(x, start)
    mixed = model.mixed_params(x, start, forced, 1.0, torch.Generator().manual_seed(0))
    assert torch.allclose(mixed, forced, atol=1e-14)
    # A schedule that still stands at 1 trains as none does, bit for bit.
    runs = []
    for schedule in ("none", "linear"):
        other = build(name, scheduled_sampling=schedule)
        state = TrainState(other.optimisers(1e-2), step=0)
        other.train_step(x, state, torch.Generator().manual_seed(0))
        runs.append(torch.cat([p.detach().flatten() for p in other.parameters()]))
    assert torch.equal(*runs)


def test_the_recurrent_model_draws_from_the_mixed_history_itself() -> None:
    model, x = build("rnn"), data()
    start = torch.zeros(8, dtype=torch.long)
    forced = model.sequence_params(x, start)
    given = model.mixed_params(x, start, forced, 0.4, torch.Generator().manual_seed(5))
    # The same noise in the same turns; the whole network is run once per value.
    generator = torch.Generator().manual_seed(5)
    noise = torch.rand(8, 6, generator=generator, dtype=torch.float64)
    history = x.clone()
    for place in range(6):
        params = model.sequence_params(history, start)[:, place]
        drawn = icdf(model.family.distribution(params), noise[:, place])
        coins = torch.rand(8, generator=generator, dtype=torch.float64)
        history[:, place] = torch.where(coins < 0.4, x[:, place], drawn)
    assert bool((history != x).any())
    assert torch.allclose(given, model.sequence_params(history, start), atol=1e-12)


def test_the_transformer_draws_from_the_first_pass() -> None:
    model, x = build("transformer"), data()
    start = torch.zeros(8, dtype=torch.long)
    forced = model.sequence_params(x, start)
    given = model.mixed_params(x, start, forced, 0.4, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    noise = torch.rand(8, 6, generator=generator, dtype=torch.float64)
    drawn = icdf(model.family.distribution(forced), noise)
    coins = torch.rand(8, 6, generator=generator, dtype=torch.float64)
    wanted = model.sequence_params(torch.where(coins < 0.4, x, drawn), start)
    assert torch.allclose(given, wanted, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_the_likelihood_is_reported_beside_the_mixed_loss(name: str) -> None:
    model = build(name, scheduled_sampling="exponential", half_life=5).float()
    trainer = Trainer(model, SymbolTable(data(64), 4), seed=0, device="cpu")
    for step in range(4):
        batch = trainer.batches.capture()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        losses = trainer.step()
        assert set(losses) == {"total", "nll", "teacher_share"}
        assert float(losses["teacher_share"]) == pytest.approx(0.5 ** (step / 5))
        after = {k: v.clone() for k, v in model.state_dict().items()}
        trainer.batches.restore(*batch)
        model.load_state_dict(before)
        with torch.no_grad():
            nll = -model.log_prob(trainer.batches.next()).mean()
        assert float(losses["nll"]) == pytest.approx(float(nll), rel=1e-5)
        model.load_state_dict(after)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_its_optimum_is_not_the_data(name: str) -> None:
    # Both values are always equal. Fed its own first value, the best guess of the second is 1/2.
    first = torch.randint(2, (256, 1), generator=torch.Generator().manual_seed(0)).float()
    table = SymbolTable(first.repeat(1, 2), 2)
    shares = {}
    for schedule in ("none", "exponential"):
        model = build_model(
            name, event_shape=(2,), levels=2, scheduled_sampling=schedule, half_life=1,
            **SMALL[name],
        )  # fmt: skip
        fit(model, table, steps=250, learning_rate=2e-2, batch_size=128, seed=0, device="cpu")
        x = torch.tensor([[1.0, 1.0]])
        with torch.no_grad():
            shares[schedule] = float(model.conditionals(x).log_prob(x)[0, 1].exp())
    assert shares["none"] > 0.97
    assert shares["exponential"] < 0.7
