r"""What models that read one value after the other have in common: any order, symbols, outputs.

The values in their order are a sequence u_1 … u_D. A network reads a start symbol (one for each
class), then u_1 …, u_{D−1}, and says after each what comes next.

.. math:: \log p(x \mid c) = \sum_{t=1}^{D} \log p\bigl(u_t \mid c, u_1, …, u_{t-1}\bigr)

Events may be pictures, vectors or sequences of symbols.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from engine.capabilities import Step
from engine.drawing import uniform_noise
from engine.model import GenerativeModel, TrainState
from engine.nets.class_mixture import class_log_weights, mix_classes
from engine.nets.orders import named_order
from engine.nets.outputs import check_level_values, icdf, make_output
from engine.nets.outputs.real import GaussianMixtureOutput, mixture_distribution
from engine.nets.scheduled import mix_inputs, teacher_share
from engine.nets.sequence_reader import SequenceReader
from engine.nets.stepwise import check_steps, last_of
from engine.nets.symbols import PlaceCodes, Symbols

#: Bytes that the memory of a sampler may take; more pictures are drawn in turns.
MEMORY_CAP = 2**28


class SequenceModel(GenerativeModel):
    """A causal network over the values in order, behind start symbols.

    A subclass builds ``self.net`` after this constructor, and gives :meth:`features`,
    :meth:`begin`, :meth:`read` and :meth:`memory_of_one`.
    """

    _order: Tensor
    _places: Tensor

    def __init__(self, event_shape: tuple[int, ...], config: Any) -> None:
        super().__init__(event_shape, config)
        order = named_order(config.order, event_shape)
        self.register_buffer("_order", order)
        self.register_buffer("_places", torch.argsort(order))
        self.family = make_output(
            config.output, levels=config.levels, n_components=config.n_components
        )
        if self.uses_labels and config.n_classes < 1:
            raise ValueError("n_classes: given 0, wanted 1 or more, for class_conditional")
        self.n_starts = config.n_classes if self.uses_labels else 1
        self.symbols = Symbols(config.levels, config.width, self.n_starts)
        self.codes = PlaceCodes(order, self.event_shape, config.width, config.codes)
        self.head = nn.Linear(config.width, self.family.n_params)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 0.02)
            self.head.bias.copy_(self.family.initial())
        self._teacher_share = 1.0

    @abstractmethod
    def features(self, h: Tensor) -> Tensor:
        """Inputs (B, T, W) → features (B, T, W); place t depends on places ≤ t."""

    @abstractmethod
    def begin(self, n: int) -> object:
        """An empty memory for n sequences."""

    @abstractmethod
    def read(self, h: Tensor, memory: Any) -> tuple[Tensor, object]:
        """Further inputs (N, S, W) → their features (N, S, W), and the memory with them."""

    @abstractmethod
    def memory_of_one(self) -> int:
        """Numbers that the memory of one whole sequence holds."""

    # --- data units ---------------------------------------------------------------------------

    def prepare(self, data: Tensor, *, generator: torch.Generator) -> None:
        """Standardise real values; levels need nothing."""
        if self.config.levels is None:
            super().prepare(data, generator=generator)

    def sequence(self, x: Tensor) -> Tensor:
        """(B, *E) → the values in order as the network meets them, (B, D)."""
        flat = self._flat(x) if self.family.discrete else self.standardise(x)
        return flat[:, self._order]

    def inputs(self, u: Tensor, start: Tensor) -> Tensor:
        """Sequences (B, D) and start symbols (B,) → what the network reads, (B, D, W)."""
        h: Tensor = self.symbols(u[:, :-1], start)
        found: Tensor = h + self.codes()
        return found

    def sequence_params(self, u: Tensor, start: Tensor) -> Tensor:
        """Parameters of all conditionals in order, (B, D, P)."""
        params: Tensor = self.head(self.features(self.inputs(u, start)))
        return params

    def starts(self, context: Tensor | None, n: int) -> Tensor | None:
        """Start symbols (n,) of labels; 0 for a model without, None where labels are not given.

        Raises:
            ValueError: The labels do not fit.
        """
        if not self.uses_labels:
            return torch.zeros(n, dtype=torch.long, device=self.device)
        if context is None:
            return None
        labels = context.to(self.device).long().expand(n)
        if bool(((labels < 0) | (labels >= self.n_starts)).any()):
            raise ValueError(
                f"{self.card.title}: given labels from {int(labels.min())} to "
                f"{int(labels.max())}, wanted 0 … {self.n_starts - 1}"
            )
        return labels

    # --- density ------------------------------------------------------------------------------

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Exact log p of (B, *E), (B,), nats: a probability of levels, or a density.

        A model trained with labels, asked without, gives log (1/K) Σ_c p(x given c).
        """
        u, start = self._checked(x), self.starts(context, len(x))
        log_det = self._log_det
        if start is not None:
            return self._terms(u, start).sum(-1) + log_det
        each = torch.stack([self._terms(u, c).sum(-1) for c in self._every_class(len(x))])
        return torch.logsumexp(each, 0) - math.log(self.n_starts) + log_det

    def _checked(self, x: Tensor) -> Tensor:
        if self.family.levels is not None:
            check_level_values(x, self.family.levels, self.card.title)
        return self.sequence(x)

    def _terms(self, u: Tensor, start: Tensor) -> Tensor:
        return self.family.log_prob(self.sequence_params(u, start), u)

    @property
    def _log_det(self) -> Tensor | float:
        return 0.0 if self.family.discrete else self.standardise_log_det

    def _every_class(self, n: int) -> Tensor:
        """(K, n)."""
        return torch.arange(self.n_starts, device=self.device)[:, None].expand(-1, n)

    # --- training -------------------------------------------------------------------------------

    def loss(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Mean −log p of (B, *E), nats per event.

        While scheduled sampling is on, ``"total"`` has some inputs replaced by the model's own
        draws and is no likelihood; ``"nll"`` stays the data's.
        """
        u, start = self.sequence(x), self.starts(context, len(x))
        if start is None:
            raise ValueError(f"{self.card.title}: given no labels, wanted one class an example")
        log_det = self._log_det
        if self._teacher_share >= 1.0:
            nll = -self._terms(u, start).sum(-1).mean() - log_det
            return {"total": nll, "nll": nll}
        with torch.no_grad():
            forced = self.sequence_params(u, start)
            nll = -self.family.log_prob(forced, u).sum(-1).mean() - log_det
        params = self.mixed_params(u, start, forced, self._teacher_share, generator)
        total = -self.family.log_prob(params, u).sum(-1).mean() - log_det
        return {"total": total, "nll": nll}

    def mixed_params(
        self,
        u: Tensor,
        start: Tensor,
        forced: Tensor,
        share: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Parameters (B, D, P) where each input is the data's with probability ``share``.

        In two passes: the draws come from the conditionals ``forced`` (B, D, P) of the data, not
        from those of the mixed history, since a parallel network cannot have these.
        """
        noise = uniform_noise(u.shape, generator, u)
        drawn = icdf(self.family.distribution(forced), noise)
        return self.sequence_params(mix_inputs(u, drawn, share, generator), start)

    def train_step(
        self, batch: Tensor, state: TrainState, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """One update; ε of scheduled sampling is that of the step."""
        schedule = self.config.scheduled_sampling
        self._teacher_share = teacher_share(schedule, self.config.half_life, state.step)
        share = self._teacher_share
        try:
            losses = super().train_step(batch, state, generator)
        finally:
            self._teacher_share = 1.0
        if schedule != "none":
            losses["teacher_share"] = torch.tensor(share)
        return losses

    # --- conditionals -------------------------------------------------------------------------

    @property
    def order(self) -> Tensor:
        """(D,), the indices in the order in which they are generated."""
        return self._order

    def conditionals(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Distribution:
        """All D conditionals of (B, *E), batch shape (B, D), in the units given.

        A model trained with labels, asked without, weighs the classes by what came before.
        """
        u, start = self._checked(x), self.starts(context, len(x))
        if start is not None:
            params = self.sequence_params(u, start)[:, self._places]
            return self.distribution(params, self.location, self.scale)
        every = [self.sequence_params(u, c) for c in self._every_class(len(x))]
        params = torch.stack(every)
        weights = class_log_weights(self.family.log_prob(params, u.expand(self.n_starts, -1, -1)))
        whole = self.distribution(params[:, :, self._places], self.location, self.scale)
        return mix_classes(whole, weights[:, :, self._places])

    def distribution(self, params: Tensor, location: Tensor, scale: Tensor) -> Distribution:
        """Parameters (…, P) of values with these locations and scales → their distribution."""
        if isinstance(self.family, GaussianMixtureOutput):
            found: Distribution = mixture_distribution(self.family.split(params), location, scale)
            return found
        return self.family.distribution(params)

    # --- sampling -----------------------------------------------------------------------------

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """Ancestral draws (N, *E), cached; without labels each one's class is drawn evenly."""
        if self.uses_labels and context is None:
            context = torch.randint(self.n_starts, (n,), generator=generator)
        noise = uniform_noise((n, self.event_size), generator, self.location)
        size = max(1, MEMORY_CAP // max(1, self.memory_of_one() * noise.element_size()))
        parts = []
        for first in range(0, n, size):
            some = slice(first, first + size)
            labels = None if context is None else context.expand(n)[some]
            parts.append(last_of(self.sample_steps(noise[some], context=labels)))
        return torch.cat(parts) if parts else noise.view(0, *self.event_shape)

    def sample_steps(
        self,
        noise: Tensor,
        *,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        context: Tensor | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        state: object = None,
    ) -> Iterator[Step]:
        """Draw one value after the other; the network reads each value once.

        Known values that come first in the order are read in one pass. Those that come later are
        kept, but not conditioned on.

        Args:
            noise: (N, D) in (0, 1), one number per value, at the value's own index.
            known: Values to be kept.
            mask: Where they are kept.
            context: Labels (N,), for a model trained with labels; without, the classes are
                weighed by the values drawn so far.
            temperature: Levels: p^(1/T). Densities: widths times T.
            top_p: Keep the most probable levels whose mass reaches it.
            state: A step's ``state``: go on after that step. Its sample stands for what is drawn,
                whatever ``known`` says.

        Raises:
            ValueError: A shape or number is wrong, or only one of ``known`` and ``mask`` is given.
        """
        steps = check_steps(self, noise, known, mask, temperature=temperature, top_p=top_p)
        if not self.family.discrete and top_p != 1.0:
            raise ValueError(
                f"top_p: given {top_p:g}, wanted 1: a continuous conditional has no most probable "
                "levels to keep; lower the temperature instead"
            )
        reader = SequenceReader(self, steps, self.starts(context, len(noise)))
        return reader.run(reader.resume(state))
