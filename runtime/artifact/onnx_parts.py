"""Cut an ONNX file in two: what is decided on the overview of a picture, and what is done to each part of it.

A large picture is enhanced in parts that all share one light. The file holds one graph, which does both for a picture in
one piece; its `Parts` name the values at which it comes apart. The halves are made from the file's bytes, without the
package onnx: nodes and weights are copied as they are, and only inputs and outputs are written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.artifact import protobuf
from runtime.artifact.info import ArtifactInfo
from runtime.artifact.onnx_metadata import info_of
from runtime.errors import ArtifactError

#: Field numbers of onnx.ModelProto, GraphProto, NodeProto, TensorProto and ValueInfoProto.
_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_TENSOR_NAME, _VALUE_NAME = 8, 1
_FLOAT, _INT64 = 1, 7
#: Of a ValueInfoProto, and of what is within: the type, its tensor, whose element type and shape, of whose dimensions the size
#: or the name.
_TYPE, _TENSOR, _ELEMENT, _SHAPE, _DIMENSION, _DIMENSION_SIZE, _DIMENSION_NAME = 2, 1, 1, 2, 1, 1, 2


@dataclass(frozen=True)
class Halves:
    """Two ONNX models, or the plans that were built from them, as bytes."""

    #: The overview, float32 N x 3 x h x w, to the light.
    decide: bytes
    #: A part of the picture, the side of a square, and the part's share of the light, to the enhanced part.
    render: bytes


def cut_file(path: Path, info: ArtifactInfo) -> Halves:
    """Cut the file that was opened as `info`, which has `parts`; it may be gone or another by now."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    if info_of(content, path) != info:
        raise ArtifactError(f"{path} is another file than the one that was opened; open it again")
    return cut(content, info)


def cut(content: bytes, info: ArtifactInfo) -> Halves:
    """Cut the bytes of a file whose `info` has `parts`."""
    parts = info.parts
    assert parts is not None
    try:
        graph = _Graph(content)
        maps = [_map(name) for name in parts.light]
        decide = graph.between([_map(parts.overview)], maps, parts.light)
        # TensorRT asks that it is one number, and not a list of any length.
        side = _value(parts.side, _INT64, protobuf.encode_number(_DIMENSION_SIZE << 3 | protobuf.VARINT) + b"\1")
        inputs = [graph.inputs[info.input.name], side, *maps]
        render = graph.between(inputs, [graph.outputs[info.output.name]], [info.output.name])
    except (IndexError, KeyError, ValueError) as error:
        raise ArtifactError(f"{info.network}: the file does not come apart where it says ({error}); export it again") from error
    return Halves(decide, render)


class _Graph:
    """The pieces of a model's graph, each as the bytes of its field."""

    def __init__(self, content: bytes) -> None:
        (graph,) = protobuf.payloads(content, _GRAPH)
        self._rest = b"".join(raw for number, raw, _ in _pieces(content) if number != _GRAPH)
        self._nodes: list[tuple[bytes, list[str], list[str]]] = []
        self._weights: dict[str, bytes] = {}
        self.inputs: dict[str, bytes] = {}
        self.outputs: dict[str, bytes] = {}
        self._others: list[bytes] = []
        for number, raw, payload in _pieces(graph):
            if number == _NODE:
                self._nodes.append((raw, protobuf.texts(payload, _NODE_INPUT), protobuf.texts(payload, _NODE_OUTPUT)))
            elif number == _INITIALIZER:
                self._weights[protobuf.texts(payload, _TENSOR_NAME)[0]] = raw
            elif number in (_INPUT, _OUTPUT):
                target = self.inputs if number == _INPUT else self.outputs
                target[_name(payload)] = payload
            elif number != _VALUE_INFO:
                self._others.append(raw)

    def between(self, inputs: Sequence[bytes], outputs: Sequence[bytes], wanted: Sequence[str]) -> bytes:
        """The model that computes `wanted` from `inputs`."""
        given = {_name(value) for value in inputs}
        producer = {name: index for index, (_, _, made) in enumerate(self._nodes) for name in made}
        waiting, nodes, weights = list(wanted), set[int](), set[str]()
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            if name in given or not name:
                continue
            if name in self._weights:
                weights.add(name)
                continue
            if name not in producer:
                raise ValueError(f"nothing makes {name}")
            if producer[name] in nodes:
                continue
            nodes.add(producer[name])
            new = [source for source in self._nodes[producer[name]][1] if source not in seen]
            seen.update(new)
            waiting.extend(new)
        used = {name for index in nodes for name in self._nodes[index][1]}
        if idle := sorted(given - used):  # then the graph would make for itself what comes from outside
            raise ValueError(f"nothing uses {idle[0]}")
        pieces = [
            *(self._nodes[index][0] for index in sorted(nodes)),
            *(raw for name, raw in self._weights.items() if name in weights),
            *(protobuf.field(_INPUT, value) for value in inputs),
            *(protobuf.field(_OUTPUT, value) for value in outputs),
            *self._others,
        ]
        return self._rest + protobuf.field(_GRAPH, b"".join(pieces))


def _map(name: str) -> bytes:
    """A ValueInfoProto of floats in four free dimensions."""
    return _value(name, _FLOAT, *(protobuf.field(_DIMENSION_NAME, f"{name}.{axis}".encode()) for axis in range(4)))


def _value(name: str, kind: int, *dimensions: bytes) -> bytes:
    """A ValueInfoProto."""
    field = protobuf.field
    shape = b"".join(field(_DIMENSION, dimension) for dimension in dimensions)
    element = protobuf.encode_number(_ELEMENT << 3 | protobuf.VARINT) + protobuf.encode_number(kind)
    return field(_VALUE_NAME, name.encode()) + field(_TYPE, field(_TENSOR, element + field(_SHAPE, shape)))


def _name(value: bytes) -> str:
    """Of a ValueInfoProto."""
    return protobuf.texts(value, _VALUE_NAME)[0]


def _pieces(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each field's number, its bytes and its payload."""
    for field in protobuf.fields(protobuf.of_bytes(message), len(message)):
        yield field.number, message[field.start : field.stop], message[field.payload : field.stop]
