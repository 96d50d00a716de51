"""GPU memory for results that the caller brought no memory for."""

from __future__ import annotations

import math
import os
import weakref

from runtime.cuda import Cuda, Gpu
from runtime.cuda.capture import require_no_capture
from runtime.cuda.fork import require_own_process
from runtime.images import DeviceImages


class DeviceMemory:
    """Memory in a session's context, freed with the last reference to this object, and not at the interpreter's end.

    It may outlive the session, so it keeps the context open by itself.
    """

    def __init__(self, gpu: Gpu, count: int, stream: int) -> None:
        cuda = gpu.cuda
        require_own_process(gpu.process)
        with cuda.using(gpu.context):
            require_no_capture(cuda, stream)  # Allocating would spoil it.
            context = cuda.open_context(gpu.device)
            try:
                self.pointer = cuda.allocate(count)
            except BaseException:
                cuda.close_context(context)
                raise
        finalizer = weakref.finalize(self, _free, cuda, context, self.pointer, gpu.process)
        finalizer.atexit = False


def _free(cuda: Cuda, context: int, pointer: int, process: int) -> None:
    if os.getpid() != process:
        return
    try:
        with cuda.using(context):
            cuda.free(pointer)
    finally:
        cuda.close_context(context)


def allocate(shape: tuple[int, int, int, int], gpu: Gpu, stream: int) -> DeviceImages:
    """Memory for pictures of this N x H x W x 3 on a session's GPU, for work on a stream."""
    memory = DeviceMemory(gpu, math.prod(shape), stream)
    return DeviceImages(memory.pointer, shape, owner=memory)
