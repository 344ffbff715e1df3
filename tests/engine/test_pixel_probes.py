"""The probes of the pixel panel against a table in which everything can be enumerated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.estimators.counterfactual import noise_behind
from engine.estimators.histogram_fit import fit_families
from engine.estimators.joint_table import empirical_table, product_of_conditionals
from engine.nets.outputs import icdf, level_probs, make_output
from engine.nets.stepwise import last_of
from engine.probe import Result, View
from engine.registry import build_dataset, build_model, probes
from tests.engine.table_model import TableData, TableModel

MODEL = TableModel()
FIXED = TableModel(any_order=False)
DATA = TableData(MODEL.joint)
PICTURE = np.array([0.0, 1.0, 2.0, 1.0])


def ask_all(name: str, model: Any = MODEL, data: Any = DATA, **arguments: Any) -> list[Result]:
    arrays = {key: v for key, v in arguments.items() if isinstance(v, np.ndarray)}
    plain = {key: v for key, v in arguments.items() if key not in arrays}
    return list(probes()[name].ask(View(model, data, 0, seed=5), plain, arrays))


def ask(name: str, model: Any = MODEL, data: Any = DATA, **arguments: Any) -> Result:
    return ask_all(name, model, data, **arguments)[-1]


# --- the stream -------------------------------------------------------------------------------


def test_the_stream_grows_in_order_and_is_the_sampler() -> None:
    pieces = ask_all("pixel_stream", n=6, chunk=3, watch=2)
    assert [piece.final for piece in pieces] == [False, True]
    assert [piece.values["start"] for piece in pieces] == [0, 3]
    indices = torch.cat([piece.arrays["indices"] for piece in pieces])
    assert indices.tolist() == MODEL.order.tolist() == pieces[0].arrays["order"].tolist()
    values = torch.cat([piece.arrays["values"] for piece in pieces], 1)
    assert values.dtype == torch.uint8
    x = torch.zeros(6, 4, dtype=torch.float64)
    x[:, indices] = values.double()
    log_p = torch.cat([piece.arrays["log_probs"] for piece in pieces], 1).sum(1)
    assert torch.allclose(log_p.double(), MODEL.log_prob(x.view(6, 1, 2, 2)), atol=1e-5)
    whole = MODEL.conditionals(x.view(6, 1, 2, 2))
    bars = torch.cat([piece.arrays["probabilities"] for piece in pieces])
    assert torch.allclose(bars.double(), level_probs(whole)[2][indices], atol=1e-6)
    entropies = torch.cat([piece.arrays["entropies"] for piece in pieces], 1)
    assert torch.allclose(entropies.double(), whole.entropy()[:, indices], atol=1e-6)
    assert pieces[0].values["exact"] is True


def test_the_same_seed_gives_the_same_stream_whatever_the_pieces() -> None:
    def values(**arguments: Any) -> Tensor:
        return torch.cat([p.arrays["values"] for p in ask_all("pixel_stream", **arguments)], 1)

    assert torch.equal(values(n=40, chunk=1), values(n=40, chunk=4))
    assert not torch.equal(values(n=40), values(n=40, seed=1))
    assert not torch.equal(values(n=40), values(n=40, temperature=5.0))


def test_the_stream_keeps_what_is_known_and_takes_an_order() -> None:
    mask = np.array([True, False, False, True])
    pieces = ask_all("pixel_stream", n=5, known=PICTURE, mask=mask)
    assert pieces[0].arrays["unseen"].tolist() == [True, False, False, True]
    assert pieces[0].values["n_unseen"] == 2
    assert pieces[0].values["exact"] is False
    pieces = ask_all("pixel_stream", n=5, known=PICTURE, mask=mask, order="known_first")
    assert pieces[0].values["n_unseen"] == 0
    assert pieces[0].arrays["order"].tolist() == [0, 3, 2, 1]
    values = torch.cat([piece.arrays["values"] for piece in pieces], 1)
    assert values[:, :2].tolist() == [[0, 1]] * 5
    assert ask("pixel_stream", order="column").arrays["indices"].tolist() == [3]
    with pytest.raises(ValueError, match="knows one order alone"):
        ask("pixel_stream", FIXED, order="column")
    with pytest.raises(ValueError, match="order: given 'diagonal'"):
        ask("pixel_stream", order="diagonal")


def test_a_random_order_is_the_same_for_every_probe_of_one_seed() -> None:
    orders = {}
    for seed in (1, 2):
        pieces = ask_all("pixel_stream", n=1, order="random", seed=seed)
        order = orders[seed] = pieces[0].arrays["order"].tolist()
        for place, index in enumerate(order):
            given = {"index": index, "order": "random", "seed": seed, "picture": PICTURE}
            assert ask("conditional_at", **given).values["place"] == place
            future = ask("what_if", **given, value=2.0)
            later = future.arrays["descendants"].reshape(-1).nonzero().flatten().tolist()
            assert later == sorted(order[place + 1 :])
        losses = ask("own_samples_nll", n=4, order="random", seed=seed)
        assert losses.arrays["order"].tolist() == order
    assert orders[1] != orders[2]
    with pytest.raises(ValueError, match="random' without a seed"):
        ask("entropy_map", order="random")


# --- one value --------------------------------------------------------------------------------


def test_bars_of_one_value_are_the_tables() -> None:
    x = torch.from_numpy(PICTURE).view(1, 1, 2, 2)
    for index in range(4):
        found = ask("conditional_at", picture=PICTURE, index=index, temperature=0.5)
        wanted = level_probs(MODEL.conditionals(x))[0, index]
        assert torch.allclose(found.arrays["probabilities"], wanted, atol=1e-12)
        sharp = wanted**2 / (wanted**2).sum()
        assert torch.allclose(found.arrays["drawn_from"], sharp, atol=1e-12)
        entropy = float(-(wanted * wanted.log()).sum())
        assert found.values["entropy"] == pytest.approx(entropy)
        assert found.values["log_prob"] == pytest.approx(
            math.log(float(wanted[int(PICTURE[index])]))
        )
        assert found.values["place"] == MODEL.order.tolist().index(index)


def test_the_entropy_map_adds_up_to_log_p() -> None:
    found = ask("entropy_map", picture=PICTURE)
    log_p = float(MODEL.joint[0, 1, 2, 1].log())
    assert found.values["log_prob"] == pytest.approx(log_p, abs=1e-12)
    assert float(found.arrays["surprises"].sum()) == pytest.approx(-log_p, abs=1e-12)
    assert found.values["bits_per_dim"] == pytest.approx(-log_p / 4 / math.log(2))
    assert found.arrays["entropies"].shape == (1, 2, 2)


def test_densities_have_curves_instead_of_bars() -> None:
    data = build_dataset("eight_gaussians", n_samples=200)
    model = build_model("made", event_shape=(2,)).requires_grad_(False)
    found = ask("conditional_at", model, data, index=1)
    nodes, density = found.arrays["nodes"].double(), found.arrays["density"].double()
    assert float(torch.trapezoid(density, nodes)) == pytest.approx(1.0, abs=0.2)
    assert found.values["entropy_kind"] == "quadrature"
    pieces = ask_all("pixel_stream", model, data, n=3)
    assert pieces[0].arrays["values"].dtype == torch.float32
    assert "probabilities" not in pieces[0].arrays
    assert ask("entropy_map", model, data).values["log_prob"] == pytest.approx(
        float(model.log_prob(data.train[:1])), abs=1e-4
    )
    field = ask("receptive_field", model, data, index=1)
    assert (field.arrays["influence"] > 0).tolist() == [True, False]
    futures = ask("what_if", model, data, index=0, value=0.3, n=3)
    kept = futures.arrays["unchanged"]
    assert torch.allclose(kept, data.train[:1].expand(3, 2), atol=1e-3)


# --- what it sees -----------------------------------------------------------------------------


def test_exchange_finds_exactly_the_earlier_values() -> None:
    for index in range(4):
        found = ask("receptive_field", picture=PICTURE, index=index, method="exchange")
        seen = (found.arrays["influence"].reshape(-1) > 0).tolist()
        place = MODEL.order.tolist().index(index)
        assert seen == [i in MODEL.order[:place].tolist() for i in range(4)]
        assert found.values["n_leaks"] == 0
        assert found.values["n_seen"] == found.values["n_earlier"] == place
    # A table is looked up: there is no gradient, and the probe says what it did instead.
    assert ask("receptive_field", index=1).values["method"] == "exchange"


def test_rounding_is_no_dependence() -> None:
    data = build_dataset("digits", levels=17)
    model = build_model("nade", event_shape=(1, 8, 8), dataset=data).requires_grad_(False)
    found = ask("receptive_field", model, data, index=30, method="exchange")
    assert found.values["n_leaks"] == 0
    assert found.values["n_seen"] == found.values["n_earlier"] == 30


def test_the_gradient_finds_exactly_the_earlier_values() -> None:
    model = build_model("made", event_shape=(4,), hidden_features=(16,), n_components=2).double()
    data = TableData(MODEL.joint)
    data.train = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    found = ask("receptive_field", model, data, index=2, n=9)
    assert (found.arrays["influence"] > 0).tolist() == [True, True, False, False]
    assert found.arrays["earlier"].tolist() == [True, True, False, False]
    leaky = ask("receptive_field", model, data, index=0)
    assert leaky.values["n_seen"] == 0


# --- completions and futures ------------------------------------------------------------------


def test_completions_follow_the_true_conditional_in_any_order() -> None:
    mask = np.array([True, True, False, False])
    found = ask("complete", known=PICTURE, mask=mask, n=256)
    x = found.arrays["completions"].reshape(256, 4).long()
    assert (x[:, :2] == torch.tensor([0, 1])).all()
    assert found.values["n_unseen"] == 0
    assert found.values["exact"] is True
    exact = MODEL.joint[0, 1] / MODEL.joint[0, 1].sum()
    counts = torch.bincount(x[:, 2] * 3 + x[:, 3], minlength=9) / 256
    assert float((counts - exact.reshape(-1)).abs().max()) < 0.12
    one = ask("complete", FIXED, known=PICTURE, mask=mask, n=4)
    assert one.values["n_unseen"] == 2  # both known values stand after index 2 in the order
    assert one.values["exact"] is False
    assert "not conditioned on" in str(one.values["words"])
    assert (one.arrays["completions"].reshape(4, 4)[:, :2] == torch.tensor([0, 1])).all()
    own = ask("complete", known=PICTURE, mask=mask, n=4, own_order=True)
    assert torch.equal(own.arrays["completions"], one.arrays["completions"])
    partial = ask_all("complete", known=PICTURE, mask=mask)
    assert [piece.final for piece in partial] == [False, False, False, True]


def test_how_well_completions_go_with_known_values_that_come_later() -> None:
    mask, p = np.array([True, True, False, False]), MODEL.joint
    # In the order 2, 0, 3, 1: p(x0 given x2) p(x1 given x2, x0, x3), for every x2 and x3.
    first = (p.sum((1, 3))[0] / p.sum((0, 1, 3)))[:, None]
    wanted = (first * p[0, 1] / p.sum(1)[0]).log()
    weights = {
        False: p[0, 1] / p[0, 1].sum(),  # given both known values
        True: p.sum((0, 1, 3))[:, None] * p.sum(1)[0] / p.sum((1, 3))[0][:, None],
    }
    exact = {}
    for own_order, weight in weights.items():
        assert float(weight.sum()) == pytest.approx(1.0)
        found = ask("complete", known=PICTURE, mask=mask, n=256, own_order=own_order)
        x = found.arrays["completions"].reshape(256, 4).long()
        later = found.arrays["later_log_probs"]
        assert torch.allclose(later, wanted[x[:, 2], x[:, 3]], atol=1e-12)
        mean, error = (float(found.values[f"later_{k}"]) for k in ("log_prob", "error"))
        exact[own_order] = float((weight * wanted).sum())
        assert abs(mean - exact[own_order]) < 4.5 * error
        assert error == pytest.approx(float(later.std()) / 16.0)
    assert exact[False] > exact[True] + 0.1
    nothing = ask("complete", known=PICTURE, mask=np.array([False, False, True, False]), n=4)
    assert nothing.values["later_log_prob"] == 0.0


def test_completions_of_an_open_class_weigh_the_classes_by_what_is_known() -> None:
    data = build_dataset("digits", levels=2)
    model = build_model("fvsbn", event_shape=(1, 2, 2), class_conditional=True, n_classes=2)
    model = model.double().requires_grad_(False)
    model.W.zero_()
    model.b.zero_()
    model.T.copy_(torch.tensor([2.0, -2.0]).view(2, 1, 1))  # white or black, pixel by pixel
    known, mask = np.array([1.0, 1.0, 0.0, 0.0]), np.array([True, True, False, False])
    found = ask("complete", model, data, known=known, mask=mask, n=256)
    assert found.values["exact"] is True
    assert "classes are weighed" in str(found.values["words"])
    white = 1.0 / (1.0 + math.exp(-2.0))
    first = white**2 / (white**2 + (1 - white) ** 2)  # p(class 0 given two white pixels)
    wanted = first * white**2 + (1 - first) * (1 - white) ** 2
    both = found.arrays["completions"].reshape(256, 4)[:, 2:].all(1).double().mean()
    assert wanted > 0.7 > 0.6 > 0.5 * (white**2 + (1 - white) ** 2)  # a class each in turn
    assert float(both) == pytest.approx(wanted, abs=0.1)
    one = ask("complete", model, data, known=known, mask=mask, n=256, label=1)
    assert float(one.arrays["completions"][:, 0, 1].double().mean()) < 0.25
    assert "classes" not in str(one.values["words"])


def test_noise_behind_a_picture_draws_it_again() -> None:
    generator = torch.Generator().manual_seed(0)
    for family, levels in (("categorical", 17), ("logistic_mixture", 256), ("gaussian", 256)):
        output = make_output(family, levels=levels, n_components=3)
        p = torch.randn(500, output.n_params, generator=generator, dtype=torch.float64)
        d = output.distribution(p)
        x = icdf(d, torch.rand(500, generator=generator, dtype=torch.float64))
        for u in (0.0, 0.5, 1.0):
            behind = noise_behind(d, x, torch.full((500,), u, dtype=torch.float64))
            assert torch.equal(icdf(d, behind), x)
    density = make_output("logistic_mixture", levels=None)
    d = density.distribution(torch.randn(500, density.n_params, generator=generator).double())
    x = torch.randn(500, generator=generator, dtype=torch.float64)
    behind = noise_behind(d, x, torch.rand(500, generator=generator, dtype=torch.float64))
    sensible = (behind > 1e-9) & (behind < 1 - 1e-9)
    assert torch.allclose(icdf(d, behind)[sensible], x[sensible], atol=1e-4)


def test_only_what_depends_on_the_change_changes() -> None:
    found = ask("what_if", picture=PICTURE, index=0, value=2.0, n=8)
    changed = found.arrays["changed"].reshape(8, 4)
    unchanged = found.arrays["unchanged"].reshape(8, 4)
    assert (unchanged == torch.from_numpy(PICTURE)).all()  # the noise behind the picture
    assert (changed[:, 0] == 2).all()
    assert (changed[:, 2] == 2).all()  # before it in the order: it stays
    assert found.arrays["descendants"].reshape(-1).tolist() == [False, True, False, True]
    nothing = ask("what_if", picture=PICTURE, index=0, value=0.0, n=8)
    assert nothing.values["n_differ"] == 0
    fresh = ask("what_if", picture=PICTURE, index=0, value=2.0, n=64, common=False)
    x = fresh.arrays["changed"].reshape(64, 4).long()
    exact = MODEL.joint[2, :, 2, :] / MODEL.joint[2, :, 2, :].sum()
    counts = torch.bincount(x[:, 1] * 3 + x[:, 3], minlength=9) / 64
    assert float((counts - exact.reshape(-1)).abs().max()) < 0.2
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        ask("what_if", picture=PICTURE, index=0, value=3.0)


def improbable() -> tuple[Any, Tensor]:
    """A model of 17 levels that hardly ever draws level 3, and a picture of nothing else."""
    model = build_model("fvsbn", event_shape=(1, 2, 2), levels=17).requires_grad_(False)
    model.W.zero_()
    model.b.view(4, 17)[:, 3] = -16.0
    return model, torch.full((1, 2, 2), 3.0)


def test_improbable_values_have_noise_behind_them_too() -> None:
    model, x = improbable()
    data = build_dataset("digits", levels=17)
    p = level_probs(model.conditionals(x[None]))[0, :, 3]
    assert float(p.max()) < 1e-7  # float32 has no number between its ends
    for seed in range(3):
        given = {"picture": x.numpy(), "index": 0, "value": 9.0, "n": 16, "seed": seed}
        found = ask("what_if", model, data, **given)
        assert (found.arrays["unchanged"] == 3).all()
        assert found.values["n_impossible"] == 0
        assert found.values["n_differ"] == 0  # no value of this model depends on another


def test_values_that_top_p_has_cut_off_are_counted_and_drawn_afresh() -> None:
    model, x = improbable()
    data = build_dataset("digits", levels=17)
    given = {"picture": x.numpy(), "index": 1, "value": 9.0, "n": 32, "top_p": 0.9}
    found = ask("what_if", model, data, **given)
    assert found.values["n_impossible"] == 2
    unchanged = found.arrays["unchanged"].reshape(32, 4)
    assert (unchanged[:, :2] == 3).all()
    assert not (unchanged[:, 2:] == 3).any()
    assert len(unchanged[:, 2].unique()) > 5
    fresh = ask("what_if", model, data, **given, common=False)
    assert fresh.values["n_impossible"] == 0


# --- orders, errors, families -----------------------------------------------------------------


def test_the_chain_rule_holds_in_every_order() -> None:
    found = ask("chain_rule_orders", state=14)
    assert found.values["n_orders"] == 24
    assert found.values["likeliest"] == int(MODEL.joint.argmax())
    assert float(found.values["worst"]) < 1e-12
    assert torch.allclose(
        found.arrays["log_probs"], MODEL.joint.reshape(-1)[14].log().expand(24), atol=1e-12
    )
    assert torch.allclose(
        found.arrays["model_log_probs"], found.arrays["log_probs"], atol=1e-12
    )  # a table is one joint in all orders
    of_data = ask("chain_rule_orders", indices=[3, 0])
    assert of_data.values["n_orders"] == 2
    assert float(of_data.values["worst"]) < 1e-12
    pair = (DATA.train.reshape(-1, 4) == torch.tensor([2.0, 0.0, 0.0, 1.0])).long()
    both = int((pair[:, 3] * pair[:, 0]).sum()) + 1
    joint = of_data.arrays["joint"].reshape(3, 3)
    assert float(joint[1, 2]) == pytest.approx(both / (len(DATA.train) + 9))


@pytest.mark.parametrize("name", ["nade", "made", "gated_pixelcnn", "transformer"])
def test_the_chain_rule_of_a_network_holds_to_the_last_digits(name: str) -> None:
    data = build_dataset("bars_and_stripes")
    settings = {"order_agnostic": True} if name in ("nade", "made") else {}
    model = build_model(name, event_shape=(1, 3, 3), seed=1, dataset=data, **settings)
    model = model.requires_grad_(False)
    found = ask("chain_rule_orders", model, data, state=5)
    assert found.values["of"] == "the model's own joint"
    assert (found.values["n_states"], found.values["n_orders"]) == (512, 720)
    assert float(found.values["worst"]) < 1e-15
    assert float(found.values["total"]) == pytest.approx(1.0, abs=1e-12)
    terms, log_p = found.arrays["log_factors"], found.arrays["log_probs"]
    assert torch.allclose(terms.sum(1), log_p, atol=1e-12)
    assert float((log_p - log_p[0]).abs().max()) < 1e-12
    assert float((terms[0] - terms[-1]).abs().max()) > 1e-4  # the same sum of other terms
    state = found.arrays["states"][5].double().view(1, 1, 3, 3)
    own = float(model.log_prob(state.float()))
    assert float(log_p[0]) == pytest.approx(own, abs=1e-4)
    each = found.arrays.get("model_log_probs")
    assert (each is not None) == bool(settings)
    if each is not None:  # an untrained network has a joint of its own in every order
        assert float(each[0]) == pytest.approx(own, abs=1e-4)
        assert float(each.std()) > 1e-6


def test_products_of_wrong_conditionals_would_be_seen() -> None:
    table = empirical_table(DATA.train.reshape(-1, 4), 3)
    wrong = product_of_conditionals(table, (0, 1, 2))  # the last value is never drawn
    assert float((wrong - table).abs().max()) > 1e-3


def test_nll_on_data_and_on_own_samples() -> None:
    pieces = ask_all("own_samples_nll", n=200, split="test")
    assert [piece.final for piece in pieces] == [False, True]
    found = pieces[-1]
    x = DATA.test.double()
    assert found.values["data_total"] == pytest.approx(-float(MODEL.log_prob(x).mean()))
    entropy = float(-(MODEL.joint * MODEL.joint.log()).sum())
    for name in ("data", "own"):
        error = float(found.values[f"{name}_total_error"])
        assert abs(float(found.values[f"{name}_total"]) - entropy) < 4.0 * error
        assert float(found.arrays[f"{name}_nll"].sum()) == pytest.approx(
            float(found.values[f"{name}_total"])
        )
    first = MODEL.joint.sum((0, 1, 3))
    assert float(found.arrays["own_entropy"][0]) == pytest.approx(
        float(-(first * first.log()).sum())
    )
    primed = ask("own_samples_nll", n=200, prefix=2)
    assert torch.allclose(primed.arrays["own_nll"][:2], primed.arrays["data_nll"][:2])
    bare = ask("own_samples_nll", n=200, entropies=False)
    assert not [name for name in (*bare.arrays, *bare.values) if "entropy" in name]
    assert torch.equal(bare.arrays["own_nll"], found.arrays["own_nll"])
    with pytest.raises(ValueError, match="prefix: given 4, wanted 0 to 3"):
        ask("own_samples_nll", prefix=4)


def test_families_fitted_to_two_peaks() -> None:
    places = np.arange(256)
    peaks = np.exp(-0.5 * ((places - 60) / 8) ** 2) + np.exp(-0.5 * ((places - 190) / 12) ** 2)
    found = ask("output_families", counts=np.round(1e4 * peaks))
    names = list(found.values["names"])
    nlls = dict(zip(names, found.values["nlls"], strict=True))
    assert found.values["n_params"] == [256, 2, 3, 6, 9, 2]
    assert found.values["kinds"] == ["probability"] * 5 + ["density"]
    least = float(found.values["least"])
    assert nlls["categorical"] == pytest.approx(least, abs=1e-12)
    assert nlls["Gaussian, bins integrated"] - least > 0.7  # one peak cannot be two
    assert nlls["logistic mixture, K = 2"] - least < 0.02
    assert nlls["logistic mixture, K = 3"] <= nlls["logistic mixture, K = 2"] + 1e-6
    assert all(abs(total - 1.0) < 1e-9 for total in found.values["sums"][:-1])
    assert found.arrays["probs"].shape == (6, 256)


def test_a_narrow_density_beats_every_probability_and_means_nothing() -> None:
    counts = torch.zeros(17)
    counts[3] = 100.0
    counts[4] = 1.0
    fits = {fit.name: fit for fit in fit_families(counts)}
    density = fits["Gaussian density"]
    assert density.nll < 0.0 < fits["categorical"].nll
    assert density.kind == "density"
    assert abs(float(density.probs.sum()) - 1.0) > 0.5


def test_fits_are_maxima() -> None:
    generator = torch.Generator().manual_seed(3)
    counts = torch.randint(1, 50, (17,), generator=generator).double()
    share = counts / counts.sum()
    every = torch.arange(17).double()
    fit = next(f for f in fit_families(counts) if f.name.startswith("Gaussian, bins"))
    family = make_output("gaussian", levels=17)
    for move in torch.randn(50, 2, generator=generator, dtype=torch.float64) * 0.05:
        other = -(share * family.log_prob((fit.params + move).expand(17, -1), every)).sum()
        assert float(other) >= fit.nll - 1e-10


def test_families_of_data() -> None:
    found = ask("output_families", index=1, given=[0], levels_given=[2])
    rows = DATA.train.reshape(-1, 4)
    wanted = torch.bincount(rows[rows[:, 0] == 2, 1].long(), minlength=3)
    assert torch.equal(found.arrays["counts"], wanted.double())
    binary = fit_families(torch.tensor([30.0, 10.0]))
    assert [fit.name for fit in binary][1] == "Bernoulli"
    assert float(binary[1].probs[1]) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("pixel_stream", {"n": 0}, "n: given 0"),
        ("pixel_stream", {"mask": np.ones(4)}, "known: given a mask alone"),
        ("complete", {}, "mask: given none"),
        ("complete", {"known": PICTURE, "mask": np.ones(3)}, r"mask: given shape \(3,\)"),
        ("conditional_at", {"index": 4}, "index: given 4, wanted 0 to 3"),
        ("conditional_at", {"index": 0, "picture": np.zeros(5)}, r"picture: given shape \(5,\)"),
        ("conditional_at", {"index": 0, "picture": np.full(4, 0.5)}, "whole numbers"),
        ("receptive_field", {"index": 0, "method": "guess"}, "method: given 'guess'"),
        ("what_if", {"index": 0, "value": 1.0, "label": -1}, "label: given -1"),
        ("output_families", {"counts": np.zeros(4)}, "counts: given"),
        ("output_families", {"index": 9}, "index: given"),
        ("output_families", {"index": 0, "given": [1]}, "levels_given: given 0 for 1"),
        ("chain_rule_orders", {"indices": [7]}, "indices: given"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ask(name, **arguments)


def test_a_cancelled_probe_stops() -> None:
    view = View(MODEL, DATA, 0, cancelled=lambda: True)
    for name in ("pixel_stream", "own_samples_nll"):
        assert list(probes()[name].ask(view, {})) == []
    assert last_of(MODEL.sample_steps(torch.full((1, 4), 0.5))).shape == (1, 1, 2, 2)
