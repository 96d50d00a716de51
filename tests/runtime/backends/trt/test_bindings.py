"""What we call of TensorRT is there in its own Python bindings, which can be had where its libraries can't."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[4]

SCRIPT = """
import tensorrt_bindings as trt
from engines.progress import make_monitor
from runtime.backends.trt import logger

log = logger.for_module(trt)
assert isinstance(log, trt.ILogger)
log.log(trt.ILogger.Severity.ERROR, "a word")
assert log.words() == "a word"
assert isinstance(make_monitor(trt, "pdn", False), trt.IProgressMonitor)

# Of methods: what they are called with, as the bindings write it, and what comes back.
CALLS = {
    trt.Runtime: {"deserialize_cuda_engine": ["serialized_engine: "]},
    trt.ICudaEngine: {
        "get_tensor_name": ["index: ", ") -> str"],
        "get_tensor_mode": ["name: str) -> ", "TensorIOMode"],
        "get_tensor_dtype": ["name: str) -> ", "DataType"],
        "get_tensor_location": ["name: str) -> ", "TensorLocation"],
        "create_execution_context": ["-> ", "IExecutionContext"],
        "create_engine_inspector": ["-> ", "EngineInspector"],
    },
    trt.EngineInspector: {"get_engine_information": ["format: ", "LayerInformationFormat) -> str"]},
    trt.IProfiler: {"report_layer_time": ["layer_name: str, ms: "]},
    trt.IExecutionContext: {
        "set_input_shape": ["name: str, shape: tuple) -> bool"],
        "infer_shapes": ["-> list[str]"],
        "get_tensor_shape": ["name: str) -> ", "Dims"],
        "set_tensor_address": ["name: str, memory: ", ") -> bool"],
        "execute_async_v3": ["stream_handle: ", ") -> bool"],
    },
    trt.IProgressMonitor: {
        "phase_start": ["phase_name: str, parent_phase: str, num_steps: "],
        "step_complete": ["phase_name: str, step: ", ") -> bool"],
        "phase_finish": ["phase_name: str) -> None"],
    },
    trt.INetworkDefinition: {"get_layer": ["index: ", ") -> ", "ILayer"]},
}
for kind, methods in CALLS.items():
    for name, parts in methods.items():
        written = getattr(kind, name).__doc__
        assert all(part in written for part in parts), (name, written)
PROPERTIES = {
    trt.ICudaEngine: ["name", "num_io_tensors"],
    trt.IExecutionContext: ["profiler"],
    trt.INetworkDefinition: ["name", "num_layers"],
    trt.IBuilderConfig: ["builder_optimization_level", "progress_monitor", "profiling_verbosity"],
    trt.ILayer: ["name", "type", "num_outputs"],
    trt.IElementWiseLayer: ["op"],
    trt.IUnaryLayer: ["op"],
    trt.IActivationLayer: ["type", "alpha", "beta"],
}
for kind, names in PROPERTIES.items():
    for name in names:
        assert isinstance(getattr(kind, name), property), (kind, name)
for value in (
    trt.uint8, trt.float16, trt.float32, trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT, trt.TensorLocation.HOST,
    trt.MemoryPoolType.WORKSPACE,
    trt.BuilderFlag.TF32, trt.ProfilingVerbosity.LAYER_NAMES_ONLY, trt.LayerType.ELEMENTWISE, trt.LayerType.UNARY,
    trt.LayerType.ACTIVATION, trt.LayerInformationFormat.JSON,
):
    assert value.name
assert isinstance(trt.BuilderFlag.VERSION_COMPATIBLE, trt.BuilderFlag)
assert isinstance(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME, trt.BuilderFlag)
print(trt.__version__)
"""

#: What a session calls is the same in the bindings of the lean runtime, which have no builder.
LEAN_SCRIPT = """
import tensorrt_lean_bindings as trt
from runtime.backends.trt import logger

assert isinstance(logger.for_module(trt), trt.ILogger)
CALLS = {
    trt.Runtime: ["deserialize_cuda_engine"],
    trt.ICudaEngine: [
        "get_tensor_name", "get_tensor_mode", "get_tensor_dtype", "get_tensor_location", "create_execution_context",
        "num_io_tensors",
    ],
    trt.IExecutionContext: [
        "set_input_shape", "infer_shapes", "get_tensor_shape", "set_tensor_address", "execute_async_v3",
    ],
}
for kind, names in CALLS.items():
    for name in names:
        assert hasattr(kind, name), (kind, name)
assert trt.uint8.name and trt.TensorIOMode.INPUT.name and trt.TensorIOMode.OUTPUT.name and trt.TensorLocation.HOST.name
assert not hasattr(trt, "Builder")
print(trt.__version__)
"""


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _libraries(folder: Path, module: str, package: str, names: tuple[str, ...]) -> None:
    """Write libraries with the functions that bindings can't be loaded without, which return nothing."""
    spec = find_spec(module)
    compiler, nm = shutil.which("cc") or shutil.which("gcc"), shutil.which("nm")
    if spec is None or spec.origin is None or not _installed(package):
        pytest.skip(f"{package} is not installed")
    if compiler is None or nm is None or sys.platform != "linux":
        pytest.skip("standing in for TensorRT's libraries needs Linux and a C compiler")
    bindings = Path(spec.origin).with_name(f"{module.removesuffix('_bindings')}.so")
    symbols = subprocess.run([nm, "-D", "--undefined-only", bindings], capture_output=True, text=True, check=True).stdout
    wanted = [word for word in symbols.split() if word.startswith(("create", "get", "initLib")) and "@" not in word]
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in wanted))
    for name in names:
        file = f"{name}.so.{version(package).partition('.')[0]}"
        subprocess.run([compiler, "-shared", "-fPIC", f"-Wl,-soname,{file}", "-o", folder / file, source], check=True)


def _printed(script: str, libraries: Path) -> str:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_called_is_there(tmp_path: Path) -> None:
    package = "tensorrt_cu13_bindings"
    _libraries(tmp_path, "tensorrt_bindings", package, ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser"))
    assert _printed(SCRIPT, tmp_path) == f"{version(package)}\n"


def test_the_lean_runtime_has_what_sessions_call(tmp_path: Path) -> None:
    package = "tensorrt_lean_cu13_bindings"
    _libraries(tmp_path, "tensorrt_lean_bindings", package, ("libnvinfer_lean",))
    assert _printed(LEAN_SCRIPT, tmp_path) == f"{version(package)}\n"
