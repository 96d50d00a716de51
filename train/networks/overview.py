"""The overview of a picture and back: means over squares of pixels, and bilinear enlargement.

The side of a square follows the picture's size: 4 x ceil((H + W) / (4 x points)) pixels, so that the overview of a picture
has at most so many points along height and width together, and half as many or more where these are not less than 2 x points
pixels. Sides over 32 are multiples of 8, so that large pictures can be cut into parts of whole squares. What depends on the
picture's size here is an operator of its own, whose ONNX form `export.operators` writes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: The side of a square is a multiple of this.
UNIT = 4


def square_side(height: int, width: int, points: int) -> int:
    """The side of the squares that a picture of this size is averaged over, in pixels; a multiple of 4."""
    side = UNIT * ((height + width + UNIT * points - 1) // (UNIT * points))
    # Written without comparisons, which would make the exporter take the side for a constant.
    unit = UNIT * (1 + _at_least(side, 34))
    return (side + unit - 1) // unit * unit


def _at_least(value: int, bound: int) -> int:
    """1 where a value is at least the bound, else 0."""
    return 1 - 1 // (1 + value // bound)


@torch.library.custom_op("retinexrt::overview", mutates_args=())
def _overview(image: Tensor, points: int) -> tuple[Tensor, Tensor]:
    side = square_side(image.shape[2], image.shape[3], points)
    return F.avg_pool2d(_padded(image, side), side).contiguous(), torch.tensor([side], device=image.device)


@_overview.register_fake
def _(image: Tensor, points: int) -> tuple[Tensor, Tensor]:
    side = square_side(image.shape[2], image.shape[3], points)
    rows, columns = ((extent + side - 1) // side for extent in image.shape[2:])
    return image.new_empty(image.shape[0], 3, rows, columns), torch.empty(1, dtype=torch.int64)


@torch.library.custom_op("retinexrt::enlarge", mutates_args=())
def _enlarge(grid: Tensor, side: Tensor, like: Tensor, cell: int, margin: int) -> Tensor:
    return _enlarged(grid, int(side), like, cell, margin).contiguous()


@_enlarge.register_fake
def _(grid: Tensor, side: Tensor, like: Tensor, cell: int, margin: int) -> Tensor:
    rows, columns = (extent // cell + 2 * margin for extent in like.shape[2:])
    return grid.new_empty(grid.shape[0], grid.shape[1], rows, columns)


@torch.library.custom_op("retinexrt::pad_to", mutates_args=())
def _pad_to(x: Tensor, multiple: int) -> Tensor:
    return _padded(x, multiple).clone()


@_pad_to.register_fake
def _(x: Tensor, multiple: int) -> Tensor:
    rows, columns = ((extent + multiple - 1) // multiple * multiple for extent in x.shape[2:])
    return x.new_empty(x.shape[0], x.shape[1], rows, columns)


@torch.library.custom_op("retinexrt::cut_like", mutates_args=())
def _cut_like(x: Tensor, like: Tensor) -> Tensor:
    return x[:, :, : like.shape[2], : like.shape[3]].clone()


@_cut_like.register_fake
def _(x: Tensor, like: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], like.shape[2], like.shape[3])


def _padded(x: Tensor, multiple: int) -> Tensor:
    return F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple), mode="replicate")


def pad_to(x: Tensor, multiple: int) -> Tensor:
    """A map whose last row and column are repeated until its sides are multiples."""
    return _pad_to(x, multiple) if torch.compiler.is_exporting() else _padded(x, multiple)


def cut_like(x: Tensor, like: Tensor) -> Tensor:
    """The upper left part of a map that is as large as another."""
    return _cut_like(x, like) if torch.compiler.is_exporting() else x[:, :, : like.shape[2], : like.shape[3]]


def overview(image: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """N x 3 x H x W to its overview and the side of its squares, one number. The last squares repeat the picture's edge.

    `points` bounds the overview's height and width together.
    """
    return _overview(image, points)


def frame(grid: Tensor) -> Tensor:
    """A map with a frame of one point around it, which repeats the edge."""
    return F.pad(grid, (1, 1, 1, 1), mode="replicate")


def enlarge(grid: Tensor, side: Tensor | int, like: Tensor, cell: int = 1, margin: int = 0) -> Tensor:
    """Bilinear enlargement of a framed map to the size of `like`, or of its cells; the frame falls away but for a margin.

    A `side` that is a plain number is for training: the operator has no gradient.
    """
    return (_enlarged if isinstance(side, int) else _enlarge)(grid, side, like, cell, margin)  # pyright: ignore[reportArgumentType]


def _enlarged(grid: Tensor, side: int, like: Tensor, cell: int, margin: int) -> Tensor:
    step = side // cell
    large = F.interpolate(grid, scale_factor=float(step), mode="bilinear", align_corners=False)
    rows, columns = (slice(step - margin, step + extent // cell + margin) for extent in like.shape[2:])
    return large[:, :, rows, columns]
