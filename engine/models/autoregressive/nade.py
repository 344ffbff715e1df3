r"""NADE: one hidden layer for every conditional, with weights tied so that all cost O(D·H).

The hidden activation of value i differs from that of value i − 1 by one column of ``W``, so it is
updated instead of computed anew. Trained with random known sets, the same network serves any
order (EoNADE; with several layers, DeepNADE). A class label adds a column too, before all values.

.. math::
    h_i = f\Bigl(c + \sum_{j<i} W_{\cdot j} x_j\Bigr), \qquad
    p(x_i \mid x_{<i}) = \sigma(b_i + V_i h_i)

Order-agnostic training draws a known set for each event, the first d − 1 values of a random order,
and scores all the others at once; the known set itself is a second input (columns of ``U``):

.. math::
    \mathcal L(x) = -\frac{D}{D-d+1} \sum_{i \notin \pi_{<d}} \log p(x_i \mid x_{\pi_{<d}})

whose expectation over d and π is the mean −log p(x) over all orders.

References:
    Larochelle and Murray, *The Neural Autoregressive Distribution Estimator*, AISTATS 2011;
    Uria, Murray and Larochelle, *A Deep and Tractable Density Estimator*, ICML 2014;
    Uria, Côté, Gregor, Murray and Larochelle, *Neural Autoregressive Distribution Estimation*,
    JMLR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.drawing import uniform_noise
from engine.nets.mlp import check_widths, find_activation
from engine.nets.ordered_model import OrderedModel
from engine.nets.outputs import check_level_values
from engine.nets.pixel_model import PixelCache
from engine.nets.settings import (
    ClassesSetting,
    ConditionalSetting,
    CurvesSetting,
    EventsSetting,
    LevelsSetting,
    OrderSetting,
    OutputSetting,
    RateSetting,
)
from engine.wire.cards import ModelCard, Paper
from engine.wire.fields import Field

#: Values whose hidden layers are computed at once: within such a run a triangle replaces the sum.
RUN = 16


@dataclass(frozen=True)
class NADEConfig:
    """Settings of :class:`NADE`."""

    hidden_features: Annotated[
        tuple[int, ...],
        Field(1, 4096, step=16, symbol="H", help="Widths of the hidden layers, tied over values."),
    ] = (256,)
    order_agnostic: Annotated[
        bool,
        Field(
            help=(
                "Train on random known sets, so that any order and any known values can be "
                "conditioned on; each order is then a density of its own."
            )
        ),
    ] = False
    order: OrderSetting = "raster"
    activation: Annotated[
        str, Field(choices=("sigmoid", "relu", "tanh"), help="Of the hidden units.")
    ] = "relu"
    output: OutputSetting = "categorical"
    n_components: CurvesSetting = 5
    class_conditional: ConditionalSetting = False
    learning_rate: RateSetting = 1e-3
    batch_size: EventsSetting = 128
    levels: LevelsSetting = 2
    n_classes: ClassesSetting = 10


class NADE(OrderedModel):
    """Tied hidden layers: ``W``, ``U`` (H, D), ``c`` (H,), ``V`` (D, P, H'), ``b`` (D, P).

    Labels add a column of ``T`` (H, K), as if the class were a value before all others.
    """

    Config = NADEConfig
    card = ModelCard(
        name="nade",
        title="NADE",
        family="autoregressive",
        summary=(
            "A hidden layer for every conditional, with shared weights: going from one value to "
            "the next adds one column. Trained on random known sets it completes any mask."
        ),
        equation=(
            r"h_i=f(c+\sum_{j<i}W_{\cdot j}\,x_j),\qquad "
            r"p(x_i\mid x_{<i})=\sigma(b_i+V_i h_i)"
        ),
        paper=Paper(
            authors="H. Larochelle, I. Murray",
            year=2011,
            title="The Neural Autoregressive Distribution Estimator",
            where="AISTATS",
        ),
        features=("any_order",),
    )

    def __init__(self, event_shape: tuple[int, ...], config: NADEConfig) -> None:
        super().__init__(event_shape, config)
        widths = config.hidden_features
        if not widths:
            raise ValueError("hidden_features: given none, wanted at least one layer")
        check_widths(widths)
        size, n_params = self.event_size, self.family.n_params
        self.W = nn.Parameter(torch.empty(widths[0], size))
        self.c = nn.Parameter(torch.zeros(widths[0]))
        self.V = nn.Parameter(torch.empty(size, n_params, widths[-1]))
        self.b = nn.Parameter(self.family.initial().expand(size, n_params).clone())
        nn.init.normal_(self.W, std=size**-0.5)
        nn.init.normal_(self.V, std=0.3 * widths[-1] ** -0.5)
        self.U: nn.Parameter | None = None
        if config.order_agnostic:
            self.U = nn.Parameter(torch.empty_like(self.W).normal_(std=size**-0.5))
        self.T: nn.Parameter | None = None
        if config.class_conditional:
            self.T = nn.Parameter(torch.zeros(widths[0], config.n_classes))
        self.deeper = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activation = find_activation(config.activation)()

    # --- conditionals -------------------------------------------------------------------------

    def hidden(self, a: Tensor) -> Tensor:
        """Activations (…, H) of the first layer → outputs (…, H') of the last."""
        h: Tensor = self.activation(a)
        for layer in self.deeper:
            h = self.activation(layer(h))
        return h

    def params(self, u: Tensor, labels: Tensor | None) -> Tensor:
        """Inputs (B, …) → (B, D, P): D hidden layers, run by run along the order."""
        flat, order = u.flatten(1), self._order
        a = self.start(labels)
        found = []
        for indices in torch.split(order, RUN):
            h, step = self._run(flat[:, indices], indices, a)
            out = torch.bmm(h, self.V[indices].transpose(1, 2))  # (R, B, P)
            found.append(out + self.b[indices].unsqueeze(1))
            a = a + step
        return torch.cat(found)[torch.argsort(order)].transpose(0, 1)

    def start(self, labels: Tensor | None) -> Tensor:
        """The sums of the first layer before any value: c (H,), or with labels (B, H)."""
        return self.c if labels is None or self.T is None else self.c + self.T.T[labels]

    def _run(self, values: Tensor, indices: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden layers (R, B, H') of a run of values (B, R), and what the run adds to ``a``."""
        columns = self.W[:, indices].T  # (R, H)
        n = len(indices)
        triangle = torch.ones(n, n).tril(-1).to(values)
        before = (values * triangle.unsqueeze(1)) @ columns  # (R, B, H)
        step = values @ columns
        if self.U is not None:
            known = self.U[:, indices].T
            before, step = before + (triangle @ known).unsqueeze(1), step + known.sum(0)
        return self.hidden(before + a), step

    def given(self, u: Tensor, known: Tensor, labels: Tensor | None = None) -> Tensor:
        """Parameters (B, D, P) of all conditionals given one known set (B, D) bool each.

        Those of the known values themselves mean nothing. The model must be order-agnostic.
        """
        if self.U is None:
            raise ValueError("given: NADE was not built order_agnostic, which arbitrary sets need")
        seen = known.to(u)
        a = F.linear(u.flatten(1) * seen, self.W) + F.linear(seen, self.U) + self.start(labels)
        flat = F.linear(self.hidden(a), self.V.flatten(0, 1), self.b.flatten())
        return flat.view(-1, *self.b.shape)

    def cache(self, n: int, labels: Tensor | None) -> _Cache:
        """The running activation of n events: O(D·H) for a whole sample."""
        return _Cache(self, n, labels)

    def with_order(self, order: Tensor) -> NADE:
        """The same weights under another order; meant for ``order_agnostic`` training."""
        return self.reordered(order)

    # --- training -----------------------------------------------------------------------------

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean −log p, nats per event; for order-agnostic training its one-set estimate."""
        if self.U is None:
            return super().loss(x, context=context, lengths=lengths, generator=generator)
        if self.family.levels is not None:
            check_level_values(x, self.family.levels, self.card.title)
        known = self._known_sets(len(x), generator)
        u = self.inputs(x).flatten(1)
        params = self.given(u, known, self.check_labels(context, len(x)))
        target = u if self.family.levels is None else self._flat(x)
        log_p = self.family.log_prob(params, target).masked_fill(known, 0.0)
        weights = self.event_size / (~known).sum(1)
        nll = -(weights * log_p.sum(1)).mean()
        if self.family.levels is None:
            nll = nll - self.standardise_log_det
        return {"total": nll, "nll": nll}

    def _known_sets(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, D) bool: the first d − 1 values of a random order, d uniform in 1 … D, per event."""
        size = self.event_size
        ranks = uniform_noise((n, size), generator, self.location).argsort(1).argsort(1)
        counts = torch.randint(size, (n, 1), generator=generator).to(ranks.device)
        return ranks < counts


class _Cache(PixelCache):
    """The activation of the first hidden layer, to which each value adds one column."""

    def __init__(self, model: NADE, n: int, labels: Tensor | None) -> None:
        self._start = model.start(labels).detach().expand(n, -1)
        self._model, self._a = model, self._start
        self._indices = model.order.tolist()

    def begin(self, u: Tensor, place: int) -> None:
        """Sum the columns of what is painted up to ``place``."""
        model = self._model
        before = model.order[:place]
        self._a = self._start + F.linear(u.flatten(1)[:, before], model.W[:, before])
        if model.U is not None:
            self._a = self._a + model.U[:, before].sum(1)

    def params(self, place: int) -> Tensor:
        """(N, P)."""
        index, model = self._indices[place], self._model
        return F.linear(model.hidden(self._a), model.V[index], model.b[index])

    def put(self, place: int, u: Tensor) -> None:
        """Add one column times the values (N,)."""
        index, model = self._indices[place], self._model
        self._a = torch.addcmul(self._a, u.unsqueeze(1), model.W[:, index])
        if model.U is not None:
            self._a = self._a + model.U[:, index]
