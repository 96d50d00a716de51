"""CUDA through NVIDIA's cuda-python, on the driver API."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from runtime.cuda.failures import failure
from runtime.cuda.protocol import Bytes, DeviceProperties, uuid_text
from runtime.errors import BackendError, BackendUnavailableError, InputError

#: cuCtxPopCurrent and others report success as 0 in every version.
SUCCESS = 0


def open_implementation() -> CudaPython:
    """Initialise the driver; `BackendUnavailableError` where there is no driver or no GPU."""
    driver = import_module("cuda.bindings.driver")  # by name: it has no types

    try:
        cuda = CudaPython(driver)
        count = cuda.device_count()
    except BackendError as error:
        raise BackendUnavailableError(f"the NVIDIA driver doesn't start ({error})") from error
    except RuntimeError as error:  # cuda-python's own words when libcuda is absent
        raise BackendUnavailableError(f"no NVIDIA driver found ({error})") from error
    if count == 0:
        raise BackendUnavailableError("the NVIDIA driver finds no GPU")
    return cuda


@dataclass
class _Held:
    """A context that is open, and how often."""

    device: int
    count: int = 0
    #: Was it retained here, or is it the application's own?
    retained: bool = False


class CudaPython:
    """The `Cuda` protocol on `cuda.bindings.driver`."""

    name = "cuda-python"

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._contexts: dict[int, _Held] = {}
        # Finalizers close contexts wherever the garbage collector runs: inside these functions as well.
        self._lock = threading.RLock()
        self._call("cuInit", 0)

    def _call(self, function: str, *arguments: Any) -> Any:
        """Call a driver function and return its values, or raise with CUDA's name for the failure."""
        status, *values = getattr(self._driver, function)(*arguments)
        if int(status) != SUCCESS:
            raise failure(function, int(status), str(getattr(status, "name", status)))
        if not values:
            return None
        return values[0] if len(values) == 1 else tuple(values)

    def device_count(self) -> int:
        return int(self._call("cuDeviceGetCount"))

    def properties(self, device: int) -> DeviceProperties:
        handle = self._device(device)
        attribute = self._driver.CUdevice_attribute
        major = self._call("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, handle)
        minor = self._call("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, handle)
        name: bytes = self._call("cuDeviceGetName", 256, handle)
        version = int(self._call("cuDriverGetVersion"))
        return DeviceProperties(
            name=name.split(b"\0", 1)[0].decode(errors="replace"),
            sm=f"{int(major)}.{int(minor)}",
            memory_bytes=int(self._call("cuDeviceTotalMem", handle)),
            cuda=f"{version // 1000}.{version % 1000 // 10}",
            uuid=uuid_text(bytes(self._call("cuDeviceGetUuid", handle).bytes)),
        )

    def _device(self, device: int) -> Any:
        count = self.device_count()
        if not 0 <= device < count:
            raise InputError(f"there is no GPU {device}; this machine has {count}, numbered from 0")
        return self._call("cuDeviceGet", device)

    def current_context(self, device: int) -> int:
        current = int(self._call("cuCtxGetCurrent"))
        return current if current and int(self._call("cuCtxGetDevice")) == int(self._device(device)) else 0

    def open_context(self, device: int, *, primary: bool = False) -> int:
        handle = self._device(device)
        with self._lock:
            context = 0 if primary else self.current_context(device)
            if not context:
                context = self._retain(handle, device)
            self._contexts.setdefault(context, _Held(device)).count += 1
            return context

    def _retain(self, handle: Any, device: int) -> int:
        """The primary context, retained once however often it is open."""
        context = int(self._call("cuDevicePrimaryCtxRetain", handle))
        held = self._contexts.setdefault(context, _Held(device))
        if held.retained:
            self._call("cuDevicePrimaryCtxRelease", handle)
        held.retained = True
        return context

    def close_context(self, context: int) -> None:
        with self._lock:
            held = self._contexts.get(context)
            if held is None:
                return
            held.count -= 1
            if held.count == 0:
                del self._contexts[context]
                if held.retained:
                    self._call("cuDevicePrimaryCtxRelease", self._device(held.device))

    @contextmanager
    def using(self, context: int) -> Generator[None]:
        self._call("cuCtxPushCurrent", self._driver.CUcontext(context))
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def create_stream(self) -> int:
        return int(self._call("cuStreamCreate", self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING.value))

    def destroy_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy", self._driver.CUstream(stream))

    def synchronize(self, stream: int) -> None:
        self._call("cuStreamSynchronize", self._driver.CUstream(stream))

    def create_event(self, timing: bool = False) -> int:
        flags = self._driver.CUevent_flags
        return int(self._call("cuEventCreate", (flags.CU_EVENT_DEFAULT if timing else flags.CU_EVENT_DISABLE_TIMING).value))

    def destroy_event(self, event: int) -> None:
        self._call("cuEventDestroy", self._driver.CUevent(event))

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", self._driver.CUevent(event), self._driver.CUstream(stream))

    def wait(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", self._driver.CUstream(stream), self._driver.CUevent(event), 0)

    def synchronize_event(self, event: int) -> None:
        self._call("cuEventSynchronize", self._driver.CUevent(event))

    def elapsed_ms(self, start: int, end: int) -> float:
        return float(self._call("cuEventElapsedTime", self._driver.CUevent(start), self._driver.CUevent(end)))

    def allocate(self, count: int) -> int:
        return int(self._call("cuMemAlloc", count))

    def free(self, pointer: int) -> None:
        self._call("cuMemFree", self._driver.CUdeviceptr(pointer))

    def allocate_host(self, count: int) -> Bytes:
        address = int(self._call("cuMemHostAlloc", count, self._driver.CU_MEMHOSTALLOC_PORTABLE))
        return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))

    def free_host(self, array: Bytes) -> None:
        self._call("cuMemFreeHost", array.ctypes.data)

    def copy_to_device(self, pointer: int, array: Bytes, stream: int) -> None:
        target = self._driver.CUdeviceptr(pointer)
        self._call("cuMemcpyHtoDAsync", target, array.ctypes.data, array.nbytes, self._driver.CUstream(stream))

    def copy_to_host(self, array: Bytes, pointer: int, stream: int) -> None:
        source = self._driver.CUdeviceptr(pointer)
        self._call("cuMemcpyDtoHAsync", array.ctypes.data, source, array.nbytes, self._driver.CUstream(stream))

    def copy_on_device(self, target: int, source: int, count: int, stream: int) -> None:
        pointer = self._driver.CUdeviceptr
        self._call("cuMemcpyDtoDAsync", pointer(target), pointer(source), count, self._driver.CUstream(stream))

    def is_capturing(self, stream: int) -> bool:
        return int(self._call("cuStreamIsCapturing", self._driver.CUstream(stream))) != 0

    def begin_capture(self, stream: int) -> None:
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._driver.CUstream(stream), mode)

    def end_capture(self, stream: int) -> int:
        graph = self._call("cuStreamEndCapture", self._driver.CUstream(stream))
        try:
            return int(self._call("cuGraphInstantiate", graph, 0))
        finally:
            self._call("cuGraphDestroy", graph)

    def launch(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", self._driver.CUgraphExec(graph), self._driver.CUstream(stream))

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", self._driver.CUgraphExec(graph))
