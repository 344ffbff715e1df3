r"""What a value sees: the influence of every value on one conditional, by gradient or exchange.

.. math::
    R_j = \frac1{NK} \sum_{n,k} \Bigl|\frac{\partial\, w_k^\top a_i(x^{(n)})}{\partial x_j}\Bigr|

with a_i the parameters of conditional i (logits, means …), w_k random unit vectors and x^{(n)}
some pictures: zero exactly where no path leads from j to i, and nowhere else but by accident.

References:
    Van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016;
    the blind spot: van den Oord et al., *Conditional Image Generation with PixelCNN Decoders*,
    NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, MixtureSameFamily, Normal

from engine.drawing import normal_noise
from engine.estimators.pixels import conditionals_of, levels_of, place_of
from engine.estimators.precision import in_double
from engine.model import GenerativeModel
from engine.nets.outputs import BinnedMixture, level_probs, select

#: Pictures that an exchange scores at once.
CHUNK = 64
#: Total variations below this are the rounding of sums taken in another order.
ROUNDING = 1e-13


def parameters_of(d: Distribution) -> Tensor:
    """The numbers that a network put out for each value, (*batch, P), with their gradient.

    Raises:
        ValueError: The kind of distribution has no rule here.
    """
    if isinstance(d, Categorical):
        return _tensor(d.logits)
    if isinstance(d, Bernoulli):
        return _tensor(d.logits).unsqueeze(-1)
    if isinstance(d, BinnedMixture):
        return torch.cat([d.log_weights, d.means, d.widths], -1)
    if isinstance(d, Normal):
        return torch.stack([d.loc, d.scale], -1)
    if isinstance(d, MixtureSameFamily) and isinstance(d.component_distribution, Normal):
        parts = d.component_distribution
        return torch.cat([_tensor(d.mixture_distribution.logits), parts.loc, parts.scale], -1)
    raise ValueError(f"parameters_of: given a {type(d).__name__}, wanted a model's conditional")


def gradient_field(
    model: GenerativeModel,
    x: Tensor,
    index: int,
    *,
    context: Tensor | None = None,
    n_directions: int = 4,
    generator: torch.Generator,
) -> Tensor | None:
    """R (*E) of value ``index`` over the pictures (N, *E), or None where no gradient exists.

    A model that looks its inputs up in a table (an embedding) has no derivative by them; ask
    :func:`exchange_field` then.
    """
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        params = parameters_of(select(conditionals_of(model, x, context), index))  # (N, P)
        if not params.requires_grad:
            return torch.zeros(model.event_shape).to(x) if place_of(model, index) == 0 else None
        noise = normal_noise((n_directions, params.shape[-1]), generator, params)
        found = torch.zeros_like(x)
        for direction in noise / noise.norm(dim=-1, keepdim=True):
            (gradient,) = torch.autograd.grad(
                (params * direction).sum(), x, retain_graph=True, materialize_grads=True
            )
            found = found + gradient.abs()
    return found.mean(0) / n_directions


def exchange_field(
    model: GenerativeModel,
    x: Tensor,
    index: int,
    *,
    context: Tensor | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """The total variation of conditional ``index`` when one value is exchanged, (*E).

    For each value j the picture (*E) is changed in j alone (half of all levels up, around the
    end); entry j is ½ Σ_l |p(l) − p'(l)| of the conditional. It is found in double precision,
    and what lies below 1e-13, where only the order of sums can differ, is 0.

    Raises:
        ValueError: The model's values are no levels.
    """
    levels, size = levels_of(model), model.event_size
    if levels is None:
        raise ValueError("exchange_field: given a model of real values, wanted one of levels")
    model, one = in_double(model, x[None])
    context = None if context is None else context.cpu()
    flat, found = one.reshape(1, size), torch.zeros(size, dtype=torch.float64)
    with torch.no_grad():
        plain = level_probs(select(conditionals_of(model, one, context), index))
        for block in torch.split(torch.arange(size), CHUNK):
            if cancelled():
                break
            others = flat.repeat(len(block), 1)
            rows = torch.arange(len(block))
            others[rows, block] = (others[rows, block] + max(1, levels // 2)) % levels
            labels = None if context is None else context[:1].expand(len(block))
            probs = level_probs(
                select(conditionals_of(model, others.view(-1, *model.event_shape), labels), index)
            )
            found[block] = 0.5 * (probs - plain).abs().sum(-1)
    return torch.where(found > ROUNDING, found, 0.0).reshape(model.event_shape)


def _tensor(x: Tensor) -> Tensor:
    return x
