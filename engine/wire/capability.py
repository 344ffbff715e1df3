"""The names of what a model can do, and the sentence shown where it cannot."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """One small protocol of methods each; they stand in ``engine.capabilities``."""

    SAMPLING = "sampling"
    LOG_PROB = "log_prob"
    BOUND = "bound"
    ENCODING = "encoding"
    DECODING = "decoding"
    FLOW_PATH = "flow_path"
    CONDITIONALS = "conditionals"
    ENERGY = "energy"
    CHAIN = "chain"
    CRITIC = "critic"


#: What each capability is called in a sentence: "needs a log-density; a GAN has none".
WORDING: dict[Capability, str] = {
    Capability.SAMPLING: "exact samples",
    Capability.LOG_PROB: "a log-density",
    Capability.BOUND: "a bound on the log-density",
    Capability.ENCODING: "an encoder",
    Capability.DECODING: "a latent space to decode",
    Capability.FLOW_PATH: "invertible layers",
    Capability.CONDITIONALS: "conditionals in an order",
    Capability.ENERGY: "an energy",
    Capability.CHAIN: "a Markov chain of its own",
    Capability.CRITIC: "a critic",
}
