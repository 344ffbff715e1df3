"""LaTeX to SVG by ziamath, away from the GUI thread, long equations broken into lines."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Set
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)
_TOKEN = re.compile(r"\\left\b|\\right\b|\\[A-Za-z]+|\\.|.", re.DOTALL)
_SEPARATOR = re.compile(r"[,;]?\s*\\q?quad\s*|[,;]?\s*\\\\\s*")
_RELATIONS = {"=", r"\le", r"\leq", r"\ge", r"\geq", r"\approx", r"\propto", r"\sim", r"\to"}
_SIGNS = {"+", "-"}
#: What parts the factors of a product: a line is broken there where nothing else helps.
_FACTORS = {r"\odot", r"\prod", r"\,"}

#: Lines longer than this many times the font size are broken where that is possible.
WIDEST_EM = 17.0
#: A line as short as this is not left alone: what follows is broken instead.
SHORT_EM = 4.0


@dataclass(frozen=True)
class Line:
    """One typeset line: SVG text, its width and height in pixels."""

    svg: str
    width: float
    height: float


@dataclass(frozen=True)
class Job:
    """What is to be typeset."""

    latex: str
    colour: str
    size: float


class Typesetter:
    """Remembers what has been typeset; new work is done by one short-lived thread at a time."""

    def __init__(self) -> None:
        self._done: dict[Job, tuple[Line, ...]] = {}
        self._asked: set[Job] = set()
        self._lock = threading.Lock()

    def find(self, job: Job) -> tuple[Line, ...] | None:
        """The lines, () where the equation cannot be typeset, or None while it is worked on."""
        lines = self._done.get(job)
        if lines is None and job not in self._asked:
            self._asked.add(job)
            threading.Thread(target=self._work, args=(job,), name="typeset", daemon=True).start()
        return lines

    def _work(self, job: Job) -> None:
        with self._lock:
            try:
                self._done[job] = set_lines(job)
            except Exception as error:
                _LOG.info("the equation %r cannot be typeset: %s", job.latex, error)
                self._done[job] = ()


def set_lines(job: Job) -> tuple[Line, ...]:
    r"""Typeset one equation: one line per part between ``\quad``, long parts broken further."""
    lines: list[Line] = []
    for part in split_parts(job.latex):
        line = set_line(part, job)
        if line.width <= WIDEST_EM * job.size:
            lines.append(line)
        else:
            lines += [set_line(piece, job) for piece in _packed(part, job)]
    return tuple(lines)


def set_line(latex: str, job: Job) -> Line:
    """Typeset one line; raises whatever ziamath raises."""
    import ziamath

    # QtSvg reads the older form, without shared symbols.
    ziamath.config.svg2 = False
    drawn = ziamath.Latex(latex, size=job.size, color=job.colour, inline=False)
    width, height = drawn.getsize()
    return Line(str(drawn.svg()), float(width), float(height))


def split_parts(latex: str) -> list[str]:
    r"""The equations that stand beside each other with ``\quad`` between them."""
    return [part.strip() for part in _SEPARATOR.split(latex) if part.strip()]


def split_pieces(latex: str, marks: Set[str] = _RELATIONS | _SIGNS) -> list[str]:
    """A part cut before each relation and sign (or other marks) that stands outside brackets."""
    pieces, depth, previous = [""], 0, ""
    for token in _TOKEN.findall(latex):
        if token in ("{", "(", "[", r"\left"):
            depth += 1
        elif token in ("}", ")", "]", r"\right"):
            depth -= 1
        opening = previous in _RELATIONS | _SIGNS | {"", r"\left", r"\right", "^", "_"}
        if depth == 0 and token in marks and not opening:
            pieces.append("")
        pieces[-1] += token
        previous = token if token.strip() else previous
    return [piece.strip() for piece in pieces if piece.strip()]


def _packed(part: str, job: Job) -> list[str]:
    """Pieces put back together as long as a line holds them; later lines are indented."""
    lines: list[str] = []
    waiting = split_pieces(part)
    while waiting:
        piece = waiting.pop(0)
        longer = f"{lines[-1]} {piece}" if lines else piece
        if set_line(longer, job).width <= WIDEST_EM * job.size:
            lines[-1:] = [longer]
            continue
        factors = split_pieces(piece, _FACTORS)
        if len(factors) > 1 and (not lines or _wants_more(lines[-1], piece, job)):
            waiting = factors + waiting
        else:
            lines.append(rf"\quad {{}} {piece}" if lines else piece)
    return lines


def _wants_more(line: str, piece: str, job: Job) -> bool:
    """Whether a line is too short to stand alone, or the next piece too long for any."""
    short = set_line(line, job).width < SHORT_EM * job.size
    return short or set_line(piece, job).width > WIDEST_EM * job.size
