"""JEM: a softmax that does not see what p(x) sees, its gradients, its chains of one class."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.laws import check_model
from engine.models.energy.jem import JEM
from engine.probe import View
from engine.registry import build_dataset, build_model, probes
from engine.training import Trainer, fit
from tests.engine.toys import Table

SMALL: dict[str, Any] = {
    "hidden_features": (6, 8),
    "langevin_steps": 3,
    "n_chains": 12,
    "buffer_size": 40,
    "batch_size": 16,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def jem(shape: tuple[int, ...] = (1, 8, 8), **config: Any) -> JEM:
    model = build_model("jem", event_shape=shape, **{**SMALL, **config})
    assert isinstance(model, JEM)
    model = model.double()
    data = 2.0 + 3.0 * torch.randn(200, *shape, generator=generator(1)).double()
    model.prepare(data, generator=generator())
    with torch.no_grad():
        model.net.weights[-1].mul_(10.0)
    model.average.load_state_dict(model.net.state_dict())
    return model


def events(n: int, shape: tuple[int, ...] = (1, 8, 8)) -> Tensor:
    return 2.0 + 3.0 * torch.randn(n, *shape, generator=generator(2)).double()


# --- what a classifier hides ------------------------------------------------------------------


def test_a_shift_of_all_logits_changes_p_of_x_alone() -> None:
    """g(x) added to every logit, here a constant g: softmax as before, energy lower by g."""
    model = jem()
    x = events(9)
    probs, energy = model.class_log_probs(x).detach(), model.energy(x).detach()
    with torch.no_grad():
        model.average.biases[-1].add_(2.5)
    torch.testing.assert_close(model.class_log_probs(x), probs)
    torch.testing.assert_close(model.energy(x), energy - 2.5)


def test_a_shift_that_depends_on_x_changes_what_is_likely() -> None:
    model = jem()
    x = events(9)
    probs, energy = model.class_log_probs(x).detach(), model.energy(x).detach()
    direction = torch.randn(model.average.weights[-1].shape[1], generator=generator()).double()
    with torch.no_grad():
        model.average.weights[-1].add_(direction)
    torch.testing.assert_close(model.class_log_probs(x), probs)
    moved = model.energy(x) - energy
    assert float(moved.std()) > 0.1


def test_the_joint_is_the_product_of_its_parts() -> None:
    """E(x, y) = E(x) − log p(y given x), and exp(−E(x)) = Σ_y exp(−E(x, y))."""
    model = jem()
    x = events(12)
    every = torch.stack([model.energy(x, context=torch.full((12,), y)) for y in range(10)], 1)
    torch.testing.assert_close(-(-every).logsumexp(1), model.energy(x))
    wanted = model.energy(x)[:, None] - model.class_log_probs(x)
    torch.testing.assert_close(every, wanted)
    torch.testing.assert_close(model.ood_score(x), model.energy(x))


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)], ids=str)
@pytest.mark.parametrize("labelled", [False, True])
def test_the_score_is_autograds(shape: tuple[int, ...], labelled: bool) -> None:
    model = jem(shape, n_classes=4)
    x = events(10, shape).requires_grad_()
    context = torch.arange(10) % 4 if labelled else None
    (gradient,) = torch.autograd.grad(model.energy(x, context=context).sum(), x)
    torch.testing.assert_close(model.score(x.detach(), context=context), -gradient)


@pytest.mark.parametrize("shape", [(2,), (2, 5, 4)], ids=str)
def test_all_laws_hold(shape: tuple[int, ...]) -> None:
    assert [r for r in check_model(jem(shape), generator()) if not r.passed] == []


def test_labels_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels of shape \(3,\), wanted \(5,\)"):
        jem().energy(events(5), context=torch.zeros(3, dtype=torch.int64))


# --- training ---------------------------------------------------------------------------------


def test_losses_add_up_to_the_joint_likelihood() -> None:
    """total = −log p(y given x) plus the contrast of −log Σ exp, with the weight's share."""
    model = jem(classification=0.5, class_noise=0.3)
    x, negatives, y = events(12), events(7) + 1.0, torch.arange(12) % 10
    losses = model.losses(x, negatives, y, generator=generator())
    logs = model.class_log_probs(x)  # the averaged network is the trained one here
    entropy = -logs[torch.arange(12), y].mean()
    torch.testing.assert_close(losses["classification"], entropy)
    contrast = model.energy(x).mean() - model.energy(negatives).mean()
    torch.testing.assert_close(losses["total"], contrast + 0.5 * entropy)
    right = (logs.argmax(1) == y).double().mean()
    torch.testing.assert_close(losses["accuracy"], right)
    assert "accuracy" not in model.losses(x, negatives, None, generator=generator())


def test_the_gradient_is_that_of_both_terms() -> None:
    model = jem((2,), n_classes=3)
    x, negatives, y = events(6, (2,)), events(5, (2,)) - 1.0, torch.arange(6) % 3
    weights = list(model.net.parameters())
    given = torch.autograd.grad(
        model.losses(x, negatives, y, generator=generator())["total"], weights
    )
    u, v = model.standardise(x), model.standardise(negatives)
    joint = -model.net(u)[torch.arange(6), y].mean() + model.net(v).logsumexp(1).mean()
    # log p(y given x) + log p(x) is log p(x, y): the normaliser over classes cancels.
    wanted = torch.autograd.grad(joint, weights)
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_classified_has_the_noise_that_is_asked_for() -> None:
    """σ = 0.3 on all data and 0.5 on what is classified: 0.4 more, since variances add."""
    model = jem(class_noise=0.5)
    assert model._more_noise() == pytest.approx(0.4)
    model.set_live({"class_noise": None})
    assert model._more_noise() == pytest.approx(0.3 * 3.0**0.5)
    model.set_live({"class_noise": 0.1})
    assert model._more_noise() == 0.0
    assert jem((2,))._more_noise() == 0.0


def test_data_without_labels_teach_p_of_x() -> None:
    x = torch.randn(200, 2, generator=generator())
    dataset = Table(x)
    model = build_model("jem", event_shape=(2,), dataset=dataset, **SMALL)
    done = fit(model, dataset, steps=3, device="cpu", record_every=1)
    assert set(done.losses) == {"total", "positive", "negative", "regulariser"}
    digits = build_dataset("digits")
    trainer = Trainer(build_model("jem", event_shape=(1, 8, 8), **SMALL), digits, device="cpu")
    assert {"classification", "accuracy"} <= set(trainer.step())


def test_an_evaluation_says_how_many_classes_are_right() -> None:
    dataset = build_dataset("digits")
    model = build_model("jem", event_shape=(1, 8, 8), dataset=dataset, **SMALL)
    fit(model, dataset, steps=2, device="cpu")
    (found,) = probes()["evaluate"].ask(View(model, dataset, 2, seed=1), {"split": "test"})
    assert isinstance(model, JEM)
    each = [model.energy(dataset.test, context=torch.full((447,), y)) for y in range(10)]
    guesses = torch.stack(each).argmin(0)
    share = float((guesses == dataset.test_labels).double().mean())
    assert found.values["accuracy"] == pytest.approx(share)
    wanted = (share * (1.0 - share) / 447) ** 0.5
    assert found.values["accuracy_error"] == pytest.approx(wanted)
    plain = build_model("ebm", event_shape=(1, 8, 8), **SMALL)
    (found,) = probes()["evaluate"].ask(View(plain, dataset, 0, seed=1), {"split": "test"})
    assert "accuracy" not in found.values


# --- chains -----------------------------------------------------------------------------------


def test_chains_with_a_label_walk_on_its_energy() -> None:
    model = jem()
    y = torch.arange(6) % 10
    state = model.init(6, generator(), context=y)
    after, info = model.step(state, "langevin", generator(4))
    assert torch.equal(after["y"], y)
    torch.testing.assert_close(info["energy"], model.energy(after["x"], context=y).detach())
    rate = model.chain_step_size
    wanted = 0.5 * rate * model.scale.square().reshape(1, 8, 8)
    torch.testing.assert_close(info["drift"], wanted * model.score(state["x"], context=y))
    free, _ = model.step({"x": state["x"]}, "langevin", generator(4))
    assert set(free) == {"x"}
    assert not torch.equal(free["x"], after["x"])


@pytest.mark.slow
def test_it_learns_to_tell_digits_and_to_draw_them_by_class() -> None:
    dataset = build_dataset("digits")
    small: Any = {"n_chains": 24, "hidden_features": (32, 32), "learning_rate": 4e-3}
    model: Any = build_model("jem", event_shape=(1, 8, 8), **small)
    fit(model, dataset, steps=50, batch_size=64, device="cpu")
    assert dataset.valid_labels is not None
    with torch.no_grad():
        right = model.logits(dataset.valid).argmax(1) == dataset.valid_labels
    assert float(right.double().mean()) > 0.8
    noise, y = generator(1), torch.arange(40) % 10
    state = model.init(40, noise, context=y)
    for _ in range(60):
        state, _ = model.step(state, "langevin", noise)
    drawn = model.denoised(state["x"], context=y).flatten(1)
    centres = torch.stack([dataset.train[dataset.train_labels == k].mean(0) for k in range(10)])
    nearest = torch.cdist(drawn, centres.flatten(1)).argmin(1)
    assert float((nearest == y).double().mean()) > 0.5
    strange = model.ood_score(torch.rand(50, 1, 8, 8, generator=noise)).mean()
    assert float(strange - model.ood_score(dataset.valid).mean()) > 10.0
