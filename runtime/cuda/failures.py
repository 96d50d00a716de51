"""Failures of the CUDA driver as errors of the project, by CUDA's own numbers."""

from __future__ import annotations

from runtime.errors import BackendError, GpuLostError, GpuMemoryError

OUT_OF_MEMORY = 2
#: After one of these every call of CUDA in this process fails with it, whatever is closed and opened again. Those of 710
#: to 720 that are missing refuse one call and leave the rest alone.
LOST = frozenset({214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810})


def failure(function: str, code: int, text: str) -> BackendError:
    """The error for a function that returned `code`, which CUDA calls `text`."""
    if code in LOST:
        return lost(f"{function}: {text}")
    return (GpuMemoryError if code == OUT_OF_MEMORY else BackendError)(f"{function}: {text}")


def lost(text: str) -> GpuLostError:
    """The error for a GPU that this process can use no more."""
    return GpuLostError(f"{text}; CUDA works no more in this process, so end it and start another")
