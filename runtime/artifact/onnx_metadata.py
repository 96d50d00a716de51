"""Metadata of an ONNX file, read without onnx or a backend: the graph is skipped, not parsed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from runtime.artifact import remedies
from runtime.artifact.info import METADATA_KEY, ArtifactInfo
from runtime.errors import ArtifactError

#: Field numbers of onnx.ModelProto and onnx.StringStringEntryProto.
_IR_VERSION, _GRAPH, _METADATA_PROPS = 1, 7, 14
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_info(path: Path) -> ArtifactInfo:
    """Return the ArtifactInfo inside an exported ONNX file."""
    text = read_metadata(path).get(METADATA_KEY)
    if text is None:
        raise ArtifactError(
            f"{path} does not describe itself: it has no metadata {METADATA_KEY!r}, so retinexrt did not export it; "
            f"export a network with: {remedies.export()}"
        )
    return ArtifactInfo.from_json(text, str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata properties of an ONNX file; the graph is skipped, not read."""
    properties: dict[str, str] = {}
    seen: set[int] = set()
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for number, payload in _fields(file, size, wanted=_METADATA_PROPS):
                seen.add(number)
                if number == _METADATA_PROPS:
                    entry = dict(_fields(io.BytesIO(payload), len(payload), wanted=None))
                    properties[entry.get(_KEY, b"").decode()] = entry.get(_VALUE, b"").decode()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is damaged or not an ONNX file ({error}); export it again") from error
    if not {_IR_VERSION, _GRAPH} <= seen:
        raise ArtifactError(f"{path} is not an ONNX file: it holds no graph")
    return properties


def _fields(file: BinaryIO, end: int, wanted: int | None) -> Iterator[tuple[int, bytes]]:
    """Walk the fields of a protobuf message; only the payloads of `wanted` are read (None: of all)."""
    while file.tell() < end:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("field number 0")
        if kind == _VARINT:
            _varint(file)
            yield number, b""
            continue
        if kind not in (_FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"wire type {kind}")
        length = {_FIXED64: 8, _FIXED32: 4}.get(kind) or _varint(file)
        if file.tell() + length > end:
            raise ValueError("it ends in the middle of a field")
        if wanted in (None, number):
            yield number, file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
            yield number, b""


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends in the middle of a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number is too long")
