"""What a model can do: one small protocol per capability.

Letters: B batch, N drawn, *E event shape, D its size, L layers, K draws of the latents. All logs
are in nats, of the data in the units given: standardisation and dequantisation are part of the
model's log-determinant. The laws that each capability must keep stand in :mod:`engine.laws`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution

from engine.latents import Elbo, Latent, Latents, Posterior
from engine.wire.capability import Capability

if TYPE_CHECKING:
    from engine.model import GenerativeModel


@runtime_checkable
class Sampling(Protocol):
    """Exact or ancestral draws; a Markov chain is not this."""

    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator
    ) -> Tensor:
        """N draws, (N, *E); the same generator state gives the same draws."""
        ...


@runtime_checkable
class LogProb(Protocol):
    """A normalised log-density or log-probability."""

    def log_prob(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """log p(x) of (B, *E), shape (B,), nats."""
        ...


@runtime_checkable
class Bound(Protocol):
    """A lower bound on the log-density."""

    def elbo(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        lengths: Tensor | None = None,
        n_draws: int = 1,
        generator: torch.Generator,
    ) -> Elbo:
        """The ELBO of (B, *E) at β = 1, with K = ``n_draws`` importance weights."""
        ...


@runtime_checkable
class Encoding(Protocol):
    """An approximate or exact posterior."""

    def encode(self, x: Tensor, *, context: Tensor | None = None) -> Posterior:
        """q(z given x) for (B, *E)."""
        ...


@runtime_checkable
class Decoding(Protocol):
    """Latent variables with a prior, and what they decode to."""

    @property
    def latents(self) -> tuple[Latent, ...]:
        """The latents in ancestral order."""
        ...

    def prior(self, parents: Latents) -> Distribution:
        """Prior of the first latent not in ``parents``, given those that are."""
        ...

    def decode(self, latents: Latents, *, context: Tensor | None = None) -> Distribution:
        """p(x given z), batch (B,), event *E; a point mass for generators without a density."""
        ...


@dataclass(frozen=True)
class FlowPath:
    """Points on their way through a flow, data → base, as flat states.

    Attributes:
        states: (L + 1, B, D); ``states[0]`` is the data, ``states[-1]`` the base (for an inverse
            path: the same order, computed from the base).
        log_dets: (L, B), log abs det of each layer's Jacobian **in the data → base direction**,
            so that log p(x) = log p_base(states[-1]) + Σ_l log_dets[l].
        names: L layer names.
        trace: What a solver did, for continuous flows.
    """

    states: Tensor
    log_dets: Tensor
    names: tuple[str, ...]
    trace: Mapping[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class HasFlowPath(Protocol):
    """Invertible layers; forward = data → base."""

    def path(
        self,
        x: Tensor,
        *,
        inverse: bool = False,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> FlowPath:
        """The path of (B, *E) data, or with ``inverse`` of (B, D) base points."""
        ...

    def base(self) -> Distribution:
        """The base distribution over D values."""
        ...


@dataclass(frozen=True)
class Step:
    """One element of an autoregressive sample: its index, the sample so far, its conditional."""

    index: int
    x: Tensor
    conditional: Distribution
    state: object = None


@runtime_checkable
class Conditionals(Protocol):
    """p(x) = Π_i p(x_i given earlier ones in ``order``)."""

    @property
    def order(self) -> Tensor:
        """(D,), the indices in the order in which they are generated."""
        ...

    def conditionals(
        self, x: Tensor, *, context: Tensor | None = None, lengths: Tensor | None = None
    ) -> Distribution:
        """All D conditionals at once, batch shape (B, D); entry i is that of coordinate i."""
        ...

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
        """Generate one element at a time; all chance comes in as ``noise`` (N, D) in (0, 1).

        Where ``mask`` is true the value of ``known`` is kept instead of being drawn.
        """
        ...


@runtime_checkable
class AnyOrder(Protocol):
    """An autoregressive model that was trained for every order of its values.

    Beside :class:`Conditionals`, and optional: the card names it among its ``features`` as
    ``"any_order"``. With the known values of a mask first
    (:func:`engine.nets.stepwise.known_first`) completions are conditioned on all of them. Each
    order is a joint of its own: the joints agree only as far as training made them.
    """

    def with_order(self, order: Tensor) -> GenerativeModel:
        """The same weights under another order (D,): a view with all methods of the model.

        Raises:
            ValueError: ``order`` does not hold each of 0 … D − 1 once.
        """
        ...


@runtime_checkable
class Energy(Protocol):
    """p(x) ∝ exp(−energy(x))."""

    def energy(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """Energy of (B, *E), shape (B,)."""
        ...

    def score(self, x: Tensor) -> Tensor:
        """−∂energy/∂x, (B, *E)."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """A model that also says which class an event is of; beside the capabilities, and optional."""

    def class_log_probs(self, x: Tensor) -> Tensor:
        """log p(y given x) of (B, *E), (B, classes), nats."""
        ...


#: A chain's state: named blocks, such as {"x": (N, *E)} or {"v": …, "h": …}.
ChainState = dict[str, Tensor]


@runtime_checkable
class Chain(Protocol):
    """A Markov chain that the model itself brings."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that ``step`` understands; the first is the usual one."""
        ...

    def init(self, n: int, generator: torch.Generator) -> ChainState:
        """N fresh chains."""
        ...

    def step(
        self, state: ChainState, kernel: str, generator: torch.Generator
    ) -> tuple[ChainState, dict[str, Tensor]]:
        """One step of one kernel: the new state, and what a panel draws of it."""
        ...


@runtime_checkable
class Critic(Protocol):
    """A judge of realness."""

    def critic(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """(B,); higher = more real."""
        ...


PROTOCOLS: dict[Capability, type] = {
    Capability.SAMPLING: Sampling,
    Capability.LOG_PROB: LogProb,
    Capability.BOUND: Bound,
    Capability.ENCODING: Encoding,
    Capability.DECODING: Decoding,
    Capability.FLOW_PATH: HasFlowPath,
    Capability.CONDITIONALS: Conditionals,
    Capability.ENERGY: Energy,
    Capability.CHAIN: Chain,
    Capability.CRITIC: Critic,
}


def capabilities_of(model: type) -> tuple[Capability, ...]:
    """The capabilities whose methods a class defines, in the order of the table."""
    return tuple(c for c, protocol in PROTOCOLS.items() if _has_all(model, protocol))


def _has_all(model: type, protocol: type) -> bool:
    names = [name for name in vars(protocol) if not name.startswith("_")]
    return all(getattr(model, name, None) is not None for name in names)
