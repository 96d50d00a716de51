"""The protocol that every backend speaks to the Enhancer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runtime.artifact import ArtifactInfo
from runtime.cuda.protocol import Gpu
from runtime.errors import InputError
from runtime.images import DeviceImages, Images
from runtime.tiling import PartsSession


@dataclass(frozen=True)
class Probe:
    """Whether a backend can be used on this machine."""

    #: The backend's name, e.g. "onnxruntime" or "tensorrt_rtx".
    name: str
    usable: bool
    #: The version that was found, or the obstacle.
    reason: str
    #: The command that makes it usable; empty where none can, as without a GPU.
    install: str


def require_same_shape(images: tuple[int, ...], out: tuple[int, ...]) -> None:
    """Refuse an output of another shape than the pictures."""
    if images != out:
        raise InputError(f"the result has the shape of the pictures {images}, found an output of {out}")


class Session(Protocol):
    """An artifact opened on one backend. Safe to call from many threads at once."""

    #: The backend's name, e.g. "onnxruntime" or "tensorrt_rtx".
    backend: str
    #: "cpu" or "cuda:0".
    device: str
    #: The GPU that it works on; None: a CPU.
    gpu: Gpu | None
    #: "bf16" where convolutions are computed in it, else the artifact's own: "fp32" or "fp16".
    precision: str
    info: ArtifactInfo

    def run(self, images: Images, out: Images) -> None:
        """Enhance `images` into `out`, both N x H x W x 3, RGB and C-contiguous. `out` is complete on return."""
        ...

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """Enqueue the same on a CUDA stream (a raw handle; 0: the legacy default stream), without a copy to the host."""
        ...

    def open_parts(self) -> PartsSession | None:
        """The artifact's halves, made when they are first asked for; None: this backend does not run them."""
        ...

    def close(self) -> None:
        """Free everything; calling it again does nothing."""
        ...


class CpuSession:
    """The members that sessions on a CPU share."""

    device = "cpu"
    gpu: Gpu | None = None

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """Refused: GPU memory is out of a CPU's reach."""
        raise InputError(f"the backend {self.backend} runs on the CPU and takes no GPU memory; pass a numpy array")
