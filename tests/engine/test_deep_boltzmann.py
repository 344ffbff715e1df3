"""Deep Boltzmann machines and belief networks against enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from engine.estimators.boltzmann import every_state, exact_log_z
from engine.estimators.boltzmann_scores import counted, score
from engine.estimators.log_z_boltzmann import LogZ, base_of, counted_log_z
from engine.models.energy.dbm import DBM
from engine.models.energy.dbn import DBN
from engine.nets.boltzmann_steps import Gradients, LayerPair, copies_mean, gradients
from engine.registry import build_dataset, build_model
from engine.training import Trainer

V, H1, H2 = 4, 3, 2


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def deep(name: str, hidden: tuple[int, ...] = (H1, H2), seed: int = 0, **config: Any) -> Any:
    """A model whose weights matter, in float64, at full depth; one seed gives the same weights."""
    model: Any = build_model(name, event_shape=(V,), hidden_units=hidden, **config).double()
    noise = seeded(seed)
    with torch.no_grad():
        for parameter in (*model.weights, *model.biases):
            parameter.copy_(torch.randn(parameter.shape, generator=noise).double())
        if isinstance(model, DBN):
            model.depth.fill_(len(hidden))
            for (weight, bias), own, above in zip(
                model.upward, model.weights, model.biases[1:], strict=False
            ):
                weight.copy_(own)
                bias.copy_(above)
    return model.requires_grad_(False)


def states() -> Tensor:
    return every_state(V, like=torch.zeros(1, dtype=torch.float64))


def every_layer(sizes: tuple[int, ...]) -> list[Tensor]:
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=sum(sizes)))).double()
    return list(torch.split(bits, list(sizes), 1))


def bernoulli(means: Tensor, x: Tensor) -> Tensor:
    return (means * x + (1.0 - means) * (1.0 - x)).prod(-1)


def dbm_by_enumeration(model: DBM) -> Tensor:
    """log p of every v, from the joint of all layers."""
    sizes = (V, *(len(c) for c in model.biases[1:]))
    energy = -model.machine.energy(every_layer(sizes)).reshape(2**V, -1)
    order = every_layer(sizes)[0].reshape(2**V, -1, V)[:, 0]
    log_p = torch.logsumexp(energy, 1) - torch.logsumexp(energy.flatten(), 0)
    return log_p[[int((order == v).all(1).nonzero()) for v in states()]]


def dbn_by_enumeration(model: DBN) -> Tensor:
    """log p of every v: the top machine's table of h1, times the way down, by loops."""
    h1, h2 = every_layer((H1, H2))
    joint = torch.softmax(-model.machine.energy([h1, h2]), 0)
    p = torch.zeros(2**V, dtype=torch.float64)
    for weight, h in zip(joint, h1, strict=True):
        means = torch.sigmoid(model.b + model.weights[0] @ h)
        p += weight * bernoulli(means, states())
    return p.log()


# --- likelihoods ------------------------------------------------------------------------------


def test_the_same_weights_are_two_models() -> None:
    """E7 and E8: both likelihoods equal enumeration, and differ."""
    machine, network = deep("dbm"), deep("dbn")
    mine = counted(machine, states()) - exact_log_z(machine.machine)
    theirs = counted(network, states()) - exact_log_z(network.machine)
    torch.testing.assert_close(mine, dbm_by_enumeration(machine), rtol=0, atol=1e-10)
    torch.testing.assert_close(theirs, dbn_by_enumeration(network), rtol=0, atol=1e-10)
    for log_p in (mine, theirs):
        assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-10)
    assert float((mine - theirs).abs().max()) > 0.1


def test_three_layers_are_counted_too() -> None:
    for name in ("dbm", "dbn"):
        model = deep(name, (3, 2, 3))
        log_p = counted(model, states()) - exact_log_z(model.machine)
        assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-10)


def test_mean_field_is_below_log_p_and_sweeps_raise_it() -> None:
    model = deep("dbm", seed=3)
    log_z = exact_log_z(model.machine)
    exact = counted(model, states()) - log_z
    bounds = [model.unnormalised_bound(states(), n_steps=n) - log_z for n in (0, 1, 2, 5, 50)]
    for bound in bounds:
        assert bool((bound <= exact + 1e-10).all())
    for worse, better in itertools.pairwise(bounds[1:]):
        assert bool((better >= worse - 1e-10).all())
    assert float((bounds[-1] - bounds[0]).max()) > 1e-3


def test_mean_field_hears_both_neighbours() -> None:
    """At rest a layer's means answer to the layers below and above; a pass up's do not."""
    model = deep("dbm", seed=3)
    v = states()
    h1, h2 = model.mean_field(v, 200)
    W1, W2 = model.weights
    both = torch.sigmoid(v @ W1 + h2 @ W2.t() + model.c1)
    torch.testing.assert_close(h1, both)
    torch.testing.assert_close(h2, torch.sigmoid(h1 @ W2 + model.c2))
    assert float((h1 - torch.sigmoid(v @ W1 + model.c1)).abs().max()) > 0.1


def test_the_pass_up_bounds_the_belief_network() -> None:
    model = deep("dbn", seed=1)
    log_z = exact_log_z(model.machine)
    exact = counted(model, states()) - log_z
    weights = model.log_weights(states(), n_draws=4000, generator=seeded()) - log_z
    error = weights.std(0) / math.sqrt(4000)
    assert bool((weights.mean(0) <= exact + 4.0 * error).all())
    assert float((exact - weights.mean(0)).max()) > 0.03
    # The mean of the weights themselves is p(x).
    p, spread = weights.exp().mean(0), weights.exp().std(0) / math.sqrt(4000)
    assert bool(((p - exact.exp()).abs() <= 4.5 * spread).all())


def test_a_tied_layer_leaves_the_distribution_and_does_not_lower_the_bound() -> None:
    model = deep("dbn", (H1, V))
    model.depth.fill_(1)
    before = counted(model, states()) - exact_log_z(model.machine)
    flat = model.unnormalised_bound(states(), generator=seeded()) - exact_log_z(model.machine)
    torch.testing.assert_close(flat, before)
    model._add_layer(1, type("State", (), {"memory": {}})())
    log_z = exact_log_z(model.machine)
    torch.testing.assert_close(counted(model, states()) - log_z, before, rtol=0, atol=1e-10)
    bound = model.unnormalised_bound(states(), generator=seeded()) - log_z
    torch.testing.assert_close(bound, before, rtol=0, atol=1e-10)


def test_a_score_carries_the_interval_of_log_z() -> None:
    model = deep("dbm")
    z = LogZ(7.0, 6.5, 8.0, "ais", "AIS")
    found = score(model, states().float(), z, generator=seeded())
    mean = float(model.unnormalised_bound(states()).mean())
    given = (found.value, found.low, found.high)
    assert given == pytest.approx((mean - 7.0, mean - 8.0, mean - 6.5), abs=1e-6)
    assert not found.is_exact
    exact = counted_log_z(model.machine)
    assert exact.value == pytest.approx(exact_log_z(model.machine))
    with pytest.raises(ValueError, match="given no events"):
        score(model, states()[:0], z, generator=seeded())


def test_the_base_of_a_belief_network_fits_its_lower_units() -> None:
    model = deep("dbn")
    data = (torch.rand(500, V, generator=seeded()) < 0.7).float()
    lower, upper = base_of(model, data, generator=seeded(1))
    wanted = torch.sigmoid(model.up(data.double(), 1)).mean(0)
    assert float((torch.sigmoid(lower) - wanted).abs().max()) < 5.0 * 0.5 / math.sqrt(500)
    assert upper.tolist() == [0.0] * H2
    model.depth.fill_(1)
    lower, _ = base_of(model, data, generator=seeded(1))
    torch.testing.assert_close(torch.sigmoid(lower), data.mean(0).double())


# --- chains -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["odd", "even"])
def test_halves_of_the_deep_machine_leave_the_joint_alone(kernel: str) -> None:
    """p T = p over all joint states, with T built from the probabilities that a step reports."""
    model = deep("dbm", (2, 2))
    layers = every_layer((V, 2, 2))
    p = torch.softmax(-model.machine.energy(layers), 0)
    names = ("v", "h1", "h2")
    _, info = model.step(dict(zip(names, layers, strict=True)), kernel, seeded())
    T = torch.ones(len(p), len(p), dtype=torch.float64)
    for name, layer in zip(names, layers, strict=True):
        if f"mean_{name}" in info:
            T *= bernoulli(info[f"mean_{name}"][:, None], layer)
        else:
            T *= (layer[:, None] == layer).all(-1)
    torch.testing.assert_close(T.sum(1), torch.ones_like(p))
    torch.testing.assert_close(p @ T, p, rtol=0, atol=1e-12)


def test_a_sweep_of_the_belief_network_draws_from_it() -> None:
    model = deep("dbn", seed=1)
    wanted = dbn_by_enumeration(model).exp()
    n, noise = 20_000, seeded(2)
    state = model.init(n, noise)
    for _ in range(25):
        state, info = model.step(state, "gibbs", noise)
    places = 2.0 ** torch.arange(V).double()
    seen = torch.bincount((state["v"] @ places).long(), minlength=2**V) / n
    assert float((seen - wanted).abs().max()) < 5.0 * 0.5 / math.sqrt(n)
    energy = model.machine.energy([state["h1"], state["h2"]])
    torch.testing.assert_close(info["energy"], energy)


def test_the_belief_networks_kernels_touch_what_they_say() -> None:
    model = deep("dbn", (3, 2, 3))
    start = model.init(50, seeded(1))
    top, info = model.step(start, "top", seeded(2))
    assert set(info) == {"mean_h2", "mean_h3", "energy"}
    assert torch.equal(top["v"], start["v"])
    assert torch.equal(top["h1"], start["h1"])
    down, info = model.step(start, "down", seeded(2))
    assert set(info) == {"mean_v", "mean_h1", "energy"}
    torch.testing.assert_close(
        info["mean_v"], torch.sigmoid(model.b + down["h1"] @ model.weights[0].t())
    )
    with pytest.raises(ValueError, match="given 'odd', wanted one of gibbs, top, down"):
        model.step(start, "odd", seeded())


# --- training ---------------------------------------------------------------------------------


def test_gradients_are_autograds_of_the_mean_energies() -> None:
    model = deep("dbm").requires_grad_(True)
    noise = seeded(3)
    data, chains = (
        [torch.rand(n, size, generator=noise).double() for size in (V, H1, H2)] for n in (6, 9)
    )
    (model.machine.energy(data).mean() - model.machine.energy(chains).mean()).backward()
    found = gradients(data, chains)
    for given, parameter in zip(found.weights, model.weights, strict=True):
        torch.testing.assert_close(given, parameter.grad)
    for given, parameter in zip(found.biases, model.biases, strict=True):
        torch.testing.assert_close(given, parameter.grad)


def test_the_centred_step_is_the_gradient_by_centred_parameters() -> None:
    """By autograd: E of units x − μ, whose own biases are a plus what the means send."""
    noise = seeded(5)
    sizes, counts = (4, 3, 2), (1, 1, 1)
    data, chains = (
        [torch.rand(n, size, generator=noise).double() for size in sizes] for n in (6, 9)
    )
    means = [torch.rand(size, generator=noise).double() for size in sizes]
    a = [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    A = [
        torch.zeros(m, n, dtype=torch.float64, requires_grad=True)
        for m, n in itertools.pairwise(sizes)
    ]

    def energy(layers: list[Tensor]) -> Tensor:
        centred = [part - mean for part, mean in zip(layers, means, strict=True)]
        total = -sum((part @ bias for part, bias in zip(centred, a, strict=True)), torch.zeros(()))
        for below, above, weight in zip(centred, centred[1:], A, strict=False):
            total = total - ((below @ weight) * above).sum(-1)
        return total.mean()

    (energy(data) - energy(chains)).backward()
    found = gradients(data, chains)
    found.centre(means, counts)
    for given, weight in zip(found.weights, A, strict=True):
        torch.testing.assert_close(given, weight.grad)
    # Back from centred biases: a = a' − A'μ of the neighbours.
    for index, given in enumerate(found.biases):
        wanted = a[index].grad
        assert wanted is not None
        if index > 0:
            wanted = wanted - found.weights[index - 1].t() @ means[index - 1]
        if index + 1 < len(sizes):
            wanted = wanted - found.weights[index] @ means[index + 1]
        torch.testing.assert_close(given, wanted)


def test_doubled_layers_are_the_machine_with_copies_written_out() -> None:
    """Two copies below and two above, all joined by the same weights: the same conditionals."""
    noise = seeded(6)
    W, a, c = (torch.randn(*s, generator=noise).double() for s in ((4, 3), (4,), (3,)))
    pair = LayerPair(W, a, c, n_lower=2, n_upper=2)
    wide = torch.cat([torch.cat([W, W], 1)] * 2, 0)
    below = torch.rand(5, 8, generator=noise).double().round()
    above = torch.rand(5, 6, generator=noise).double().round()
    up = torch.sigmoid(below @ wide + c.repeat(2))
    torch.testing.assert_close(up[:, :3], pair.up((below[:, :4] + below[:, 4:]) / 2.0))
    down = torch.sigmoid(above @ wide.t() + a.repeat(2))
    torch.testing.assert_close(down[:, :4], pair.down((above[:, :3] + above[:, 3:]) / 2.0))
    data, model = pair.contrast(below[:, :4], 2, noise)
    assert set(model[0].unique().tolist()) <= {0.0, 0.5, 1.0}
    torch.testing.assert_close(data[1], torch.sigmoid(c + 2.0 * below[:, :4] @ W))


def test_half_of_each_doubled_machine_is_the_deep_one() -> None:
    """What pre-training rests on: halves of the logits add up to the deep machine's."""
    model = deep("dbm")
    W1, W2 = model.weights
    first = LayerPair(W1, model.b, model.c1, n_lower=2)
    last = LayerPair(W2, model.c1, model.c2, n_upper=2)
    v, h2 = states()[:5], torch.rand(5, H2, generator=seeded()).double().round()
    logits = 0.5 * (torch.logit(first.up(v)) + torch.logit(last.down(h2)))
    torch.testing.assert_close(torch.sigmoid(logits), model.machine.means(
        1, model.machine.inputs([v, None, h2], 1)))  # fmt: skip


def trainer_of(name: str, batch_size: int = 20, **config: Any) -> Trainer:
    dataset = build_dataset("digits", levels=2)
    model = build_model(name, event_shape=dataset.event_shape, dataset=dataset, **config)
    return Trainer(model, dataset, batch_size=batch_size, device="cpu")


def test_phases_follow_the_step_count() -> None:
    trainer = trainer_of("dbm", hidden_units=(5, 4), pretrain_steps=3)
    layers = [float(trainer.step()["layer"]) for _ in range(8)]
    assert layers == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 0.0, 0.0]
    assert {"chain_0", "chain_1", "chain_2"} <= set(trainer.state.memory)
    assert "lower_bias" not in trainer.state.memory
    trainer = trainer_of("dbn", hidden_units=(5, 4), layer_steps=3)
    depths = [float(trainer.step()["layer"]) for _ in range(8)]
    assert depths == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("name", "config", "moving"),
    [
        ("dbm", {"pretrain_steps": 3}, {"W2", "c2"}),
        ("dbn", {"layer_steps": 3}, {"W2", "c1", "c2"}),
    ],
)
def test_a_layer_alone_moves_nothing_else(
    name: str, config: dict[str, Any], moving: set[str]
) -> None:
    trainer = trainer_of(name, hidden_units=(5, 4), **config)
    for _ in range(4):
        trainer.step()
    before = {n: value.clone() for n, value in trainer.model.named_parameters()}
    trainer.step()
    moved = {
        n for n, value in trainer.model.named_parameters() if not torch.equal(value, before[n])
    }
    assert moved == moving


def test_up_down_moves_the_ways_up_and_down_apart() -> None:
    trainer = trainer_of("dbn", hidden_units=(5, 4), layer_steps=2)
    model: Any = trainer.model
    for _ in range(4):
        trainer.step()
    assert torch.equal(model.W1, model.R1)
    trainer.step()
    assert not torch.equal(model.W1, model.R1)
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_up_down_follows_the_gradients_of_both_ways() -> None:
    """Autograd's: of −log p on the way down from data, of −log q on the way up from a dream."""
    model = deep("dbn", (3, 2), seed=2).requires_grad_(True)
    noise, again = seeded(1), seeded(1)
    v = torch.rand(30, V, generator=seeded(7)).double().round()
    dream = torch.rand(20, 3, generator=seeded(8)).double().round()
    h = model.drawn_up(v, seeded(9), to=1)[1]
    with torch.no_grad():
        pairs = {id(p): gradient for p, gradient in model._up_down([v, h], dream, noise)}
        below = copies_mean(torch.sigmoid(model.down(dream, 0)), 1, again)
    loss = binary_cross_entropy_with_logits(model.down(h, 0), v, reduction="sum") / 30
    loss = loss + binary_cross_entropy_with_logits(model.up(below, 1), dream, reduction="sum") / 20
    loss.backward()
    for parameter in (model.W1, model.b, model.R1, model.r1):
        torch.testing.assert_close(pairs[id(parameter)], parameter.grad)


@pytest.mark.parametrize("name", ["dbm", "dbn"])
def test_a_keyframe_in_any_phase_goes_on_bit_for_bit(name: str) -> None:
    steps = {"dbm": {"pretrain_steps": 3}, "dbn": {"layer_steps": 3, "algorithm": "pcd"}}[name]

    def trainer() -> Trainer:
        return trainer_of(name, 10, hidden_units=(8, 64), **steps)

    whole = trainer()
    for at in (1, 5, 7):
        while whole.steps_done < at:
            whole.step()
        later = trainer()
        later.restore(whole.capture())
        for _ in range(3):
            whole.step()
            later.step()
        for key, value in whole.model.state_dict().items():
            assert torch.equal(value, later.model.state_dict()[key]), key
        whole.restore(later.capture())


@pytest.mark.parametrize("name", ["dbm", "dbn"])
def test_it_learns_binary_digits(name: str) -> None:
    """Exactly normalised: from independent pixels (25.7 nats) down."""
    config = {
        "dbm": {"hidden_units": (10, 10), "pretrain_steps": 120},
        "dbn": {"hidden_units": (10, 64), "layer_steps": 150},
    }[name]
    trainer = trainer_of(name, 50, learning_rate=0.1, **config)
    for _ in range(350):
        trainer.step()
    model: Any = trainer.model
    pictures = trainer.dataset.valid
    found = score(model, pictures, counted_log_z(model.machine), generator=seeded())
    assert found.value > -25.0


@pytest.mark.parametrize("name", ["dbm", "dbn"])
def test_shapes_and_values_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="given 1 layers, wanted two or more"):
        build_model(name, event_shape=(4,), hidden_units=(3,))
    with pytest.raises(ValueError, match="given data with real values, wanted binary"):
        build_model(name, event_shape=(4,), levels=None)


def test_gradients_hold_what_they_are_given() -> None:
    found = Gradients([torch.zeros(2), torch.zeros(3)], [torch.zeros(2, 3)])
    found.centre([torch.ones(2), torch.ones(3)])
    assert float(found.weights[0].abs().sum()) == 0.0
