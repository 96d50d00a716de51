"""Protobuf's text format, as far as a configuration of Triton needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Word(str):
    """A value that is written without quotation marks: one of an enumeration."""


def to_text(message: Mapping[str, Any]) -> str:
    """A message as text. A sequence is a field that is repeated; None is a field that is left out."""
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in message.items():
        values: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
        for one in values:
            if isinstance(one, Mapping):
                yield f"{indent}{name} {{"
                yield from _lines(one, f"{indent}  ")
                yield f"{indent}}}"
            elif one is not None:
                yield f"{indent}{name}: {_scalar(one)}"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, str):
        return f'"{_escaped(value)}"'
    return str(value)


def _escaped(text: str) -> str:
    """Printable ASCII as it is, any other byte in octal: the escapes that every version of the format knows."""
    special = {ord('"'): '\\"', ord("\\"): "\\\\"}
    return "".join(special.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in text.encode())
