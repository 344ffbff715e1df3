"""Levels, classes and labels: what data decide of a model, and bits per dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor, nn

from engine import registry
from engine.dataset import Dataset, SplitConfig
from engine.estimators.bits import bits_of, bits_per_dim, nats
from engine.fitting import derived_settings
from engine.model import GenerativeModel
from engine.probe import View
from engine.recorder import Recorder
from engine.registry import build_dataset, build_for, build_model, probes
from engine.training import Trainer, held_out_nll
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field, field_specs
from engine.wire.messages import RunSpec
from tests.engine.toys import GaussianToy, Table, toy_card


class Counts(GenerativeModel):
    """Every value is one of k levels, by its own table for each class: all in closed form."""

    card = toy_card("counts")

    @dataclass(frozen=True)
    class Config:
        levels: Annotated[int | None, Field(2, 256, derived=True)] = 2
        n_classes: Annotated[int, Field(0, 1000, derived=True)] = 10
        class_conditional: Annotated[bool, Field(help="")] = False

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        n_tables = config.n_classes if config.class_conditional else 1
        self.logits = nn.Parameter(torch.zeros(n_tables, self.event_size, config.levels))
        self.seen: list[Tensor | None] = []

    def log_prob(self, x: Tensor, *, context: Tensor | None = None, **_: Any) -> Tensor:
        tables = self.logits.log_softmax(-1)
        levels = x.reshape(len(x), -1).long()
        scores = [table.gather(1, levels.T).sum(0) for table in tables]
        every = torch.stack(scores)  # (classes, B)
        if not self.config.class_conditional:
            return every[0]
        if context is None:
            return every.logsumexp(0) - math.log(len(tables))
        return every.gather(0, context[None])[0]

    def loss(self, x: Tensor, *, context: Tensor | None = None, **_: Any) -> dict[str, Tensor]:
        assert x.dtype == torch.float32
        self.seen.append(context)
        nll = -self.log_prob(x, context=context).mean()
        return {"total": nll, "nll": nll}


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.models(), "counts", Counts)


class TwoHalves(Dataset):
    """A class is black or white throughout, but a quarter of its values are grey."""

    card = DatasetCard("two_halves", "Two halves", "")
    Config = SplitConfig

    def __init__(self, n_labels: int = 2) -> None:
        super().__init__(SplitConfig())
        self.event = Event((1, 2, 2), ("channel", "row", "column"), "integer", 3)
        generator = torch.Generator().manual_seed(1)
        labels = torch.randint(n_labels, (400,), generator=generator)
        noise = torch.rand(400, 1, 2, 2, generator=generator) < 0.25
        pictures = torch.where(noise, 1, 2 * labels[:, None, None, None])
        self.train, self.valid, self.test = pictures.to(torch.uint8).split([200, 100, 100])
        splits = labels.split([200, 100, 100])
        self.train_labels, self.valid_labels, self.test_labels = splits
        self.labels = tuple("abcd"[:n_labels])

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)


# --- derived settings ---------------------------------------------------------------------------


def test_the_data_decide_levels_and_classes(counts: None) -> None:
    digits = build_dataset("digits", levels=5)
    assert derived_settings(Counts.Config, digits) == {"levels": 5, "n_classes": 10}
    model = build_model("counts", event_shape=digits.event_shape, dataset=digits)
    assert (model.config.levels, model.config.n_classes) == (5, 10)
    given = build_model("counts", event_shape=digits.event_shape, dataset=digits, levels=9)
    assert given.config.levels == 5
    assert build_model("counts", event_shape=(1, 8, 8), levels=9).config.levels == 9
    spec = RunSpec("counts", "digits", {"levels": 200}, {"levels": 5})
    assert build_for(spec, digits).config.levels == 5
    assert derived_settings(Counts.Config, Table(torch.zeros(20, 2))) == {"levels": None}


def test_no_model_of_the_catalogue_shows_a_derived_setting_undescribed() -> None:
    for name, kind in registry.models().items():
        for spec in field_specs(kind.Config):
            assert not spec.field.derived or spec.name in ("levels", "n_classes"), name


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"levels": 9}, "given data with 3 levels, wanted 9 levels"),
        ({"levels": 3, "class_conditional": True}, "given data with 2 classes, wanted 10"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    counts: None, config: dict[str, Any], sentence: str
) -> None:
    model = build_model("counts", event_shape=(1, 2, 2), **config)
    with pytest.raises(ValueError, match=sentence):
        Trainer(model, TwoHalves(), device="cpu")


def test_other_levels_cannot_be_taken_up_later(counts: None) -> None:
    digits = build_dataset("digits", levels=17)
    model = build_model("counts", event_shape=(1, 8, 8), dataset=digits)
    trainer = Trainer(model, digits, device="cpu")
    with pytest.raises(ValueError, match="given data with real values, wanted 17 levels"):
        trainer.set_data(build_dataset("digits"))


def test_labels_are_needed_where_they_are_used(counts: None) -> None:
    data = TwoHalves()
    data.train_labels = None
    model = build_model("counts", event_shape=(1, 2, 2), dataset=data, class_conditional=True)
    with pytest.raises(ValueError, match="needs labels, and Two halves has none"):
        Trainer(model, data, device="cpu")


# --- labels as context --------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", [True, False])
def test_labels_reach_the_loss_and_the_scores(counts: None, conditional: bool) -> None:
    data = TwoHalves()
    model = build_model(
        "counts", event_shape=(1, 2, 2), dataset=data, class_conditional=conditional
    )
    assert isinstance(model, Counts)
    trainer = Trainer(model, data, batch_size=64, learning_rate=0.1, device="cpu")
    for _ in range(150):
        trainer.step()
    context = model.seen[-1]
    assert (context is not None) is conditional
    if context is not None:
        assert context.dtype == torch.int64
        assert context.shape == (64,)
    # The best that tables can do: four coins of 1/4, or four draws of what two classes mix to.
    coins = 4 * (math.log(4) - 0.75 * math.log(3))
    found = held_out_nll(model.eval(), data.valid, labels=data.valid_labels)
    assert found is not None
    if conditional:
        assert found == pytest.approx(coins, abs=0.25)
    else:
        marginal = -sum(p * math.log(p) for p in (0.375, 0.25, 0.375))
        assert found == pytest.approx(4 * marginal, abs=0.25)
        assert found > coins + 1.5


def test_recorder_and_evaluation_score_with_the_labels(counts: None) -> None:
    data = TwoHalves()
    model = build_model("counts", event_shape=(1, 2, 2), dataset=data, class_conditional=True)
    trainer = Trainer(model, data, batch_size=64, learning_rate=0.2, device="cpu")
    recorder = Recorder()
    for _ in range(50):
        recorder.record(trainer, trainer.step(), 0, 0.0)
    metrics = recorder.take("a")
    assert metrics is not None
    score = metrics.table[-1, metrics.columns.index("held_out_nll")]
    given = -float(model.log_prob(data.valid.float(), context=data.valid_labels).mean().detach())  # type: ignore[operator]
    assert score == pytest.approx(given, abs=1e-5)
    (*_, result) = probes()["evaluate"].ask(View(model.eval(), data, 50), {"split": "test"})
    wanted = -float(model.log_prob(data.test.float(), context=data.test_labels).mean().detach())  # type: ignore[operator]
    assert result.values["nll"] == pytest.approx(wanted, abs=1e-5)
    bits = result.values["bits_per_dim"]
    assert bits == pytest.approx(wanted / (4 * math.log(2)), abs=1e-6)
    assert result.values["bits_label"] == "bits/dim of 3 levels"


# --- bits per dimension -------------------------------------------------------------------------


def test_bits_of_known_distributions() -> None:
    # k equally likely levels cost log2 k bits, whether counted or dequantised to a density of 1.
    assert bits_per_dim(784 * math.log(256), 784) == pytest.approx(8.0, abs=1e-12)
    assert bits_per_dim(0.0, 784, 256) == pytest.approx(8.0, abs=1e-12)
    assert bits_per_dim(64 * math.log(17), 64) == pytest.approx(math.log2(17), abs=1e-12)
    # Published: NICE on MNIST in units of 1/256 has −1980.50 nats, which is 4.3555 bits.
    assert bits_per_dim(-1980.50, 784, 256) == pytest.approx(4.3555, abs=5e-5)
    for nll, size, k in ((81.3, 784, None), (-500.0, 64, 17)):
        assert nats(bits_per_dim(nll, size, k), size, k) == pytest.approx(nll, abs=1e-9)
    with pytest.raises(ValueError, match="given 0 values"):
        bits_per_dim(1.0, 0)


def test_dequantised_bits_bound_those_of_the_levels() -> None:
    # One pixel of three levels with p = (.5, .3, .2); a density that is p·3 on each third of
    # [0, 1) gives them exactly, any other one more.
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    entropy = -float((p * p.log()).sum())
    exact = -float((p * (3 * p).log()).sum())
    assert bits_per_dim(exact, 1, 3) == pytest.approx(bits_per_dim(entropy, 1), abs=1e-12)
    u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    sloped = 1.5 - 1.0 * u  # another density on [0, 1)
    third = sloped.log().reshape(-1, 1)[:3999].reshape(3, -1).mean(1)
    assert bits_per_dim(-float((p * third).sum()), 1, 3) > bits_per_dim(entropy, 1) + 0.01


def test_only_what_has_bits_says_so(counts: None) -> None:
    real, levels = build_dataset("digits"), build_dataset("digits", levels=17)
    continuous = GaussianToy(64)
    found = bits_of(-100.0, continuous, real)
    assert found is not None
    assert found.is_bound
    assert found.value == pytest.approx(math.log2(17) - 100 / (64 * math.log(2)))
    assert found.label == "bits/dim of 17 levels, by dequantisation"
    assert bits_of(-100.0, continuous, levels) is None
    discrete = build_model("counts", event_shape=(1, 8, 8), dataset=levels)
    counted = bits_of(100.0, discrete, levels)
    assert counted is not None
    assert not counted.is_bound
    assert counted.value == pytest.approx(100 / (64 * math.log(2)))
    assert bits_of(1.0, GaussianToy(2), build_dataset("two_moons", n_samples=20)) is None
    real.dequantised_levels = None
    assert bits_of(1.0, continuous, real) is None
