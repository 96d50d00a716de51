"""OpenVINO on the CPU: the faster of the two CPU backends for convolutional networks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from runtime.artifact import ArtifactInfo
from runtime.backends.session import DeviceImages, Images, Probe
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, ClosedError, InputError
from runtime.onnx_file import read_info

NAME = "openvino"
INSTALL = "pip install 'retinexrt[openvino]'"


def probe() -> Probe:
    """Whether OpenVINO can be imported and finds a CPU it supports."""
    try:
        ov = _import()
    except BackendUnavailableError as error:
        return Probe(NAME, False, str(error), INSTALL)
    return Probe(NAME, True, f"OpenVINO {ov.__version__.split('-')[0]} on the CPU", INSTALL)


def open_session(path: Path, *, device: int = 0, threads: int | None = None) -> OvSession:
    """Open an ONNX file; `device` has no meaning on the CPU. `threads`: None leaves the number to OpenVINO."""
    return OvSession(path, threads)


def _import() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise BackendUnavailableError(f"openvino cannot be imported ({error}); install it with: {INSTALL}") from error
    return openvino


class OvSession:
    """An ONNX file compiled by OpenVINO for the CPU. Threads that call at the same time get a request each."""

    backend = NAME
    device = "cpu"
    info: ArtifactInfo

    def __init__(self, path: Path, threads: int | None) -> None:
        self.info = read_info(path)
        self._ov = _import()
        # On CPUs that have it, OpenVINO computes in bfloat16 unless told otherwise, and is then some codes off.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model: Any = self._ov.Core().compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise ArtifactError(f"OpenVINO cannot load {path}: {_last_line(error)}") from error
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def run(self, images: Images, out: Images) -> None:
        """Enhance N x H x W x 3 into `out` of the same shape, both C-contiguous; neither is copied."""
        model = self._model
        if model is None:
            raise ClosedError("the session is closed")
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = model.create_infer_request()
        tensor = self._ov.Tensor
        try:
            # OpenVINO shares no memory that it may not write to, even where it only reads.
            source = tensor(images, shared_memory=True) if images.flags.writeable else tensor(images)
            request.set_input_tensor(source)
            request.set_output_tensor(tensor(out, shared_memory=True))
            request.infer(share_outputs=True)  # else the result is copied into an array that nobody asked for
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed on {images.shape}: {_last_line(error)}") from error
        self._idle.put(request)
        if self._model is None:  # closed meanwhile: a request would keep the model
            self._drop_idle()

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """Refused: this session runs on the CPU."""
        raise InputError("the backend openvino runs on the CPU and takes no GPU memory; pass a numpy array")

    def close(self) -> None:
        """Free the model once the runs in progress are done; calling it again does nothing."""
        self._model = None
        self._drop_idle()

    def _drop_idle(self) -> None:
        with suppress(Empty):
            while True:
                self._idle.get_nowait()


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
