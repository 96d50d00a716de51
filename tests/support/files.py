"""Exported files that say something else than what was exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from export import onnx_files


def asking_for_bf16(path: Path, folder: Path) -> Path:
    """A copy in `folder` whose convolutions are to be computed in bfloat16 on CPUs that have it."""
    model, info = onnx_files.load(path)
    copy = folder / path.name
    copy.write_bytes(onnx_files.to_bytes(model, replace(info, cpu_precision="bf16")))
    return copy
