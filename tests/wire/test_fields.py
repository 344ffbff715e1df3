"""Fields of a configuration: what is accepted, and the sentence for what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from engine.wire.event import Event
from engine.wire.fields import Field, check_value, field_specs, make_config


@dataclass(frozen=True)
class Config:
    """One field of each kind."""

    n_layers: Annotated[int, Field(1, 16, help="Layers.")] = 8
    learning_rate: Annotated[float, Field(1e-5, 1.0, scale="log", live=True)] = 1e-3
    norm: Annotated[float | None, Field(0.0)] = None
    hidden_features: Annotated[tuple[int, ...], Field(1, 512)] = (64, 64)
    loss: Annotated[str, Field(choices=("a", "b"))] = "a"
    fresh: Annotated[bool, Field()] = False
    columns: Annotated[tuple[str, ...], Field()] = ()
    path: Annotated[str, Field(), "path"] = ""


SPECS = {spec.name: spec for spec in field_specs(Config)}


def test_kinds_and_defaults() -> None:
    kinds = {name: spec.kind for name, spec in SPECS.items()}
    assert kinds == {
        "n_layers": "int",
        "learning_rate": "float",
        "norm": "float",
        "hidden_features": "ints",
        "loss": "str",
        "fresh": "bool",
        "columns": "strs",
        "path": "path",
    }
    assert SPECS["hidden_features"].default == [64, 64]
    assert [name for name, spec in SPECS.items() if spec.optional] == ["norm"]


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("n_layers", "3", 3),
        ("n_layers", 3.0, 3),
        ("learning_rate", "1e-2", 0.01),
        ("norm", "none", None),
        ("norm", "2", 2.0),
        ("hidden_features", "32, 16", [32, 16]),
        ("hidden_features", (8,), [8]),
        ("hidden_features", "(8,)", [8]),
        ("loss", "b", "b"),
        ("fresh", "yes", True),
        ("fresh", "0", False),
        ("columns", "x,y", ["x", "y"]),
    ],
)
def test_accepts(name: str, given: Any, value: Any) -> None:
    found = check_value(SPECS[name], given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("n_layers", "0", "n_layers: given '0', wanted a whole number from 1 to 16"),
        ("n_layers", 2.5, "n_layers: given 2.5, wanted a whole number"),
        ("n_layers", True, "n_layers: given True, wanted a whole number"),
        ("n_layers", None, "n_layers: given nothing, wanted a whole number"),
        ("learning_rate", "nan", "learning_rate: given 'nan', wanted a number from 1e-05 to 1"),
        ("learning_rate", "fast", "learning_rate: given 'fast', wanted a number"),
        ("norm", -1, "norm: given -1, wanted a number of at least 0 or none"),
        ("hidden_features", "64,0", "hidden_features: given '64,0', wanted whole numbers such as"),
        ("loss", "c", "loss: given 'c', wanted one of a, b"),
        ("fresh", "maybe", "fresh: given 'maybe', wanted true or false"),
        ("path", 3, "path: given 3, wanted a file"),
    ],
)
def test_refuses(name: str, given: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is looked at below
        check_value(SPECS[name], given)
    assert str(refused.value).startswith(sentence)


def test_make_config() -> None:
    config = make_config(Config, {"n_layers": "2", "hidden_features": [4, 5]})
    assert config == Config(n_layers=2, hidden_features=(4, 5))
    with pytest.raises(ValueError, match="no setting 'depth'; the settings are: n_layers"):
        make_config(Config, {"depth": 3})


def test_a_field_without_a_range_is_a_mistake_of_the_author() -> None:
    @dataclass(frozen=True)
    class Bare:
        depth: int = 3

    with pytest.raises(TypeError, match=r"Bare\.depth has no Field annotation"):
        field_specs(Bare)


@pytest.mark.parametrize(
    ("shape", "kind"), [((2,), "points"), ((1, 8, 8), "picture"), ((None,), "sequence")]
)
def test_event_kinds(shape: tuple[int | None, ...], kind: str) -> None:
    assert Event(shape).kind == kind


def test_event_size() -> None:
    assert Event((1, 8, 8)).size == 64
    with pytest.raises(ValueError, match="no fixed size"):
        _ = Event((None, 3)).size
