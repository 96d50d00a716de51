"""The backend "onnxruntime-cuda": ONNX files on ONNX Runtime's CUDA provider, with bound device memory."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import sys
import threading
import weakref
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime.artifact import ArtifactInfo
from runtime.artifact.onnx_metadata import read_info
from runtime.artifact.onnx_parts import cut_file
from runtime.backends.backend import Backend
from runtime.backends.onnxruntime_parts import Parts
from runtime.backends.session import Probe, require_same_shape
from runtime.cuda import Cuda, Gpu, driver_found, open_cuda, require_own_context
from runtime.cuda.capture import require_no_capture, whole_gpu
from runtime.cuda.fork import guard, require_own_process
from runtime.cuda.staging import Staging
from runtime.errors import BackendError, BackendUnavailableError, ClosedError
from runtime.images import DeviceImages, Images
from runtime.options import OpenOptions
from runtime.tiling import Floats, PartsSession

PROVIDER = "CUDAExecutionProvider"
#: Of a session's own messages nothing below a fatal error is written to stderr; failures are raised all the same. Those of
#: ONNX Runtime's default logger, as where a library of CUDA is missing, are left to the application whose logger it is.
LOG_FATAL = 4

_log = logging.getLogger("retinexrt.onnxruntime")


def open_session(backend: Backend, path: Path, options: OpenOptions) -> OrtCudaSession:
    """Open an ONNX file on a GPU. `threads` is for CPU backends."""
    info = read_info(path)
    info.require_pictures(path)
    ort = _import(backend)
    return OrtCudaSession(backend, path, info, ort, open_cuda(), options.device)


def _find() -> tuple[Any, str]:
    """ONNX Runtime with its CUDA provider, or None and what is in the way."""
    try:
        ort = import_module("onnxruntime")
    except (ImportError, OSError) as error:
        return None, f"onnxruntime can't be imported ({error})"
    providers = ort.get_available_providers()
    if PROVIDER not in providers:
        return None, f"the onnxruntime {ort.__version__} installed here has no CUDA provider (it has {', '.join(providers)})"
    return ort, ""


def _import(backend: Backend) -> Any:
    ort, obstacle = _find()
    if ort is None:
        raise BackendUnavailableError(f"{obstacle}; install it with: {backend.install}")
    return ort


def probe(backend: Backend, device: int) -> Probe:
    """Look for a driver, for the package with the CUDA provider, then for that GPU."""
    if not driver_found():
        return Probe(backend.name, False, "there is no NVIDIA driver here", install="")
    if "onnxruntime" not in sys.modules and find_spec("onnxruntime") is None:
        return Probe(backend.name, False, "the package onnxruntime is not installed", backend.install)
    ort, obstacle = _find()
    if ort is None:
        return Probe(backend.name, False, obstacle, backend.install)
    try:
        properties = open_cuda().properties(device)
    except BackendError as error:
        return Probe(backend.name, False, str(error), backend.install)
    return Probe(backend.name, True, f"onnxruntime {ort.__version__} on {properties.name} ({properties.sm})", backend.install)


#: Parts of the names of CUDA's libraries that the provider needs, each before those that need it.
_LIBRARIES = ("libcudart", "libnvrtc", "libcublasLt", "libcublas", "libcurand", "libnvJitLink", "libcufft", "libcudnn")


def preload(ort: Any) -> None:
    """Load the libraries of CUDA that pip installed. What can't be loaded is printed there, and logged here."""
    _load_from_other_folders(ort)
    if not hasattr(ort, "preload_dlls"):
        return
    printed = io.StringIO()
    with redirect_stdout(printed):
        ort.preload_dlls()
    if printed.getvalue():
        _log.info("%s", " ".join(printed.getvalue().split()))


def _load_from_other_folders(ort: Any) -> None:
    """Load those that don't lie beside ONNX Runtime, where alone it looks: as torch's do, of another site or --target."""
    beside = Path(str(ort.__file__)).resolve().parents[1] / "nvidia"
    spec = find_spec("nvidia")
    if beside.is_dir() or spec is None:
        return
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for name in _LIBRARIES:
        for path in sorted(path for folder in folders for path in folder.glob(f"*/lib/{name}.so.*")):
            try:
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                _log.info("%s can't be loaded: %s", path.name, error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class OrtCudaSession:
    """An ONNX file on one GPU; see the protocol `Session`. Calls run one after another on the session's own stream."""

    def __init__(self, backend: Backend, path: Path, info: ArtifactInfo, ort: Any, cuda: Cuda, device: int) -> None:
        self.backend = backend.name
        self.device = f"cuda:{device}"
        self.info = info
        self.precision: str = info.precision
        self._graph = _Graph(backend, path, info, ort, cuda, device)
        self.gpu: Gpu | None = self._graph.gpu
        self._finalizer = weakref.finalize(self, self._graph.close)
        self._finalizer.atexit = False

    def run(self, images: Images, out: Images) -> None:
        """Enhance on the host's memory; see the protocol."""
        require_same_shape(images.shape, out.shape)
        self._graph.run(images, out)

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """Enhance on the GPU's memory; see the protocol."""
        require_same_shape(images.shape, out.shape)
        self._graph.run_device(images, out, stream)

    def open_parts(self) -> PartsSession | None:
        """The artifact's halves; see the protocol."""
        return self._graph if self._graph.open_parts() else None

    def close(self) -> None:
        """Wait for a running call and free everything; calling it again does nothing."""
        self._finalizer()


class _Graph:
    """ONNX Runtime's sessions, the stream that they run on, and the memory that the whole graph is bound to.

    It is the `PartsSession` of the artifact's halves too, which take their arrays from the host's memory.
    """

    def __init__(self, backend: Backend, path: Path, info: ArtifactInfo, ort: Any, cuda: Cuda, device: int) -> None:
        self._install = backend.install
        self._info, self._cuda, self._index, self._ort = info, cuda, device, ort
        self._path = path
        self._parts: Parts | None = None
        self._lock = threading.Lock()
        self._staging: Staging | None = None
        # ONNX Runtime works in the primary context, whichever is current.
        self._context = cuda.open_context(device, primary=True)
        self.gpu = Gpu(cuda, device, self._context)
        guard(self)
        with ExitStack() as retained:
            retained.callback(cuda.close_context, self._context)
            with cuda.using(self._context), ExitStack() as created:
                self._stream = cuda.create_stream()
                created.callback(cuda.destroy_stream, self._stream)
                self._event = cuda.create_event()
                created.callback(cuda.destroy_event, self._event)
                with whole_gpu:  # Starting, the provider waits for all of it.
                    self._session: Any = self._open(str(path))
                created.pop_all()
            retained.pop_all()

    def _open(self, model: str | bytes) -> Any:
        """ONNX Runtime's session on a file, or on the bytes of one."""
        ort = self._ort
        preload(ort)
        settings = ort.SessionOptions()
        settings.log_severity_level = LOG_FATAL
        options = {
            "device_id": str(self._index),
            "user_compute_stream": str(self._stream),
            # TF32 would make FP32 graphs something else than FP32.
            "use_tf32": "0",
            # The default times every algorithm again for each new shape.
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        try:
            # With its fallback it would print, and run on the CPU.
            session = ort.InferenceSession(model, settings, providers=[(PROVIDER, options)], enable_fallback=0)
        except (ValueError, RuntimeError) as error:  # what it raises where a provider doesn't start
            raise BackendUnavailableError(
                f"ONNX Runtime's {PROVIDER} doesn't start ({_one_line(error)}); "
                f"if libraries are missing, install them with: {self._install}"
            ) from error
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            raise BackendError(f"ONNX Runtime can't open {self._path} on the GPU: {_one_line(error)}") from error
        if PROVIDER not in session.get_providers():
            raise BackendUnavailableError(
                f"ONNX Runtime fell back to {', '.join(session.get_providers())}: its {PROVIDER} can't be loaded; "
                f"install the libraries that it needs with: {self._install}"
            )
        return session

    def run(self, images: Images, out: Images) -> None:
        with self._working():
            staging = self._staging_of(images.nbytes)
            staging.fill(images)
            staging.upload(images.nbytes, self._stream)
            self._execute(images.shape, staging.device_in, staging.device_out)
            staging.download(images.nbytes, self._stream)
            self._cuda.synchronize(self._stream)
            staging.take(out)

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """The session's stream waits for the caller's, and the caller's for the session's; the host waits for neither."""
        cuda = self._cuda
        require_own_process(self.gpu.process)
        require_own_context(self.gpu)
        with self._lock:
            self._require_open()
            with cuda.using(self._context):
                require_no_capture(cuda, stream)
                cuda.record(self._event, stream)
                cuda.wait(self._stream, self._event)
                try:
                    self._execute(images.shape, images.pointer, out.pointer)
                finally:  # Of a run that failed some may be under way.
                    cuda.record(self._event, self._stream)
                    cuda.wait(stream, self._event)

    def open_parts(self) -> bool:
        """Make the halves, unless they are there; False: the artifact has none."""
        with self._working():
            if self._parts is None and self._info.parts is not None:
                halves = cut_file(self._path, self._info)
                with whole_gpu:
                    self._parts = Parts(self._info, self._open(halves.decide), self._open(halves.render))
            return self._parts is not None

    def decide(self, overview: Floats) -> tuple[Floats, ...]:
        """See the protocol `PartsSession`."""
        with self._working():
            assert self._parts is not None
            return self._parts.decide(overview)

    def render(self, image: Images, side: int, light: Sequence[Floats], *, film: bool = False) -> Images:
        """See the protocol `PartsSession`."""
        with self._working():
            assert self._parts is not None
            return self._parts.render(image, side, light)

    @contextmanager
    def _working(self) -> Generator[None]:
        """This thread's turn, on an open session, in the GPU's context."""
        require_own_process(self.gpu.process)
        with self._lock:
            self._require_open()
            with self._cuda.using(self._context):
                try:
                    yield
                except BackendError:
                    self._cuda.synchronize(self._stream)  # Some may be under way; and a GPU that is lost says so here.
                    raise

    def _require_open(self) -> None:
        if self._session is None:
            raise ClosedError("the session is closed")

    def _staging_of(self, count: int) -> Staging:
        """Memory for at least `count` bytes; nothing is in flight in it between calls."""
        if self._staging is not None and self._staging.count < count:
            self._staging.close()
            self._staging = None
        if self._staging is None:
            self._staging = Staging(self._cuda, count)
        return self._staging

    def _execute(self, shape: tuple[int, ...], source: int, target: int) -> None:
        """Enqueue on the session's stream."""
        import numpy as np

        sizes = list(shape)
        options = self._ort.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        try:
            binding = self._session.io_binding()
            binding.bind_input(self._info.input.name, "cuda", self._index, np.uint8, sizes, source)
            binding.bind_output(self._info.output.name, "cuda", self._index, np.uint8, sizes, target)
            self._session.run_with_iobinding(binding, options)
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this
            raise BackendError(f"ONNX Runtime failed on {shape}: {error}") from error

    def close(self) -> None:
        cuda = self._cuda
        if os.getpid() != self.gpu.process:
            return
        with self._lock, ExitStack() as released:
            released.callback(cuda.close_context, self._context)
            with cuda.using(self._context), ExitStack() as freed:  # Each of them, even where another one fails.
                freed.callback(cuda.destroy_stream, self._stream)
                freed.callback(cuda.destroy_event, self._event)
                if self._staging is not None:
                    freed.callback(self._staging.close)
                ending = [self._session, self._parts]
                self._session = self._parts = None
                cuda.synchronize(self._stream)
                with whole_gpu:  # Its libraries wait for all of it when they end.
                    ending.clear()
