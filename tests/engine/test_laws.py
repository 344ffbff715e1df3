"""Every law of every capability of every model, and bugs planted to see that the laws bite."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

import pytest
import torch
from torch import Tensor

import engine.models
from engine.dataset import Dataset, SplitConfig
from engine.fitting import derived_settings
from engine.laws import LAWS, Law, NotTestable, check_model, laws_for
from engine.model import GenerativeModel
from engine.registry import build_model
from engine.training import Trainer, fit
from engine.wire.capability import Capability
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import field_specs, make_config
from tests.engine import planted
from tests.engine.toys import Table

N_STEPS = 5
#: Small settings, for the fields that a model has.
SMALL = {
    "hidden_features": [16, 16],
    "n_layers": 3,
    "n_components": 3,
    "n_steps": 5,
    "batch_size": 64,
}


class Pair(Dataset):
    """Two Gaussians of unlike width, 512 points."""

    card = DatasetCard(name="pair", title="Pair", summary="Two Gaussians.")
    Config = SplitConfig
    event = Event((2,), ("x", "y"))

    def __init__(self) -> None:
        super().__init__(SplitConfig())
        generator = torch.Generator().manual_seed(7)
        points = torch.randn(512, 2, generator=generator) * torch.tensor([0.5, 1.5])
        points[::2] = points[::2].flip(-1) + 3.0
        self._split(points)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)


class Blots(Dataset):
    """Binary pictures, 4 × 3, whose pixels like to agree with the one above; 512 of them."""

    card = DatasetCard(name="blots", title="Blots", summary="Small binary pictures.")
    Config = SplitConfig
    event = Event((1, 4, 3), ("channel", "row", "column"), "binary", 2)

    def __init__(self) -> None:
        super().__init__(SplitConfig())
        generator = torch.Generator().manual_seed(7)
        pictures = torch.rand(512, 1, 4, 3, generator=generator) < 0.4
        stay = torch.rand(512, 1, 4, 3, generator=generator) < 0.7
        for row in range(1, 4):
            above, here = pictures[..., row - 1, :], pictures[..., row, :]
            pictures[..., row, :] = torch.where(stay[..., row, :], above, here)
        self._split(pictures)
        self.train, self.valid, self.test = (
            part.to(torch.uint8) for part in (self.train, self.valid, self.test)
        )

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)


def discover() -> tuple[dict[str, type[GenerativeModel]], dict[str, str]]:
    """Models by name, and the files that do not import: one of those must not hide the others."""
    found: dict[str, type[GenerativeModel]] = {}
    broken: dict[str, str] = {}
    for info in pkgutil.walk_packages(engine.models.__path__, "engine.models."):
        try:
            module = importlib.import_module(info.name)
        except Exception as error:
            broken[info.name] = f"{type(error).__name__}: {error}"
            continue
        for item in vars(module).values():
            ours = inspect.isclass(item) and issubclass(item, GenerativeModel)
            if ours and "card" in vars(item) and item.__module__ == info.name:
                found[item.card.name] = item
    return found, broken


def kinds_of_data(kind: type[GenerativeModel]) -> tuple[str, ...]:
    """Points for a model of real values, pictures for one of levels, both for one of either."""
    fields = {spec.name: spec.default for spec in field_specs(kind.Config)}
    if "levels" not in fields:
        return ("points",)
    return ("pictures",) if fields["levels"] is not None else ("points", "pictures")


def kind_for_data(kind: type[GenerativeModel], data: str) -> type[GenerativeModel]:
    """The class of a model of such data: levels may leave it with a bound alone."""
    return kind.kind_for(make_config(kind.Config, derived_settings(kind.Config, DATA[data]())))


MODELS, BROKEN = discover()
DATA = {"points": Pair, "pictures": Blots}
CASES = [
    pytest.param(name, data, law, id=f"{name}-{data}-{law.capability.value}-{law.name}")
    for name, kind in MODELS.items()
    for data in kinds_of_data(kind)
    for law in laws_for(kind_for_data(kind, data))
]


def small(kind: type[GenerativeModel], dataset: Dataset) -> GenerativeModel:
    """A small model of its data with seeded weights, convolutional where it can be."""
    fields = {spec.name: spec for spec in field_specs(kind.Config)}
    values: dict[str, object] = {n: value for n, value in SMALL.items() if n in fields}
    values |= derived_settings(kind.Config, dataset)
    if dataset.event.kind == "picture" and "network" in fields:
        values["network"] = "convolutional"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = make_config(kind.Config, values)
        return kind.kind_for(config)(dataset.event_shape, config)


@cache
def trained(name: str, data: str) -> GenerativeModel:
    """A model after a handful of steps, in float64."""
    dataset = DATA[data]()
    model = small(MODELS[name], dataset)
    trainer = Trainer(model, dataset, seed=3, device="cpu")
    for _ in range(N_STEPS):
        trainer.step()
    return model.double().eval()


def test_every_model_file_imports() -> None:
    assert not BROKEN, f"these files do not import: {BROKEN}"
    assert MODELS


def test_every_capability_has_three_laws() -> None:
    for capability in Capability:
        assert sum(law.capability is capability for law in LAWS) >= 3, capability
    names = [(law.capability, law.name) for law in LAWS]
    assert len(set(names)) == len(names)
    assert all(law.summary.endswith(".") for law in LAWS)


@pytest.mark.parametrize(("name", "data", "law"), CASES)
def test_law(name: str, data: str, law: Law) -> None:
    model = trained(name, data)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    try:
        law.check(model, torch.Generator().manual_seed(11))
    except NotTestable as reason:
        pytest.skip(str(reason))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


# --- planted bugs -----------------------------------------------------------------------------


def broken_laws(kind: type[GenerativeModel]) -> dict[str, str]:
    with torch.random.fork_rng(devices=[]):
        results = check_model(kind(), torch.Generator().manual_seed(5))  # type: ignore[call-arg]
    return {result.law: result.message for result in results if not result.passed}


@pytest.mark.parametrize("kind", [planted.Sound, planted.SoundLatent, planted.SoundChain])
def test_a_sound_model_breaks_no_law(kind: type[GenerativeModel]) -> None:
    assert broken_laws(kind) == {}


@pytest.mark.parametrize(
    ("kind", "law", "figure"),
    [
        (planted.FlippedLogDet, "jacobian", "wanted"),
        (planted.FlippedLogDet, "change_of_variables", "wanted"),
        (planted.NotNormalised, "integrates_to_one", "1.051"),
        (planted.LeakingConditional, "triangular", "conditional 0"),
        (planted.LeakingConditional, "unmoved_by_later", "value 1"),
        (planted.LeakingConditional, "chain_rule", "wanted"),
        (planted.WrongScore, "score_is_autograd", "wanted"),
        (planted.WrongScore, "score_is_difference", "points"),
        (planted.GlobalNoise, "private_noise", "torch"),
        (planted.GlobalNoise, "repeatable", "differ"),
        (planted.WrongSampler, "follows_density", "draws"),
        (planted.LostInverse, "round_trip", "wanted"),
        (planted.LostInverse, "inverse_same_states", "wanted"),
        (planted.ForgetsKnown, "keeps_known", "known"),
        (planted.ForgetsKnown, "cached_is_naive", "naive"),
        (planted.ForgetsTemperature, "cached_is_naive", "naive"),
        (planted.Raises, "energy_shape", "RuntimeError: the energy ran out"),
        (planted.NegativeKL, "identity", "wanted"),
        (planted.NegativeKL, "kl_not_negative", "at least 0"),
        (planted.NegativeSharedKL, "kl_not_negative", "at least 0"),
        (planted.ShiftedWeights, "weights_agree", "mean log-weight"),
        (planted.LyingPosterior, "log_q_agrees", "wanted 1"),
        (planted.WrongPriorShape, "prior_as_declared", "(16, 2)"),
        (planted.WidePrior, "marginal", "but p(x) is"),
        (planted.WritesInPlace, "input_untouched", "'x'"),
        (planted.RenamesBlocks, "blocks_kept", "['y']"),
        (planted.ForgetfulSeed, "chain_repeatable", "'x'"),
        (planted.ForgetfulSeed, "chain_private_noise", "torch"),
        (planted.DetachedCritic, "critic_gradient", "0 at all points"),
        (planted.BatchCritic, "critic_batch_independent", "alone"),
    ],
)
def test_planted_bug_is_caught(kind: type[GenerativeModel], law: str, figure: str) -> None:
    found = broken_laws(kind)
    assert law in found
    assert figure in found[law]


def test_a_law_that_cannot_be_tested_says_why() -> None:
    results = check_model(planted.SoundChain(), torch.Generator().manual_seed(5))
    assert all(result.tested for result in results)
    sound = check_model(planted.Sound(), torch.Generator().manual_seed(5))
    assert all(result.tested for result in sound)
    latent = check_model(planted.SoundLatent(), torch.Generator().manual_seed(5))
    assert {result.law for result in latent if not result.tested} == set()


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("gaussian_mixture", torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]]).repeat(60, 1)),
        ("ppca", 1e-9 * torch.randn(100, 2, generator=torch.Generator().manual_seed(0))),
        ("realnvp", 1e4 + torch.randn(100, 2, generator=torch.Generator().manual_seed(0))),
    ],
    ids=["repeated points", "tiny units", "far out"],
)
def test_odd_data_raise_no_false_alarm(name: str, x: torch.Tensor) -> None:
    model = build_model(name, event_shape=(2,), seed=0)
    fit(model, Table(x), steps=20, batch_size=32, device="cpu")
    results = check_model(model, torch.Generator().manual_seed(0))
    assert [result for result in results if not result.passed] == []
    if name == "gaussian_mixture":
        narrow = {result.law: result for result in results}["integrates_to_one"]
        assert not narrow.tested
        assert "too narrow for a lattice" in narrow.message
