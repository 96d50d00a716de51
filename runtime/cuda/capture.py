"""Recording CUDA graphs, and what must not happen meanwhile."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator
from contextlib import contextmanager

from runtime.cuda.interop import LEGACY_DEFAULT_STREAM
from runtime.cuda.protocol import Cuda
from runtime.errors import InputError

#: The legacy default stream, by its two names; and with each thread's own, which CUDA calls 2.
LEGACY_STREAMS = (0, LEGACY_DEFAULT_STREAM)
DEFAULT_STREAMS = (*LEGACY_STREAMS, 2)

#: A device-wide synchronisation on any thread invalidates a capture in progress, and fails. Both capture and device-wide
#: synchronisation must hold this lock. It does not cover other libraries, nor TensorRT-RTX's own capture.
whole_gpu = threading.RLock()


@contextmanager
def recording() -> Generator[bool]:
    """Around the recording of a graph: no finalizer runs that may free GPU memory. False: something waits for the GPU now."""
    if not whole_gpu.acquire(blocking=False):
        yield False
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield True
    finally:
        if collecting:
            gc.enable()
        whole_gpu.release()


def require_no_capture(cuda: Cuda, stream: int) -> None:
    """Refuse a caller's stream that is being recorded: our own events lie outside of that recording."""
    if stream not in LEGACY_STREAMS and cuda.is_capturing(stream):
        raise InputError(
            "the stream is being captured into a CUDA graph, and enhancing can't be recorded into an application's own; "
            "enhance outside of the capture (runs of a shape are replayed as graphs anyway)"
        )
