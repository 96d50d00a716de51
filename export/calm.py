"""`python -m export.calm`: the mean of a film's frames over time as a graph, with its state as an input and an output.

`runtime.calm.average` says what is computed, and computes the same with OpenCV. For TensorRT, Triton, ONNX Runtime and C++:

- `dark` and `enhanced`, uint8 1 x H x W x 3: a frame as it came and as it was enhanced.
- `mean`, 1 x 3 x H x W in codes, float32 (float16 in calm_fp16.onnx): what `next` was one frame before. For the first frame,
  the enhanced frame itself.
- `shift`, int64, two values: rows and columns by which the camera moved the picture down and to the right, and `brighter`,
  one value of the mean's type: the codes by which all of it became brighter. Zeros where nobody says.
- `calm`, uint8 1 x H x W x 3, and `next`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime import command_line
from runtime.calm import average
from runtime.files import default_folder, write_atomically

_OPSET = 20
_LUMA = (0.299, 0.587, 0.114)
_REST = 2**31 - 1


class _Graph:
    """Nodes and constants; every operator's method returns the name of its one output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def every(self, picture: str, step: int) -> str:
        """Every so manyth row and column."""
        return self.op("Slice", picture, self.ints(0, 0), self.ints(_REST, _REST), self.ints(2, 3), self.ints(step, step))

    def padded(self, picture: str, before: str, after: str) -> str:
        """With its edge repeated, by vectors of rows and columns."""
        pads = self.op("Concat", before, after, axis=0)
        return self.op("Pad", picture, pads, "", self.ints(2, 3), mode="edge")

    def blurred(self, picture: str, around: int) -> str:
        pad = self.ints(around, around)
        return self.op("AveragePool", self.padded(picture, pad, pad), kernel_shape=[2 * around + 1] * 2)

    def rounded(self, value: str) -> str:
        """To whole numbers, halves up, as OpenCV rounds its means."""
        return self.op("Floor", self.op("Add", value, self.constant(0.5)))

    def sides(self, picture: str) -> str:
        return self.op("Slice", self.op("Shape", picture), self.ints(2), self.ints(4))

    def enlarged(self, picture: str, by: int, like: str) -> str:
        """Each value `by` times in both directions, cut to the height and width of another."""
        scales = self.constant([1, 1, by, by])
        large = self.op(
            "Resize", picture, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        return self.op("Slice", large, self.ints(0, 0), self.sides(like), self.ints(2, 3))

    def cells(self, picture: str) -> str:
        """Means over 2 x 2 pixels, in codes."""
        odd = self.op("Mod", self.sides(picture), self.ints(2, 2))
        even = self.padded(picture, self.ints(0, 0), odd)
        return self.rounded(self.op("AveragePool", even, kernel_shape=[2, 2], strides=[2, 2]))

    def luma(self, picture: str) -> str:
        return self.rounded(self.op("Conv", picture, self.constant(np.reshape(_LUMA, (1, 3, 1, 1)))))

    def moved(self, picture: str, shift: str) -> str:
        """A picture moved down and to the right; its edge is repeated where it leaves a gap."""
        for axis in (2, 3):
            size = self.op("Gather", self.op("Shape", picture), self.constant(axis, np.int64))
            by = self.op("Gather", shift, self.constant(axis - 2, np.int64))
            places = self.op("Range", self.constant(0, np.int64), size, self.constant(1, np.int64))
            last = self.op("Sub", size, self.constant(1, np.int64))
            source = self.op("Min", self.op("Max", self.op("Sub", places, by), self.constant(0, np.int64)), last)
            picture = self.op("Gather", picture, source, axis=axis)
        return picture


def build(precision: str = "fp32", calm: float = 1.0) -> onnx.ModelProto:
    """The graph; in "fp16" its state and what is done to every pixel are float16, and what is measured is float32."""
    kind = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    number = np.float16 if precision == "fp16" else np.float32
    graph = _Graph()

    def planes(name: str) -> str:
        return graph.op("Transpose", graph.op("Cast", name, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])

    dark, bright = planes("dark"), planes("enhanced")
    brighter = graph.op("Add", graph.moved("mean", "shift"), "brighter")
    mean = graph.op("Clip", brighter, graph.constant(0, number), graph.constant(255, number))
    before = graph.op("Round", graph.op("Cast", mean, to=TensorProto.FLOAT))
    smooth = [graph.rounded(graph.blurred(graph.cells(each), 1)) for each in (bright, before)]
    apart = graph.op("ReduceMax", graph.op("Abs", graph.op("Sub", *smooth)), graph.ints(1))
    size, pad = 2 * average.REACH + 1, average.REACH
    largest = graph.op("MaxPool", apart, kernel_shape=[size, size], pads=[pad] * 4)
    wide = graph.enlarged(_limit(graph, largest, dark, bright), average.STRIDE, largest)
    changed = graph.op("Cast", graph.op("Greater", largest, wide), to=TensorProto.FLOAT)
    everywhere = graph.op("Greater", graph.enlarged(changed, 2, bright), graph.constant(0.5))
    new = graph.op("Cast", bright, to=kind)
    step = graph.op("Mul", graph.op("Sub", new, mean), graph.constant(1 - average.KEEP * calm, number))
    graph.nodes.append(helper.make_node("Where", [everywhere, new, graph.op("Add", mean, step)], ["next"], name="next"))
    codes = graph.op("Transpose", graph.op("Round", "next"), perm=[0, 2, 3, 1])
    graph.nodes.append(helper.make_node("Cast", [codes], ["calm"], name="calm", to=TensorProto.UINT8))
    picture, state = [1, "H", "W", 3], [1, 3, "H", "W"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "calm",
            [
                helper.make_tensor_value_info("dark", TensorProto.UINT8, picture),
                helper.make_tensor_value_info("enhanced", TensorProto.UINT8, picture),
                helper.make_tensor_value_info("mean", kind, state),
                helper.make_tensor_value_info("shift", TensorProto.INT64, [2]),
                helper.make_tensor_value_info("brighter", kind, [1]),
            ],
            [
                helper.make_tensor_value_info("calm", TensorProto.UINT8, picture),
                helper.make_tensor_value_info("next", kind, state),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=10,
        producer_name="retinexrt",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _limit(graph: _Graph, largest: str, dark: str, bright: str) -> str:
    """The codes up to which samples differ by noise alone; see `average.limit`."""
    samples = graph.every(largest, average.STRIDE)
    lumas = [graph.blurred(graph.luma(graph.every(each, 2 * average.STRIDE)), average.SMOOTH) for each in (dark, bright)]
    gain = graph.op(
        "Div",
        graph.op("Sqrt", graph.op("Add", lumas[1], graph.constant(average.BRIGHT))),
        graph.op("Add", lumas[0], graph.constant(average.DARK)),
    )
    expected = graph.op("Div", gain, graph.op("ReduceMean", gain))
    differs = graph.op("Greater", samples, graph.constant(0))
    steps = graph.constant((np.arange(1, average.STEPS + 1) * average.STEP).reshape(1, -1, 1, 1))
    below = graph.op("And", graph.op("Less", graph.op("Div", samples, expected), steps), differs)
    counts = graph.op("ReduceSum", graph.op("Cast", below, to=TensorProto.FLOAT), graph.ints(2, 3))
    total = graph.op("Max", graph.op("ReduceSum", graph.op("Cast", differs, to=TensorProto.FLOAT)), graph.constant(1))
    quiet = graph.op("Less", graph.op("Div", counts, total), graph.constant(average.QUIET))
    noise = graph.op("Add", graph.op("ReduceSum", graph.op("Cast", quiet, to=TensorProto.FLOAT)), graph.constant(1))
    scaled = graph.op("Mul", graph.op("Mul", noise, graph.constant(average.TIMES * average.STEP)), expected)
    limits = graph.op("Clip", scaled, graph.constant(average.LEAST), graph.constant(average.MOST))
    beyond = graph.op("Cast", graph.op("Greater", samples, limits), to=TensorProto.FLOAT)
    share = graph.op("Sub", graph.op("ReduceMean", beyond), graph.constant(average.FEW))
    lost = graph.op("Mul", share, graph.constant(1 / (average.MANY - average.FEW)))
    trust = graph.op("Clip", graph.op("Sub", graph.constant(1), lost), graph.constant(0), graph.constant(1))
    return graph.op("Round", graph.op("Mul", limits, trust))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = command_line.Parser(
        prog="python -m export.calm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write into (default: engines/)")
    return command_line.run(_run, parser, argv, "export")


def _run(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.out or default_folder()
    for precision, name in (("fp32", "calm.onnx"), ("fp16", "calm_fp16.onnx")):
        write_atomically(folder / name, build(precision).SerializeToString(deterministic=True))
        sys.stdout.write(f"{folder / name}\n")


if __name__ == "__main__":
    sys.exit(main())
