"""The ArtifactInfo of a file, whichever kind of artifact it is."""

from __future__ import annotations

from pathlib import Path

from runtime.artifact import manifest, onnx_metadata
from runtime.artifact.info import ArtifactInfo


def read_info(path: Path) -> ArtifactInfo:
    """Read what an artifact says about itself: in an ONNX file, or in the manifest beside a plan."""
    return manifest.read(path) if path.suffix == ".plan" else onnx_metadata.read_info(path)
