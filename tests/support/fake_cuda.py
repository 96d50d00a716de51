"""CUDA in host memory: the third implementation of the protocol.

Streams are queues that run only when somebody waits for them, so a missing order between streams gives a wrong result
instead of luck. "Device" pointers are addresses of host memory. Every operation needs a current context on its thread;
memory, streams and events belong to the context that they were made in, and each context has a default stream of its own.
What was created is counted until it is destroyed.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.cuda import failures
from runtime.cuda.protocol import Bytes, DeviceProperties
from runtime.errors import BackendError, GpuMemoryError, InputError
from runtime.images import DeviceImages

Operation = Callable[[], None]


#: Of what CUDA allocates.
ALIGNMENT = 256


def memory_at(address: int, count: int) -> Bytes:
    """Host memory at an address, as an array."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))


def on_device(images: Bytes) -> DeviceImages:
    """Host memory, handed over as if it were the GPU's."""
    n, h, w, c = images.shape
    return DeviceImages(images.ctypes.data, (n, h, w, c), owner=images)


def aligned(*shape: int, past: int = 0) -> Bytes:
    """Memory for uint8 that starts so many bytes past an address that CUDA could have given."""
    size = math.prod(shape)
    memory = np.zeros(size + ALIGNMENT + past, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT + past
    return memory[first : first + size].reshape(shape)


#: The names of the legacy default stream.
LEGACY = (0, 1)
#: The default stream that each thread has of its own.
PER_THREAD = 2


@dataclass
class FakeStream:
    context: int
    queue: list[Operation] = field(default_factory=list)
    done: int = 0
    #: What is recorded instead of run; None: not capturing.
    captured: list[Operation] | None = None
    invalid: bool = False


class FakeCuda:
    """See the module."""

    name = "fake"

    def __init__(self, sm: str = "8.9", devices: int = 1) -> None:
        self.sm = sm
        #: Of devices that are not like that.
        self.sm_of: dict[int, str] = {}
        self.devices = devices
        self._local = threading.local()
        self._lock = threading.RLock()
        self._handles = iter(range(1000, 10**9))
        self._streams: dict[int, FakeStream] = {}
        #: Of each context; and of each thread, which is 0 for the legacy one.
        self._default_streams: dict[tuple[int, int], FakeStream] = {}
        #: Where each was recorded: a stream, and how much was enqueued on it before.
        self._events: dict[int, tuple[FakeStream, int] | None] = {}
        self._event_contexts: dict[int, int] = {}
        self._graphs: dict[int, list[Operation]] = {}
        self._memory: dict[int, Bytes] = {}
        self._memory_contexts: dict[int, int] = {}
        self._pinned: dict[int, Bytes] = {}
        self._contexts: Counter[int] = Counter()
        #: Streams being captured, and the threads that began it.
        self._capturing: dict[int, int] = {}
        #: Names of the operations, in order.
        self.calls: list[str] = []
        #: Operations that fail from now on, with CUDA's words.
        self.failing: dict[str, str] = {}
        self._lost: str | None = None
        self._was_lost = False
        self._process = os.getpid()
        #: Bytes that may be allocated on the device; None: any number.
        self.capacity: int | None = None
        self.current_by_application: int | None = None
        self._application_contexts: set[int] = set()

    # What tests ask.

    @property
    def lost(self) -> str | None:
        """With CUDA's word for it every operation fails from now on, but for a thread's current context."""
        return self._lost

    @lost.setter
    def lost(self, word: str | None) -> None:
        self._lost = word
        for stream in (*self._streams.values(), *self._default_streams.values()) if word else ():
            stream.done = len(stream.queue)  # what was enqueued is never done

    def leaks(self) -> dict[str, int]:
        """How much of each kind is still there; what a GPU held that was lost ends with the process."""
        if self._was_lost:
            return {}
        counts = {
            "streams": len(self._streams),
            "events": len(self._events),
            "graphs": len(self._graphs),
            "memory": len(self._memory),
            "pinned": len(self._pinned),
            "contexts": sum(self._contexts.values()),
        }
        return {kind: count for kind, count in counts.items() if count}

    def held(self) -> int:
        """Bytes on the device and page-locked ones."""
        return sum(array.nbytes for array in (*self._memory.values(), *self._pinned.values()))

    def streams(self) -> list[int]:
        """Those that were made and not destroyed."""
        return list(self._streams)

    def pending(self, stream: int) -> int:
        """Operations that have not run yet."""
        found = self.stream(stream)
        return len(found.queue) - found.done

    def stream(self, handle: int) -> FakeStream:
        """A stream by its handle; a default one is that of the current context, or of the primary one."""
        if handle in (*LEGACY, PER_THREAD):
            context = (self._stack() or [1])[-1]
            thread = threading.get_ident() if handle == PER_THREAD else 0
            return self._default_streams.setdefault((context, thread), FakeStream(context))
        return self._streams[handle]

    def enqueue(self, stream: int, operation: Operation) -> None:
        """What a kernel launch does."""
        with self._lock:
            found = self.stream(stream)
            (found.queue if found.captured is None else found.captured).append(operation)

    def busy(self, owner: object) -> bool:
        """Whether operations that carry this owner are enqueued and have not run."""
        streams = [*self._streams.values(), *self._default_streams.values()]
        return any(getattr(op, "owner", None) is owner for stream in streams for op in stream.queue[stream.done :])

    def touch(self, pointer: int, stream: int) -> None:
        """What a kernel does with memory: it reaches what belongs to its stream's context, and nothing else."""
        owner = self._memory_contexts.get(pointer)
        if owner not in (None, self.stream(stream).context):
            self.lost = "CUDA_ERROR_ILLEGAL_ADDRESS"

    def unsafe(self, name: str) -> None:
        """What CUDA forbids a thread that captures: it fails, and spoils the capture."""
        for stream, thread in self._capturing.items():
            if thread == threading.get_ident():
                self._streams[stream].invalid = True
                raise BackendError(f"{name}: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")

    # The protocol.

    def _note(self, name: str, context: bool = True) -> None:
        with self._lock:
            self.calls.append(name)
        if os.getpid() != self._process:
            raise BackendError(f"{name}: CUDA_ERROR_NOT_INITIALIZED")
        if self.lost is not None and context:
            self._was_lost = True
            raise failures.lost(f"{name}: {self.lost}")
        if name in self.failing:
            raise BackendError(f"{name}: {self.failing[name]}")
        if context and not self._stack():
            raise BackendError(f"{name}: CUDA_ERROR_INVALID_CONTEXT")
        if name in ("allocate", "free", "allocate_host", "free_host"):
            self.unsafe(name)

    def _stack(self) -> list[int]:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        return self._local.stack

    def device_count(self) -> int:
        return self.devices

    def properties(self, device: int) -> DeviceProperties:
        if not 0 <= device < self.devices:
            raise InputError(f"there is no GPU {device}; this machine has {self.devices}, numbered from 0")
        return DeviceProperties("Fake GPU", self.sm_of.get(device, self.sm), 8 << 30, "13.0")

    def current_context(self, device: int) -> int:
        if self.current_by_application is not None:
            return self.current_by_application
        return device + 1 if self._stack()[-1:] == [device + 1] else 0

    def open_context(self, device: int, *, primary: bool = False) -> int:
        self._note("open_context", context=False)
        if self.current_by_application is not None and not primary:
            self._application_contexts.add(self.current_by_application)
            return self.current_by_application
        if self._stack() and not primary:
            self._contexts[self._stack()[-1]] += self._stack()[-1] not in self._application_contexts
            return self._stack()[-1]
        self._contexts[device + 1] += 1
        return device + 1

    def close_context(self, context: int) -> None:
        self._note("close_context", context=False)
        if context not in self._application_contexts:
            self._contexts[context] -= 1
            assert self._contexts[context] >= 0, "released more often than retained"

    @contextmanager
    def using(self, context: int) -> Generator[None]:
        if context not in self._application_contexts and not self._contexts[context]:
            raise BackendError("using: CUDA_ERROR_CONTEXT_IS_DESTROYED")
        self._stack().append(context)
        try:
            yield
        finally:
            self._stack().pop()

    def create_stream(self) -> int:
        self._note("create_stream")
        handle = next(self._handles)
        self._streams[handle] = FakeStream(self._stack()[-1])
        return handle

    def destroy_stream(self, stream: int) -> None:
        self._note("destroy_stream")
        self._drain(self._streams.pop(stream))

    def synchronize(self, stream: int) -> None:
        self._note("synchronize")
        with self._lock:
            found = self.stream(stream)
            if found.captured is not None:
                found.invalid = True
                raise BackendError("synchronize: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
            self._drain(found)

    def _drain(self, found: FakeStream, until: int | None = None) -> None:
        with self._lock:
            while found.done < (len(found.queue) if until is None else until):
                operation = found.queue[found.done]
                found.done += 1
                operation()

    def create_event(self, timing: bool = False) -> int:
        self._note("create_event")
        handle = next(self._handles)
        self._events[handle] = None
        self._event_contexts[handle] = self._stack()[-1]
        return handle

    def destroy_event(self, event: int) -> None:
        self._note("destroy_event")
        del self._events[event]

    def record(self, event: int, stream: int) -> None:
        self._note("record")
        with self._lock:
            found = self.stream(stream)
            if self._event_contexts[event] != found.context:
                raise BackendError("record: CUDA_ERROR_INVALID_HANDLE: event and stream are of two contexts")
            self._events[event] = (found, len(found.queue))

    def wait(self, stream: int, event: int) -> None:
        self._note("wait")
        if (mark := self._events[event]) is not None:
            self.enqueue(stream, lambda: self._drain(*mark))

    def synchronize_event(self, event: int) -> None:
        self._note("synchronize_event")
        if (mark := self._events[event]) is not None:
            self._drain(*mark)

    def elapsed_ms(self, start: int, end: int) -> float:
        self._note("elapsed_ms")
        first, last = self._events[start], self._events[end]
        if first is None or last is None:
            raise BackendError("elapsed_ms: CUDA_ERROR_INVALID_HANDLE")
        return float(last[1] - first[1])

    def allocate(self, count: int) -> int:
        self._note("allocate")
        used = sum(array.nbytes for array in self._memory.values())
        if self.capacity is not None and used + count > self.capacity:
            raise GpuMemoryError("allocate: CUDA_ERROR_OUT_OF_MEMORY")
        array = aligned(count)
        array.fill(0xCD)
        self._memory[array.ctypes.data] = array
        self._memory_contexts[array.ctypes.data] = self._stack()[-1]
        return array.ctypes.data

    def free(self, pointer: int) -> None:
        self._note("free")
        del self._memory_contexts[pointer]
        self._memory.pop(pointer).fill(0xDD)

    def allocate_host(self, count: int) -> Bytes:
        self._note("allocate_host")
        array = np.full(count, 0xCD, np.uint8)
        self._pinned[array.ctypes.data] = array
        return array

    def free_host(self, array: Bytes) -> None:
        self._note("free_host")
        self._pinned.pop(array.ctypes.data).fill(0xDD)

    def copy_to_device(self, pointer: int, array: Bytes, stream: int) -> None:
        self._note("copy_to_device")
        self.enqueue(stream, lambda: np.copyto(memory_at(pointer, array.nbytes), array.reshape(-1)))

    def copy_to_host(self, array: Bytes, pointer: int, stream: int) -> None:
        self._note("copy_to_host")
        self.enqueue(stream, lambda: np.copyto(array.reshape(-1), memory_at(pointer, array.nbytes)))

    def copy_on_device(self, target: int, source: int, count: int, stream: int) -> None:
        self._note("copy_on_device")
        self.enqueue(stream, lambda: np.copyto(memory_at(target, count), memory_at(source, count)))

    def is_capturing(self, stream: int) -> bool:
        self._note("is_capturing")
        return self.stream(stream).captured is not None

    def begin_capture(self, stream: int) -> None:
        self._note("begin_capture")
        if stream in LEGACY:
            raise BackendError("begin_capture: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        self._streams[stream].captured = []
        self._capturing[stream] = threading.get_ident()

    def end_capture(self, stream: int) -> int:
        found = self._streams[stream]
        self._capturing.pop(stream, None)
        captured, found.captured = found.captured, None
        invalid, found.invalid = found.invalid, False
        self._note("end_capture")
        if captured is None or invalid:
            raise BackendError("end_capture: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
        handle = next(self._handles)
        self._graphs[handle] = captured
        return handle

    def launch(self, graph: int, stream: int) -> None:
        self._note("launch")
        for operation in self._graphs[graph]:
            self.enqueue(stream, operation)

    def destroy_graph(self, graph: int) -> None:
        self._note("destroy_graph")
        del self._graphs[graph]


class DeviceArray:
    """An array in the fake's memory that speaks the CUDA array interface."""

    def __init__(self, array: Bytes, stream: int | None = None, **changes: Any) -> None:
        self.array = array
        self.interface: dict[str, Any] = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": None if array.flags.c_contiguous else array.strides,
            "stream": stream,
            "version": 3,
            **changes,
        }

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.interface
