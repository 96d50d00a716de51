"""A `tensorrt` module on the fake CUDA: its plans turn pictures into their negatives, or hold an ONNX graph, which is run."""

from __future__ import annotations

import enum
import gc
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from tests.support.fake_cuda import ALIGNMENT, FakeCuda, memory_at

#: A plan of the fake: this, and the name of the network.
MAGIC = b"fake plan "


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class TensorLocation(enum.Enum):
    DEVICE = 0
    HOST = 1


class DataType(enum.Enum):
    FLOAT = 0
    UINT8 = 1


class Severity(enum.Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY = 0
    EAGER = 1


class LayerInformationFormat(enum.Enum):
    ONELINE = 0
    JSON = 1


class IProfiler:
    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise AssertionError("a profiler has to override report_layer_time")


class ILogger:
    Severity = Severity

    def log(self, severity: Severity, msg: str) -> None:
        raise AssertionError("a logger has to override log")


class FakeTensorRT(SimpleNamespace):
    """The module. `failing` names the calls that fail from now on."""

    def __init__(self, cuda: FakeCuda, version: str = "11.4.0.106", rtx: bool = False) -> None:
        super().__init__(
            __version__=version, TensorIOMode=TensorIOMode, TensorLocation=TensorLocation, uint8=DataType.UINT8,
            float32=DataType.FLOAT, ILogger=ILogger, IProfiler=IProfiler, LayerInformationFormat=LayerInformationFormat,
        )  # fmt: skip
        self.__name__ = "tensorrt_rtx" if rtx else "tensorrt"
        self.cuda = cuda
        self.failing: set[str] = set()
        #: Fails the first synchronising call inside a capture, as a plugin would that allocates memory.
        self.synchronizes = False
        self.contexts: list[ExecutionContext] = []
        self.deserialised: list[bytes] = []
        self.kernels = b"kernels for this GPU"
        #: What serialising them takes.
        self.serialising: Callable[[], object] = lambda: None
        self.runtime_caches: list[RuntimeCache] = []
        #: What TensorRT freed, and in how many open contexts: none is what it must not be.
        self.ended: list[tuple[str, int]] = []
        #: Of all runtimes: TensorRT keeps to the first.
        self.loggers: list[ILogger] = []
        #: Whether Python collected garbage while something was captured: a finalizer could have freed GPU memory.
        self.collected_in_capture: list[bool] = []
        self.Runtime = lambda log: Runtime(self, log)
        if rtx:
            self.CudaGraphStrategy = CudaGraphStrategy
            self.DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy
            self.ComputeCapability = SimpleNamespace(__members__={"SM89": 89, "SM120": 120})

    def lose(self) -> None:
        """Lose the GPU, if failures shall."""
        if "loses the GPU" in self.failing:
            self.cuda.lost = "CUDA_ERROR_ILLEGAL_ADDRESS"


class _Ends:
    """Notes where the last reference to it goes."""

    trt: FakeTensorRT

    def __del__(self) -> None:
        self.trt.ended.append((type(self).__name__, self.trt.cuda.current_context(0)))


class Runtime(_Ends):
    def __init__(self, trt: FakeTensorRT, log: ILogger) -> None:
        self.trt, self.log = trt, log
        trt.loggers.append(log)

    def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
        assert self.trt.cuda.devices, "without a device TensorRT's lean runtime ends the process here"
        self.trt.deserialised.append(data)
        if not data.startswith(MAGIC) or "deserialize" in self.trt.failing:
            self.log.log(Severity.ERROR, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magic tag)")
            return None
        name, _, graph = data.removeprefix(MAGIC).partition(b"\0")
        return GraphEngine(self.trt, self.log, name.decode(), graph) if graph else Engine(self.trt, self.log, name.decode())


class Engine(_Ends):
    num_io_tensors = 2

    def __init__(self, trt: FakeTensorRT, log: ILogger, name: str) -> None:
        self.trt, self.log, self.name = trt, log, name

    def get_tensor_name(self, index: int) -> str:
        return ("image", "enhanced")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "image" else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.FLOAT if "float" in self.trt.failing else DataType.UINT8

    def create_execution_context(self, config: RuntimeConfig | None = None) -> ExecutionContext | None:
        if "context" in self.trt.failing:
            self.trt.lose()
            self.log.log(Severity.ERROR, "Error Code 2: OutOfMemory (Requested size was 2700000000 bytes.)")
            return None
        self.trt.cuda.unsafe("create_execution_context")
        context = ExecutionContext(self.trt, self.log, config)
        self.trt.contexts.append(context)
        return context

    def create_engine_inspector(self) -> Any:
        def describe(format: LayerInformationFormat) -> str:
            assert format is LayerInformationFormat.JSON
            return '{"Layers": ["load", "store"], "Bindings": ["image", "enhanced"]}'

        return SimpleNamespace(get_engine_information=describe)

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig(self.trt)


class RuntimeConfig:
    cuda_graph_strategy = CudaGraphStrategy.DISABLED
    dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def __init__(self, trt: FakeTensorRT) -> None:
        self.trt = trt
        self.cache: RuntimeCache | None = None

    def create_runtime_cache(self) -> RuntimeCache:
        cache = RuntimeCache(self.trt)
        self.trt.runtime_caches.append(cache)
        return cache

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self.cache = cache
        return "runtime cache" not in self.trt.failing


class RuntimeCache:
    def __init__(self, trt: FakeTensorRT) -> None:
        self.trt = trt
        self.kernels = b""

    def serialize(self) -> bytes:
        self.trt.serialising()
        return self.kernels

    def deserialize(self, data: bytes) -> bool:
        if "stale cache" in self.trt.failing:
            return False
        self.kernels = data
        return True


class ExecutionContext:
    def __init__(self, trt: FakeTensorRT, log: ILogger, config: RuntimeConfig | None) -> None:
        self.trt, self.log, self.config = trt, log, config
        self.shape: tuple[int, ...] | None = None
        self.addresses: dict[str, int] = {}
        #: Like activations: what a run works in, so that two runs at a time would spoil one another.
        self.scratch = np.zeros(0, np.uint8)
        self.set_shapes = 0
        self.profiler: IProfiler | None = None

    def _fails(self, what: str) -> bool:
        if what in self.trt.failing:
            self.log.log(Severity.ERROR, f"Error Code 3: API Usage Error ({what})")
            return True
        return False

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "image"
        if self.shape not in (None, tuple(shape)):
            assert not self.trt.cuda.busy(self), "a new shape was set while a run of the old one was under way"
        self.shape = tuple(shape)
        self.set_shapes += 1
        return not self._fails("shape")

    def infer_shapes(self) -> list[str]:
        if "infer raises" in self.trt.failing:
            raise RuntimeError("shapes are missing")
        return ["enhanced"] if self._fails("infer") else []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert self.shape is not None
        return (1, 1, 1, 3) if "output shape" in self.trt.failing else self.shape

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if memory % ALIGNMENT:
            self.log.log(Severity.ERROR, f"Error Code 3: API Usage Error ({name}: memory must be aligned on {ALIGNMENT} bytes)")
            return False
        self.addresses[name] = memory
        return not self._fails("address")

    def execute_async_v3(self, stream: int) -> bool:
        assert self.shape is not None
        assert stream not in (0, 1, 2), "on a default stream TensorRT lets the host wait"
        if self._fails("execute"):
            self.trt.lose()
            return False
        cuda = self.trt.cuda
        if cuda.is_capturing(stream):
            self.trt.collected_in_capture.append(gc.isenabled())
        if "capture raises" in self.trt.failing and cuda.is_capturing(stream):
            raise RuntimeError("out of host memory")
        if self.trt.synchronizes and cuda.is_capturing(stream):
            cuda.stream(stream).invalid = True
            self.log.log(Severity.ERROR, "operation not permitted when stream is capturing")
            return False
        count, source, target = math.prod(self.shape), self.addresses["image"], self.addresses["enhanced"]
        for pointer in (source, target):
            cuda.touch(pointer, stream)
        if self.config is not None and self.config.cache is not None:
            self.config.cache.kernels = self.trt.kernels

        def load() -> None:
            self.scratch = memory_at(source, count).copy()

        def store() -> None:
            assert self.scratch.nbytes == count, "two runs shared one context at a time"
            np.copyto(memory_at(target, count), 255 - self.scratch)
            if self.profiler is not None:
                self.profiler.report_layer_time("load", 0.25)
                self.profiler.report_layer_time("store", 0.5)

        for operation in (load, store):
            operation.owner = self  # pyright: ignore[reportFunctionMemberAccess]
            cuda.enqueue(stream, operation)
        return True


class GraphEngine(Engine):
    """An engine that runs an ONNX graph on the CPU. Integers are values that shapes depend on, and lie on the host."""

    def __init__(self, trt: FakeTensorRT, log: ILogger, name: str, graph: bytes) -> None:
        super().__init__(trt, log, name)
        self.session: Any = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.inputs = {value.name: value.type for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]
        self.num_io_tensors = len(self.inputs) + len(self.outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.HOST if self.inputs.get(name) == "tensor(int64)" else TensorLocation.DEVICE

    def create_execution_context(self, config: RuntimeConfig | None = None) -> Any:
        return GraphContext(self, config) if super().create_execution_context(config) else None


class GraphContext:
    def __init__(self, engine: GraphEngine, config: RuntimeConfig | None) -> None:
        self.engine, self.config = engine, config
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return "shape" not in self.engine.trt.failing

    def set_tensor_address(self, name: str, memory: int) -> bool:
        on_host = self.engine.get_tensor_location(name) is TensorLocation.HOST
        assert on_host or memory % ALIGNMENT == 0
        self.addresses[name] = memory
        return True

    def _given(self, on_device: bool) -> dict[str, Any]:
        kinds = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int64)": np.int64}
        found: dict[str, Any] = {}
        for name, kind in self.engine.inputs.items():
            array = np.zeros(self.shapes[name], kinds[kind])
            if on_device or self.engine.get_tensor_location(name) is TensorLocation.HOST:
                array.reshape(-1).view(np.uint8)[...] = memory_at(self.addresses[name], array.nbytes)
            found[name] = array
        return found

    def infer_shapes(self) -> list[str]:
        results = self.engine.session.run(None, self._given(on_device=False))
        self.shapes.update((name, result.shape) for name, result in zip(self.engine.outputs, results, strict=True))
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def execute_async_v3(self, stream: int) -> bool:
        if "execute" in self.engine.trt.failing:
            self.engine.trt.lose()
            self.engine.log.log(Severity.ERROR, "Error Code 3: API Usage Error (execute)")
            return False
        if self.config is not None and self.config.cache is not None:
            self.config.cache.kernels = self.engine.trt.kernels

        def run() -> None:
            results = self.engine.session.run(None, self._given(on_device=True))
            for name, result in zip(self.engine.outputs, results, strict=True):
                np.copyto(memory_at(self.addresses[name], result.nbytes), result.reshape(-1).view(np.uint8))

        self.engine.trt.cuda.enqueue(stream, run)
        return True


def plan_bytes(name: Any, graph: bytes = b"") -> bytes:
    """A plan that the fake accepts; with the bytes of an ONNX file it runs that."""
    return MAGIC + str(name).encode() + (b"\0" + graph if graph else b"")
