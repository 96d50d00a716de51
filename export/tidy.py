"""Make the exporter's graph small, readable and reproducible.

Nodes are named after the module they came from, values after the node that makes them, and everything that depends on
where and how the export ran (source paths, stack traces, counters) goes.
"""

from __future__ import annotations

import ast
from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from export.onnx_graph import IO_PATH

_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
_NETWORK = "network"


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rename, strip and simplify a freshly exported model in place and return it."""
    _name_after_modules(model.graph)
    _fold_constants(model)
    _use_leaky_relu(model.graph)
    _drop_unused(model.graph)
    _strip(model)
    return model


def _path(node: onnx.NodeProto) -> str:
    """The deepest module around a node, without the wrapper's own name in front."""
    scopes = next((ast.literal_eval(entry.value) for entry in node.metadata_props if entry.key == _SCOPES_KEY), [])
    modules = [scope for scope in scopes[:-1] if scope == _NETWORK or scope.startswith(f"{_NETWORK}.")]
    if not modules:
        return IO_PATH
    return modules[-1].removeprefix(_NETWORK).removeprefix(".") or _NETWORK


def _name_after_modules(graph: onnx.GraphProto) -> None:
    renamed: dict[str, str] = {value.name: value.name for value in (*graph.input, *graph.output)}
    counts: Counter[str] = Counter()
    constants = 0
    for tensor in graph.initializer:
        if tensor.name.startswith(f"{_NETWORK}."):
            renamed[tensor.name] = tensor.name.removeprefix(f"{_NETWORK}.")
        else:
            renamed[tensor.name] = f"constant_{constants}"
            constants += 1
        tensor.name = renamed[tensor.name]
    for node in graph.node:
        base = f"{_path(node)}/{node.op_type}"
        counts[base] += 1
        node.name = base if counts[base] == 1 else f"{base}_{counts[base]}"
        for index, output in enumerate(node.output):
            if output and output not in renamed:
                renamed[output] = node.name if index == 0 else f"{node.name}.{index}"
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]


def _use_leaky_relu(graph: onnx.GraphProto) -> None:
    """A PRelu with one slope is a LeakyRelu, which runtimes fuse into the convolution before it."""
    slopes = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "PRelu" and (slope := slopes.get(node.input[1])) is not None:
            value = numpy_helper.to_array(slope)
            if value.size == 1:
                node.op_type = "LeakyRelu"
                del node.input[1:]
                node.attribute.append(helper.make_attribute("alpha", float(np.ravel(value)[0])))


def _fold_constants(model: onnx.ModelProto) -> None:
    """Compute once what depends on constants alone: a convolution's weights must not be made anew for every picture."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if not node.input or any(name not in constants for name in node.input if name):
            kept.append(node)
            continue
        inputs = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
        values = ReferenceEvaluator(node, opsets={entry.domain: entry.version for entry in model.opset_import}).run(
            None, inputs
        )
        for name, value in zip(node.output, values, strict=True):
            constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
            graph.initializer.append(constants[name])
    del graph.node[:]
    graph.node.extend(kept)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _strip(model: onnx.ModelProto) -> None:
    model.doc_string = ""
    model.producer_name, model.producer_version = "retinexrt", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name, graph.doc_string = "retinexrt", ""
    del graph.value_info[:], graph.metadata_props[:]
    for entry in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        entry.doc_string = ""
        del entry.metadata_props[:]
