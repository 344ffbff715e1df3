r"""How much the decoder makes of each latent unit, in nats.

The values of one unit are exchanged between observations while all others stay:

.. math::
    U_u = \mathrm{mean}_n \left| \log p(x_n \mid z_n)
        - \log p(x_n \mid z_n \text{ with } z_{u} \text{ of observation } n + 1) \right|,
    \qquad z_n \sim q(z \mid x_n)

It is 0 for a unit that the decoder ignores, whatever the encoder still says with it: so a
collapsing unit is seen long before its posterior has gone back to the prior.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capabilities import Decoding, Encoding
from engine.estimators.density import CancellationError, Cancelled
from engine.latents import Latent

#: A mean change of so few nats says that the decoder ignores a unit.
IGNORED_BELOW = 1e-4
#: Events that are tried, and units of one latent beyond which nobody is asked.
MOST_TRIED, MOST_UNITS = 64, 128


@torch.no_grad()
def unit_use(
    model: Encoding,
    latents: tuple[Latent, ...],
    x: Tensor,
    *,
    generator: torch.Generator,
    context: Tensor | None = None,
    cancelled: Cancelled | None = None,
) -> dict[str, Tensor]:
    """U of every unit (U,) of each latent, float64 on the CPU, from one draw of q per event.

    NaN for categories, for latents of more than 128 units, and for those that reach the data
    through other latents alone, as the upper levels of a hierarchy do.

    Raises:
        engine.estimators.density.CancellationError: ``cancelled()`` was true between units.
    """
    if not isinstance(model, Decoding) or len(x) < 2:
        return {}
    x = x[:MOST_TRIED]
    labels = None if context is None else context[:MOST_TRIED]
    drawn, _ = model.encode(x, context=labels).sample(1, generator)
    z = {name: value[0] for name, value in drawn.items()}
    whole = model.decode(z, context=labels).log_prob(x)
    found = {}
    for latent in latents:
        size = torch.Size(latent.shape).numel()
        use = torch.full((size,), torch.nan, dtype=torch.float64)
        asked = range(size if latent.kind != "category" and size <= MOST_UNITS else 0)
        for unit in asked:
            if cancelled is not None and cancelled():
                raise CancellationError
            other = z | {latent.name: _exchanged(z[latent.name], unit)}
            change = model.decode(other, context=labels).log_prob(x) - whole
            use[unit] = float(change.abs().mean())
        told = bool((use > IGNORED_BELOW).any()) or not _moves_others(model, latents, latent, z)
        found[latent.name] = use if told else use * torch.nan
    return found


def _moves_others(
    model: Decoding, latents: tuple[Latent, ...], latent: Latent, z: dict[str, Tensor]
) -> bool:
    """Whether the prior of the next latent depends on this one, as in a hierarchy."""
    place = latents.index(latent) + 1
    known = {each.name: z[each.name] for each in latents[:place]}
    return place < len(latents) and bool(model.prior(known).batch_shape)


def _exchanged(values: Tensor, unit: int) -> Tensor:
    """(B, *Z) with one unit taken from the next event."""
    flat = values.reshape(len(values), -1).clone()
    flat[:, unit] = flat[:, unit].roll(1)
    return flat.reshape(values.shape)
