"""The few operations of CUDA that the GPU sessions need.

Handles (contexts, streams, events, graphs) and device pointers are plain integers, so that they mix with those of
torch, CuPy and TensorRT. Stream 0 is the legacy default stream. Every failure raises `BackendError` with CUDA's own
name for it.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def uuid_text(data: bytes) -> str:
    """The 16 bytes of a GPU's UUID as nvidia-smi writes them."""
    return f"GPU-{UUID(bytes=data)}"


@dataclass(frozen=True)
class DeviceProperties:
    """The properties of a GPU."""

    name: str
    #: Compute capability, e.g. "8.9".
    sm: str
    memory_bytes: int
    #: The newest CUDA version that the driver supports, e.g. "13.0".
    cuda: str
    #: As nvidia-smi writes it, "GPU-1b2c...": its order of GPUs is another than CUDA's. Empty where the driver doesn't say.
    uuid: str = ""


class Cuda(Protocol):
    """One implementation of these operations. All but the first five need a context from `using`."""

    name: str

    def device_count(self) -> int: ...

    def properties(self, device: int) -> DeviceProperties: ...

    def current_context(self, device: int) -> int:
        """The calling thread's current context if it is one of `device`, whoever made it current; else 0."""
        ...

    def open_context(self, device: int, *, primary: bool = False) -> int:
        """Return the calling thread's current context if it is one of `device`, else retain the primary context.

        With `primary` the primary context, whichever is current. Every call needs one of `close_context`.
        """
        ...

    def close_context(self, context: int) -> None:
        """Undo one `open_context`; the last one releases what was retained. The host application's own is left alone."""
        ...

    def using(self, context: int) -> AbstractContextManager[None]:
        """Make a context current on this thread, and put back on leaving what was current before."""
        ...

    def create_stream(self) -> int:
        """Return a stream that doesn't wait for the legacy default stream."""
        ...

    def destroy_stream(self, stream: int) -> None: ...

    def synchronize(self, stream: int) -> None:
        """Wait on the host until all that was enqueued on a stream is done."""
        ...

    def create_event(self, timing: bool = False) -> int: ...

    def destroy_event(self, event: int) -> None: ...

    def record(self, event: int, stream: int) -> None: ...

    def wait(self, stream: int, event: int) -> None:
        """Make later work on a stream wait for an event, without waiting on the host."""
        ...

    def synchronize_event(self, event: int) -> None: ...

    def elapsed_ms(self, start: int, end: int) -> float:
        """Milliseconds between two events that were created with `timing=True` and are done."""
        ...

    def allocate(self, count: int) -> int:
        """Return a pointer to `count` bytes of device memory."""
        ...

    def free(self, pointer: int) -> None: ...

    def allocate_host(self, count: int) -> Bytes:
        """Return `count` bytes of page-locked host memory; valid until `free_host`."""
        ...

    def free_host(self, array: Bytes) -> None: ...

    def copy_to_device(self, pointer: int, array: Bytes, stream: int) -> None:
        """Enqueue a copy of a contiguous host array; asynchronous when the array is page-locked."""
        ...

    def copy_to_host(self, array: Bytes, pointer: int, stream: int) -> None: ...

    def copy_on_device(self, target: int, source: int, count: int, stream: int) -> None: ...

    def is_capturing(self, stream: int) -> bool:
        """Is what is enqueued on a stream (not a default one) recorded instead of run?"""
        ...

    def begin_capture(self, stream: int) -> None:
        """Record what this thread enqueues on a stream (not 0) from here on, instead of running it."""
        ...

    def end_capture(self, stream: int) -> int:
        """Stop recording and return a graph ready to launch. The stream is usable again even if this raises."""
        ...

    def launch(self, graph: int, stream: int) -> None: ...

    def destroy_graph(self, graph: int) -> None: ...


@dataclass(frozen=True)
class Gpu:
    """A GPU as a session uses it. Memory and streams that are handed to the session belong to this context."""

    cuda: Cuda
    device: int
    context: int
    #: The process that opened it.
    process: int = field(default_factory=os.getpid)
