"""Read and write exported files: a graph and its description in one ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx

from runtime.artifact import METADATA_KEY, ArtifactInfo, remedies
from runtime.errors import ArtifactError


def onnx_path(folder: Path, network: str, precision: str) -> Path:
    """NAME.onnx, or NAME_fp16.onnx."""
    return folder / (f"{network}.onnx" if precision == "fp32" else f"{network}_{precision}.onnx")


def load(path: Path) -> tuple[onnx.ModelProto, ArtifactInfo]:
    """Read an exported file."""
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # protobuf's DecodeError is not importable from one stable place
        raise ArtifactError(f"{path} is not an ONNX file, or is cut short") from error
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return model, ArtifactInfo.from_json(entry.value, str(path))
    raise ArtifactError(f"{path} does not describe itself; export it again with: {remedies.export()}")


def to_bytes(model: onnx.ModelProto, info: ArtifactInfo) -> bytes:
    """The same bytes for the same graph and description."""
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    return model.SerializeToString(deterministic=True)
