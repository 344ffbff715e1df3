"""Finds ``widgets.panels`` and matches what they need with what a model can do."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

import widgets.panels
from engine.wire.cards import ModelCard
from widgets.panel import Panel


@cache
def panel_kinds() -> dict[str, type[Panel]]:
    """Panel classes by name: one walk over the folder, no list to edit."""
    found: dict[str, type[Panel]] = {}
    for entry in pkgutil.iter_modules(widgets.panels.__path__):
        module = importlib.import_module(f"widgets.panels.{entry.name}")
        for item in vars(module).values():
            if _is_panel(item) and item.__module__ == module.__name__:
                found[item.name] = item
    return found


def _is_panel(item: object) -> bool:
    return inspect.isclass(item) and issubclass(item, Panel) and "name" in vars(item)


def refusals(card: ModelCard) -> dict[str, str]:
    """By panel name: why it cannot serve this model, or "" where it can."""
    return {name: kind.refusal(card) for name, kind in panel_kinds().items()}
