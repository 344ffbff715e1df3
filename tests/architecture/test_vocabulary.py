"""One word for one thing: the synonyms that ARCHITECTURE.md bans appear in no name of ours."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import ROOT, python_files, tree

#: Banned as a word inside an identifier, and what to say instead.
BANNED = {
    "discriminator": "critic",
    "log_likelihood": "log_prob",
    "loglikelihood": "log_prob",
    "loglik": "log_prob",
    "logprob": "log_prob",
    "logp": "log_prob",
    "latent_dim": "latent_features",
    "latent_size": "latent_features",
    "n_latent": "latent_features",
    "hidden_dim": "hidden_features",
    "hidden_size": "hidden_features",
    "n_hidden": "hidden_features",
    "num_layers": "n_layers",
    "num_components": "n_components",
    "num_samples": "n_samples",
    "batchsize": "batch_size",
    "learn_rate": "learning_rate",
}
#: Banned as a whole method or function name.
BANNED_FUNCTIONS = {"nll": "log_prob or elbo", "lower_bound": "elbo", "potential": "energy"}


def defined_names(name: str) -> Iterator[tuple[str, int]]:
    """Every name that a file defines, with its line: what it calls in libraries is not ours."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def snake(name: str) -> str:
    """``LatentDim`` and ``latent_dim`` are the same words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def find_banned(name: str) -> str | None:
    """The banned word that an identifier contains, if any."""
    words = f"_{snake(name).strip('_')}_"
    return next((bad for bad in BANNED if f"_{bad}_" in words), None)


def test_names() -> None:
    faults = [
        f"{name}:{line}: {found} holds '{bad}', say '{BANNED[bad]}'"
        for name in python_files("app", "engine", "widgets", "main.py")
        for found, line in [*defined_names(name), (name.split("/")[-1].removesuffix(".py"), 1)]
        if (bad := find_banned(found))
    ]
    assert faults == []


def test_function_names() -> None:
    faults = [
        f"{name}:{node.lineno}: {node.name}(), say {BANNED_FUNCTIONS[node.name]}"
        for name in python_files("app", "engine", "widgets")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef) and node.name in BANNED_FUNCTIONS
    ]
    assert faults == []


@pytest.mark.parametrize("name", ["Discriminator", "latent_dim", "n_latent_units", "_logp"])
def test_finds(name: str) -> None:
    assert find_banned(name)


def test_documented() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert [bad for bad in BANNED if bad not in text] == []
