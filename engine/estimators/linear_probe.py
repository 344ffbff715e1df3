"""A linear classifier on frozen features with few labels: what a representation is good for."""

from __future__ import annotations

import torch
from torch import Tensor

#: Labels that the classifier learns from.
LABEL_COUNTS = (10, 30, 100, 300)
#: Held-out observations that it is judged by, at most.
MOST_JUDGED = 2000


def few_labels(labels: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Rows (n,) to learn from: every class as often as the others, as far as n allows it.

    Raises:
        ValueError: There are fewer labelled observations than n.
    """
    if n > len(labels):
        raise ValueError(f"linear probe: given {len(labels)} labels, wanted at least {n}")
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    place = torch.zeros(len(labels), dtype=torch.int64)
    for value in range(int(labels.max()) + 1):
        mine = (shuffled == value).nonzero().flatten()
        place[mine] = torch.arange(len(mine))
    # The first of each class, then the second of each, and so on.
    return order[place.argsort(stable=True)[:n]]


def probe_accuracy(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor
) -> float:
    """Accuracy on (M, F) of a logistic regression learnt from (N, F), both scaled by the first.

    A single class to learn from gives the share of that class.
    """
    from sklearn.linear_model import LogisticRegression  # imports for three seconds

    if bool((train_labels == train_labels[0]).all()):
        return float((test_labels == train_labels[0]).double().mean())
    mean, spread = train.mean(0), train.std(0)
    spread = torch.where(spread > 1e-12, spread, torch.ones_like(spread))
    judge = LogisticRegression(max_iter=1000)
    judge.fit(((train - mean) / spread).numpy(), train_labels.numpy())
    return float(judge.score(((test - mean) / spread).numpy(), test_labels.numpy()))
