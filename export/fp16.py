"""Convert a graph to typed FP16 with FP32 islands.

TensorRT 11 has no switch for FP16: the types in the graph decide. Everything becomes FP16 but the nodes whose module
path matches one of the network's islands, and the conversions between image and tensor. Between two island nodes a
value stays FP32; a Cast stands only where precision changes, once per value. Island weights stay FP32, and a weight
that several layers share is stored once.

(The converter of onnxconverter-common, which one would reach for, rounds every value between two blocked nodes to FP16
and back, and stores their weights and clamp bounds as FP16: its islands are islands of arithmetic only.)
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.onnx_graph import IO_PATH, Edges, module_path
from runtime.errors import ArtifactError

_LARGEST_FP16 = 65504.0
#: Inputs that an operator takes in FP32 whatever the type of its data.
_ALWAYS_FP32 = {"Resize": (1, 2)}
_CONTROL_FLOW = ("If", "Loop", "Scan")


def in_island(path: str, islands: Iterable[str]) -> bool:
    """Is the module at `path`, or one around it, declared an island?"""
    parts = path.split(".")
    prefixes = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatchcase(prefix, pattern) for prefix in prefixes for pattern in islands)


def to_fp16(model: onnx.ModelProto, islands: Iterable[str]) -> onnx.ModelProto:
    """Return a typed FP16 copy of an FP32 model whose nodes are named after their modules."""
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    _Converter(converted, (*islands, IO_PATH)).run()
    return converted


class _Converter:
    def __init__(self, model: onnx.ModelProto, islands: tuple[str, ...]) -> None:
        self.graph = model.graph
        self.islands = islands
        self.edges = Edges(model)
        self.native: dict[str, int] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.casts: dict[tuple[str, int], str] = {}

    def run(self) -> None:
        for node in self.graph.node:
            if node.op_type in _CONTROL_FLOW:
                raise ArtifactError(f"cannot convert {node.name}: {node.op_type} holds a graph of its own")
            wanted = TensorProto.FLOAT if in_island(module_path(node), self.islands) else TensorProto.FLOAT16
            self._convert(node, wanted)
        self._restore_outputs()
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(self.initializers.values())

    def _convert(self, node: onnx.NodeProto, wanted: int) -> None:
        for index, name in enumerate(node.input):
            if not name:
                continue
            kept = index in _ALWAYS_FP32.get(node.op_type, ())
            node.input[index] = self._value(name, TensorProto.FLOAT if kept else wanted)
        for name in node.output:
            if self.edges.is_fp32(name):
                self.native[name] = wanted
        if wanted == TensorProto.FLOAT16 and node.op_type == "Cast":
            target = next(attribute for attribute in node.attribute if attribute.name == "to")
            if target.i == TensorProto.FLOAT:
                target.i = TensorProto.FLOAT16
        self.nodes.append(node)

    def _value(self, name: str, wanted: int) -> str:
        """The name of a value in the wanted precision; a cast is added where it is needed."""
        if (tensor := self.edges.constants.get(name)) is not None:
            return self._constant(tensor, wanted)
        if not self.edges.is_fp32(name) or self.native.get(name, TensorProto.FLOAT) == wanted:
            return name
        if (name, wanted) not in self.casts:
            cast = f"{name}/to_{'fp16' if wanted == TensorProto.FLOAT16 else 'fp32'}"
            self.nodes.append(helper.make_node("Cast", [name], [cast], name=cast, to=wanted))
            self.casts[name, wanted] = cast
        return self.casts[name, wanted]

    def _constant(self, tensor: onnx.TensorProto, wanted: int) -> str:
        if tensor.data_type != TensorProto.FLOAT or wanted == TensorProto.FLOAT:
            self.initializers[tensor.name] = tensor
            return tensor.name
        name = f"{tensor.name}/fp16"
        if name not in self.initializers:
            values = numpy_helper.to_array(tensor)
            if values.size and float(np.abs(values).max()) > _LARGEST_FP16:
                raise ArtifactError(f"{tensor.name} holds values beyond FP16; declare its module an island")
            self.initializers[name] = numpy_helper.from_array(values.astype(np.float16), name)
        return name

    def _restore_outputs(self) -> None:
        """A graph output keeps its name and its FP32 type."""
        for output in self.graph.output:
            if self.native.get(output.name) == TensorProto.FLOAT16:
                inner = f"{output.name}/fp16"
                for node in self.nodes:
                    node.input[:] = [inner if name == output.name else name for name in node.input]
                    node.output[:] = [inner if name == output.name else name for name in node.output]
                self.nodes.append(
                    helper.make_node("Cast", [inner], [output.name], name=f"{output.name}/to_fp32", to=TensorProto.FLOAT)
                )
