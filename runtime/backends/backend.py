"""The backends, the fastest first, and the facts of each. A new backend is one entry here and its module."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from runtime.artifact import CpuPrecision, remedies
from runtime.backends.session import Probe, Session
from runtime.errors import InputError
from runtime.options import OpenOptions


@dataclass(frozen=True)
class Backend:
    """The facts of a backend that are known without importing it. Its module has the functions `probe` and `open_session`."""

    name: str
    title: str
    module: str
    #: Endings, after a network's name, of the artifacts that it runs; the preferred one first.
    endings: tuple[str, ...]
    #: Distributions that it comes with, any of them.
    packages: tuple[str, ...]
    #: The command that installs it.
    install: str
    device: Literal["cpu", "cuda"]
    #: Precisions of convolutions, where it has a choice.
    computes_in: tuple[CpuPrecision, ...] = ()
    #: Behind the backends after it on networks without weights.
    slow_without_convolutions: bool = False

    def probe(self, device: int = 0) -> Probe:
        """Look at this machine, and at that GPU. Imports the backend's package where it is installed.

        Raises nothing but InputError, where there are GPUs and `device` is none of them.
        """
        return import_module(self.module).probe(self, device)

    def open(self, path: Path, options: OpenOptions | None = None) -> Session:
        """Open an artifact."""
        return import_module(self.module).open_session(self, path, options or OpenOptions())

    def version(self) -> str:
        """Version of the distribution installed here; empty: there is none."""
        return next(filter(None, map(installed_version, self.packages)), "")


#: In the order in which "auto" tries them.
BACKENDS: tuple[Backend, ...] = (
    Backend(
        "tensorrt",
        "TensorRT",
        "runtime.backends.trt.session",
        ("_fp16.plan", ".plan"),
        packages=("tensorrt", "tensorrt-lean-cu13-bindings"),
        install=remedies.install("trt"),
        device="cuda",
    ),
    Backend(
        "tensorrt_rtx",
        "TensorRT-RTX",
        "runtime.backends.trt.session",
        ("_fp16.plan", ".plan"),
        packages=("tensorrt-rtx-cu13", "tensorrt-rtx"),
        install=remedies.install("rtx"),
        device="cuda",
    ),
    Backend(
        "onnxruntime-cuda",
        "ONNX Runtime CUDA",
        "runtime.backends.onnxruntime_cuda",
        ("_fp16.onnx", ".onnx"),
        packages=("onnxruntime-gpu",),
        # The packages with and without CUDA overwrite one another.
        install="pip uninstall -y onnxruntime; pip install --force-reinstall 'retinexrt[gpu]'",
        device="cuda",
    ),
    Backend(
        "openvino",
        "OpenVINO",
        "runtime.backends.openvino_cpu",
        (".onnx",),
        packages=("openvino",),
        install=remedies.install("cpu"),
        device="cpu",
        computes_in=("fp32", "bf16"),
        slow_without_convolutions=True,
    ),
    Backend(
        "onnxruntime",
        "ONNX Runtime",
        "runtime.backends.onnxruntime_cpu",
        (".onnx",),
        packages=("onnxruntime", "onnxruntime-gpu"),
        install=remedies.install("onnxruntime"),
        device="cpu",
    ),
)


def installed_version(package: str) -> str:
    """Version of a distribution; empty: it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def get_backend(name: str) -> Backend:
    """Return the backend called `name`."""
    for backend in BACKENDS:
        if backend.name == name:
            return backend
    raise InputError(f"unknown backend {name!r}; known: auto, {', '.join(b.name for b in BACKENDS)}")
