"""A plugin that leaves the engine a sliver of the card's memory, so that it runs out."""

from __future__ import annotations

import torch

#: Enough for a small model, not for a large batch.
BYTES = 64 * 2**20

if torch.cuda.is_available():
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(BYTES / total)
