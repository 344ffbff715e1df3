"""A plugin with a data set whose one file comes from a test's own server."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from engine.dataset import Dataset
from engine.download import RemoteFile, fetch_all
from engine.wire.cards import DatasetCard
from engine.wire.event import Event
from engine.wire.fields import Field

ADDRESS = "GENSCOPE_TEST_SERVER"
CONTENT = (np.arange(400_000) % 251).astype(np.uint8).tobytes()


class Remote(Dataset):
    """Points (N, 2) out of a file's bytes."""

    card = DatasetCard(name="remote", title="Remote", summary="From a server.")

    @dataclass(frozen=True)
    class Config:
        file: Annotated[str, Field(help="What to ask the server for.")] = "good"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        (path,) = fetch_all(self.sources(config))
        points = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        self.event = Event((2,), ("x", "y"))
        self.train = points[:2000].reshape(-1, 2).float()
        self.valid = self.test = self.train[:100]

    @classmethod
    def sources(cls, config: Any) -> tuple[RemoteFile, ...]:
        address = f"{os.environ.get(ADDRESS, '')}/{config.file}"
        digest = hashlib.sha256(CONTENT).hexdigest()
        return (RemoteFile(f"remote/{config.file}.bin", (address,), digest, len(CONTENT)),)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return self._resample(n, generator)
