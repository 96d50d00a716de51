"""GPU memory for results that the caller brought no memory for."""

from __future__ import annotations

import math
import weakref

from runtime.cuda import Cuda, open_cuda
from runtime.cuda.capture import require_no_capture
from runtime.images import DeviceImages


class DeviceMemory:
    """Memory on a GPU, freed with the last reference to this object (not at the interpreter's end: the driver does that)."""

    def __init__(self, cuda: Cuda, device: int, count: int, stream: int) -> None:
        context = cuda.open_context(device)
        try:
            with cuda.using(context):
                require_no_capture(cuda, stream)  # Allocating would spoil it.
                self.pointer = cuda.allocate(count)
        except BaseException:
            cuda.close_context(context)
            raise
        finalizer = weakref.finalize(self, _free, cuda, context, self.pointer)
        finalizer.atexit = False


def _free(cuda: Cuda, context: int, pointer: int) -> None:
    try:
        with cuda.using(context):
            cuda.free(pointer)
    finally:
        cuda.close_context(context)


def allocate(shape: tuple[int, int, int, int], device: int, stream: int) -> DeviceImages:
    """Memory for pictures of this N x H x W x 3 on GPU `device`, for work on a stream."""
    memory = DeviceMemory(open_cuda(), device, math.prod(shape), stream)
    return DeviceImages(memory.pointer, shape, owner=memory)
