"""The ONNX form of the project's own operators, those whose work depends on the picture's size.

Everything is said in shapes of tensors, so that the part of a graph behind the overview also works on a part of a picture:
there, the light and the side of a square come from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnxscript import opset20

from train.networks import overview as definitions

#: Its stubs know tensors alone, and nothing of what the exporter passes while it traces.
op: Any = opset20


def translations() -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """The ONNX form of each operator, for `torch.onnx.export`."""
    assert definitions.UNIT > 0  # the module registers the operators
    return {
        torch.ops.retinexrt.overview.default: _overview,
        torch.ops.retinexrt.enlarge.default: _enlarge,
        torch.ops.retinexrt.pad_to.default: _pad_to,
        torch.ops.retinexrt.cut_like.default: _cut_like,
    }


def _ints(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


def _part(vector: Any, start: int, stop: int) -> Any:
    """Elements of a vector. (Of two slices, the exporter's optimiser makes a Split, which it puts behind its users.)"""
    return op.Gather(vector, _ints(*range(start, stop)), axis=0)


def _join(*vectors: Any) -> Any:
    return op.Concat(*vectors, axis=0)


def _divide_up(value: Any, by: Any) -> Any:
    return op.Div(op.Add(value, op.Sub(by, _ints(1))), by)


def _at_least(value: Any, bound: int) -> Any:
    """1 where a value is at least the bound, else 0, in integers alone."""
    return op.Sub(_ints(1), op.Div(_ints(1), op.Add(_ints(1), op.Div(value, _ints(bound)))))


def _overview(image: Any, points: int) -> tuple[Any, Any]:
    """Pad to whole squares by repeating the edge, then average over the rows and columns of each square."""
    sides = _part(op.Shape(image), 2, 4)
    total = op.ReduceSum(sides, _ints(0), keepdims=1)
    least = op.Mul(_divide_up(total, _ints(definitions.UNIT * points)), _ints(definitions.UNIT))
    unit = op.Mul(op.Add(_at_least(least, 34), _ints(1)), _ints(definitions.UNIT))
    side = op.Mul(_divide_up(least, unit), unit)
    counts = _divide_up(sides, side)
    missing = op.Sub(op.Mul(counts, side), sides)
    padded = op.Pad(image, _join(_ints(0, 0, 0, 0, 0, 0), missing), mode="edge")
    rows, columns = _part(counts, 0, 1), _part(counts, 1, 2)
    # Rows first: sums of whole lines are what memory likes best.
    banded = op.Reshape(padded, _join(_ints(0, 3), rows, side, _ints(-1)))
    averaged = op.ReduceMean(banded, _ints(3), keepdims=0)
    squared = op.Reshape(averaged, _join(_ints(0, 3), rows, columns, side))
    return op.ReduceMean(squared, _ints(4), keepdims=0), side


def _enlarge(grid: Any, side: Any, like: Any, cell: int, margin: int) -> Any:
    """Enlarge by the side of a square, and cut the frame and what lies beyond the picture and a margin off."""
    step = op.Div(side, _ints(cell))
    shape = op.Shape(grid)
    size = op.Mul(_part(shape, 2, 4), step)
    large = op.Resize(
        grid, None, None, _join(_part(shape, 0, 2), size), mode="linear", coordinate_transformation_mode="half_pixel"
    )
    wanted = op.Div(_part(op.Shape(like), 2, 4), _ints(cell))
    start = op.Sub(_join(step, step), _ints(margin)) if margin else _join(step, step)
    return op.Slice(large, start, op.Add(start, op.Add(wanted, _ints(2 * margin)) if margin else wanted), _ints(2, 3))


def _pad_to(x: Any, multiple: int) -> Any:
    sides = _part(op.Shape(x), 2, 4)
    step = _ints(multiple)
    missing = op.Sub(op.Mul(_divide_up(sides, step), step), sides)
    return op.Pad(x, _join(_ints(0, 0, 0, 0, 0, 0), missing), mode="edge")


def _cut_like(x: Any, like: Any) -> Any:
    return op.Slice(x, _ints(0, 0), _part(op.Shape(like), 2, 4), _ints(2, 3))
