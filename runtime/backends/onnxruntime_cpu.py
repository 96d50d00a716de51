"""ONNX Runtime on the CPU: the default backend, and the reference of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact.onnx_metadata import read_info
from runtime.artifact.onnx_parts import cut_file
from runtime.backends.backend import Backend, installed_version
from runtime.backends.onnxruntime_parts import Parts
from runtime.backends.session import CpuSession, Probe
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, ClosedError, first_line
from runtime.images import Images
from runtime.options import OpenOptions
from runtime.tiling import PartsSession

_PROVIDER = "CPUExecutionProvider"


def probe(backend: Backend, device: int) -> Probe:
    """Whether ONNX Runtime can be imported and has its CPU provider; `device` has no meaning here."""
    try:
        ort = _import(backend)
    except BackendUnavailableError as error:
        return Probe(backend.name, False, str(error), backend.install)
    return Probe(backend.name, True, f"ONNX Runtime {ort.__version__} on the CPU", backend.install)


def open_session(backend: Backend, path: Path, options: OpenOptions) -> OrtSession:
    """Open an ONNX file; `device` has no meaning on the CPU. `threads`: None leaves the number to ONNX Runtime."""
    return OrtSession(backend, path, options)


def clash() -> str | None:
    """The fault of onnxruntime and onnxruntime-gpu installed together: they are one module, and overwrite it."""
    plain, gpu = installed_version("onnxruntime"), installed_version("onnxruntime-gpu")
    if not plain or not gpu:
        return None
    return (
        f"onnxruntime {plain} and onnxruntime-gpu {gpu} are both installed and "
        "overwrite one another; mend it with: pip uninstall -y onnxruntime onnxruntime-gpu && "
        "pip install --no-cache-dir onnxruntime (or onnxruntime-gpu)"
    )


def _import(backend: Backend) -> Any:
    """Import onnxruntime, or say what is in the way."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        reason = clash() or f"onnxruntime cannot be imported ({error}); install it with: {backend.install}"
        raise BackendUnavailableError(reason) from error
    # Removing one package from over the other leaves an empty module.
    if not hasattr(ort, "InferenceSession") or _PROVIDER not in ort.get_available_providers():
        raise BackendUnavailableError(clash() or f"onnxruntime is installed but broken; install it again: {backend.install}")
    return ort


class OrtSession(CpuSession):
    """An ONNX file in ONNX Runtime's CPU provider. Runs of several threads overlap."""

    def __init__(self, backend: Backend, path: Path, options: OpenOptions) -> None:
        super().__init__(backend.name)
        self.info = read_info(path)
        self.info.require_pictures(path)
        self.precision: str = self.info.precision
        self._ort = _import(backend)
        settings = self._ort.SessionOptions()
        settings.log_severity_level = 4  # what goes wrong is raised, and nothing is printed
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        self._path, self._settings = path, settings
        self._parts: Parts | None = None
        self._session: Any = self._load(str(path))

    def run(self, images: Images, out: Images) -> None:
        """Enhance N x H x W x 3 into `out` of the same shape, both C-contiguous; neither is copied."""
        session = self._session
        if session is None:
            raise ClosedError("the session is closed")
        try:
            binding = session.io_binding()
            binding.bind_input(self.info.input.name, "cpu", 0, np.uint8, images.shape, images.ctypes.data)
            binding.bind_output(self.info.output.name, "cpu", 0, np.uint8, out.shape, out.ctypes.data)
            session.run_with_iobinding(binding)
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed on {images.shape}: {first_line(error)}") from error

    def open_parts(self) -> PartsSession | None:
        """The artifact's halves; see the protocol."""
        if self._session is None:
            raise ClosedError("the session is closed")
        parts = self._parts
        if parts is None and self.info.parts is not None:
            halves = cut_file(self._path, self.info)
            self._parts = parts = Parts(self.info, self._load(halves.decide), self._load(halves.render))
        return parts

    def _load(self, model: str | bytes) -> Any:
        """ONNX Runtime's session on a file, or on the bytes of one."""
        try:
            return self._ort.InferenceSession(model, self._settings, providers=[_PROVIDER], enable_fallback=0)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise ArtifactError(f"ONNX Runtime cannot load {self._path}: {first_line(error)}") from error

    def close(self) -> None:
        """Free the session once the runs in progress are done; calling it again does nothing."""
        self._session = self._parts = None
