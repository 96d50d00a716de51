"""Memory for pictures on their way to the GPU and back."""

from __future__ import annotations

from runtime.backends.session import Images
from runtime.cuda.protocol import Cuda


class Staging:
    """Page-locked and device memory for one input and one output of at most `count` bytes each."""

    def __init__(self, cuda: Cuda, count: int) -> None:
        self._cuda = cuda
        self.count = count
        self.device_in = cuda.allocate(count)
        self.device_out = cuda.allocate(count)
        self._host_in = cuda.allocate_host(count)
        self._host_out = cuda.allocate_host(count)

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
        self._cuda.free(self.device_in)
        self._cuda.free(self.device_out)
        self._cuda.free_host(self._host_in)
        self._cuda.free_host(self._host_out)
