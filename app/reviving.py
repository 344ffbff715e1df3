"""A run comes back as its last keyframe was; what the user changed since is changed again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.wire.cards import DatasetCard
from engine.wire.fields import Value
from engine.wire.messages import Ack, Command, OpenRun, RunSpec, StartRun

if TYPE_CHECKING:
    from app.run_view import RunView
    from app.session import Answered, Refused, Session


def revive(session: Session, view: RunView) -> None:
    """Build a run again in a fresh engine, from its newest keyframe on disk where there is one."""
    kept, wanted = view.kept_file, view.spec
    name = session.link.next_id()
    command: Command
    if view.path and not kept:
        command = OpenRun(name, view.run, view.path, "auto", False, fetches=False)
    else:
        past = str(Path(kept).with_suffix(".history")) if kept else ""
        command = StartRun(name, view.run, view.spec, False, kept, past)
    restore(session, view, command, lambda _: catch_up(session, view, wanted))


def restore(
    session: Session,
    view: RunView,
    command: Command,
    done: Answered,
    refused: Refused | None = None,
) -> None:
    """Let an engine build a run that the window has; ``done`` hears when it stands."""
    admit = session.admit(view, select=False)

    def admitted(ack: Ack) -> None:
        admit(ack)
        done(ack)

    session.command(command, admitted, refused)


def catch_up(session: Session, view: RunView, wanted: RunSpec) -> None:
    """Give a run that was just opened again the data and the live settings that it had last."""
    hello, info = session.hello, view.info
    if hello is None or info is None:
        return
    given = view.spec
    card = next((card for card in hello.datasets if card.name == wanted.dataset), None)
    if card is not None and not _same_data(card, wanted, given):
        session.set_data(view, wanted.dataset, wanted.dataset_config)
    live = [spec.name for spec in info.card.fields if spec.field.live]
    values = {name: wanted.model_config[name] for name in live if name in wanted.model_config}
    values = {k: v for k, v in values.items() if given.model_config.get(k, v) != v}
    if values:
        session.set_live(view, values)


def _same_data(card: DatasetCard, wanted: RunSpec, given: RunSpec) -> bool:
    """Whether two specs name the same data, every setting written out."""
    if wanted.dataset != given.dataset:
        return False
    defaults: dict[str, Value] = {spec.name: spec.default for spec in card.fields}
    both = [_plain(defaults | spec.dataset_config) for spec in (wanted, given)]
    return both[0] == both[1]


def _plain(config: dict[str, Value]) -> dict[str, object]:
    return {k: list(v) if isinstance(v, list | tuple) else v for k, v in config.items()}
