"""CUDA through PyCUDA, for applications that already live in it.

PyCUDA keeps contexts and memory. It has no names for a raw stream handle, for work on a foreign stream, or for graphs:
these functions are called in the same driver library, which PyCUDA has loaded already.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from runtime.cuda.failures import LOST, failure, lost
from runtime.cuda.protocol import Bytes, DeviceProperties, uuid_text
from runtime.errors import BackendError, BackendUnavailableError, GpuMemoryError, InputError

STREAM_NON_BLOCKING = 1
EVENT_DISABLE_TIMING = 2
CAPTURE_THREAD_LOCAL = 1
HOST_ALLOC_PORTABLE = 1


def open_implementation() -> PyCuda:
    """Initialise the driver; `BackendUnavailableError` where there is no driver or no GPU."""
    driver: Any = import_module("pycuda.driver")  # by name: it has no types

    try:
        driver.init()
        count = int(driver.Device.count())
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except (driver.Error, OSError) as error:
        raise BackendUnavailableError(f"the NVIDIA driver doesn't start ({error})") from error
    if count == 0:
        raise BackendUnavailableError("the NVIDIA driver finds no GPU")
    return PyCuda(driver, library)


@dataclass
class _Held:
    """A context that sessions use: PyCUDA's one object for it, since memory is bound to the object."""

    context: Any
    #: The device whose primary context was retained; None: the application's own context.
    primary_of: int | None
    count: int = 0


class PyCuda:
    """The `Cuda` protocol on `pycuda.driver`."""

    name = "pycuda"

    def __init__(self, driver: Any, library: ctypes.CDLL) -> None:
        self._driver = driver
        self._library = library
        self._contexts: dict[int, _Held] = {}
        # Finalizers close contexts wherever the garbage collector runs: inside these functions as well.
        self._lock = threading.RLock()
        self._streams: dict[int, Any] = {}
        self._memory: dict[int, Any] = {}

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != 0:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(status, ctypes.byref(text))
            raise failure(function, status, (text.value or str(status).encode()).decode())

    @contextmanager
    def _typed(self, what: str) -> Generator[None]:
        """Turn PyCUDA's errors into ours; they hold CUDA's own words."""
        try:
            yield
        except self._driver.Error as error:
            if isinstance(error, self._driver.MemoryError):
                raise GpuMemoryError(f"{what}: {error}") from error
            # PyCUDA's errors hold no number; a GPU that is lost answers every call with its own.
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            if self._library.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) in LOST:
                raise lost(f"{what}: {error}") from error
            raise BackendError(f"{what}: {error}") from error

    def device_count(self) -> int:
        with self._typed("counting GPUs"):
            return int(self._driver.Device.count())

    def properties(self, device: int) -> DeviceProperties:
        handle = self._device(device)
        with self._typed("reading a GPU's properties"):
            major, minor = handle.compute_capability()
            version = int(self._driver.get_driver_version())
            return DeviceProperties(
                name=str(handle.name()),
                sm=f"{major}.{minor}",
                memory_bytes=int(handle.total_memory()),
                cuda=f"{version // 1000}.{version % 1000 // 10}",
                uuid=self._uuid(device),
            )

    def _uuid(self, device: int) -> str:
        handle, found = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        self._call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(device))
        self._call("cuDeviceGetUuid_v2", ctypes.byref(found), handle)
        return uuid_text(bytes(found))

    def _device(self, device: int) -> Any:
        count = self.device_count()
        if not 0 <= device < count:
            raise InputError(f"there is no GPU {device}; this machine has {count}, numbered from 0")
        with self._typed("opening a GPU"):
            return self._driver.Device(device)

    def _current(self) -> int:
        """CUDA's current context; PyCUDA itself knows only of those that went through PyCUDA."""
        current = ctypes.c_void_p()
        self._call("cuCtxGetCurrent", ctypes.byref(current))
        return int(current.value or 0)

    def current_context(self, device: int) -> int:
        current, found, wanted = self._current(), ctypes.c_int(), ctypes.c_int()
        if not current:
            return 0
        self._call("cuCtxGetDevice", ctypes.byref(found))
        self._call("cuDeviceGet", ctypes.byref(wanted), ctypes.c_int(device))
        return current if found.value == wanted.value else 0

    def open_context(self, device: int, *, primary: bool = False) -> int:
        handle = self._device(device)
        with self._lock:
            current = 0 if primary else self.current_context(device)
            held = self._contexts.get(current)
            if held is None:
                held = self._hold_current(current, handle, device) if current else self._hold_primary(handle, device)
            held.count += 1
            return int(held.context.handle)

    def _hold_current(self, current: int, handle: Any, device: int) -> _Held:
        """PyCUDA's object for the current context."""
        known = self._driver.Context.get_current()
        if known is not None and int(known.handle) == current:
            return self._contexts.setdefault(current, _Held(known, None))
        # Made current by the CUDA runtime or by C++. PyCUDA has no object for such a context, unless it is the primary one.
        held = self._hold_primary(handle, device)
        found = int(held.context.handle)
        if found != current:
            held.count += 1
            self.close_context(found)
            raise BackendError(
                "the current CUDA context is neither PyCUDA's nor the GPU's primary one, and PyCUDA can't work in it; "
                "use cuda-python: pip install 'cuda-python>=13'"
            )
        return held

    def _hold_primary(self, handle: Any, device: int) -> _Held:
        for held in self._contexts.values():
            if held.primary_of == device:
                return held
        with self._typed("opening a context"):
            context = handle.retain_primary_context()
        held = self._contexts.setdefault(int(context.handle), _Held(context, device))
        if held.context is not context:  # The application's object for it is in use already.
            self._release_primary(context, device)
        return held

    def close_context(self, context: int) -> None:
        with self._lock:
            held = self._contexts.get(context)
            if held is None:
                return
            held.count -= 1
            if held.count == 0:
                del self._contexts[context]
                if held.primary_of is not None:
                    self._release_primary(held.context, held.primary_of)

    def _release_primary(self, context: Any, device: int) -> None:
        """Detach PyCUDA's object by hand.

        Its destructor would call a function that is not for primary contexts, and its detach() takes for granted that
        the context leaves CUDA's stack with the release, which a primary one doesn't.
        """
        retained = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(retained), ctypes.c_int(device))
        try:
            with self._on_top():
                with self._typed("releasing a context"):
                    context.push()
                    context.detach()
                current = ctypes.c_void_p()
                if self._driver.Context.get_current() is not None:  # PyCUDA has put it back, above the one detached
                    self._call("cuCtxPopCurrent_v2", ctypes.byref(current))
                self._call("cuCtxPopCurrent_v2", ctypes.byref(retained))
                if current.value:
                    self._call("cuCtxPushCurrent_v2", current)
        finally:
            self._call("cuDevicePrimaryCtxRelease_v2", ctypes.c_int(device))

    @contextmanager
    def _on_top(self) -> Generator[None]:
        """PyCUDA takes its current context for CUDA's, and would replace one that others have made current above it."""
        known = self._driver.Context.get_current()
        if known is None or int(known.handle) == self._current():
            yield
            return
        self._call("cuCtxPushCurrent_v2", ctypes.c_void_p(int(known.handle)))
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    @contextmanager
    def using(self, context: int) -> Generator[None]:
        with self._on_top():
            known = self._driver.Context.get_current()
            if known is not None and int(known.handle) == context:
                yield
                return
            with self._typed("entering a context"):
                self._contexts[context].context.push()
            try:
                yield
            finally:
                self._driver.Context.pop()

    def create_stream(self) -> int:
        with self._typed("creating a stream"):
            stream = self._driver.Stream(STREAM_NON_BLOCKING)
        self._streams[int(stream.handle)] = stream
        return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        del self._streams[stream]

    def synchronize(self, stream: int) -> None:
        self._call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def create_event(self, timing: bool = False) -> int:
        event = ctypes.c_void_p()
        self._call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0 if timing else EVENT_DISABLE_TIMING))
        return int(event.value or 0)

    def destroy_event(self, event: int) -> None:
        self._call("cuEventDestroy_v2", ctypes.c_void_p(event))

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", ctypes.c_void_p(event), ctypes.c_void_p(stream))

    def wait(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", ctypes.c_void_p(stream), ctypes.c_void_p(event), ctypes.c_uint(0))

    def synchronize_event(self, event: int) -> None:
        self._call("cuEventSynchronize", ctypes.c_void_p(event))

    def elapsed_ms(self, start: int, end: int) -> float:
        elapsed = ctypes.c_float()
        self._call("cuEventElapsedTime", ctypes.byref(elapsed), ctypes.c_void_p(start), ctypes.c_void_p(end))
        return elapsed.value

    def allocate(self, count: int) -> int:
        with self._typed("allocating device memory"):
            memory = self._driver.mem_alloc(count)
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, pointer: int) -> None:
        with self._typed("freeing device memory"):
            self._memory.pop(pointer).free()

    def allocate_host(self, count: int) -> Bytes:
        with self._typed("allocating page-locked memory"):
            return self._driver.pagelocked_empty(count, np.uint8, mem_flags=HOST_ALLOC_PORTABLE)

    def free_host(self, array: Bytes) -> None:
        owner: Any = array.base
        with self._typed("freeing page-locked memory"):
            owner.free()

    def copy_to_device(self, pointer: int, array: Bytes, stream: int) -> None:
        self._copy("cuMemcpyHtoDAsync_v2", pointer, array.ctypes.data, array.nbytes, stream)

    def copy_to_host(self, array: Bytes, pointer: int, stream: int) -> None:
        self._copy("cuMemcpyDtoHAsync_v2", array.ctypes.data, pointer, array.nbytes, stream)

    def copy_on_device(self, target: int, source: int, count: int, stream: int) -> None:
        self._copy("cuMemcpyDtoDAsync_v2", target, source, count, stream)

    def _copy(self, function: str, target: int, source: int, count: int, stream: int) -> None:
        self._call(function, ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(count), ctypes.c_void_p(stream))

    def is_capturing(self, stream: int) -> bool:
        status = ctypes.c_int()
        self._call("cuStreamIsCapturing", ctypes.c_void_p(stream), ctypes.byref(status))
        return status.value != 0

    def begin_capture(self, stream: int) -> None:
        self._call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(CAPTURE_THREAD_LOCAL))

    def end_capture(self, stream: int) -> int:
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        finally:
            self._call("cuGraphDestroy", graph)
        return int(ready.value or 0)

    def launch(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", ctypes.c_void_p(graph))
