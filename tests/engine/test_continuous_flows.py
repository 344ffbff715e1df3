"""CNF and FFJORD against autograd, the matrix exponential, quadrature and every noise there is."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from engine.bijections.continuous import Continuous
from engine.bijections.continuous_flow import ContinuousFlow
from engine.capabilities import capabilities_of
from engine.model import TrainState
from engine.models.flows.cnf import CNF
from engine.models.flows.ffjord import FFJORD
from engine.nets.vector_field import ACTIVATION_NAMES, VectorField, trace_noise
from engine.ode.solver import Solver, StepLog
from engine.registry import build_dataset, build_model
from engine.target import Target
from engine.variational import free_energy
from engine.wire.capability import Capability
from tests.engine.affine_flows import some

DOUBLE = torch.float64
TIGHT = Solver("dopri5", 1e-9, 1e-9)
BOTH = pytest.mark.parametrize("name", ["cnf", "ffjord"])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def field(
    size: int = 3, hidden: tuple[int, ...] = (6, 5), activation: str = "tanh"
) -> VectorField:
    """A float64 field with weights well away from 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = VectorField(size, hidden, activation).double().requires_grad_(False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)
    return network


def rough(name: str, shape: tuple[int, ...] = (2,), **config: object) -> ContinuousFlow:
    """A small float64 flow with strong motions, standardised on shifted data."""
    model = build_model(name, event_shape=shape, seed=3, hidden_features=(12, 10), **config)
    assert isinstance(model, ContinuousFlow)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    model.double().eval().requires_grad_(False)
    model.prepare(some(shape, 64), generator=torch.Generator())
    return model


def jacobian_of(network: VectorField, t: float, z: Tensor) -> Tensor:
    """∂f/∂z of (B, D), (B, D, D), by autograd."""
    weights = network.prepared()
    rows = [
        torch.autograd.functional.jacobian(lambda v: network.velocity(t, v[None], weights)[0], row)
        for row in z
    ]
    return torch.stack(rows)


# --- the field --------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@pytest.mark.parametrize("hidden", [(), (7,), (6, 5, 4)])
def test_the_field_is_the_perceptron_of_place_and_time(
    hidden: tuple[int, ...], activation: str
) -> None:
    network, z, t = field(3, hidden, activation), noise(5, 3, seed=2), 0.3
    angles = [k * math.pi * t for k in (1, 2, 3)]
    time = torch.tensor([*map(math.cos, angles), *map(math.sin, angles)], dtype=DOUBLE)
    h = torch.cat([z, time.expand(5, 6)], 1)
    for index, layer in enumerate(network.layers):
        h = layer(h if index == 0 else getattr(torch.nn.functional, activation)(h))
    # The frequencies are rounded to float32, as they are when it trains.
    assert torch.allclose(network.velocity(t, z, network.prepared()), h, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@pytest.mark.parametrize("hidden", [(), (7,), (6, 5), (6, 5, 4), (5, 4, 6, 5)])
@pytest.mark.parametrize("size", [1, 3])
def test_the_exact_trace_is_autograds(size: int, hidden: tuple[int, ...], activation: str) -> None:
    network, z = field(size, hidden, activation), noise(5, size, seed=2)
    velocity, trace = network.with_trace(0.3, z, network.prepared())
    jacobian = jacobian_of(network, 0.3, z)
    assert torch.allclose(trace, jacobian.diagonal(dim1=1, dim2=2).sum(1), atol=1e-12)
    assert torch.equal(velocity, network.velocity(0.3, z, network.prepared()))


def test_columns_are_carried_along_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    network, z = field(5, (6, 5, 4)), noise(3, 5, seed=2)
    whole = network.with_trace(0.3, z, network.prepared())[1]
    monkeypatch.setattr("engine.nets.vector_field.MOST_COLUMN_VALUES", 40)
    assert torch.allclose(network.with_trace(0.3, z, network.prepared())[1], whole, atol=1e-13)


@pytest.mark.parametrize("hidden", [(), (7,), (6, 5, 4)])
def test_the_estimate_over_every_noise_of_signs_is_the_exact_trace(
    hidden: tuple[int, ...],
) -> None:
    network, z = field(3, hidden), noise(1, 3, seed=2)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=DOUBLE)
    velocity, estimates = network.with_estimate(0.7, z.expand(8, 3), signs, network.prepared())
    exact = network.with_trace(0.7, z, network.prepared())
    assert torch.allclose(estimates.mean(), exact[1][0], atol=1e-13)
    assert torch.allclose(velocity, exact[0].expand(8, 3), atol=1e-13)
    assert float(estimates.std()) > 0.1


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_hutchinsons_mean_and_variance_are_those_of_theory(kind: str) -> None:
    n, network, z = 40_000, field(), noise(1, 3, seed=2)
    epsilon = trace_noise(kind, (n, 3), torch.Generator().manual_seed(4), z)
    _, estimates = network.with_estimate(0.7, z.expand(n, 3), epsilon, network.prepared())
    jacobian = jacobian_of(network, 0.7, z)[0]
    symmetric = 0.5 * (jacobian + jacobian.T)
    variance = 2.0 * symmetric.square().sum()
    if kind == "rademacher":
        variance -= 2.0 * symmetric.diagonal().square().sum()
    error = float((variance / n).sqrt())
    assert float(estimates.mean()) == pytest.approx(float(jacobian.trace()), abs=5.0 * error)
    assert float(estimates.var()) == pytest.approx(float(variance), rel=0.05)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="tanh, softplus, elu"):
        VectorField(2, (4,), "relu")
    with pytest.raises(ValueError, match="rademacher, gaussian"):
        trace_noise("uniform", (2, 2), torch.Generator(), torch.zeros(1))


# --- the layer --------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", ["backpropagation", "adjoint"])
def test_a_linear_field_gives_the_matrix_exponential_and_its_trace(gradient: str) -> None:
    network = field(3, ())
    with torch.no_grad():
        network.layers[0].weight[:, 3:] = 0.0  # type: ignore[index]
        network.layers[0].bias.zero_()  # type: ignore[operator, union-attr]
    matrix = network.prepared()[0]
    layer = Continuous(network, network.prepared(), TIGHT, gradient, start=0.2, end=0.9)
    z = noise(4, 3)
    there, log_det = layer.forward(z)
    assert torch.allclose(there, z @ torch.matrix_exp(0.7 * matrix).T, atol=1e-7)
    assert torch.allclose(log_det, (0.7 * matrix.trace()).expand(4), atol=1e-9)
    back, same = layer.inverse(there)
    assert torch.allclose(back, z, atol=1e-7)
    assert torch.allclose(same, log_det, atol=1e-9)
    assert torch.allclose(layer.place_before(there), back, atol=1e-7)


def test_one_noise_serves_the_whole_solve() -> None:
    """The log-determinant is ∫ εᵀ(∂f/∂z)ε dt with the same ε, along the path of the exact flow."""
    network, z, epsilon = field(2), noise(3, 2), noise(3, 2, seed=5)
    layer = Continuous(network, network.prepared(), TIGHT, noise=epsilon)
    end, log_det = layer.forward(z)
    line, weights = (torch.arange(200, dtype=DOUBLE) + 0.5) / 200, network.prepared()
    total = torch.zeros(3, dtype=DOUBLE)
    for a, b in itertools.pairwise([0.0, *line.tolist()]):
        z, _ = Continuous(network, weights, Solver("rk4"), start=a, end=b).forward(z)
        total += network.with_estimate(b, z, epsilon, weights)[1] / 200
    assert torch.allclose(log_det, total, atol=1e-4)
    assert float((log_det - Continuous(network, weights, TIGHT).forward(z)[1]).abs().max()) > 0.1
    assert end.shape == (3, 2)


def test_the_round_trip_is_closer_the_smaller_the_tolerance() -> None:
    network, z, errors = field(2), noise(20, 2), []
    for tolerance in (1e-2, 1e-4, 1e-6):
        layer = Continuous(network, network.prepared(), Solver("dopri5", tolerance, tolerance))
        errors.append(float((layer.inverse(layer.forward(z)[0])[0] - z).abs().max()))
    assert errors[0] > 2.0 * errors[1] > 20.0 * errors[2]


# --- the models -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CNF, FFJORD])
def test_they_offer_what_they_truly_have(kind: type[ContinuousFlow]) -> None:
    wanted = (Capability.SAMPLING, Capability.LOG_PROB, Capability.FLOW_PATH)
    assert capabilities_of(kind) == wanted


@BOTH
@pytest.mark.parametrize("shape", [(1,), (2,), (1, 2, 2)])
def test_log_prob_is_base_plus_autograds_log_det(name: str, shape: tuple[int, ...]) -> None:
    model, x = rough(name, shape), some(shape, n=3).requires_grad_()
    path = model.path(x)
    rows = [
        torch.autograd.grad(end.sum(), x, retain_graph=True)[0].flatten(1)
        for end in path.states[-1].unbind(1)
    ]
    log_det = torch.linalg.slogdet(torch.stack(rows, 1)).logabsdet
    assert torch.allclose(path.log_dets.sum(0), log_det, atol=1e-6)
    log_p = model.base().log_prob(path.states[-1]) + path.log_dets.sum(0)
    assert torch.allclose(model.log_prob(x), log_p, atol=1e-6)


def test_a_rough_density_integrates_to_one() -> None:
    model, n, half = rough("cnf").float(), 90, 12.0
    line = ((torch.arange(n) + 0.5) / n * 2.0 - 1.0) * half
    with torch.no_grad():
        p = model.log_prob(torch.cartesian_prod(line, line) + model.location).exp()
    assert float(p.sum()) * (2.0 * half / n) ** 2 == pytest.approx(1.0, abs=1e-3)


def test_a_path_is_told_at_its_moments() -> None:
    model, x = rough("cnf", n_times=4), some()
    there = model.path(x)
    assert there.names == ("standardise", "t = 0.25", "t = 0.5", "t = 0.75", "t = 1")
    back = model.path(there.states[-1], inverse=True)
    assert torch.allclose(there.states, back.states, atol=1e-6)
    assert torch.allclose(there.log_dets, back.log_dets, atol=1e-6)
    prepared = model.network.prepared()
    half = Continuous(model.network, prepared, TIGHT, end=0.5)
    z, log_det = half.forward(model.standardise(x))
    assert torch.allclose(there.states[3], z, atol=1e-7)
    assert torch.allclose(there.log_dets[1:3].sum(0), log_det, atol=1e-7)
    taken = there.trace["accepted"]
    assert float(there.trace["sizes"][taken].sum()) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match=r"wanted \(2,\)"):
        model.path(torch.zeros(3, 4), inverse=True)


@BOTH
def test_evaluations_told_are_the_calls_of_the_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls, through = rough(name), 0, VectorField._through

    def counting(*arguments: object) -> Tensor:
        nonlocal calls
        calls += 1
        return through(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(VectorField, "_through", counting)
    losses = model.loss(some(), generator=torch.Generator())
    assert float(losses["evaluations"]) == calls > 8
    calls = 0
    path = model.path(some())
    assert int(path.trace["n_evaluations"]) == calls


@BOTH
def test_the_settings_of_the_solver_count_in_training_alone(name: str) -> None:
    model, x = rough(name), some(n=20)
    before = model.log_prob(x)
    fine = model.loss(x, generator=torch.Generator().manual_seed(1))
    model.set_live({"rtol": 1e-2, "atol": 1e-2})
    assert model.training_solver == Solver("dopri5", 1e-2, 1e-2, 8, n_controlled=1)
    coarse = model.loss(x, generator=torch.Generator().manual_seed(1))
    model.set_live({"solver": "rk4", "n_steps": 3})
    equal = model.loss(x, generator=torch.Generator().manual_seed(1))
    assert float(coarse["evaluations"]) < float(fine["evaluations"])
    assert float(equal["evaluations"]) == 12.0
    assert float(equal["nll"]) == pytest.approx(float(fine["nll"]), abs=0.05)
    assert torch.equal(model.log_prob(x), before)


def test_the_loss_is_the_mean_of_log_prob() -> None:
    model, x = rough("cnf", rtol=1e-9, atol=1e-9), some(n=20)
    loss = model.loss(x, generator=torch.Generator())["total"]
    assert float(loss) == pytest.approx(-float(model.log_prob(x).mean()), abs=1e-7)


def test_the_loss_of_ffjord_draws_one_noise_and_is_right_on_average() -> None:
    model, x = rough("ffjord", rtol=1e-3, atol=1e-3), some(n=8)
    generator, other = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    model.loss(x, generator=generator)
    model.trace_noise(len(x), other)
    assert torch.equal(generator.get_state(), other.get_state())
    with torch.no_grad():
        many = x.repeat(1500, 1)
        losses = torch.stack(
            [model.loss(part, generator=generator)["nll"] for part in many.split(600)]
        )
        error = float(losses.std()) / math.sqrt(len(losses))
        exact = -float(model.log_prob(x).mean())
    assert float(losses.mean()) == pytest.approx(exact, abs=4.0 * error + 1e-3)
    assert error < 0.05


@BOTH
def test_both_gradients_of_the_loss_agree(name: str) -> None:
    """To 1e-4 of each matrix's largest where the tolerance is 1e-7."""
    found = []
    for gradient in ("backpropagation", "adjoint"):
        model = rough(name, gradient=gradient, rtol=1e-7, atol=1e-7)
        model.requires_grad_()
        loss = model.loss(some(n=8), generator=torch.Generator().manual_seed(2))["total"]
        found.append(torch.autograd.grad(loss, list(model.parameters())))
    for by_steps, by_adjoint in zip(*found, strict=True):
        assert torch.allclose(by_steps, by_adjoint, atol=1e-4 * float(by_steps.abs().max()))


def test_a_path_in_training_is_estimated_with_its_generator() -> None:
    model, x = rough("ffjord").train(), some()
    exact = model.path(x)
    estimated = model.path(x, generator=torch.Generator().manual_seed(1))
    again = model.path(x, generator=torch.Generator().manual_seed(1))
    assert torch.equal(estimated.log_dets, again.log_dets)
    assert float((estimated.log_dets - exact.log_dets).abs().max()) > 0.01
    model.eval()
    shown = model.path(x, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(shown.log_dets.sum(0), exact.log_dets.sum(0), atol=1e-3)


@BOTH
def test_a_free_energy_is_that_of_the_draws_and_estimated_where_training_does(name: str) -> None:
    target = build_dataset("rezende_mohamed", energy="U2", anneal_steps=0)
    assert isinstance(target, Target)
    model = rough(name, rtol=1e-7, atol=1e-7)
    exact = free_energy(model, target, 50, 1.0, torch.Generator().manual_seed(4))
    x = model.sample(50, generator=torch.Generator().manual_seed(4))
    log_q = float(model.log_prob(x).mean())
    assert float(exact["negative_entropy"]) == pytest.approx(log_q, abs=1e-6)
    model.train()
    trained = free_energy(model, target, 50, 1.0, torch.Generator().manual_seed(4))
    gap = abs(float(trained["negative_entropy"]) - log_q)
    assert gap < 1e-5 if name == "cnf" else 1e-3 < gap < 2.0


@pytest.mark.parametrize("gradient", ["backpropagation", "adjoint"])
def test_training_raises_the_density_of_its_batch(gradient: str) -> None:
    data = build_dataset("two_moons", n_samples=300)
    model = build_model("cnf", event_shape=(2,), hidden_features=(16, 16), gradient=gradient)
    model.prepare(data.train, generator=torch.Generator())
    state, batch = TrainState(model.optimisers(2e-2)), data.train[:64]
    losses = [float(model.train_step(batch, state, torch.Generator())["nll"]) for _ in range(10)]
    assert losses[-1] < losses[0] - 0.05


def test_a_log_can_be_shared_by_stretches() -> None:
    network, log = field(2), StepLog()
    for a, b in ((0.0, 0.5), (0.5, 1.0)):
        Continuous(network, network.prepared(), TIGHT, start=a, end=b, log=log).forward(
            noise(3, 2)
        )
    assert log.times[0] == 0.0
    assert 0.5 in log.times
    assert sum(size for size, ok in zip(log.sizes, log.accepted, strict=True) if ok) == (
        pytest.approx(1.0)
    )
