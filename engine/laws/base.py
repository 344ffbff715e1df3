"""What a law is, and the small tools that laws share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from engine.capabilities import capabilities_of
from engine.drawing import draw, normal_noise
from engine.latents import Latent
from engine.model import GenerativeModel
from engine.wire.capability import WORDING, Capability

#: Relative and absolute difference allowed between two ways to the same number.
TOLERANCE = {torch.float64: 1e-7, torch.float32: 2e-3}
#: Standard errors within which an estimate must lie; laws run thousands of times.
N_ERRORS = 6.0


class LawBroken(Exception):  # noqa: N818 - a finding about a model, not a fault of the program
    """A model breaks a law of one of its capabilities; the sentence carries the figures."""


class NotTestable(Exception):  # noqa: N818 - as above
    """A law cannot be tested on this model, for instance because its events are too large."""


@dataclass(frozen=True)
class Law:
    """Something that must hold for every model with a capability.

    ``check(model, generator)`` returns when it holds; otherwise it raises :class:`LawBroken`, or
    :class:`NotTestable`. The model is in eval mode and is not changed.
    """

    name: str
    capability: Capability
    check: Callable[[Any, torch.Generator], None]

    @property
    def summary(self) -> str:
        """The first line of the check's docstring."""
        return (self.check.__doc__ or self.name).strip().splitlines()[0]


def laws_of(capability: Capability, *checks: Callable[[Any, torch.Generator], None]) -> list[Law]:
    """Laws of one capability, each named as its function."""
    return [Law(check.__name__, capability, check) for check in checks]


def points(model: GenerativeModel, n: int, generator: torch.Generator) -> Tensor:
    """Events (n, *E) spread as the training data were; whole numbers for a model of levels.

    A model whose density ends at edges is asked about its own draws.
    """
    levels = levels_of(model)
    if levels is not None:
        shape = (n, *model.event_shape)
        return torch.randint(levels, shape, generator=generator).to(model.location)
    if has_edges(model):
        x: Tensor = cast(Any, model).sample(n, generator=generator)
        return x
    noise = normal_noise((n, model.event_size), generator, model.location)
    return model.unstandardise(noise)


def levels_of(model: GenerativeModel) -> int | None:
    """The number of levels 0 … levels − 1 that a model puts probability on; None for densities."""
    levels: int | None = getattr(model.config, "levels", None)
    return levels


def has_edges(model: GenerativeModel) -> bool:
    """Whether the density is 0 beyond some box, and may be flat inside."""
    return bool(getattr(model, "has_edges", False))


def same_again(generator: torch.Generator) -> torch.Generator:
    """A second generator in the same state."""
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def ancestral(model: Any, n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Latents drawn in turn from their priors, {latent: (n, *Z)}."""
    latents: dict[str, Tensor] = {}
    for latent in model.latents:
        prior = model.prior(latents)
        latents[latent.name] = draw(prior, generator, () if prior.batch_shape else (n,))
    return latents


def check_latent(latent: Latent, value: Tensor, lead: tuple[int, ...]) -> None:
    """Raise unless a latent's values have the shape (*lead, *Z) and lie where its kind says."""
    require_shape(f"latent '{latent.name}'", value, (*lead, *latent.shape))
    require_finite(f"latent '{latent.name}'", value)
    high = {"binary": 1, "category": (latent.levels or 1) - 1}.get(latent.kind)
    if high is not None:
        low_seen, high_seen = float(value.min()), float(value.max())
        require(
            low_seen >= 0 and high_seen <= high and bool((value == value.round()).all()),
            f"latent '{latent.name}' lies in {low_seen:g} … {high_seen:g}, wanted whole numbers "
            f"from 0 to {high}",
        )


def has(model: GenerativeModel, capability: Capability) -> bool:
    """Whether a model has a capability."""
    return capability in capabilities_of(type(model))


def needs(model: GenerativeModel, capability: Capability) -> None:
    """Raise :class:`NotTestable` where a law compares with a capability that is not there."""
    if not has(model, capability):
        raise NotTestable(f"it needs {WORDING[capability]} to compare with")


def require(holds: bool, sentence: str) -> None:
    """Raise :class:`LawBroken` with the sentence unless it holds."""
    if not holds:
        raise LawBroken(sentence)


def require_shape(what: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless a tensor has a shape."""
    require(tuple(value.shape) == shape, f"{what} has shape {tuple(value.shape)}, wanted {shape}")


def require_finite(what: str, value: Tensor) -> None:
    """Raise unless every number is finite."""
    bad = int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
    require(bad == 0, f"{what} holds {bad} of {value.numel()} numbers that are not finite")


def require_close(what: str, given: Tensor, wanted: Tensor, slack: float = 1.0) -> None:
    """Raise unless two tensors agree within ``slack`` times :data:`TOLERANCE`."""
    require_shape(what, given, tuple(wanted.shape))
    if not given.numel():
        return
    given, wanted = given.detach(), wanted.detach()
    require_finite(what, given)
    tolerance = slack * TOLERANCE.get(given.dtype, TOLERANCE[torch.float32])
    excess = (given - wanted).abs() - tolerance * (1.0 + wanted.abs())
    worst = int(excess.argmax())
    require(
        float(excess.max()) <= 0.0,
        f"{what}: given {float(given.flatten()[worst]):.6g}, "
        f"wanted {float(wanted.flatten()[worst]):.6g} (allowed difference {tolerance:.1g})",
    )


def require_not_below(
    what: str, values: Tensor, bound: Tensor | float, size: Tensor | float = 0.0
) -> None:
    """Raise if the mean of independent values (R, …) lies significantly below a bound (…).

    ``size`` is that of the numbers whose differences the values are: they carry its rounding.
    """
    values = values.detach()
    mean = values.mean(0)
    error = values.std(0) / len(values) ** 0.5
    tolerance = TOLERANCE.get(values.dtype, TOLERANCE[torch.float32])
    gap = mean - bound + N_ERRORS * error + tolerance * (1.0 + mean.abs() + size)
    worst = int(gap.argmin())
    least = float(torch.as_tensor(bound).expand_as(mean).flatten()[worst])
    require(
        bool((gap >= 0.0).all()),
        f"{what}: {float(mean.flatten()[worst]):.6g} ± {float(error.flatten()[worst]):.2g}, "
        f"wanted at least {least:.6g}",
    )


@contextmanager
def no_global_noise(what: str) -> Iterator[None]:
    """Raise if the block draws from a global random generator of torch, numpy or Python."""
    before = _global_states()
    yield
    after = _global_states()
    used = [name for name in before if before[name] != after[name]]
    require(not used, f"{what} draws from the global generator of {' and '.join(used)}")


def _global_states() -> dict[str, object]:
    numpy_state = np.random.get_state(legacy=False)["state"]
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "random": random.getstate(),
        "numpy": (numpy_state["key"].tobytes(), numpy_state["pos"]),
    }
