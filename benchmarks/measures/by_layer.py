"""Differences of FP16 from FP32 inside a network: every node of both graphs is made an output and compared by name.

Nodes are named after the modules they came from, in both graphs alike, so that a line points into the network's source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import tables
from runtime.errors import ArtifactError, BackendUnavailableError
from runtime.images import Images


@dataclass(frozen=True)
class Layer:
    """One value of the graph, in FP16 against FP32."""

    #: The node that makes it, PATH/Op.
    name: str
    #: The type that it has in the FP16 graph.
    dtype: str
    #: Largest magnitude in FP32.
    largest: float
    max_error: float
    mean_error: float
    #: Signal over error, in dB; None: no error at all.
    snr: float | None
    #: dB lost in this node: the worst SNR among its inputs minus its own; None where that says nothing.
    lost: float | None


def compare(fp32: Path, fp16: Path, images: Images) -> list[Layer]:
    """Run both graphs on `images`, N x H x W x 3, and compare every floating-point value, in the graph's order."""
    try:
        import onnxruntime
        from polygraphy.comparator import IterationResult, SimpleCompareFunc, SnrCompareFunc
        from polygraphy.logger import G_LOGGER
    except ImportError as error:
        install = "pip install 'retinexrt[onnxruntime,rtx]'"
        raise BackendUnavailableError(f"{error.name} is missing; install it with: {install}") from error
    expected, sources = _run_all(onnxruntime, fp32, images)
    found, _ = _run_all(onnxruntime, fp16, images)
    errors, ratios = SimpleCompareFunc(check_error_stat="max"), SnrCompareFunc()
    layers: dict[str, Layer] = {}
    for name in [name for name in expected if name in found]:
        # One value at a time, and then forgotten: a deep network makes gigabytes of them.
        pair = expected.pop(name), found.pop(name)
        results = [IterationResult({name: value.astype(np.float32)}) for value in pair]
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
            error, ratio = errors(*results)[name], float(ratios(*results)[name].snr)
        snr = ratio if np.isfinite(ratio) else None
        before = [layers[source].snr for source in sources[name] if source in layers]
        known = [value for value in before if value is not None]
        lost = min(known) - snr if known and snr is not None else None
        largest = float(np.abs(pair[0]).max(initial=0.0))
        layers[name] = Layer(name, str(pair[1].dtype), largest, error.max_absdiff, error.mean_absdiff, snr, lost)
    return list(layers.values())


def table(name: str, layers: Sequence[Layer]) -> str:
    """Every layer, and which of them lose most."""
    head = ["node", "type", "largest", "max error", "mean error", "SNR dB", "lost"]
    rows = [
        [one.name, one.dtype, f"{one.largest:.4g}", f"{one.max_error:.3g}", f"{one.mean_error:.3g}"]
        + [tables.or_dash(value, ".1f") for value in (one.snr, one.lost)]
        for one in layers
    ]
    lines = [f"{name}: FP16 against FP32, value by value", tables.text(head, rows, left=2)]
    ranked = sorted((layer for layer in layers if layer.lost is not None), key=lambda layer: -(layer.lost or 0.0))
    lines.append("  most is lost in: " + ", ".join(f"{layer.name} ({layer.lost:.1f} dB)" for layer in ranked[:3]))
    return "\n".join(lines)


def _run_all(ort: Any, path: Path, images: Images) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
    """Every floating-point value that a node makes, and the names of those that go into each."""
    import onnx

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's DecodeError is not importable from one stable place
        raise ArtifactError(f"cannot read {path}: {error}") from error
    sources = _sources(model.graph)
    outputs = {value.name for value in model.graph.output}
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    floating = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    for value in inferred:
        kind = value.type.tensor_type.elem_type
        if kind in floating and value.name in sources and value.name not in outputs:
            model.graph.output.append(onnx.helper.make_tensor_value_info(value.name, kind, None))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Fused nodes have no values in between.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    values = dict(zip(names, session.run(None, {session.get_inputs()[0].name: images}), strict=True))
    order = [name for name in sources if name in values and values[name].dtype.kind == "f"]
    return {name: values[name] for name in order}, sources


def _sources(graph: Any) -> dict[str, list[str]]:
    """The names of the values that go into each, looking through casts, in the graph's order."""
    casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}

    def origin(name: str) -> str:
        while name in casts:
            name = casts[name]
        return name

    return {output: [origin(name) for name in node.input] for node in graph.node for output in node.output if output}
