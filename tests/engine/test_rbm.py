"""The restricted Boltzmann machine against enumeration, quadrature and autograd."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.estimators.boltzmann import every_state, exact_log_z
from engine.estimators.pseudo_likelihood import pseudo_log_prob
from engine.estimators.quadrature import log_z
from engine.model import TrainState
from engine.models.energy.rbm import RBM
from engine.registry import build_dataset, build_model
from engine.training import Trainer, fit
from tests.engine.toys import Table


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rbm(n_visible: int = 4, hidden_units: int = 3, levels: int | None = 2, **config: Any) -> RBM:
    """An untrained machine whose weights matter, in float64."""
    model = build_model(
        "rbm", event_shape=(n_visible,), hidden_units=hidden_units, levels=levels, **config
    ).double()
    assert isinstance(model, RBM)
    noise = seeded(1)
    with torch.no_grad():
        for parameter in (model.W, model.b, model.c):
            parameter.copy_(torch.randn(parameter.shape, generator=noise).double())
        if model.log_variance is not None:
            model.log_variance.copy_(torch.tensor([-1.0, 0.3, -0.5, 0.1])[:n_visible])
    return model.requires_grad_(True)


def written_out(model: RBM) -> tuple[Tensor, Tensor, Tensor]:
    """E of all pairs, (2^V, 2^H), by loops over the paper's sum; the states of v and of h."""
    v, h = (every_state(n, like=model.b) for n in model.W.shape)
    table = torch.zeros(len(v), len(h), dtype=torch.float64)
    W, b, c = (p.detach() for p in (model.W, model.b, model.c))
    for (row, x), (column, z) in itertools.product(enumerate(v), enumerate(h)):
        pairs = sum(x[i] * z[j] * W[i, j] for i in range(len(b)) for j in range(len(c)))
        table[row, column] = -(b * x).sum() - (c * z).sum() - pairs
    return table, v, h


# --- energies ---------------------------------------------------------------------------------


def test_the_free_energy_sums_out_the_hidden_units() -> None:
    model = rbm()
    table, v, _ = written_out(model)
    torch.testing.assert_close(model.energy(v), -torch.logsumexp(-table, 1), rtol=0, atol=1e-10)


def test_log_z_is_the_same_from_either_side_and_from_all_pairs() -> None:
    model = rbm(5, 3)
    table, *_ = written_out(model)
    wanted = float(torch.logsumexp(-table.flatten(), 0))
    for side in ((0,), (1,), None):
        assert exact_log_z(model.machine, side=side) == pytest.approx(wanted, abs=1e-10)


def test_counting_refuses_what_it_cannot_count() -> None:
    big = build_model("rbm", event_shape=(30,), hidden_units=21, levels=2)
    with pytest.raises(ValueError, match=r"given 21 units .* at most 20"):
        exact_log_z(big.machine)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="all of them binary"):
        exact_log_z(rbm(2, 3, levels=None).machine, side=(0,))


@pytest.mark.parametrize("size", [1, 2])
def test_gaussian_units_have_the_log_z_of_quadrature(size: int) -> None:
    """By counting hidden states, in units of the data that are not those of u."""
    model = rbm(size, 4, levels=None)
    data = 3.0 + 2.0 * torch.randn(300, size, generator=seeded(), dtype=torch.float64)
    model.prepare(data, generator=seeded())
    with torch.no_grad():
        model.W.mul_(0.4)
    found = log_z(model, grid=300)
    assert exact_log_z(model.machine) == pytest.approx(found.value, abs=1e-6 + found.error)


def test_gaussian_free_energy_is_the_formula_in_the_file() -> None:
    model = rbm(2, 3, levels=None)
    u = torch.randn(6, 2, generator=seeded(), dtype=torch.float64)
    h = every_state(3, like=u)
    assert model.log_variance is not None
    variance = model.log_variance.exp()
    table = torch.stack(
        [
            ((u.square() - 2.0 * model.b * u) / (2.0 * variance)).sum(1)
            - (model.c * z).sum()
            - (u / variance) @ (model.W @ z)
            for z in h
        ],
        1,
    )
    torch.testing.assert_close(model.energy(u), -torch.logsumexp(-table, 1))
    joint = [model.machine.energy([u, z.expand(6, -1)]) for z in h]
    torch.testing.assert_close(torch.stack(joint, 1), table)


def test_more_than_two_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="given data with 17 levels, wanted binary"):
        build_model("rbm", event_shape=(1, 8, 8), levels=17)


def test_the_pseudo_likelihood_is_of_every_unit_given_the_others() -> None:
    model = rbm()
    table, v, _ = written_out(model)
    log_p = torch.logsumexp(-table, 1)
    wanted = torch.zeros(len(v), dtype=torch.float64)
    for row, x in enumerate(v):
        for i in range(4):
            flipped = x.clone()
            flipped[i] = 1.0 - x[i]
            other = log_p[int((v == flipped).all(1).nonzero())]
            wanted[row] += log_p[row] - torch.logaddexp(log_p[row], other)
    torch.testing.assert_close(pseudo_log_prob(model.machine, v), wanted)
    with pytest.raises(ValueError, match="the first of them Gaussian"):
        pseudo_log_prob(rbm(levels=None).machine, v)


# --- chains -----------------------------------------------------------------------------------


def test_the_conditionals_are_those_of_the_joint() -> None:
    model = rbm()
    table, v, h = written_out(model)
    p = torch.softmax(-table.flatten(), 0).reshape(table.shape)
    _, info = model.step({"v": v, "h": torch.zeros(len(v), 3).double()}, "hidden", seeded())
    torch.testing.assert_close(info["mean_h"], (p @ h) / p.sum(1, keepdim=True))
    _, info = model.step({"v": torch.zeros(len(h), 4).double(), "h": h}, "visible", seeded())
    torch.testing.assert_close(info["mean_v"], (p.T @ v) / p.sum(0)[:, None])


@pytest.mark.parametrize("kernel", ["hidden", "visible", "gibbs"])
def test_the_transition_matrix_leaves_the_joint_alone(kernel: str) -> None:
    """All pairs (v, h) at once: p T = p, with T built from the probabilities the step reports."""
    model = rbm(3, 2)
    table, v, h = written_out(model)
    p = torch.softmax(-table.flatten(), 0)
    pairs_v, pairs_h = v.repeat_interleave(len(h), 0), h.repeat(len(v), 1)
    size = len(p)
    T = torch.eye(size, dtype=torch.float64)
    for half in ("hidden", "visible") if kernel == "gibbs" else (kernel,):
        _, info = model.step({"v": pairs_v, "h": pairs_h}, half, seeded())
        kept, moved = (pairs_v, pairs_h) if half == "hidden" else (pairs_h, pairs_v)
        mean = info["mean_h" if half == "hidden" else "mean_v"]
        chance = (mean[:, None] * moved + (1.0 - mean[:, None]) * (1.0 - moved)).prod(-1)
        T = T @ (chance * (kept[:, None] == kept).all(-1))
    torch.testing.assert_close(T.sum(1), torch.ones(size, dtype=torch.float64))
    torch.testing.assert_close(p @ T, p, rtol=0, atol=1e-12)


def test_long_chains_visit_states_as_often_as_they_weigh() -> None:
    model = rbm(3, 2)
    table, *_ = written_out(model)
    state, noise = model.init(20_000, seeded(2)), seeded(3)
    for _ in range(30):
        state, info = model.step(state, "gibbs", noise)
    places = torch.tensor([1.0, 2.0, 4.0]).double()
    seen = torch.bincount((state["v"] @ places).long(), minlength=8) / 20_000
    wanted = torch.softmax(-table.flatten(), 0).reshape(table.shape).sum(1)
    assert float((seen - wanted).abs().max()) < 5.0 * 0.5 / math.sqrt(20_000)
    torch.testing.assert_close(info["energy"], model.machine.energy([state["v"], state["h"]]))
    torch.testing.assert_close(info["free_energy"], model.energy(state["v"]))


def test_an_unknown_kernel_is_named() -> None:
    model = rbm()
    with pytest.raises(ValueError, match="given 'mala', wanted one of gibbs, hidden, visible"):
        model.step(model.init(3, seeded()), "mala", seeded())


# --- training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, None])
def test_the_statistics_are_autograds_gradient(levels: int | None) -> None:
    model = rbm(levels=levels)
    u, v = (torch.randn(n, 4, generator=seeded(n)).double() for n in (7, 5))
    if levels == 2:
        u, v = (u > 0).double(), (v > 0).double()
    losses = model.contrast(u, v)
    losses["total"].backward()
    found, told, _ = model.gradients(u, v)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)
    torch.testing.assert_close(told, {name: value.detach() for name, value in losses.items()})


def exact_gradient(model: RBM, x: Tensor) -> dict[str, Tensor]:
    """Of the mean −log p over x, by autograd through all states."""
    states = every_state(model.event_size, like=model.b)
    nll = model.energy(x).mean() + torch.logsumexp(-model.energy(states), 0)
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(nll, parameters), strict=True))


def test_with_the_models_own_draws_the_gradient_is_the_exact_one() -> None:
    """E2: the negatives in proportion to p, by enumeration."""
    model = rbm()
    x = (torch.rand(9, 4, generator=seeded(4)) < 0.6).double()
    wanted = exact_gradient(model, x)
    states = every_state(4, like=model.b)
    p = torch.softmax(-model.energy(states).detach(), 0)
    positive, *_ = model.gradients(x, torch.zeros(1, 4).double())
    for name in ("W", "b", "c"):
        negative = sum(
            weight * model.gradients(state[None], torch.zeros(1, 4).double())[0][name]
            for weight, state in zip(p, states, strict=True)
        )
        torch.testing.assert_close(positive[name] - negative, wanted[name])


def test_contrastive_divergence_has_the_expectation_of_its_chain() -> None:
    """CD-k's mean negative phase is that of the data pushed k times through the transition."""
    model = rbm(3, 2, gibbs_steps=2)
    states = every_state(3, like=model.b)
    table, _, h = written_out(model)
    p = torch.softmax(-table.flatten(), 0).reshape(table.shape)
    there, back = p / p.sum(1, keepdim=True), (p / p.sum(0)).T
    reached = torch.linalg.matrix_power(there @ back, 2)[5]
    wanted = model.gradients(states[[5]], torch.zeros(1, 3).double())[0]["W"] - sum(
        share * model.gradients(state[None], torch.zeros(1, 3).double())[0]["W"]
        for share, state in zip(reached, states, strict=True)
    )
    n, noise = 40_000, seeded(5)
    u = states[[5]].expand(n, -1)
    hidden = model.machine.draw(
        1, model.machine.means(1, model.machine.inputs([u, None], 1)), noise
    )
    v = model._walk(hidden.detach(), noise)
    found, *_ = model.gradients(u, v)
    assert float((found["W"] - wanted).abs().max()) < 5.0 * 0.5 / math.sqrt(n)
    assert len(h) == 4


@pytest.mark.parametrize("centred", [False, True])
def test_the_step_goes_downhill_and_rests_where_the_moments_agree(centred: bool) -> None:
    """The centred step is the gradient under a change of units: same angle sign, same zeros."""
    model = rbm(centred=centred)
    x = (torch.rand(9, 4, generator=seeded(4)) < 0.6).double()
    v = (torch.rand(11, 4, generator=seeded(6)) < 0.3).double()
    plain, _, hidden = model.gradients(x, v)
    turned = {name: value.clone() for name, value in plain.items()}
    model._turn(turned, x, hidden[:9], TrainState({}))
    slope = sum(float((plain[name] * turned[name]).sum()) for name in plain)
    assert slope > 0.0
    assert torch.equal(turned["W"], plain["W"]) != centred
    nothing, _, hidden = model.gradients(x, x)
    model._turn(nothing, x, hidden[:9], TrainState({}))
    assert all(float(value.abs().max()) < 1e-12 for value in nothing.values())


def test_flipping_the_data_flips_the_centred_machine() -> None:
    """Swapping 0 and 1 everywhere gives the same steps of W, up to sign: its very purpose."""
    x = (torch.rand(30, 4, generator=seeded(4)) < 0.8).double()
    v = (torch.rand(30, 4, generator=seeded(6)) < 0.7).double()
    first, second = rbm(), rbm()
    with torch.no_grad():
        second.W.neg_()
        second.b.neg_()
        second.c.copy_(first.c + first.W.sum(0))
    steps = []
    for model, data, chains in ((first, x, v), (second, 1.0 - x, 1.0 - v)):
        found, _, hidden = model.gradients(data, chains)
        model._turn(found, data, hidden[:30], TrainState({}))
        steps.append(found["W"])
    torch.testing.assert_close(steps[0], -steps[1])


def test_persistent_chains_stay_in_memory_and_go_on() -> None:
    data = Table((torch.rand(200, 6, generator=seeded()) < 0.4).float())
    model = build_model("rbm", event_shape=(6,), hidden_units=5, levels=2, algorithm="pcd",
                        n_chains=7)  # fmt: skip
    state = TrainState(model.optimisers(0.1))
    noise = seeded(1)
    model.train_step(data.train[:20], state, noise)
    first = state.memory["chains"].clone()
    assert first.shape == (7, 5)
    model.train_step(data.train[:20], state, noise)
    assert not torch.equal(first, state.memory["chains"])


@pytest.mark.parametrize("algorithm", ["cd", "pcd"])
def test_a_keyframe_goes_on_bit_for_bit(algorithm: str) -> None:
    dataset = build_dataset("digits", levels=2)
    config = {"hidden_units": 8, "algorithm": algorithm, "gibbs_steps": 1}

    def trainer() -> Trainer:
        model = build_model("rbm", event_shape=dataset.event_shape, dataset=dataset, **config)
        return Trainer(model, dataset, batch_size=10, device="cpu")

    whole, later = trainer(), trainer()
    for _ in range(5):
        whole.step()
    frame = whole.capture()
    assert ("memory.chains" in frame.tensors) == (algorithm == "pcd")
    later.restore(frame)
    for _ in range(5):
        whole.step()
        later.step()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, later.model.state_dict()[name]), name


def test_it_learns_binary_digits() -> None:
    """Exactly scored: from independent pixels towards what a good model of these digits has."""
    dataset = build_dataset("digits", levels=2)
    model = build_model(
        "rbm", event_shape=dataset.event_shape, dataset=dataset, hidden_units=10, gibbs_steps=1
    )
    assert isinstance(model, RBM)

    @torch.no_grad()
    def nats() -> float:
        held_out = dataset.valid.float()
        return float(model.energy(held_out).mean()) + exact_log_z(model.machine)

    model.prepare(dataset.train, generator=seeded())
    before = nats()
    fit(model, dataset, steps=250, batch_size=50, seed=0, device="cpu")
    assert before > 25.5
    assert nats() < 24.0
