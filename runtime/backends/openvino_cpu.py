"""OpenVINO on the CPU: the faster of the two CPU backends for convolutional networks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from runtime.artifact import CpuPrecision
from runtime.artifact.onnx_metadata import read_info
from runtime.backends.backend import Backend
from runtime.backends.session import Probe
from runtime.cuda.protocol import Gpu
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, ClosedError, InputError
from runtime.images import DeviceImages, Images
from runtime.options import OpenOptions

#: Runs in a row of one shape before it gets a model of its own.
_PATIENCE = 2
#: Models of one shape are kept for so many pixels together: each holds its working memory, 0.6 to 2.8 KB for each pixel.
_KEPT = 1 << 20


def probe(backend: Backend, device: int) -> Probe:
    """Whether OpenVINO can be imported and finds a CPU it supports; `device` has no meaning here."""
    try:
        ov = _import(backend)
    except BackendUnavailableError as error:
        return Probe(backend.name, False, str(error), backend.install)
    return Probe(backend.name, True, f"OpenVINO {ov.__version__.split('-')[0]} on the CPU", backend.install)


def open_session(backend: Backend, path: Path, options: OpenOptions) -> OvSession:
    """Open an ONNX file; `device` has no meaning on the CPU. `threads`: None leaves the number to OpenVINO.

    `precision` is what convolutions are computed in; None: what the artifact says, as far as this CPU can.
    """
    return OvSession(backend, path, options)


def _import(backend: Backend) -> Any:
    try:
        import openvino
    except ImportError as error:
        raise BackendUnavailableError(f"openvino cannot be imported ({error}); install it with: {backend.install}") from error
    return openvino


class _Compiled:
    """A model compiled for one shape or for all, and its idle requests: each serves one thread at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def take(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._model.create_infer_request()

    def give_back(self, request: Any) -> None:
        self._idle.put(request)

    def drop_idle(self) -> None:
        """Requests keep the model in memory."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait()


class OvSession:
    """An ONNX file compiled by OpenVINO for the CPU. Threads that call at the same time get a request each.

    A model compiled for one shape is faster than one for all: in FP32 by some percent, with the same result to the byte
    unless there are logarithms in it, whose last bit differs; in bfloat16 by much, and with another result. No picture may
    come out in two ways. So in FP32 a shape gets a model of its own when it keeps coming, but with logarithms or in bfloat16
    at once.
    """

    device = "cpu"
    gpu: Gpu | None = None

    def __init__(self, backend: Backend, path: Path, options: OpenOptions) -> None:
        self.backend = backend.name
        self.info = read_info(path)
        self._ov = _import(backend)
        self._core: Any = self._ov.Core()
        self.precision: str = self._choose(options.precision)
        # On CPUs that have it, OpenVINO computes in bfloat16 unless told otherwise, and is then some codes off.
        self._options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if options.threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = options.threads
        self._path = path
        try:
            self._source: Any = self._core.read_model(str(path))
        except RuntimeError as error:
            raise ArtifactError(f"OpenVINO cannot load {path}: {_last_line(error)}") from error
        self._closed = False
        self._changing = threading.Lock()
        #: Held while a model is made, which takes longer than anyone may wait for what is guarded by the other lock.
        self._compiling = threading.Lock()
        #: The shape of the last run, and how many runs in a row had it.
        self._recent: tuple[tuple[int, ...], int] = ((), 0)
        self._fixed: OrderedDict[tuple[int, ...], _Compiled] = OrderedDict()
        self._patience = self._choose_patience()
        self._any = None if self._patience == 0 else self._compile(self._source)

    def run(self, images: Images, out: Images) -> None:
        """Enhance N x H x W x 3 into `out` of the same shape, both C-contiguous; neither is copied."""
        if self._closed:
            raise ClosedError("the session is closed")
        model = self._model_for(images.shape)
        request = model.take()
        tensor = self._ov.Tensor
        try:
            # OpenVINO shares no memory that it may not write to, even where it only reads.
            source = tensor(images, shared_memory=True) if images.flags.writeable else tensor(images)
            request.set_input_tensor(source)
            request.set_output_tensor(tensor(out, shared_memory=True))
            request.infer(share_outputs=True)  # else the result is copied into an array that nobody asked for
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed on {images.shape}: {_last_line(error)}") from error
        model.give_back(request)
        if self._closed:  # meanwhile: a request would keep the model
            model.drop_idle()

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """Refused: this session runs on the CPU."""
        raise InputError(f"the backend {self.backend} runs on the CPU and takes no GPU memory; pass a numpy array")

    def close(self) -> None:
        """Free the models once the runs in progress are done; calling it again does nothing."""
        self._closed = True
        with self._changing:
            if self._any is not None:
                self._any.drop_idle()
            self._any = self._source = None
            while self._fixed:
                self._fixed.popitem()[1].drop_idle()

    def _choose(self, wanted: CpuPrecision | None) -> str:
        if (wanted or self.info.cpu_precision) == "fp32":
            return self.info.precision
        if "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return "bf16"
        if wanted is None:
            return self.info.precision
        raise BackendUnavailableError('this CPU has no bfloat16 arithmetic; leave out precision="bf16"')

    def _choose_patience(self) -> int | None:
        """Runs in a row before a shape gets a model of its own; None: it never does."""
        if all(isinstance(size, int) for size in self.info.input.shape):
            return None
        logarithms = any(node.get_type_name() == "Log" for node in self._source.get_ops())
        return 0 if logarithms or self.precision == "bf16" else _PATIENCE

    def _model_for(self, shape: tuple[int, ...]) -> _Compiled:
        with self._changing:
            if self._closed:
                raise ClosedError("the session is closed")
            last, times = self._recent
            self._recent = (shape, times + 1 if shape == last else 1)
            model = self._fixed.get(shape)
            if model is not None:
                self._fixed.move_to_end(shape)
                return model
            waits = self._patience is None or self._recent[1] <= self._patience
            general, source = self._any, self._source
            if general is not None and (waits or _pixels(shape) > _KEPT):
                return general
        # Compiling takes a while. What has a model runs on meanwhile, and so does all else where there is one for all.
        if not self._compiling.acquire(blocking=general is None):
            assert general is not None
            return general
        try:
            with self._changing:
                made = self._fixed.get(shape)  # by a thread that was here before
            return made or self._keep(shape, self._compile(source, shape))
        finally:
            self._compiling.release()

    def _keep(self, shape: tuple[int, ...], model: _Compiled) -> _Compiled:
        with self._changing:
            if self._closed:
                raise ClosedError("the session is closed")
            self._fixed[shape] = model
            while len(self._fixed) > 1 and sum(map(_pixels, self._fixed)) > _KEPT:
                self._fixed.popitem(last=False)[1].drop_idle()
            return model

    def _compile(self, source: Any, shape: tuple[int, ...] | None = None) -> _Compiled:
        # A copy of what was read once: the file may be gone or another by now.
        model = source.clone()
        try:
            if shape is not None:
                model.reshape(list(shape))
            return _Compiled(self._core.compile_model(model, "CPU", self._options))
        except RuntimeError as error:
            if shape is not None:  # the file was loaded before: it is this run that fails
                raise BackendError(f"OpenVINO failed on {shape}: {_last_line(error)}") from error
            raise ArtifactError(f"OpenVINO cannot load {self._path}: {_last_line(error)}") from error


def _pixels(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1] * shape[2]


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
