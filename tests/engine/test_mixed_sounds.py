"""Mixed sounds, and how far flows take them apart."""

from __future__ import annotations

import pytest
import torch

from engine.probe import View
from engine.probes.unmix import kurtosis, matched, unmix, whitened
from engine.registry import build_dataset, build_model
from engine.training import fit
from tests.engine.latent_toys import generator


@pytest.mark.parametrize("count", [2, 4])
def test_microphones_hear_every_sound(count: int) -> None:
    data = build_dataset("mixed_sounds", n_sources=count, n_samples=4000)
    assert data.sounds.shape == (4000, count)
    torch.testing.assert_close(data.sounds.mean(0), torch.zeros(count), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.sounds.std(0), torch.ones(count), atol=1e-4, rtol=0)
    torch.testing.assert_close(data.mixtures, data.sounds @ data.mixing.T)
    assert float(torch.linalg.cond(data.mixing)) < 20.0
    instants = torch.cat([data.train, data.valid, data.test])
    torch.testing.assert_close(instants.sort(0).values, data.mixtures.sort(0).values)
    assert bool((kurtosis(data.sounds) > 5.0).all())


def test_the_same_seed_gives_the_same_sounds() -> None:
    first, again, other = (
        build_dataset("mixed_sounds", n_samples=2000, seed=s).mixtures for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fast_ica_takes_them_apart() -> None:
    data = build_dataset("mixed_sounds", n_sources=4, n_samples=8000)
    model = build_model("fast_ica", event_shape=(4,), dataset=data, seed=0)
    before, after = [], []
    for found, steps in ((before, 0), (after, 40)):
        if steps:
            fit(model, data, steps=steps, device="cpu")
        else:
            model.prepare(data.train, generator=generator())
        (result,) = unmix.ask(View(model.eval(), data, 0), {}, {})
        found.append(result)
    values = after[0].values
    assert min(values["correlations"]) >= 0.99
    assert min(values["correlations"]) > min(before[0].values["correlations"])
    assert values["names"] == ["bell", "voice", "drum", "rain"]
    arrays = {name: torch.as_tensor(a).double() for name, a in after[0].arrays.items()}
    r = (arrays["unmixed"] * arrays["sources"]).mean(1)
    torch.testing.assert_close(r, torch.tensor(values["correlations"]), atol=1e-4, rtol=0,
                               check_dtype=False)  # fmt: skip
    closer = torch.tensor(values["source_kurtosis"]) - torch.tensor(values["unmixed_kurtosis"])
    assert float(closer.abs().max()) < 0.5


def test_outputs_find_their_sources_whatever_order_and_sign() -> None:
    sources = whitened(torch.rand(500, 3, generator=generator()))
    order, r = matched(sources[:, [2, 0, 1]] * torch.tensor([1.0, -1.0, 1.0]), sources)
    assert order == [1, 2, 0]
    assert r.sign().tolist() == [-1.0, 1.0, 1.0]
    assert float(r.abs().min()) > 1.0 - 1e-9


def test_kurtosis_of_known_laws() -> None:
    g = generator(1)
    normal = torch.randn(400_000, 1, generator=g)
    even = torch.rand(400_000, 1, generator=g)
    assert float(kurtosis(normal)) == pytest.approx(3.0, abs=0.05)
    assert float(kurtosis(even)) == pytest.approx(1.8, abs=0.01)


def test_other_data_are_refused() -> None:
    data = build_dataset("two_moons", n_samples=50)
    model = build_model("realnvp", event_shape=(2,), dataset=data)
    with pytest.raises(ValueError, match="given Two moons, wanted instants of a recording"):
        list(unmix.ask(View(model, data, 0), {}, {}))
