"""Disentanglement on data whose factors are known: three scores over several seeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import torch
from torch import Tensor

from engine.capabilities import Decoding, Encoding
from engine.dataset import Dataset, as_float
from engine.estimators.density import CancellationError, as_events
from engine.estimators.disentangling import (
    Factors,
    beta_vae_score,
    binned_information,
    factor_vae_score,
    factors_of,
    mig_of,
    sampled_information,
    varies,
)
from engine.estimators.shared_bound import HasDistribution
from engine.estimators.units import posterior_means
from engine.probe import Result, View, probe
from engine.wire.capability import Capability
from engine.wire.fields import Value

#: Observations that are encoded at most, and that one seed sees.
MOST_EVENTS = 10_000
SEED_SHARE = 0.8
MOST_SEEDS = 50
#: Most units for which the sampled estimator is worth its time.
MOST_SAMPLED = 64


class Arguments(msgspec.Struct, frozen=True):
    """How many seeds, and how many observations are encoded."""

    n_seeds: int = 5
    n: int = 4000


@probe(
    summary="Disentanglement: β-VAE and FactorVAE metric, MIG.",
    arguments=Arguments,
    needs=(Capability.ENCODING, Capability.DECODING),
)
def factor_scores(view: View, arguments: Arguments) -> Iterator[Result]:
    """Score the code E_q[z] against the known factors, one result for each seed.

    A seed sees four fifths of the observations and its own batches. Values so far, one entry a
    seed: ``beta_vae``, ``factor_vae``, ``mig`` (histograms of 20 bins), ``mig_sampled`` (of one
    Gaussian q without correlations; NaN for others); ``chance`` (1/F, of the first two),
    ``factors`` by name, ``n``, ``units``, ``progress``. Arrays: ``information`` (U, F), I(z; v) in
    nats of all observations, ``entropies`` (F,).

    Raises:
        ValueError: The data have no known factors, or a number is out of range.
    """
    _check(view.dataset, arguments)
    model = view.model
    if not (isinstance(model, Encoding) and isinstance(model, Decoding)):
        raise ValueError(f"{model.card.title} has no encoder")
    with suppress(CancellationError):
        yield Result({}, {"progress": 0.0}, final=False)
        x, values, context = _observations(view, arguments.n)
        factors = factors_of(values)
        code = _code(view, x, context)
        q = _diagonal(view, x, context)
        arrays = {"information": binned_information(code, factors), "entropies": factors.entropies}
        fixed: dict[str, Value] = {
            "factors": _names(view.dataset, values),
            "chance": 1.0 / factors.n_factors,
            "n": len(x),
            "units": code.shape[1],
        }
        scores: dict[str, list[int | float | str]] = {}
        for seed in range(arguments.n_seeds):
            if view.cancelled():
                return
            for name, value in _one_seed(view, seed, code, q, factors).items():
                scores.setdefault(name, []).append(value)
            progress = (seed + 1) / arguments.n_seeds
            found: dict[str, Value] = {name: list(each) for name, each in scores.items()}
            final = seed + 1 == arguments.n_seeds
            yield Result(arrays, fixed | found | {"progress": progress}, final=final)


def _check(dataset: Dataset, arguments: Arguments) -> None:
    if dataset.train_factors is None:
        raise ValueError(
            f"{dataset.card.title} have no known factors; choose data that do, such as sprites"
        )
    if not 1 <= arguments.n_seeds <= MOST_SEEDS or not 100 <= arguments.n <= MOST_EVENTS:
        raise ValueError(
            f"factor_scores: given n_seeds {arguments.n_seeds} and n {arguments.n}, wanted 1 to "
            f"{MOST_SEEDS} seeds and 100 to {MOST_EVENTS} observations"
        )


def _observations(view: View, n: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Events, factors (N, F) and labels where the model uses them, of all splits: test first."""
    data, events, factors, labels = view.dataset, [], [], []
    for split in ("test", "valid", "train"):
        own = getattr(data, f"{split}_factors")
        if own is not None and len(own):
            events.append(getattr(data, split))
            factors.append(own)
            labels.append(getattr(data, f"{split}_labels"))
    x = as_events(view.model, as_float(torch.cat(events)[:n]).flatten(1))
    context = None
    if view.model.uses_labels and all(part is not None for part in labels):
        context = torch.cat(labels)[:n].to(view.model.device)
    return x, torch.cat(factors)[:n], context


def _names(dataset: Dataset, values: Tensor) -> list[int | float | str]:
    """Names of the factors that vary."""
    pairs = zip(dataset.factor_names, values.T, strict=True)
    return [name for name, column in pairs if varies(column)]


def _code(view: View, x: Tensor, context: Tensor | None) -> Tensor:
    """E_q[z] of all latents side by side, (N, U), float64."""
    model = view.model
    if not (isinstance(model, Encoding) and isinstance(model, Decoding)):
        raise ValueError(f"{model.card.title} has no encoder")
    means = posterior_means(
        model, model.latents, x, generator=view.generator(6), context=context,
        cancelled=view.cancelled,
    )  # fmt: skip
    return torch.cat([means[latent.name].values for latent in model.latents], 1)


@torch.no_grad()
def _diagonal(view: View, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Means and scales (N, U) of a q without correlations; None for any other q."""
    model = view.model
    if not (isinstance(model, Encoding) and isinstance(model, Decoding)):
        return None
    if len(model.latents) != 1 or model.latents[0].kind != "real":
        return None
    posterior = model.encode(x, context=context)
    if not isinstance(posterior, HasDistribution):
        return None
    base = getattr(posterior.distribution, "base_dist", None)
    if not isinstance(base, torch.distributions.Normal) or base.loc[0].numel() > MOST_SAMPLED:
        return None
    return base.loc.flatten(1).cpu().double(), base.scale.flatten(1).cpu().double()


def _one_seed(
    view: View, seed: int, code: Tensor, q: tuple[Tensor, Tensor] | None, factors: Factors
) -> dict[str, float]:
    generator = view.generator(100 + seed)
    rows = torch.randperm(len(code), generator=generator)[: round(SEED_SHARE * len(code))]
    own, part = code[rows], Factors(factors.parts[rows], factors.counts)
    sampled = float("nan")
    if q is not None:
        table = sampled_information(q[0][rows], q[1][rows], part, generator=generator)
        sampled = mig_of(table, part)
    return {
        "beta_vae": beta_vae_score(own, part, generator=generator),
        "factor_vae": factor_vae_score(own, part, generator=generator),
        "mig": mig_of(binned_information(own, part), part),
        "mig_sampled": sampled,
    }
