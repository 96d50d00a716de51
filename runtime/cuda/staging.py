"""Memory for pictures on their way to the GPU and back."""

from __future__ import annotations

from contextlib import ExitStack

from runtime.cuda.protocol import Bytes, Cuda
from runtime.images import Images


class Staging:
    """Page-locked and device memory for one input and one output of at most `count` bytes each."""

    def __init__(self, cuda: Cuda, count: int) -> None:
        self._cuda = cuda
        self.count = count
        with ExitStack() as owned:  # Memory allocated so far is freed if the rest can't be allocated.
            self.device_in = self._allocate(owned)
            self.device_out = self._allocate(owned)
            self._host_in = self._allocate_host(owned)
            self._host_out = self._allocate_host(owned)
            self._owned = owned.pop_all()

    def _allocate(self, owned: ExitStack) -> int:
        pointer = self._cuda.allocate(self.count)
        owned.callback(self._cuda.free, pointer)
        return pointer

    def _allocate_host(self, owned: ExitStack) -> Bytes:
        array = self._cuda.allocate_host(self.count)
        owned.callback(self._cuda.free_host, array)
        return array

    def fill(self, images: Images) -> None:
        self._host_in[: images.nbytes] = images.reshape(-1)

    def upload(self, count: int, stream: int) -> None:
        self._cuda.copy_to_device(self.device_in, self._host_in[:count], stream)

    def download(self, count: int, stream: int) -> None:
        self._cuda.copy_to_host(self._host_out[:count], self.device_out, stream)

    def take(self, out: Images) -> None:
        """Copy the result out: what the caller gets is never a view of memory that is used again."""
        out.reshape(-1)[:] = self._host_out[: out.nbytes]

    def close(self) -> None:
        self._owned.close()
