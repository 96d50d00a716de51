"""GPU arrays of other libraries, without a copy and without importing any of them.

is_device_array(obj) -> bool
    True for a GPU array of anything that speaks DLPack or the CUDA array interface; cheap, imports nothing.
as_device_images(obj, stream, gpu, writable=False) -> DeviceImages
    The array's memory as pictures: uint8, H x W x 3 or N x H x W x 3, C-contiguous, on a session's GPU. Work that the
    array's library enqueued is ordered before what comes next on `stream` (a raw handle; 0: the legacy default stream).
    Anything else is an `InputError` that names what was found; with `writable`, so is an array whose CUDA array
    interface says that it is read-only.
allocate_like(obj) -> Any
    A new array of the same library, shape and device: torch gives torch, CuPy gives CuPy, PyCUDA gives GPUArray,
    Numba gives DeviceNDArray. Of another library: an `InputError` that asks for `out=`.
current_stream(obj) -> int
    The stream that the array's library would enqueue on now: torch's and CuPy's current stream, else 0.
"""

from __future__ import annotations

import ctypes
import math
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from runtime.cuda.protocol import Gpu
from runtime.errors import BackendError, InputError
from runtime.images import DeviceImages

#: DLDeviceType and DLDataTypeCode of DLPack.
DL_CUDA = 2
DL_CUDA_MANAGED = 13
DL_UINT = 1

#: The names that the stream protocol gives the legacy default stream and "no synchronisation".
LEGACY_DEFAULT_STREAM = 1


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class _Array:
    """The facts that both protocols give about an array; strides count bytes, None: C-contiguous."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: str
    owner: Any


def is_device_array(obj: Any) -> bool:
    """Is this an array on a GPU?"""
    if hasattr(obj, "__dlpack_device__"):
        return int(obj.__dlpack_device__()[0]) in (DL_CUDA, DL_CUDA_MANAGED)
    try:
        return hasattr(obj, "__cuda_array_interface__")
    except RuntimeError:  # torch's way of saying that this tensor needs a gradient, or is sparse
        return True


def as_device_images(obj: Any, stream: int, gpu: Gpu, *, writable: bool = False) -> DeviceImages:
    """Return the memory of a GPU array as pictures; see the module."""
    if hasattr(obj, "__dlpack__") and hasattr(obj, "__dlpack_device__"):
        array = _from_dlpack(obj, stream, gpu.device)
    elif hasattr(obj, "__cuda_array_interface__"):
        array = _from_interface(obj, stream, gpu, writable)
    else:
        raise InputError(
            f"expected a GPU array that speaks DLPack or the CUDA array interface, found {_kind(obj)}; "
            "for a raw pointer use enhance_device"
        )
    return DeviceImages(array.pointer, _checked_shape(array, _kind(obj)), owner=(obj, array.owner))


def _kind(obj: Any) -> str:
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def _checked_shape(array: _Array, kind: str) -> tuple[int, int, int, int]:
    """N, H, W, 3, or an InputError on what is wrong with the array."""
    if array.dtype != "uint8":
        raise InputError(f"expected uint8, found a {kind} of {array.dtype}; scale to 0..255 and convert it first")
    if len(array.shape) not in (3, 4) or array.shape[-1] != 3:
        hint = "; it looks like channels first: permute it to H x W x 3" if 3 in array.shape[-3:-2] else ""
        raise InputError(f"expected H x W x 3 or N x H x W x 3, found a {kind} of shape {array.shape}{hint}")
    if 0 in array.shape:
        raise InputError(f"the {kind} of shape {array.shape} holds no pixels")
    expected = [math.prod(array.shape[axis + 1 :]) for axis in range(len(array.shape))]
    # The stride of a dimension of one element says nothing.
    if array.strides is not None and any(
        found != wanted and size > 1 for found, wanted, size in zip(array.strides, expected, array.shape, strict=True)
    ):
        raise InputError(f"the {kind} of shape {array.shape} is not C-contiguous (strides {array.strides}); copy it first")
    if array.pointer == 0:
        raise InputError(f"the {kind} has no memory behind it")
    height, width, channels = array.shape[-3:]
    return (array.shape[0] if len(array.shape) == 4 else 1), height, width, channels


def _from_dlpack(obj: Any, stream: int, device: int) -> _Array:
    """The capsule is not consumed but kept as the owner: its own destructor returns the memory."""
    kind, index = (int(value) for value in obj.__dlpack_device__())
    if kind not in (DL_CUDA, DL_CUDA_MANAGED):
        raise InputError(f"expected an array on an NVIDIA GPU, found a {_kind(obj)} on DLPack device {kind}")
    if index != device:
        raise InputError(f"the {_kind(obj)} lies on GPU {index}, the session runs on GPU {device}")
    try:
        with _on_its_device(obj):
            capsule = obj.__dlpack__(stream=stream or LEGACY_DEFAULT_STREAM)
    except (BufferError, RuntimeError, TypeError) as error:  # the protocol's error and the libraries' own
        raise InputError(f"the {_kind(obj)} can't be shared: {error}") from error
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    tensor = _DLTensor.from_address(get_pointer(capsule, b"dltensor"))
    plain = (tensor.code, tensor.bits, tensor.lanes) == (DL_UINT, 8, 1)
    itemsize = tensor.bits * tensor.lanes // 8
    strides = tuple(int(tensor.strides[i]) * itemsize for i in range(tensor.ndim)) if tensor.strides else None
    return _Array(
        pointer=int(tensor.data or 0) + int(tensor.byte_offset),
        shape=tuple(int(tensor.shape[i]) for i in range(tensor.ndim)),
        strides=strides,
        dtype="uint8" if plain else f"type code {tensor.code}, {tensor.bits} bits",
        owner=capsule,
    )


def _on_its_device(obj: Any) -> AbstractContextManager[Any]:
    """Torch shares a tensor only while the tensor's GPU is its current one."""
    torch: Any = sys.modules.get("torch")
    return torch.cuda.device(obj.device) if torch is not None and isinstance(obj, torch.Tensor) else nullcontext()


def _from_interface(obj: Any, stream: int, gpu: Gpu, writable: bool) -> _Array:
    interface: dict[str, Any] = obj.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise InputError(f"the {_kind(obj)} is masked, which pictures can't be")
    if writable and interface["data"][1]:
        raise InputError(f"the {_kind(obj)} is read-only")
    producer = interface.get("stream")
    if producer is not None:
        _order(int(producer), stream, gpu)
    typestr = str(interface["typestr"])
    strides = interface.get("strides")
    return _Array(
        pointer=int(interface["data"][0]),
        shape=tuple(int(size) for size in interface["shape"]),
        strides=None if strides is None else tuple(int(step) for step in strides),
        dtype="uint8" if typestr in ("|u1", "<u1", ">u1") else typestr,
        owner=None,
    )


def _order(producer: int, consumer: int, gpu: Gpu) -> None:
    """Make the consumer's stream wait for the producer's; the interface calls the legacy default stream 1.

    Each context has a default stream of its own, so this is done in the session's.
    """
    if producer == 0:
        raise InputError("the CUDA array interface says stream 0, which it doesn't allow; use 1 for the default stream")
    if (producer if producer != LEGACY_DEFAULT_STREAM else 0) == consumer:
        return
    cuda = gpu.cuda
    with cuda.using(gpu.context):
        event = cuda.create_event()
        try:
            cuda.record(event, producer)
            cuda.wait(consumer, event)
        finally:
            cuda.destroy_event(event)  # The wait keeps what it needs.


def allocate_like(obj: Any) -> Any:
    """Return a new array of the same library, shape and device; see the module."""
    library = _library(obj)
    if library == "torch":
        return sys.modules["torch"].empty(tuple(obj.shape), dtype=obj.dtype, device=obj.device)
    if library == "cupy":
        with obj.device:
            return sys.modules["cupy"].empty(obj.shape, dtype=obj.dtype)
    if library == "pycuda":
        return sys.modules["pycuda.gpuarray"].GPUArray(obj.shape, obj.dtype)
    if library == "numba":
        return sys.modules["numba.cuda"].device_array(obj.shape, dtype=obj.dtype)
    raise InputError(f"can't make a new {_kind(obj)}; pass an array for the result as out=")


def current_stream(obj: Any) -> int:
    """Return the raw handle of the stream that the array's library uses now; see the module."""
    library = _library(obj)
    try:
        if library == "torch":
            return int(sys.modules["torch"].cuda.current_stream(obj.device).cuda_stream)
        if library == "cupy":
            with obj.device:
                return int(sys.modules["cupy"].cuda.get_current_stream().ptr)
    except RuntimeError as error:
        raise BackendError(f"{library} has no usable CUDA stream: {error}") from error
    return 0


def _library(obj: Any) -> str | None:
    """The library that made the array, among those that are imported; subclasses count as theirs."""
    classes = {
        "torch": ("torch", "Tensor"),
        "cupy": ("cupy", "ndarray"),
        "pycuda": ("pycuda.gpuarray", "GPUArray"),
        "numba": ("numba.cuda.cudadrv.devicearray", "DeviceNDArray"),
    }
    for library, (module, name) in classes.items():
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and isinstance(obj, kind):
            return library
    return None
