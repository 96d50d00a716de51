"""The backend "tensorrt_rtx": plans built ahead of time by TensorRT-RTX, finished on the GPU at hand."""

from __future__ import annotations

from pathlib import Path

from runtime.backends.session import Probe
from runtime.backends.trt.session import TensorRTSession, open_plan, probe_flavour


def open_session(path: Path, *, device: int, threads: int | None) -> TensorRTSession:
    """Open a TensorRT-RTX plan on GPU `device`. `threads` is for CPU backends; any number of threads may call."""
    return open_plan(path, "tensorrt_rtx", device)


def probe(device: int = 0) -> Probe:
    """Can TensorRT-RTX plans run here?"""
    return probe_flavour("tensorrt_rtx", device)
