"""Decode parsed JSON or TOML into dataclasses, refusing whatever is not exactly of the declared type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from runtime.errors import ArtifactError


def decode(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as `kind`, or raise an ArtifactError that starts with `where`.

    A class with a method `from_document` reads its own values.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if hasattr(kind, "from_document"):
        return kind.from_document(value, where)
    if is_dataclass(kind):
        return decode_fields(kind, value, where)
    if origin is Literal:
        if value in arguments and type(value) is type(arguments[0]):
            return value
        raise ArtifactError(f"{where}: expected one of {', '.join(map(str, arguments))}, found {value!r}")
    if origin in (Union, UnionType):
        return _decode_union(kind, value, where)
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise ArtifactError(f"{where}: expected an object, found {value!r}")
        return {str(key): decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is NoneType and value is None:
        return None
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise ArtifactError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {value!r}")


def _decode_union(kind: Any, value: Any, where: str) -> Any:
    if value is None and NoneType in get_args(kind):
        return None
    options = [option for option in get_args(kind) if option is not NoneType]
    for option in options:
        try:
            return decode(option, value, where)
        except ArtifactError:
            if len(options) == 1:
                raise
    raise ArtifactError(f"{where}: found {value!r}, expected {kind}")


def _decode_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ArtifactError(f"{where}: expected a list, found {value!r}")
    repeated = arguments[1:] == (Ellipsis,)
    if not repeated and len(value) != len(arguments):
        raise ArtifactError(f"{where}: expected {len(arguments)} values, found {len(value)}")
    kinds = [arguments[0]] * len(value) if repeated else arguments
    return tuple(decode(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def decode_fields(kind: Any, value: Any, where: str) -> Any:
    """Return a dataclass from the object that holds its fields; one with a default may be absent."""
    if not isinstance(value, dict):
        raise ArtifactError(f"{where}: expected an object, found {value!r}")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if unknown := sorted(set(value) - set(names)):
        raise ArtifactError(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(names)}")
    # A field with a default may be newer than the document.
    required = (field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING)
    if absent := [name for name in required if name not in value]:
        raise ArtifactError(f"{where}: field {absent[0]!r} is missing")
    return kind(**{name: decode(hints[name], value[name], f"{where}.{name}") for name in value})
