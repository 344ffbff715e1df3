"""The energy-based model of pictures: convolutions, noise on the data, the buffer and its ages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.laws import check_model
from engine.model import TrainState
from engine.models.energy.ebm import EBM
from engine.nets.energy_conv import EnergyConv
from engine.nets.energy_mlp import EnergyMLP
from engine.nets.energy_settings import FOR_PICTURES, FOR_POINTS
from engine.registry import build_dataset, build_model
from engine.training import Trainer, fit

SMALL: dict[str, Any] = {
    "hidden_features": (6, 8),
    "langevin_steps": 3,
    "n_chains": 12,
    "buffer_size": 40,
    "batch_size": 16,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ebm(shape: tuple[int, ...] = (1, 8, 8), **config: Any) -> EBM:
    model = build_model("ebm", event_shape=shape, **{**SMALL, **config})
    assert isinstance(model, EBM)
    return model


def pictures(n: int, shape: tuple[int, ...] = (1, 8, 8)) -> Tensor:
    x = torch.randn(n, *shape, generator=generator(3))
    return 4.0 + 3.0 * x.roll(1, -1).add(x)


# --- the network ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5), (2, 4, 3), (1, 9, 12)], ids=str)
@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("activation", ["silu", "tanh"])
def test_the_written_out_gradient_is_autograds(
    shape: tuple[int, ...], spectral_norm: bool, activation: str
) -> None:
    torch.manual_seed(0)
    more: Any = {"activation": activation, "spectral_norm": spectral_norm}
    net = EnergyConv(shape, (5, 4, 3), out_features=7, **more).double()
    x = torch.randn(6, net.weights[0].shape[1] * shape[1] * shape[2], generator=generator())
    x = x.double().requires_grad_()
    (wanted,) = torch.autograd.grad(net(x).logsumexp(1).sum(), x)
    value, gradient = net.value_and_gradient(x.detach(), lambda f: (f.logsumexp(1), f.softmax(1)))
    torch.testing.assert_close(value, net(x).logsumexp(1).detach())
    torch.testing.assert_close(gradient, wanted)


def test_every_pixel_reaches_the_energy() -> None:
    torch.manual_seed(0)
    for shape in ((1, 8, 8), (1, 11, 6)):
        net = EnergyConv(shape, (4, 4), activation="tanh").double()
        x = torch.randn(20, shape[1] * shape[2], generator=generator(), dtype=torch.float64)
        assert float(net.value_and_gradient(x)[1].abs().amin(0).min()) >= 0.0
        assert bool((net.value_and_gradient(x)[1].abs().amax(0) > 0.0).all())


def test_spectral_norm_makes_every_kernel_one_long() -> None:
    torch.manual_seed(0)
    net = EnergyConv((1, 8, 8), (6, 5), spectral_norm=True).double()
    with torch.no_grad():
        for weight in net.weights:
            weight.mul_(7.0)
    for _ in range(100):
        net.power_iteration()
    for weight in net._weights():
        assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(
            1.0, 1e-3
        )


def test_the_shape_of_the_event_chooses_the_network_and_the_chain() -> None:
    assert isinstance(ebm().net, EnergyConv)
    assert ebm(langevin_steps=None, n_chains=None).chosen == FOR_PICTURES
    for shape in ((2,), (1, 2, 2)):
        points = ebm(shape, langevin_steps=None, n_chains=None)
        assert type(points.net) is EnergyMLP
        assert points.chosen == FOR_POINTS
    dense = ebm(network="dense", sampler="mala", restart_share=0.5)
    assert type(dense.net) is EnergyMLP
    assert (dense.chosen.sampler, dense.chosen.restart_share) == ("mala", 0.5)
    assert dense.kernels[0] == "mala"
    assert ebm().kernels[0] == "langevin"
    with pytest.raises(ValueError, match=r"convolutional for events of shape \(2,\)"):
        ebm((2,), network="convolutional")


def test_a_live_setting_is_taken_and_given_back() -> None:
    model = ebm()
    model.set_live({"step_size": 0.2, "data_noise": 0.1})
    assert float(model.chain_step_size) == pytest.approx(0.2)
    assert model.chosen.data_noise == 0.1
    model.set_live({"step_size": None, "data_noise": None})
    assert float(model.chain_step_size) == pytest.approx(FOR_PICTURES.step_size)
    assert model.chosen.data_noise == FOR_PICTURES.data_noise


# --- the energy -------------------------------------------------------------------------------


def prepared(**config: Any) -> EBM:
    model = ebm((2, 6, 5), **config).double()
    model.prepare(pictures(300, (2, 6, 5)).double(), generator=generator())
    model.average.load_state_dict(model.net.state_dict())
    return model


def test_all_laws_hold_for_pictures() -> None:
    model = prepared()
    failed = [r for r in check_model(model, generator()) if not r.passed]
    assert failed == []


def test_pixels_of_a_channel_share_their_unit() -> None:
    """A rim that is always black then does not blow up."""
    data = pictures(200, (2, 6, 5)).double()
    data[:, 0] = 0.0
    data[0, 0, 0, 0] = 1.0
    data[:, 1, 0] = 0.0
    model = ebm((2, 6, 5)).double()
    model.prepare(data, generator=generator())
    first, second = model.scale.reshape(2, -1)
    assert float(first[0]) == pytest.approx(float(data[:, 0].std(correction=0)))
    assert float(second[0]) == pytest.approx(float(data[:, 1].std(correction=0)))
    assert bool((first == first[0]).all() & (second == second[0]).all())


def test_denoising_is_tweedies_step() -> None:
    """Of data N(m, s²) with noise σs the law is N(m, s²(1 + σ²)), and the mean behind it known."""
    model = prepared(data_noise=0.5)
    with torch.no_grad():
        for parameter in model.average.parameters():
            parameter.zero_()
    # Without its network the model is N(location, scale²/c): the law of noisy data at this c.
    model.config = type(model.config)(**{**vars(model.config), "confinement": 1.0 / 1.25})
    x = pictures(5, (2, 6, 5)).double()
    location, scale = (t.reshape(2, 6, 5) for t in (model.location, model.scale))
    wanted = location + (x - location) / 1.25
    torch.testing.assert_close(model.denoised(x), wanted)
    assert not bool((scale == 1.0).any())


# --- training ---------------------------------------------------------------------------------


def trained(steps: int, **config: Any) -> tuple[EBM, TrainState]:
    model = ebm(**config)
    model.prepare(pictures(100), generator=generator())
    state = TrainState(model.optimisers(1e-3))
    noise = generator(1)
    for _ in range(steps):
        model.train_step(pictures(16), state, noise)
        state.step += 1
    return model, state


def test_ages_count_the_steps_since_a_chain_began() -> None:
    model, state = trained(30, restart_share=0.25)
    ages = state.memory["ages"]
    assert ages.shape == (40,)
    assert bool((ages % 3 == 0).all())
    # 30 updates of 12 chains, of which 3 begin anew each time: nobody is older than all steps.
    assert 3 <= int(ages.max()) <= 90
    assert int((ages == 3).sum()) >= 3
    _, still = trained(30, restart_share=0.0)
    assert int(still.memory["ages"].sum()) == 30 * 12 * 3
    _, always = trained(5, restart_share=1.0, n_chains=40)
    assert always.memory["ages"].tolist() == [3] * 40
    assert model.chosen.restart == "always"


def test_accepted_restarts_begin_anew_too() -> None:
    """At the start the model nearly is the law of fresh starts, so nearly all are taken."""
    _, state = trained(6, restart="metropolis", restart_share=1.0, n_chains=40, data_noise=0.0)
    ages = state.memory["ages"]
    assert int((ages == 3).sum()) > 20


def test_data_are_learned_with_their_noise() -> None:
    model = prepared(data_noise=0.4)
    x = torch.zeros(4000, 2, 6, 5, dtype=torch.float64)
    noisy = model._noisy(x, generator())
    scale = model.scale.reshape(2, 6, 5)
    torch.testing.assert_close(noisy.std(0), 0.4 * scale, rtol=0.1, atol=0.0)
    assert model.set_live({"data_noise": 0.0}) is None
    assert model._noisy(x, generator()) is x


def test_pictures_of_levels_are_taken_as_numbers() -> None:
    for levels in (2, 17):
        dataset = build_dataset("digits", levels=levels)
        model = build_model("ebm", event_shape=(1, 8, 8), dataset=dataset, **SMALL)
        fit(model, dataset, steps=3, device="cpu")
        assert bool(model.energy(dataset.test[:5].float()).isfinite().all())


def test_a_restored_run_goes_on_bit_for_bit() -> None:
    dataset = build_dataset("digits")
    runs = [Trainer(ebm(), dataset, device="cpu", seed=seed) for seed in (2, 5)]
    for _ in range(4):
        runs[0].step()
    keyframe = runs[0].capture()
    runs[1].restore(keyframe)
    for run in runs:
        for _ in range(3):
            run.step()
    for a, b in zip(*[run.capture().tensors.items() for run in runs], strict=True):
        assert torch.equal(a[1], b[1]), a[0]
    assert {"memory.replay", "memory.ages"} <= set(keyframe.tensors)


@pytest.mark.slow
def test_its_pictures_come_nearer_to_digits() -> None:
    """Sixty steps of training already lead chains from noise a good part of the way."""
    dataset = build_dataset("digits")
    small: Any = {"n_chains": 24, "hidden_features": (32,), "learning_rate": 5e-3}
    model: Any = build_model("ebm", event_shape=(1, 8, 8), **small)
    fit(model, dataset, steps=60, batch_size=64, device="cpu")
    noise = generator(1)
    state = model.init(40, noise)
    start = state["x"]
    for _ in range(60):
        state, _ = model.step(state, "langevin", noise)
    data = dataset.train.flatten(1)

    def near(x: Tensor) -> float:
        return float(torch.cdist(x.flatten(1), data).amin(1).mean())

    assert near(model.denoised(state["x"])) < 0.8 * near(start)
