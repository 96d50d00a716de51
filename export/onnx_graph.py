"""Walk an ONNX graph along its edges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

#: Nodes outside the network carry this path: the conversions between image and tensor.
IO_PATH = "io"


def module_path(node: onnx.NodeProto) -> str:
    """The path of the module that a node came from; nodes are named PATH/Op."""
    return node.name.rsplit("/", 1)[0]


class Edges:
    """The source, the type and, if constant, the content of each value.

    `nodes` are those that an output depends on: a step that nothing uses is not there.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        self.producer = {name: node for node in model.graph.node for name in node.output}
        alive = {node.name for output in model.graph.output for node in self.ancestors(output.name)}
        self.nodes = [node for node in model.graph.node if node.name in alive]
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = {value.name for value in model.graph.input}
        self.types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        for value in (*inferred.value_info, *inferred.input, *inferred.output):
            self.types[value.name] = value.type.tensor_type.elem_type

    def is_float(self, name: str) -> bool:
        return self.types.get(name) in (TensorProto.FLOAT, TensorProto.FLOAT16)

    def is_fp32(self, name: str) -> bool:
        return self.types.get(name) == TensorProto.FLOAT

    def of_type(self, op_type: str) -> list[onnx.NodeProto]:
        """All nodes of a type that compute on floating-point values."""
        return [node for node in self.nodes if node.op_type == op_type and self.is_float(node.output[0])]

    def constant(self, name: str) -> NDArray[np.generic] | None:
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def source(self, name: str, through: tuple[str, ...] = ("Cast",)) -> onnx.NodeProto | None:
        """The node that makes a value, looking through nodes of the given types along their first input.

        A Cast that rounds is not looked through.
        """
        node = self.producer.get(name)
        while node is not None and node.op_type in through:
            if node.op_type == "Cast" and self.is_fp32(node.input[0]) and not self.is_fp32(node.output[0]):
                break
            node = self.producer.get(node.input[0])
        return node

    def ancestors(self, name: str, stop: tuple[str, ...] = ()) -> Iterator[onnx.NodeProto]:
        """Every node that a value depends on; not beyond nodes of the types in `stop`, which are included."""
        waiting, seen = [name], {name}
        while waiting:
            node = self.producer.get(waiting.pop())
            if node is None:
                continue
            yield node
            if node.op_type in stop:
                continue
            for source in node.input:
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)
