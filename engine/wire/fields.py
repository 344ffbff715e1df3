"""Fields of a configuration: one declaration gives the form, the shell's --set and the checks.

A configuration is a frozen dataclass whose annotations carry a :class:`Field`::

    @dataclass(frozen=True)
    class Config:
        n_layers: Annotated[int, Field(1, 16, help="Number of coupling layers.", symbol="L")] = 8
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, TypeVar

import msgspec

#: Settings that say how much a model can express, the first of a model's being the usual one.
CAPACITY_FIELDS = (
    "n_components",
    "hidden_features",
    "n_layers",
    "latent_features",
    "hidden_units",
)

Value = bool | int | float | str | list[int | float | str] | None
C = TypeVar("C")


class Field(msgspec.Struct, frozen=True):
    """Range and wording of one setting.

    Attributes:
        low: Smallest value allowed (for tuples: of each entry).
        high: Largest value allowed.
        step: What one press of an arrow adds; ``None`` lets the form choose.
        scale: ``"linear"`` or ``"log"``.
        help: One sentence for the tooltip.
        symbol: The literature's letter, in LaTeX without dollar signs.
        choices: Allowed words, for strings.
        live: Whether it may change while training without a restart.
        derived: Whether the data decide it, so that no form shows it (see
            :func:`engine.registry.build_model`).
        when: Another field and the value that it must have, or this one does nothing and the form
            hides it.
        optional: Whether ``None`` is allowed (set by :func:`field_specs`).
    """

    low: float | None = None
    high: float | None = None
    step: float | None = None
    scale: str = "linear"
    help: str = ""
    symbol: str = ""
    choices: tuple[str, ...] = ()
    live: bool = False
    derived: bool = False
    when: tuple[str, bool | int | str] | None = None


class FieldSpec(msgspec.Struct, frozen=True):
    """A named field with its kind and default, as it crosses the wire to become a form.

    ``kind`` is ``"bool"``, ``"int"``, ``"float"``, ``"str"``, ``"ints"`` (a tuple of whole
    numbers), ``"strs"`` (a tuple of words), ``"path"`` (a file), ``"folder"`` (or a file), or
    ``"blob"`` (data as text, which no form shows).
    """

    name: str
    kind: str
    default: Value
    field: Field
    optional: bool = False


_KINDS: dict[Any, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    tuple[int, ...]: "ints",
    tuple[str, ...]: "strs",
}


def field_specs(config: type) -> tuple[FieldSpec, ...]:
    """Read the fields of a configuration class, in the order in which they are written.

    Raises:
        TypeError: An annotation has no :class:`Field` or a type that no form can show.
    """
    hints = typing.get_type_hints(config, include_extras=True)
    return tuple(_spec(config, item, hints[item.name]) for item in dataclasses.fields(config))


def make_config(config: type[C], values: typing.Mapping[str, object]) -> C:
    """Build a configuration from loose values, checked against its fields.

    Args:
        config: The configuration class.
        values: Values by name; strings are converted, as they come from a shell.

    Raises:
        ValueError: A name is unknown or a value is outside its range; the sentence names what was
            given and what was wanted.
    """
    specs = {spec.name: spec for spec in field_specs(config)}
    for name in values:
        if name not in specs:
            known = ", ".join(specs) or "none"
            raise ValueError(f"there is no setting '{name}'; the settings are: {known}")
    checked = {name: check_value(specs[name], value) for name, value in values.items()}
    return config(**{n: tuple(v) if isinstance(v, list) else v for n, v in checked.items()})


def check_value(spec: FieldSpec, value: object) -> Value:
    """Convert one value to the field's kind and check its range.

    Raises:
        ValueError: The sentence names the setting, what was given and what was wanted.
    """
    if value is None or (spec.optional and value in ("", "none", "None")):
        if spec.optional:
            return None
        raise ValueError(f"{spec.name}: given nothing, wanted {wanted(spec)}")
    try:
        converted = _convert(spec.kind, value)
    except (ValueError, TypeError):
        raise ValueError(f"{spec.name}: given {value!r}, wanted {wanted(spec)}") from None
    if not _within(spec, converted):
        raise ValueError(f"{spec.name}: given {value!r}, wanted {wanted(spec)}")
    return converted


def wanted(spec: FieldSpec) -> str:
    """The wording of a field's range: "a whole number from 1 to 16"."""
    field = spec.field
    if field.choices:
        text = "one of " + ", ".join(field.choices)
    else:
        noun = {
            "bool": "true or false",
            "int": "a whole number",
            "float": "a number",
            "ints": "whole numbers such as 64,64, each",
            "strs": "words such as a,b",
            "path": "a file",
            "folder": "a folder or a file",
            "blob": "data as text",
        }.get(spec.kind, "a word")
        text = noun + _range_wording(field)
    return text + (" or none" if spec.optional else "")


def _range_wording(field: Field) -> str:
    if field.low is not None and field.high is not None:
        return f" from {field.low:g} to {field.high:g}"
    if field.low is not None:
        return f" of at least {field.low:g}"
    return f" of at most {field.high:g}" if field.high is not None else ""


def _spec(config: type, item: dataclasses.Field[Any], hint: Any) -> FieldSpec:
    if typing.get_origin(hint) is not typing.Annotated:
        raise TypeError(f"{config.__qualname__}.{item.name} has no Field annotation")
    bare, *extras = typing.get_args(hint)
    fields = [extra for extra in extras if isinstance(extra, Field)]
    if not fields:
        raise TypeError(f"{config.__qualname__}.{item.name} has no Field annotation")
    bare, optional = _strip_none(bare)
    kind = next((word for word in ("path", "folder", "blob") if word in extras), _KINDS.get(bare))
    if kind is None:
        raise TypeError(f"{config.__qualname__}.{item.name}: no form can show {bare}")
    default = item.default
    if isinstance(default, tuple):
        default = list(default)
    return FieldSpec(item.name, kind, typing.cast(Value, default), fields[0], optional)


def _strip_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        if len(kinds) == 1:
            return kinds[0], True
    return hint, False


def _convert(kind: str, value: object) -> Value:
    if kind == "bool":
        return _to_bool(value)
    if kind == "int":
        return _to_int(value)
    if kind == "float":
        return _to_float(value)
    if kind in ("ints", "strs"):
        parts = _parts(value)
        return [_to_int(part) for part in parts] if kind == "ints" else [str(p) for p in parts]
    if not isinstance(value, str):
        raise ValueError
    return value


def _parts(value: object) -> list[object]:
    if isinstance(value, str):
        return [part.strip() for part in value.strip("()[] ").split(",") if part.strip()]
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value]


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).lower()
    if text not in words:
        raise ValueError
    return words[text]


def _to_int(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, str):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError


def _to_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _within(spec: FieldSpec, value: Value) -> bool:
    field = spec.field
    if field.choices:
        return value in field.choices
    entries = value if isinstance(value, list) else [value]
    numbers = [e for e in entries if isinstance(e, (int, float)) and not isinstance(e, bool)]
    above = field.low is None or all(number >= field.low for number in numbers)
    return above and (field.high is None or all(number <= field.high for number in numbers))
