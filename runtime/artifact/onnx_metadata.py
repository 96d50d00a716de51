"""Metadata of an ONNX file, read without onnx or a backend: the graph is skipped, not parsed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from runtime.artifact import protobuf, remedies
from runtime.artifact.info import METADATA_KEY, ArtifactInfo
from runtime.errors import ArtifactError

#: Field numbers of onnx.ModelProto and onnx.StringStringEntryProto.
_IR_VERSION, _GRAPH, _METADATA_PROPS = 1, 7, 14
_KEY, _VALUE = 1, 2


def read_info(path: Path) -> ArtifactInfo:
    """Return the ArtifactInfo inside an exported ONNX file."""
    return _to_info(read_metadata(path), path)


def info_of(content: bytes, path: Path) -> ArtifactInfo:
    """Return the ArtifactInfo inside the bytes of an exported ONNX file; `path` stands for it in errors."""
    return _to_info(_metadata(io.BytesIO(content), len(content), path), path)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata properties of an ONNX file; the graph is skipped, not read."""
    try:
        with path.open("rb") as file:
            return _metadata(file, path.stat().st_size, path)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def _to_info(properties: dict[str, str], path: Path) -> ArtifactInfo:
    text = properties.get(METADATA_KEY)
    if text is None:
        raise ArtifactError(
            f"{path} does not describe itself: it has no metadata {METADATA_KEY!r}, so retinexrt did not export it; "
            f"export a network with: {remedies.export()}"
        )
    return ArtifactInfo.from_json(text, str(path))


def _metadata(file: BinaryIO, size: int, path: Path) -> dict[str, str]:
    properties: dict[str, str] = {}
    seen: set[int] = set()
    read = protobuf.of_file(file)
    try:
        for field in protobuf.fields(read, size):
            seen.add(field.number)
            if field.number == _METADATA_PROPS:
                entry = read(field.payload, field.stop - field.payload)
                key, value = (protobuf.texts(entry, number)[-1:] or [""] for number in (_KEY, _VALUE))
                properties[key[0]] = value[0]
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged or not an ONNX file ({error}); export it again") from error
    if not {_IR_VERSION, _GRAPH} <= seen:
        raise ArtifactError(f"{path} is not an ONNX file: it holds no graph")
    return properties
