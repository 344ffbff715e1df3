"""Annealed importance sampling against enumeration and closed forms; its interval's coverage."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from engine.estimators.boltzmann import exact_log_z
from engine.estimators.density import CancellationError
from engine.estimators.log_z_boltzmann import (
    BoltzmannLadder,
    annealed_log_weights,
    annealed_log_z,
    base_biases,
    climb,
    log_z,
    pooled,
)
from engine.mcmc import annealed, gibbs
from engine.mcmc.target import State
from engine.nets.boltzmann import Boltzmann


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def machine(*sizes: int, scale: float = 1.0, gaussian: bool = False, seed: int = 0) -> Boltzmann:
    noise = seeded(seed)
    biases = tuple(torch.randn(n, generator=noise).double() for n in sizes)
    weights = tuple(
        scale * torch.randn(a, b, generator=noise).double() for a, b in itertools.pairwise(sizes)
    )
    variance = torch.rand(sizes[0], generator=noise).double() + 0.2 if gaussian else None
    return Boltzmann(biases, weights, variance)


def base_of(subject: Boltzmann, seed: int = 1) -> tuple[Tensor, ...]:
    noise = seeded(seed)
    return tuple(0.5 * torch.randn(n, generator=noise).double() for n in subject.sizes)


def all_states(subject: Boltzmann) -> list[Tensor]:
    """Every joint state of a binary machine, by layers."""
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=sum(subject.sizes)))).double()
    return list(torch.split(bits, list(subject.sizes), 1))


def by_enumeration(subject: Boltzmann) -> float:
    return float(torch.logsumexp(-subject.energy(all_states(subject)), 0))


# --- the machine ------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(3, 2), (3, 2, 4), (2, 3, 2, 2)])
def test_counting_one_side_is_counting_all(sizes: tuple[int, ...]) -> None:
    subject = machine(*sizes)
    wanted = by_enumeration(subject)
    even, odd = (tuple(range(start, len(sizes), 2)) for start in (0, 1))
    for side in (even, odd):
        assert exact_log_z(subject, side=side) == pytest.approx(wanted, abs=1e-10)


def test_the_energy_is_the_formula_by_loops() -> None:
    subject = machine(2, 3, 2)
    layers = [part[37] for part in all_states(subject)]
    wanted = -sum(float(a @ x) for a, x in zip(subject.biases, layers, strict=True))
    for weight, below, above in zip(subject.weights, layers, layers[1:], strict=False):
        for i, j in itertools.product(range(len(below)), range(len(above))):
            wanted -= float(below[i] * weight[i, j] * above[j])
    found = subject.energy([part[None] for part in layers])
    assert float(found[0]) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gaussian", [False, True])
def test_a_rung_is_the_machine_of_mixed_energies(beta: float, gaussian: bool) -> None:
    subject = machine(3, 2, gaussian=gaussian)
    base = base_of(subject)
    noise = seeded(4)
    layers = [torch.rand(9, n, generator=noise).double().round() for n in subject.sizes]
    independent = Boltzmann(base, tuple(0.0 * w for w in subject.weights), subject.variance)
    wanted = (1.0 - beta) * independent.energy(layers) + beta * subject.energy(layers)
    torch.testing.assert_close(subject.tempered(beta, base).energy(layers), wanted)


@pytest.mark.parametrize("sizes", [(4, 3), (3, 5, 2), (2, 2, 2, 3)])
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_the_ladder_sums_out_one_side_of_the_rung(sizes: tuple[int, ...], beta: float) -> None:
    subject = machine(*sizes)
    ladder = BoltzmannLadder(subject, base_of(subject))
    state = ladder.start(6, seeded(2))
    layers: list[Tensor | None] = [None] * len(sizes)
    for index in ladder.walking:
        layers[index] = state[f"unit_{index}"]
    wanted = -subject.tempered(beta, ladder.base).free_energy(layers)
    torch.testing.assert_close(ladder.log_f(state, beta), wanted)


def test_the_foot_of_the_ladder_is_independent_units() -> None:
    subject = machine(3, 2)
    base = base_of(subject)
    wanted = sum(float(torch.log1p(part.exp()).sum()) for part in base)
    assert BoltzmannLadder(subject, base).log_z0 == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_moves_leave_their_rung_alone(beta: float) -> None:
    """From exact draws of a rung, one move: the walking layer's states keep their frequencies."""
    subject = machine(3, 2)
    ladder = BoltzmannLadder(subject, base_of(subject))
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2))).double()
    free = subject.tempered(beta, ladder.base).free_energy([None, states])
    p = torch.softmax(-free, 0)
    n, noise = 40_000, seeded(5)
    drawn = states[torch.multinomial(p, n, replacement=True, generator=noise)]
    after = ladder.move(ladder._with_fields([None, drawn]), beta, noise)
    places = (after["unit_1"] @ torch.tensor([2.0, 1.0]).double()).long()
    seen = torch.bincount(places, minlength=4) / n
    assert float((seen - p).abs().max()) < 5.0 * 0.5 / math.sqrt(n)


# --- the estimate -----------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(12, 8), (6, 8, 5), (4, 5, 4, 5)])
def test_the_interval_covers_the_exact_log_z_in_nine_of_ten_seeds(sizes: tuple[int, ...]) -> None:
    subject = machine(*sizes, scale=1.0)
    base, wanted = base_of(subject), exact_log_z(subject)
    hits, errors = 0, []
    for seed in range(60):
        found = annealed_log_z(subject, base, generator=seeded(seed), n_chains=40, n_steps=30)
        hits += found.low <= wanted <= found.high
        errors.append(found.value - wanted)
    assert hits >= 54
    assert 1e-3 < float(torch.tensor(errors).std()) < 0.5, "a test of chance needs chance"


@pytest.mark.parametrize("number_type", [torch.float32, torch.float64])
def test_gaussian_units_are_annealed_as_well(number_type: torch.dtype) -> None:
    subject = machine(3, 8, scale=0.7, gaussian=True)._mapped(lambda t: t.to(number_type))
    base = tuple(part.to(number_type) for part in base_of(subject))
    found = annealed_log_z(subject, base, generator=seeded(), n_chains=200, n_steps=100)
    assert found.high - found.low < 0.5
    assert found.value == pytest.approx(exact_log_z(subject), abs=0.2)


def test_a_small_machine_is_counted_and_a_large_one_is_not() -> None:
    small, large = machine(5, 3), machine(22, 21, scale=0.1)
    exact = log_z(small, base_of(small), generator=seeded())
    assert (exact.kind, exact.low, exact.high) == ("exact", exact.value, exact.value)
    assert exact.value == pytest.approx(by_enumeration(small), abs=1e-10)
    estimate = log_z(large, base_of(large), generator=seeded(), n_chains=20, n_steps=20)
    assert estimate.kind == "ais"
    assert estimate.low < estimate.value < estimate.high
    assert 1.0 <= estimate.effective <= 20.0


def test_answers_on_the_way_are_of_the_rung_that_was_reached() -> None:
    subject = machine(6, 4)
    base = base_of(subject)
    settings = {"n_chains": 500, "n_steps": 40}
    found = list(climb(subject, base, generator=seeded(), n_answers=4, **settings))
    assert [answer.share for answer in found] == [0.25, 0.5, 0.75, 1.0]
    betas = annealed.rungs(40)
    for answer in found:
        rung = subject.tempered(betas[round(40 * answer.share)], base)
        assert answer.value == pytest.approx(exact_log_z(rung), abs=0.3)
    told: list[float] = []
    whole = annealed_log_z(subject, base, generator=seeded(), told=told.append, **settings)
    assert whole == found[-1]
    assert (len(told), told[-1]) == (40, 1.0)


def test_walks_are_pooled_as_if_they_were_one() -> None:
    subject = machine(6, 4)
    base = base_of(subject)
    parts = [
        annealed_log_weights(subject, base, generator=seeded(i), n_chains=150, n_steps=20)
        for i in range(3)
    ]
    found = pooled(torch.cat(parts), 20)
    assert found.value == pytest.approx(exact_log_z(subject), abs=0.2)
    assert found.label == "AIS: 450 chains, 20 rungs"
    means = torch.stack([torch.logsumexp(part, 0) - math.log(150) for part in parts])
    wanted = float(torch.logsumexp(means, 0)) - math.log(3)
    assert found.value == pytest.approx(wanted, abs=1e-9)


def test_it_stops_when_it_is_told_to() -> None:
    subject = machine(4, 3)
    with pytest.raises(CancellationError):
        annealed_log_z(subject, base_of(subject), generator=seeded(), cancelled=lambda: True)


def test_base_biases_fit_the_data() -> None:
    binary, real = machine(2, 3), machine(2, 3, gaussian=True)
    data = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    first, second = base_biases(binary, data)
    torch.testing.assert_close(torch.sigmoid(first), torch.tensor([0.01, 0.75]).double())
    assert second.tolist() == [0.0, 0.0, 0.0]
    natural, _ = base_biases(real, data)
    torch.testing.assert_close(real.means(0, natural), torch.tensor([0.0, 0.75]).double())


# --- any ladder -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Widths:
    """From N(0, 1) to exp(−c x²/2) on a line, moved by exact draws."""

    c: float = 9.0
    log_z0: float = 0.5 * math.log(2.0 * math.pi)

    def start(self, n: int, generator: torch.Generator) -> State:
        return {"x": torch.randn(n, 1, generator=generator, dtype=torch.float64)}

    def log_f(self, state: State, beta: float) -> Tensor:
        return -0.5 * self._precision(beta) * state["x"][:, 0].square()

    def move(self, state: State, beta: float, generator: torch.Generator) -> State:
        fresh = self.start(len(state["x"]), generator)["x"]
        return {"x": fresh / math.sqrt(self._precision(beta))}

    def _precision(self, beta: float) -> float:
        return 1.0 - beta + beta * self.c


def climbed(n: int, n_steps: int) -> annealed.LogMean:
    ladder, noise, betas = Widths(), seeded(3), annealed.rungs(n_steps)
    state = annealed.init(ladder, n, noise)
    for low, high in itertools.pairwise(betas):
        state, info = annealed.step(state, ladder, low=low, high=high, generator=noise)
        assert info["increment"].shape == (n,)
    return annealed.log_mean(state[annealed.LOG_WEIGHT])


def test_the_weights_mean_is_the_ratio_of_constants() -> None:
    """Even by one step from foot to top, which is plain importance sampling."""
    wanted = -0.5 * math.log(9.0)
    for n, n_steps in ((20_000, 1), (500, 50)):
        found = climbed(n, n_steps)
        assert found.low <= wanted <= found.high
        assert found.high - found.low < 0.15
    assert climbed(500, 50).effective > 3.0 * climbed(500, 1).effective / 2.0


def test_rungs_climb_from_0_to_1() -> None:
    for n_steps in (1, 2, 7, 100):
        betas = annealed.rungs(n_steps)
        assert len(betas) == n_steps + 1
        assert (betas[0], betas[-1]) == (0.0, 1.0)
        assert all(low < high for low, high in itertools.pairwise(betas))
    assert annealed.rungs(100)[10] == pytest.approx(0.5)
    assert annealed.rungs(100)[50] == pytest.approx(0.9)
    with pytest.raises(ValueError, match="given 0, wanted 1 or more"):
        annealed.rungs(0)


def test_log_mean_of_known_weights() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
    found = annealed.log_mean(weights.log() + 700.0)
    assert found.value == pytest.approx(math.log(3.0) + 700.0, abs=1e-9)
    assert found.effective == pytest.approx(144.0 / 50.0)
    assert found.low < found.value < found.high
    assert math.isinf(annealed.log_mean(torch.zeros(1)).high)


# --- block Gibbs ------------------------------------------------------------------------------


def test_a_sweep_draws_blocks_in_turn_from_their_conditionals() -> None:
    """Two correlated Gaussians: the second block sees what was drawn of the first."""
    rho = 0.8

    def given(other: str) -> gibbs.Conditional:
        def draw(state: State, noise: torch.Generator) -> tuple[Tensor, Tensor]:
            mean = rho * state[other]
            spread = math.sqrt(1.0 - rho**2)
            return mean + spread * torch.randn(mean.shape, generator=noise).double(), mean

        return draw

    zeros = torch.zeros(20_000, dtype=torch.float64)
    state, noise = gibbs.init({"x": zeros, "y": zeros}), seeded(7)
    sweep = {"x": given("y"), "y": given("x")}
    for _ in range(25):
        state, info = gibbs.step(state, sweep, generator=noise)
    torch.testing.assert_close(info["mean_y"], rho * state["x"])
    covariance = torch.cov(torch.stack([state["x"], state["y"]]))
    wanted = torch.tensor([[1.0, rho], [rho, 1.0]]).double()
    assert float((covariance - wanted).abs().max()) < 0.05
    half, info = gibbs.step(state, {"x": given("y")}, generator=noise)
    assert torch.equal(half["y"], state["y"])
    assert set(info) == {"mean_x"}
    with pytest.raises(ValueError, match="given 'z', wanted one of x, y"):
        gibbs.step(state, {"z": given("y")}, generator=noise)
