"""What ``make bench`` may take."""

from __future__ import annotations

from tests.benchmarks.__main__ import discover

#: Seconds of all modules together that need no training budget.
MOST_SECONDS = 900


def test_the_short_benchmarks_fit_into_a_quarter_of_an_hour() -> None:
    short = {found.module: found.seconds for found in discover() if not found.long}
    assert sum(short.values()) <= MOST_SECONDS, short
