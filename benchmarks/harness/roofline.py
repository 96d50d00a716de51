"""Roofline estimate: a network's time from its operations and bytes and this machine's peaks.

It is an estimate and no bound: convolutions that are computed with fewer operations (Winograd) take less time, and so do
layers that are fused so that their values never reach memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact import ArtifactInfo

#: Side of the pictures on which shapes are looked at: a multiple of every network's.
_PROBE = (64, 80)
_COUNTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
#: Matrix side and bytes of the copy with which peaks are measured.
_MATRIX, _COPY = 2048, 256 * 2**20
_GPU_MATRIX = 8192


@dataclass(frozen=True)
class Work:
    """The arithmetic and the memory traffic of one run of a graph."""

    #: Multiply-adds of convolutions and matrix products, in 10**9.
    gmac: float
    #: Input and output of each of them once, plus weights, in 10**6 bytes; everything else taken for fused.
    megabytes: float


@dataclass(frozen=True)
class Peaks:
    """The best that this machine was seen to do; what a library reaches, not what a data sheet says."""

    device: str
    #: precision -> 10**9 floating-point operations per second (2 per multiply-add), of a large matrix product.
    gflops: Mapping[str, float]
    #: 10**9 bytes per second read plus written, of a large copy.
    copy_gbps: float


@dataclass(frozen=True)
class Estimate:
    """Milliseconds."""

    compute: float
    memory: float

    @property
    def milliseconds(self) -> float:
        """The larger of the two: both are done at once."""
        return max(self.compute, self.memory)


def estimate(work: Work, peaks: Peaks, precision: str) -> Estimate | None:
    """The time of some work in some precision; None where that precision's peak is not known."""
    gflops = peaks.gflops.get(precision)
    if gflops is None:
        return None
    return Estimate(compute=2e3 * work.gmac / gflops, memory=work.megabytes / peaks.copy_gbps)


def work(path: Path, info: ArtifactInfo, batch: int, height: int, width: int) -> Work:
    """Count a graph's multiply-adds and bytes for pictures of one shape, from an .onnx file that takes pictures.

    The graph runs once on a small picture to see its shapes; everything that grows with the picture is scaled up.
    """
    import onnx

    model = onnx.load(path)
    nodes: list[Any] = [node for node in model.graph.node if node.op_type in _COUNTED]
    fixed = [side if isinstance(side, int) else None for side in info.input.shape[1:3]]
    # The sides of a matrix product do not grow with the pixels: such graphs, all small, are looked at in full size.
    default = (height, width) if any(node.op_type == "MatMul" for node in nodes) else _PROBE
    probe = tuple(side or usual for side, usual in zip(fixed, default, strict=True))
    shapes = _shapes(model, nodes, (1, *probe, 3), info)
    padded = [math.ceil(side / info.multiple) * info.multiple for side in (height, width)]
    seen = [math.ceil(side / info.multiple) * info.multiple for side in probe]
    growth = batch * padded[0] * padded[1] / (seen[0] * seen[1])
    width_of = 2 if info.precision == "fp16" else 4
    macs = values = 0.0
    for node in nodes:
        first, result = shapes[node.input[0]], shapes[node.output[0]]
        macs += _multiply_adds(node, first, result, shapes) * (growth if _grows(result, seen) else batch)
        values += sum(math.prod(shape) * (growth if _grows(shape, seen) else batch) for shape in (first, result))
    stored = sum(
        math.prod(tensor.dims) * (2 if tensor.data_type == onnx.TensorProto.FLOAT16 else 4)
        for tensor in model.graph.initializer
    )
    return Work(macs / 1e9, (values * width_of + stored) / 1e6)


def _shapes(model: Any, nodes: list[Any], shape: tuple[int, ...], info: ArtifactInfo) -> dict[str, tuple[int, ...]]:
    """The shape of every value that goes into or comes out of `nodes`."""
    import onnx
    import onnxruntime as ort

    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    wanted = {name for node in nodes for name in (*node.input, *node.output)} - set(shapes)
    for name in sorted(wanted):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, types[name], None))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [value.name for value in session.get_outputs()]
    found: list[Any] = list(session.run(None, {info.input.name: np.zeros(shape, np.uint8)}))
    return shapes | {name: tuple(value.shape) for name, value in zip(outputs, found, strict=True)}


def _grows(shape: tuple[int, ...], seen: list[int]) -> bool:
    """Whether a value has pixels: global means and their attention have not."""
    return len(shape) == 4 and shape[2] * shape[3] > 1 and shape[2] * shape[3] * 1024 >= seen[0] * seen[1]


def _multiply_adds(node: Any, first: tuple[int, ...], result: tuple[int, ...], shapes: Mapping[str, tuple[int, ...]]) -> float:
    weight = shapes[node.input[1]]
    if node.op_type == "Conv":  # O x I/groups x kh x kw
        return math.prod(result) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":  # I x O/groups x kh x kw
        return math.prod(first) * math.prod(weight[1:])
    return math.prod(result) * first[-1]


def peaks(device: str = "cpu") -> Peaks:
    """Measure this machine: the best of a few tries with every library that is installed."""
    return _gpu_peaks() if device.startswith("cuda") else _cpu_peaks()


def _cpu_peaks() -> Peaks:
    random = np.random.default_rng(0)
    a, b = (random.random((_MATRIX, _MATRIX), np.float32) for _ in range(2))
    source = np.ones(_COPY // 4, np.float32)
    target = np.empty_like(source)
    products: dict[str, list[Callable[[], Any]]] = {"fp32": [lambda: a @ b]}
    copies: list[Callable[[], Any]] = [lambda: np.copyto(target, source)]
    try:
        import torch
    except ImportError:
        pass
    else:
        x, y, s, t = (torch.from_numpy(array) for array in (a, b, source, target))
        xb, yb = x.bfloat16(), y.bfloat16()
        products["fp32"].append(lambda: x @ y)
        products["bf16"] = [lambda: xb @ yb]
        copies.append(lambda: t.copy_(s))
    flops = 2.0 * _MATRIX**3
    gflops = {precision: flops / min(map(_best, tries)) / 1e9 for precision, tries in products.items()}
    # The runtimes used here widen FP16 to FP32 on a CPU.
    gflops["fp16"] = gflops["fp32"]
    return Peaks("cpu", gflops, 2.0 * _COPY / min(map(_best, copies)) / 1e9)


def _gpu_peaks() -> Peaks:
    import torch

    source = torch.ones(_COPY, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def timed(work: Callable[[], Any]) -> float:
        def run() -> None:
            work()
            torch.cuda.synchronize()

        return _best(run)

    gflops: dict[str, float] = {}
    for precision, kind in (("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)):
        x, y = (torch.rand(_GPU_MATRIX, _GPU_MATRIX, device="cuda").to(kind) for _ in range(2))
        gflops[precision] = 2.0 * _GPU_MATRIX**3 / timed(lambda x=x, y=y: x @ y) / 1e9
    return Peaks("cuda:0", gflops, 2.0 * _COPY / timed(lambda: target.copy_(source)) / 1e9)


def _best(run: Callable[[], Any], tries: int = 6) -> float:
    """Seconds of the fastest of a few tries, the first not counted."""
    run()
    seconds: list[float] = []
    for _ in range(tries):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
