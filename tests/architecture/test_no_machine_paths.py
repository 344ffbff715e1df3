"""Nothing tracked knows the machine on which it was written."""

from __future__ import annotations

import re

import pytest

from tests.architecture.source import ROOT, tracked

TEXT = (".py", ".toml", ".md", ".txt", ".json", "Makefile", "run", "setup", ".cfg")
#: Homes and work folders of a machine, and hosts that only a mirror's configuration should name.
PATTERNS = (
    r"(?<![\w.~-])/(?:home|Users|root|work|farm|opt|srv|mnt)/[\w.-]+",
    r"(?<![\w])[A-Z]:\\\\?[\w]",
    r"(?:py[p]i|file[s]\.python[h]osted)\.org",
)


def test_files() -> None:
    names = [name for name in tracked() if name.endswith(TEXT)]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    found = [
        f"{name}: {match}"
        for name, text in texts.items()
        for pattern in PATTERNS
        for match in re.findall(pattern, text)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["see /" + "home/ada/data.csv", "C:" + "\\data"])
def test_finds(text: str) -> None:
    assert any(re.search(pattern, text) for pattern in PATTERNS)
