"""Where the files of public data sets lie, for tests that need them; none is ever downloaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

VARIABLE = "GENSCOPE_TEST_DATA"


def real_data() -> Path:
    """A folder with MNIST; the test that asks is skipped where there is none."""
    named = os.environ.get(VARIABLE)
    places = [Path(named)] if named else [p / "shared/data" for p in (ROOT, *ROOT.parents[:2])]
    for place in places:
        if (place / "mnist/t10k-images-idx3-ubyte.gz").is_file():
            return place
    pytest.skip(f"there is no MNIST here; {VARIABLE} may name a folder that holds it")
