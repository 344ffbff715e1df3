"""``list``: the engine's cards as tables, as JSON and as the README's table."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.shell_engine import ShellError, to_json
from engine.wire.cards import ModelCard
from engine.wire.messages import Hello

KINDS = ("models", "datasets", "probes", "devices")
MARKDOWN_HEAD = "| Family | Models, by the year of their paper |\n| --- | --- |\n"


def check_kind(what: str) -> None:
    """Raise ``ShellError`` unless ``what`` is a kind or "all"."""
    if what != "all" and what not in KINDS:
        raise ShellError(f"list: given '{what}', wanted all or one of: {', '.join(KINDS)}")


def show(hello: Hello, what: str, *, markdown: bool, json: bool) -> None:
    """Write one kind of thing, or all."""
    kinds = KINDS if what == "all" else (what,)
    if markdown:
        typer.echo(model_table(hello.models), nl=False)
    elif json:
        typer.echo(to_json({kind: msgspec.to_builtins(getattr(hello, kind)) for kind in kinds}))
    else:
        console = Console()
        for kind in kinds:
            console.print(_table(hello, kind))


def model_table(cards: tuple[ModelCard, ...]) -> str:
    """The README's table of models, in Markdown: a row for each family."""
    families: dict[str, list[str]] = {}
    for card in cards:
        words = f"{card.title} (`{card.name}`, {card.paper.year})"
        families.setdefault(card.family, []).append(words)
    rows = [f"| {family} | {' · '.join(found)} |\n" for family, found in families.items()]
    return MARKDOWN_HEAD + "".join(rows)


def _capabilities(card: ModelCard) -> list[str]:
    return [str(c).replace("_", " ") for c in card.capabilities]


def _table(hello: Hello, kind: str) -> Table:
    if kind == "models":
        models = [
            (c.name, c.family, str(c.paper.year), c.paper.title, ", ".join(_capabilities(c)))
            for c in hello.models
        ]
        return _filled("models", ("name", "family", "year", "paper", "what it can do"), models)
    if kind == "datasets":
        datasets = [
            (c.name, c.kind, "yes" if c.has_density else "no", c.summary) for c in hello.datasets
        ]
        return _filled("data sets", ("name", "kind", "density known", "summary"), datasets)
    if kind == "probes":
        return _filled("probes", ("name", "summary"), [(c.name, c.summary) for c in hello.probes])
    return _filled("devices", ("name",), [(name,) for name in hello.devices])


def _filled(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head)
    for row in rows:
        table.add_row(*row)
    return table
