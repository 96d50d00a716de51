"""The overview of a picture and back: means over squares of pixels, and bilinear enlargement.

The side of a square follows the picture's size: 2 x ceil((H + W) / 500) pixels, so that the overview of a picture of any
size has between 125 and 250 points along height and width together. These two steps depend on the picture's size, so
they're operators of their own, whose ONNX form `export.operators` writes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Height and width of an overview together are at most this.
POINTS = 250


def square_side(height: int, width: int) -> int:
    """The side of the squares that a picture of this size is averaged over, in pixels; even."""
    return 2 * ((height + width + 2 * POINTS - 1) // (2 * POINTS))


@torch.library.custom_op("retinexrt::overview", mutates_args=())
def _overview(image: Tensor) -> tuple[Tensor, Tensor]:
    side = square_side(image.shape[2], image.shape[3])
    height, width = image.shape[2:]
    padded = F.pad(image, (0, -width % side, 0, -height % side), mode="replicate")
    return F.avg_pool2d(padded, side).contiguous(), torch.tensor([side])


@_overview.register_fake
def _(image: Tensor) -> tuple[Tensor, Tensor]:
    side = square_side(image.shape[2], image.shape[3])
    rows, columns = ((extent + side - 1) // side for extent in image.shape[2:])
    return image.new_empty(image.shape[0], 3, rows, columns), torch.empty(1, dtype=torch.int64)


@torch.library.custom_op("retinexrt::enlarge", mutates_args=())
def _enlarge(grid: Tensor, side: Tensor, like: Tensor, cell: int) -> Tensor:
    large = enlarge_part(grid, int(side) // cell)
    return large[:, :, : like.shape[2] // cell, : like.shape[3] // cell].contiguous()


@_enlarge.register_fake
def _(grid: Tensor, side: Tensor, like: Tensor, cell: int) -> Tensor:
    return grid.new_empty(grid.shape[0], grid.shape[1], like.shape[2] // cell, like.shape[3] // cell)


def overview(image: Tensor) -> tuple[Tensor, Tensor]:
    """N x 3 x H x W to its overview and the side of its squares, one number. The last squares repeat the picture's edge."""
    return _overview(image)


def frame(grid: Tensor) -> Tensor:
    """A map with a frame of one point around it, which repeats the edge."""
    return F.pad(grid, (1, 1, 1, 1), mode="replicate")


def enlarge(grid: Tensor, side: Tensor, like: Tensor, cell: int = 1) -> Tensor:
    """Bilinear enlargement of a framed map to the size of `like`, or of its cells; the frame falls away."""
    return _enlarge(grid, side, like, cell)


def enlarge_part(grid: Tensor, side: int) -> Tensor:
    """Bilinear enlargement of a framed map by `side`; the frame falls away."""
    large = F.interpolate(grid, scale_factor=float(side), mode="bilinear", align_corners=False)
    return large[:, :, side:-side, side:-side]
