"""Names of blocks and half-steps for people, and of the numbers of a chain."""

from __future__ import annotations

from widgets.gibbs.film import VISIBLE
from widgets.pixels.words import spaced

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def block_symbol(block: str) -> str:
    """``"h1"`` as h¹."""
    letter, rest = block[:1], block[1:]
    return letter + rest.translate(RAISED)


def counted(n: int, thing: str) -> str:
    """``"1 sweep"``, ``"12 sweeps"``."""
    return f"{spaced(n)} {thing}" + ("" if n == 1 else "s")


def block_words(block: str) -> str:
    """A block's units: "visible v", "hidden h¹"."""
    kind = "visible" if block == VISIBLE else "hidden"
    return f"{kind} {block_symbol(block)}"


def given_words(given: tuple[str, ...]) -> str:
    """What a block is drawn given: "v, h²"."""
    return ", ".join(map(block_symbol, given))


def free_words(kept: tuple[str, ...]) -> str:
    """The free energy with what it is a function of: "F(v)"."""
    return f"F({', '.join(map(block_symbol, kept))})"


def energy_words(blocks: tuple[str, ...]) -> str:
    """The energy with what it is a function of: "E(v, h)"."""
    return f"E({', '.join(map(block_symbol, blocks))})"
