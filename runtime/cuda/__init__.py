"""CUDA behind one small protocol, implemented on cuda-python and on PyCUDA.

    cuda = open_cuda()              # what is installed; PyCUDA first where the application already uses it
    cuda = open_cuda("pycuda")      # by name: "cuda-python" or "pycuda"
    context = cuda.open_context(0)
    with cuda.using(context):
        stream = cuda.create_stream()

Importing this package imports neither of them. No implementation creates a context at import, and none creates one at
all: they use the application's current context or the device's primary one.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module

from runtime.cuda.protocol import Cuda, DeviceProperties, Gpu
from runtime.errors import BackendUnavailableError, InputError

__all__ = ["Cuda", "DeviceProperties", "Gpu", "driver_found", "gpu_found", "open_cuda", "require_own_context"]

#: name -> module with an `open_implementation` function, and the command that installs what it needs.
IMPLEMENTATIONS = {
    "cuda-python": ("runtime.cuda.with_cuda_python", "pip install 'cuda-python>=13'"),
    "pycuda": ("runtime.cuda.with_pycuda", "pip install pycuda"),
}

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

#: By name, with the process that opened it.
_opened: dict[str, tuple[int, Cuda]] = {}
_lock = threading.Lock()


def _order() -> list[str]:
    """PyCUDA first if the application has imported its driver module, else cuda-python."""
    return ["pycuda", "cuda-python"] if sys.modules.get("pycuda.driver") else ["cuda-python", "pycuda"]


def driver_found() -> bool:
    """Is the NVIDIA driver's library there? Without it no package can help. Nothing is initialised."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def gpu_found() -> bool:
    """Does the driver find a GPU? This starts CUDA in the process, so that children forked later can't use it."""
    count = ctypes.c_int()
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def open_cuda(implementation: str | None = None) -> Cuda:
    """Return an implementation with at least one GPU, the same object each time; by name, or what is there."""
    if implementation is not None and implementation not in IMPLEMENTATIONS:
        raise InputError(f"unknown CUDA implementation {implementation!r}; known: {', '.join(IMPLEMENTATIONS)}")
    if not driver_found():
        raise BackendUnavailableError("there is no NVIDIA driver here")
    reasons: list[str] = []
    for name in _order() if implementation is None else [implementation]:
        try:
            return _opened_as(name)
        except BackendUnavailableError as error:
            reasons.append(f"{name}: {error}")
        except ImportError as error:
            reasons.append(f"{name}: not installed ({error}); install it with: {IMPLEMENTATIONS[name][1]}")
    raise BackendUnavailableError("no usable CUDA here; " + "; ".join(reasons))


def _opened_as(name: str) -> Cuda:
    with _lock:
        if name not in _opened:
            opener: Callable[[], Cuda] = import_module(IMPLEMENTATIONS[name][0]).open_implementation
            _opened[name] = os.getpid(), opener()
        process, cuda = _opened[name]
    if os.getpid() != process:
        raise BackendUnavailableError(
            'CUDA was started before this process was forked, and does not work in it; start processes by "spawn"'
        )
    return cuda


def require_own_context(gpu: Gpu) -> None:
    """Refuse GPU memory and streams of another context than the session's: the one current where they are handed over."""
    found = gpu.cuda.current_context(gpu.device)
    if found not in (0, gpu.context):
        raise InputError(
            f"another CUDA context of GPU {gpu.device} is current than the one that this session works in; memory and streams "
            "belong to one context, so call it where its context or none is current, or hand over host memory"
        )
