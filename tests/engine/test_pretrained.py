"""The trained models that come with the program: they open, and are as good as they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from engine import checkpoint
from engine.absent import data_of
from engine.dataset import as_float
from engine.run import Run
from tests.architecture.source import ROOT

FOLDER = ROOT / "assets" / "pretrained"
FILES = sorted(FOLDER.glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_file_opens_as_a_run(path: Path) -> None:
    assert path.stat().st_size <= 1_500_000
    assert f"`pretrained/{path.name}`" in (ROOT / "assets/SOURCES.md").read_text(encoding="utf-8")
    run = Run.open("a", str(path), "cpu")
    assert run.step > 0
    drawn = run.exhibit.replica.sample(1, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (1, *run.dataset.event_shape)
    assert bool(drawn.isfinite().all())


def test_the_digits_have_the_likelihood_that_their_notes_name() -> None:
    loaded = checkpoint.load(FOLDER / "digits.safetensors")
    said = re.match(r"[\d.]+", loaded.header.notes["test"])
    assert said is not None
    data = data_of(loaded)
    with torch.no_grad():
        log_p = loaded.model.log_prob(as_float(data.test), context=data.test_labels)  # type: ignore[operator]
    assert -float(log_p.mean()) == pytest.approx(float(said[0]), abs=0.01)
