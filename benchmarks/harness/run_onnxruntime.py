"""ONNX Runtime as a contender, without this project around it: on a GPU with bound memory and its own CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.harness.contenders import Contender, OpenContender, backend_for, lanes_of, onnx_path, pictures_of
from benchmarks.harness.lane import Bound
from benchmarks.harness.timing import timed
from runtime.artifact import ArtifactInfo
from runtime.backends import onnxruntime_cuda
from runtime.errors import BackendUnavailableError
from runtime.images import Images

_CPU = "CPUExecutionProvider"
_log = logging.getLogger("retinexrt.benchmarks")


def open_contender(contender: Contender, info: ArtifactInfo) -> OpenContender:
    """A session for one shape, on the CPU's provider or on CUDA's."""
    if contender.device == "cuda":
        return _on_gpu(contender, info)
    session = _session(contender, info, _CPU, {})

    def enhance(pictures: Images) -> Images:
        return np.asarray(session.run(None, {info.input.name: pictures})[0])

    images = pictures_of(contender)
    run = timed(lambda: enhance(images))
    return OpenContender(contender, info, "ONNX Runtime, bare", info.precision, "cpu", run, enhance)


def _session(contender: Contender, info: ArtifactInfo, provider: str, settings: dict[str, str]) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = onnxruntime_cuda.LOG_FATAL
    if contender.threads is not None:
        options.intra_op_num_threads = contender.threads
    # The best that a caller who knows the size can do.
    for name, size in zip(info.input.shape, (contender.batch, contender.height, contender.width, 3), strict=True):
        if isinstance(name, str):
            options.add_free_dimension_override_by_name(name, size)
    return ort.InferenceSession(str(onnx_path(contender)), options, providers=[(provider, settings)], enable_fallback=0)


def _on_gpu(contender: Contender, info: ArtifactInfo) -> OpenContender:
    provider, install = onnxruntime_cuda.PROVIDER, backend_for("cuda", ".onnx").install
    if provider not in ort.get_available_providers():
        raise BackendUnavailableError(f"ONNX Runtime has no {provider} here; install it with: {install}")
    onnxruntime_cuda.preload(ort)
    problem = f"ONNX Runtime's {provider} can't be loaded; install it with: {install}"

    def session(stream: int | None, graph: bool) -> Any:
        settings = {"use_tf32": "0", "enable_cuda_graph": str(int(graph))}  # An FP32 graph is timed in FP32, as ours is.
        if stream is not None:
            settings["user_compute_stream"] = str(stream)
        return _session(contender, info, provider, settings)

    try:
        found = session(None, graph=False)
    except (ValueError, RuntimeError) as error:  # what it raises where a provider doesn't start
        raise BackendUnavailableError(f"{problem} ({' '.join(str(error).split())})") from error
    if provider not in found.get_providers():  # It would run on the CPU instead, without a word.
        raise BackendUnavailableError(problem)
    graph = _takes_graph(lambda: session(None, graph=True), contender, info)

    def bind(source: int, target: int, stream: int) -> Bound:
        return Bound(_bound(session(stream, graph), contender, info, source, target))

    lanes = lanes_of(contender, bind)
    label = "ONNX Runtime, bare" + (", CUDA graph" if graph else "")
    run, enhance = lanes.sample, lanes.enhance
    return OpenContender(contender, info, label, info.precision, "cuda:0", run, enhance, lanes.close, lanes=lanes)


def _takes_graph(open_session: Callable[[], Any], contender: Contender, info: ArtifactInfo) -> bool:
    """Whether it records the network as a CUDA graph: it does where every node of it runs on the GPU."""
    images = pictures_of(contender)
    source, target = (ort.OrtValue.ortvalue_from_numpy(images, "cuda", 0) for _ in range(2))
    try:
        run = _bound(open_session(), contender, info, source.data_ptr(), target.data_ptr(), wait=True)
        for _ in range(3):
            run()
    except Exception as error:  # ONNX Runtime's exceptions share no base class but this
        _log.info("ONNX Runtime runs %s without a CUDA graph: %s", contender.artifact, " ".join(str(error).split()))
        return False
    return True


def _bound(
    session: Any, contender: Contender, info: ArtifactInfo, source: int, target: int, wait: bool = False
) -> Callable[[], object]:
    """A run on device memory, on the session's own stream; unless it shall wait, it returns when all is enqueued."""
    shape = [contender.batch, contender.height, contender.width, 3]
    options = ort.RunOptions()
    if not wait:
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    binding = session.io_binding()
    binding.bind_input(info.input.name, "cuda", 0, np.uint8, shape, source)
    binding.bind_output(info.output.name, "cuda", 0, np.uint8, shape, target)
    return lambda: session.run_with_iobinding(binding, options)
