"""Artifacts: what an ONNX file or a TensorRT plan says about itself, and where it lies."""

from runtime.artifact.info import (
    METADATA_KEY,
    MINIMUM_SIZE,
    SCHEMA,
    ArtifactInfo,
    CpuPrecision,
    ParityInfo,
    PlanInfo,
    PlanParts,
    Precision,
    Profile,
    TensorInfo,
)
from runtime.artifact.read import read_info

__all__ = [
    "METADATA_KEY",
    "MINIMUM_SIZE",
    "SCHEMA",
    "ArtifactInfo",
    "CpuPrecision",
    "ParityInfo",
    "PlanInfo",
    "PlanParts",
    "Precision",
    "Profile",
    "TensorInfo",
    "read_info",
]
