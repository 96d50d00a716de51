"""The halves of a plan: what decides on the light of a picture, and what renders its parts."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.artifact import ArtifactInfo
from runtime.backends.trt.contexts import Engine
from runtime.backends.trt.kernel_cache import Kernels
from runtime.cuda import Cuda, Gpu
from runtime.cuda.fork import require_own_process
from runtime.errors import BackendError, ClosedError
from runtime.images import Images
from runtime.tiling import Floats

Array = np.ndarray[Any, Any]

#: Pictures after which TensorRT-RTX's kernels are saved.
_KEPT_AFTER = (1, 10)


@dataclass(frozen=True)
class HalfEngine:
    """A deserialised half."""

    #: The engine, and its failures in TensorRT's words.
    shared: Engine
    #: TensorRT's name for tensors that lie in the host's memory: those whose values decide on shapes.
    host: Any
    kernels: Kernels | None


class Halves:
    """See the protocol `PartsSession`. Calls run one after another, on a stream of their own."""

    def __init__(self, gpu: Gpu, info: ArtifactInfo, decide: HalfEngine, render: HalfEngine) -> None:
        assert info.parts is not None
        self._gpu, self._info, self._names = gpu, info, info.parts
        self._lock = threading.Lock()
        self._pictures = 0
        with ExitStack() as owned:
            self._stream = gpu.cuda.create_stream()
            owned.callback(gpu.cuda.destroy_stream, self._stream)
            self._decide, self._render = (_Half(gpu.cuda, self._stream, each, owned) for each in (decide, render))
            owned.callback(gpu.cuda.synchronize, self._stream)  # Of a run that failed some may be under way.
            self._owned: ExitStack | None = owned.pop_all()

    def decide(self, overview: Floats) -> tuple[Floats, ...]:
        """See the protocol."""
        with self._working():
            if self._pictures in _KEPT_AFTER:
                self._save()
            self._pictures += 1
            return tuple(self._decide.run({self._names.overview: overview}, dict.fromkeys(self._names.light, np.float32)))

    def render(self, image: Images, side: int, light: Sequence[Floats], *, film: bool = False) -> Images:
        """See the protocol."""
        given = {
            self._info.input.name: image,
            self._names.side: np.array([side], np.int64),
            **dict(zip(self._names.light, light, strict=True)),
        }
        with self._working():
            return self._render.run(given, {self._info.output.name: np.uint8})[0]

    @contextmanager
    def _working(self) -> Generator[None]:
        """This thread's turn, in the GPU's context."""
        require_own_process(self._gpu.process)
        with self._lock:
            if self._owned is None:
                raise ClosedError("the session is closed")
            with self._gpu.cuda.using(self._gpu.context):
                try:
                    yield
                except BackendError:
                    self._gpu.cuda.synchronize(self._stream)  # Some may be under way; and a GPU that is lost says so here.
                    raise

    def _save(self) -> None:
        for half in (self._decide, self._render):
            if half.kernels is not None:
                half.kernels.save()

    def close(self) -> None:
        """Wait for a running call and free everything, in the GPU's context; calling it again does nothing."""
        with self._lock:
            owned, self._owned = self._owned, None
            if owned is not None:
                with owned:  # Freed even where saving fails.
                    self._save()


class _Half:
    """An engine with one context, and memory for its tensors as large as they have been so far."""

    def __init__(self, cuda: Cuda, stream: int, half: HalfEngine, owned: ExitStack) -> None:
        self._cuda, self._stream = cuda, stream
        self.kernels: Kernels | None = half.kernels
        self._shared = half.shared
        engine: Any = half.shared.engine
        self._context: Any = self._shared.new_context(cuda, stream)
        owned.callback(self._end)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self._on_host = frozenset(name for name in names if engine.get_tensor_location(name) == half.host)
        self._memory: dict[str, tuple[int, int]] = {}

    def run(self, given: Mapping[str, Array], wanted: Mapping[str, Any]) -> list[Any]:
        """The engine's results for arrays in the host's memory; `wanted` are the results' names and types."""
        context, require = self._context, self._shared.require
        arrays = {name: np.ascontiguousarray(array) for name, array in given.items()}
        for name, array in arrays.items():
            require(context.set_input_shape(name, array.shape), f"set the shape of {name} to {array.shape}")
            if name in self._on_host:
                require(context.set_tensor_address(name, array.ctypes.data), f"set the address of {name}")
            else:
                pointer = self._at(name, array.nbytes)
                self._cuda.copy_to_device(pointer, _bytes(array), self._stream)
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        try:
            unset = context.infer_shapes()
        except RuntimeError as error:
            raise BackendError(f"TensorRT can't tell the shapes for {shapes}: {self._shared.words() or error}") from error
        require(not unset, f"tell the shapes for {shapes}")
        results = [np.empty(tuple(context.get_tensor_shape(name)), kind) for name, kind in wanted.items()]
        pointers = [self._at(name, result.nbytes) for name, result in zip(wanted, results, strict=True)]
        require(context.execute_async_v3(self._stream), f"enqueue {shapes}")
        for pointer, result in zip(pointers, results, strict=True):
            self._cuda.copy_to_host(_bytes(result), pointer, self._stream)
        self._cuda.synchronize(self._stream)
        return results

    def _at(self, name: str, count: int) -> int:
        """The address of a tensor on the GPU; nothing is in flight in it between runs."""
        pointer, held = self._memory.get(name, (0, 0))
        if held < count:
            if pointer:
                del self._memory[name]
                self._cuda.free(pointer)
            pointer = self._cuda.allocate(count)
            self._memory[name] = pointer, count
        self._shared.require(self._context.set_tensor_address(name, pointer), f"set the address of {name}")
        return pointer

    def _end(self) -> None:
        self._context = self.kernels = None
        self._shared.close()
        while self._memory:
            self._cuda.free(self._memory.popitem()[1][0])


def _bytes(array: Array) -> Images:
    return array.reshape(-1).view(np.uint8)
