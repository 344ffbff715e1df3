r"""p(x given z) whose values depend on earlier ones: exact densities, draws value by value.

.. math:: \log p(x \mid z) = \sum_i \log p(x_i \mid x_{<i}, z)

Nobody can give such a distribution's mean; what stands for it in pictures is
:meth:`ConditionalEvents.common_draw`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from engine.drawing import uniform_noise
from engine.nets.diagonal import LOG_SCALE_START
from engine.nets.latent_pixels import LatentConditionals
from engine.nets.likelihoods import Likelihood, Params
from engine.nets.outputs import icdf

#: Seed of the noise that all common draws share.
COMMON_SEED = 0


@dataclass(frozen=True)
class Reading:
    """What a network's outputs and inputs mean in the units of the data.

    Attributes:
        likelihood: Of one value.
        location, scale: (D,), of the data.
        log_widths: (D,), log-scales of real values that do not depend on anything; None where the
            network puts them out.
    """

    likelihood: Likelihood
    location: Tensor
    scale: Tensor
    log_widths: Tensor | None = None

    @property
    def log_det(self) -> Tensor:
        """What a log-density gains in the units of the data: 0 for levels."""
        is_real = self.likelihood.levels is None
        return -self.scale.log().sum() if is_real else torch.zeros_like(self.scale[0])

    def values(self, x: Tensor) -> Tensor:
        """(…, D) of the data → as the likelihood takes them: standardised, or level indices."""
        return (x - self.location) / self.scale if self.likelihood.levels is None else x

    def params(self, out: Tensor) -> Params:
        """Outputs (…, P, D) → parameters (…, D) each."""
        offset = self.likelihood.offset(self.location)
        centre = out[..., 0, :] if offset is None else out[..., 0, :] + offset
        if self.likelihood.n_params == 1:
            return (centre,)
        if self.log_widths is not None:
            return centre, self.log_widths.expand_as(centre)
        return centre, out[..., 1, :] + LOG_SCALE_START

    def at(self, index: int) -> Reading:
        """The same of one value, D = 1."""
        one = slice(index, index + 1)
        widths = None if self.log_widths is None else self.log_widths[one]
        return Reading(self.likelihood, self.location[one], self.scale[one], widths)

    def distribution(self, out: Tensor) -> Distribution:
        """Outputs (…, P, D) → values in the units of the data, batch (…, D)."""
        return self.likelihood.distribution(self.params(out), self.location, self.scale)

    def inputs(self, x: Tensor) -> Tensor:
        """(…, D) of the data → as the network sees them."""
        return self.likelihood.inputs(self.values(x), self.location)


class ConditionalEvents(Distribution):
    """Events *E given latents (…, Z), one for each; batch shape (…).

    Args:
        conditionals: The network.
        z: (…, Z).
        event_shape: *E.
        reading: What its numbers mean.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(
        self,
        conditionals: LatentConditionals,
        z: Tensor,
        event_shape: tuple[int, ...],
        reading: Reading,
    ) -> None:
        self._conditionals, self._reading, self._z = conditionals, reading, z
        super().__init__(z.shape[:-1], torch.Size(event_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of events in the units of the data, nats; leading shapes broadcast."""
        flat = value.flatten(value.dim() - len(self.event_shape))
        return self.log_prob_of_values(self._reading.values(flat))

    def log_prob_of_values(self, values: Tensor) -> Tensor:
        """The same, in the units of the data too, of values (…, D) as the likelihood has them."""
        lead = torch.broadcast_shapes(  # type: ignore[no-untyped-call]
            values.shape[:-1], self.batch_shape
        )
        # One code for each z, however many events it is asked for.
        code = self._conditionals.code(self._z.reshape(-1, self._z.shape[-1]))
        shape = code.shape[1:]
        code = code.view(*self.batch_shape, *shape).expand(*lead, *shape).reshape(-1, *shape)
        rows = values.expand(*lead, -1).reshape(len(code), -1)
        reading = self._reading
        inputs = reading.likelihood.inputs(rows, reading.location)
        params = reading.params(self._conditionals.params(inputs, code))
        return reading.likelihood.log_prob(params, rows).reshape(lead) + reading.log_det

    def draw(self, generator: torch.Generator, shape: Sequence[int] = ()) -> Tensor:
        """(*shape, …, *E), value by value; all chance comes from the CPU generator."""
        lead = (*shape, *self.batch_shape)
        z = self._z.expand(*lead, -1)
        noise = uniform_noise((*lead, self.event_shape.numel()), generator, self._z)
        return self._paint(z, noise)

    def common_draw(self) -> Tensor:
        """(…, *E), one draw each, all from one noise that never changes.

        What differs between two of them is due to z alone. Real values are drawn at their
        conditional medians.
        """
        noise = torch.full((self.event_shape.numel(),), 0.5)
        if self._reading.likelihood.levels is not None:
            generator = torch.Generator().manual_seed(COMMON_SEED)
            noise = uniform_noise(noise.shape, generator, noise)
        return self._paint(self._z, noise.to(self._z).expand(*self.batch_shape, -1))

    @torch.no_grad()
    def _paint(self, z: Tensor, noise: Tensor) -> Tensor:
        """Latents (…, Z) and uniform noise (…, D) → events (…, *E)."""
        uniform = noise.reshape(-1, noise.shape[-1])
        code = self._conditionals.code(z.reshape(len(uniform), z.shape[-1]))
        x = torch.zeros_like(uniform)
        cache = self._conditionals.cache(code)
        cache.begin(x, 0)
        for place, index in enumerate(self._conditionals.order.tolist()):
            reading = self._reading.at(index)
            conditional = reading.distribution(cache.params(place).unsqueeze(-1))
            value = icdf(conditional, uniform[:, index : index + 1])
            x[:, index] = value[:, 0]
            cache.put(place, reading.inputs(value)[:, 0])
        return x.reshape(*noise.shape[:-1], *self.event_shape)
