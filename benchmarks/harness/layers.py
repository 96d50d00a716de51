"""The layers of a TensorRT engine: its inspector's description, and the time of every layer."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from runtime.artifact import read_info
from runtime.backends.trt import logger
from runtime.cuda import open_cuda
from runtime.errors import BackendError

_RUNS, _FIRST_RUNS = 50, 10


def profile(plan: Path, shape: Sequence[int], device: int = 0) -> dict[str, Any]:
    """The engine's description, and its layers in order with the median of their times in milliseconds.

    For plans that a session has opened before, and so checked. Profiled, a run has no graph, and takes longer than it does.
    """
    info = read_info(plan)
    assert info.plan is not None
    trt: Any = import_module(info.plan.flavour)
    cuda, count = open_cuda(), math.prod(shape)
    with ExitStack() as used:
        context = cuda.open_context(device, primary=True)
        used.callback(cuda.close_context, context)
        with cuda.using(context), ExitStack() as owned:
            stream = cuda.create_stream()
            owned.callback(cuda.destroy_stream, stream)
            memory = [cuda.allocate(count) for _ in range(2)]
            for pointer in memory:
                owned.callback(cuda.free, pointer)
            runtime = trt.Runtime(logger.for_module(trt))
            engine = runtime.deserialize_cuda_engine(plan.read_bytes())
            inspector = engine.create_engine_inspector()
            described = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
            run, profiler = engine.create_execution_context(), _profiler(trt)
            run.profiler = profiler
            run.set_input_shape(info.input.name, tuple(shape))
            for name, pointer in zip((info.input.name, info.output.name), memory, strict=True):
                run.set_tensor_address(name, pointer)
            for number in range(_FIRST_RUNS + _RUNS):
                if number == _FIRST_RUNS:
                    profiler.times.clear()
                if not run.execute_async_v3(stream):
                    raise BackendError(f"TensorRT does not run {plan} with a profiler")
                cuda.synchronize(stream)
            times = {name: median(found) for name, found in profiler.times.items()}
            del run, inspector, engine, runtime  # while their context is current
    return {"engine": described, "layers": [{"name": name, "ms": ms} for name, ms in times.items()]}


def _profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times: defaultdict[str, list[float]] = defaultdict(list)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times[layer_name].append(ms)

    return Profiler()
