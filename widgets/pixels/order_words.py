"""What a mask means for a model, in words: which known values a completion was conditioned on."""

from __future__ import annotations

from engine.wire.messages import Answer
from widgets.pixels.words import fixed

ONE_ORDER_WORDS = "A NADE or MADE with order_agnostic would condition on all of them."


def meaning(answer: Answer, *, takes_any: bool) -> str:
    """What one set of completions is given, as sentences."""
    words = str(answer.values.get("words", ""))
    text = f"{words[:1].upper()}{words[1:]}." if words else ""
    if answer.values.get("n_unseen"):
        text += " Choose “given all” to condition on them." if takes_any else f" {ONE_ORDER_WORDS}"
    return text


def difference(told: Answer, kept: Answer, order: str) -> str:
    """Two sets of completions of one network: given all known values, and only earlier ones."""
    unseen = _number(kept, "n_unseen")
    if not unseen:
        return (
            f"In this model's own order, {order}, all known values precede the drawn ones: both "
            "orders condition on all of them. Occlude the upper half to see a difference."
        )
    return (
        f"First: given all {_number(told, 'n_known')} known values, which come first in the "
        f"order. Second: the same network in its own order, {order}; {unseen} known values come "
        "later, are kept, and were not conditioned on. How well the completions go with those "
        f"{unseen}, as their mean log p in the own order: {_score(told)} nats and {_score(kept)} "
        f"nats (exact for each; ± standard error over {len(told.arrays['completions'])})."
    )


def _score(answer: Answer) -> str:
    mean, error = (answer.values.get(f"later_{name}") for name in ("log_prob", "error"))
    if not isinstance(mean, float) or not isinstance(error, float):
        return "–"
    return f"{fixed(mean, 1)} ± {fixed(error, 1)}"


def _number(answer: Answer, name: str) -> int:
    value = answer.values.get(name)
    return value if isinstance(value, int) else 0
