"""OpenVINO on the CPU: the faster of the two CPU backends for convolutional networks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from runtime.artifact import ArtifactInfo, CpuPrecision
from runtime.artifact.onnx_metadata import read_info
from runtime.artifact.onnx_parts import cut_file
from runtime.backends import specialisation
from runtime.backends.backend import Backend
from runtime.backends.session import CpuSession, Probe
from runtime.backends.specialisation import SpecialisationPolicy
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, ClosedError
from runtime.images import Images
from runtime.options import OpenOptions
from runtime.tiling import Floats, PartsSession

#: OpenVINO's exceptions; the second where a message holds a name of the file's that is no text.
_FAILURES = (RuntimeError, UnicodeDecodeError)


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


class OvSession(CpuSession):
    """An ONNX file compiled by OpenVINO for the CPU. Threads that call at the same time get a request each.

    A model compiled for one shape is faster than one for all shapes. In FP32 it gives identical bytes, unless the graph has
    logarithms, whose last bit differs; in BF16 it is much faster, and gives others. `SpecialisationPolicy` says when a shape
    gets one.
    """

    def __init__(self, backend: Backend, path: Path, options: OpenOptions) -> None:
        super().__init__(backend.name)
        self.info = read_info(path)
        self.info.require_pictures(path)
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
        self._source: Any = self._read(str(path))
        self._parts: _Parts | None = None
        self._closed = False
        self._changing = threading.Lock()
        #: Held while a model is made, which takes longer than anyone may wait for what is guarded by the other lock.
        self._compiling = threading.Lock()
        self._fixed: OrderedDict[tuple[int, ...], _Compiled] = OrderedDict()
        self._policy = self._choose_policy()
        self._any = self._compile(self._source) if self._policy.has_general_model else None

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
        except _FAILURES as error:
            raise BackendError(f"OpenVINO failed on {images.shape}: {_last_line(error)}") from error
        model.give_back(request)
        if self._closed:  # meanwhile: a request would keep the model
            model.drop_idle()

    def open_parts(self) -> PartsSession | None:
        """The artifact's halves; see the protocol."""
        if self._closed:
            raise ClosedError("the session is closed")
        with self._compiling:
            parts = self._parts
            if parts is None and self.info.parts is not None:
                halves = cut_file(self._path, self.info)
                decide, render = (self._read(half) for half in (halves.decide, halves.render))
                self._parts = parts = _Parts(self.info, self._ov, self._compile, decide, render)
        return parts

    def _read(self, model: str | bytes) -> Any:
        """OpenVINO's model of a file, or of the bytes of one."""
        try:
            return self._core.read_model(model)
        except _FAILURES as error:
            raise ArtifactError(f"OpenVINO cannot load {self._path}: {_last_line(error)}") from error

    def close(self) -> None:
        """Free the models once the runs in progress are done; calling it again does nothing."""
        self._closed = True
        self._parts = None
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

    def _choose_policy(self) -> SpecialisationPolicy:
        fixed = all(isinstance(size, int) for size in self.info.input.shape)
        logarithms = any(node.get_type_name() == "Log" for node in self._source.get_ops())
        return SpecialisationPolicy(fixed, identical=not logarithms and self.precision != "bf16")

    def _model_for(self, shape: tuple[int, ...]) -> _Compiled:
        with self._changing:
            if self._closed:
                raise ClosedError("the session is closed")
            wanted = self._policy.count(shape)
            model = self._fixed.get(shape)
            if model is not None:
                self._fixed.move_to_end(shape)
                return model
            general, source = self._any, self._source
            if general is not None and not wanted:
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
            while len(self._fixed) > 1 and sum(map(specialisation.pixels, self._fixed)) > specialisation.KEPT:
                self._fixed.popitem(last=False)[1].drop_idle()
            return model

    def _compile(self, source: Any, shape: tuple[int, ...] | None = None) -> _Compiled:
        # A copy of what was read once: the file may be gone or another by now.
        model = source.clone()
        try:
            if shape is not None:
                model.reshape(list(shape))
            return _Compiled(self._core.compile_model(model, "CPU", self._options))
        except _FAILURES as error:
            if shape is not None:  # the file was loaded before: it is this run that fails
                raise BackendError(f"OpenVINO failed on {shape}: {_last_line(error)}") from error
            raise ArtifactError(f"OpenVINO cannot load {self._path}: {_last_line(error)}") from error


class _Parts:
    """The halves of an artifact. `render` is compiled when it is first needed: for all shapes, or for the frames of a film,
    which are all alike.
    """

    def __init__(
        self, info: ArtifactInfo, openvino: Any, compiled: Callable[[Any], _Compiled], decide: Any, render: Any
    ) -> None:
        assert info.parts is not None
        self._info, self._names, self._ov, self._compiled, self._source = info, info.parts, openvino, compiled, render
        self._decide = compiled(decide)
        self._changing = threading.Lock()
        self._any: _Compiled | None = None
        self._of_film: tuple[tuple[int, ...], _Compiled] | None = None

    def decide(self, overview: Floats) -> tuple[Floats, ...]:
        return self._run(self._decide, {self._names.overview: overview}, self._names.light)

    def render(self, image: Images, side: int, light: Sequence[Floats], *, film: bool = False) -> Images:
        given = {self._info.input.name: image, **dict(zip(self._names.light, light, strict=True))}
        if film:
            return self._run(self._for_film(given, side), given, [self._info.output.name])[0]
        return self._run(self._for_any(), {**given, self._names.side: np.array([side])}, [self._info.output.name])[0]

    def _for_any(self) -> _Compiled:
        with self._changing:
            if self._any is None:
                self._any = self._compiled(self._source)
            return self._any

    def _for_film(self, given: dict[str, Any], side: int) -> _Compiled:
        """The model for frames of one shape and squares of one side; that of the last film is kept."""
        shape = (*given[self._info.input.name].shape, side)
        with self._changing:
            if self._of_film is None or self._of_film[0] != shape:
                self._of_film = shape, self._compiled(self._of_one_shape(given, side))
            return self._of_film[1]

    def _of_one_shape(self, given: dict[str, Any], side: int) -> Any:
        """The half that renders, with `side` as a constant and the shapes of what it is given."""
        model = self._source.clone()
        parameter = model.input(self._names.side).get_node()
        parameter.output(0).replace(self._ov.op.Constant(np.array([side])).output(0))
        model.remove_parameter(parameter)
        try:
            model.reshape({name: list(value.shape) for name, value in given.items()})
        except _FAILURES as error:
            raise BackendError(f"OpenVINO failed on {_shapes(given)}: {_last_line(error)}") from error
        return model

    def _run(self, model: _Compiled, given: dict[str, Any], wanted: Sequence[str]) -> tuple[Any, ...]:
        request = model.take()
        try:
            for name, value in given.items():
                request.set_tensor(name, self._ov.Tensor(value))
            request.infer()
            results = tuple(np.array(request.get_tensor(name).data) for name in wanted)
        except _FAILURES as error:
            raise BackendError(f"OpenVINO failed on {_shapes(given)}: {_last_line(error)}") from error
        model.give_back(request)
        return results


def _shapes(given: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value.shape}" for name, value in given.items())


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
