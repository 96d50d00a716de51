"""Cutting a large picture into tiles, exactly where the network allows it.

An output pixel depends on `halo` pixels to each side. A tile that is enhanced with that much context around it, and that
begins on a multiple of the network's stride, holds the same values as the whole picture would; the context is cut off.
A network that decides on an overview of the whole picture does so once, and its tiles share the decision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import MINIMUM_SIZE, ArtifactInfo
from runtime.errors import ArtifactError, InputError
from runtime.images import Images

#: Pictures of more pixels than this are cut into tiles where no plan's profile bounds the memory. On the CPU the networks
#: were measured to need 0.6 to 2.8 KB for each pixel; those without weights, which do no convolution, 0.1 KB.
WHOLE_PIXELS = 1088 * 1920
_WHOLE_PIXELS_LIGHT = 16 * WHOLE_PIXELS

#: A tile's side without its context, and the least multiple of the context that it has: the context is work done twice.
_CORE, _CONTEXTS = 512, 8

#: Enhances one contiguous 1 x H x W x 3 picture into another.
Run = Callable[[Images, Images], None]

#: Is told how many tiles of how many are done.
Progress = Callable[[int, int], None]


Floats = NDArray[np.float32]

#: Is given each picture's overview and what was decided on it, and says what light it gets; None: it is not wanted at all.
Steady = Callable[[Floats, Sequence[Floats]], Sequence[Floats] | None]


class PartsSession(Protocol):
    """The two halves of an artifact that has `parts`: large pictures are decided on as a whole and enhanced in parts."""

    def decide(self, overview: Floats) -> tuple[Floats, ...]:
        """The light of a picture, from its overview 1 x 3 x h x w."""
        ...

    def render(self, image: Images, side: int, light: Sequence[Floats], *, film: bool = False) -> Images:
        """Enhance a part, 1 x H x W x 3, whose squares of `side` pixels have this light; of a `film`, more alike follow."""
        ...


@dataclass(frozen=True)
class Limits:
    """The shapes (N, H, W) that an artifact takes; None: no upper limit."""

    smallest: tuple[int, int, int]
    largest: tuple[int | None, int | None, int | None]

    def admit(self, shape: tuple[int, ...]) -> bool:
        """Whether a picture or batch of this N x H x W is neither too small nor too large."""
        return all(
            low <= size and (high is None or size <= high)
            for size, low, high in zip(shape, self.smallest, self.largest, strict=True)
        )


@dataclass(frozen=True)
class Span:
    """A tile along one axis: [start, stop) goes in, [core_start, core_stop) is kept. In pixels of the picture."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def size(self) -> int:
        """Pixels that go in."""
        return self.stop - self.start

    @property
    def kept(self) -> slice:
        """The core, counted from the tile's start."""
        return slice(self.core_start - self.start, self.core_stop - self.start)


def whole_pixels(info: ArtifactInfo) -> int:
    """The most pixels that are enhanced in one piece, where no plan says otherwise."""
    return WHOLE_PIXELS if info.has_weights else _WHOLE_PIXELS_LIGHT


def limits(info: ArtifactInfo) -> Limits:
    """The shapes that an artifact takes: any from 16 x 16 up, unless its shape is fixed or its plan has a profile."""
    if info.plan is not None:
        low, high = info.plan.profile.min, info.plan.profile.max
        return Limits((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    fixed = [size if isinstance(size, int) else None for size in info.input.shape[:3]]
    least = (1, MINIMUM_SIZE, MINIMUM_SIZE)
    smallest = tuple(size or low for size, low in zip(fixed, least, strict=True))
    return Limits((smallest[0], smallest[1], smallest[2]), (fixed[0], fixed[1], fixed[2]))


def spans(size: int, halo: int, multiple: int, smallest: int, largest: int | None) -> list[Span]:
    """Cut `size` pixels into overlapping tiles between `smallest` and `largest` long, context included.

    Raises InputError where no such cut exists.
    """
    context = math.ceil(halo / multiple) * multiple
    core = max(_CORE, _CONTEXTS * context)
    if largest is not None:
        core = min(core, largest - 2 * context)
    core = core // multiple * multiple
    if core <= 0:
        raise InputError(f"tiles of at most {largest} pixels leave nothing beside a context of {context} to each side")
    # Cores of equal length: a sliver at the end would be mostly context.
    core = math.ceil(size / math.ceil(size / core) / multiple) * multiple
    result: list[Span] = []
    for begin in range(0, size, core):
        end = min(begin + core, size)
        start, stop = max(0, begin - context), min(size, end + context)
        if stop - start < smallest:
            stop = min(size, math.ceil((start + smallest) / multiple) * multiple)
            start = min(start, max(0, stop - smallest) // multiple * multiple)
        if stop - start < smallest or (largest is not None and stop - start > largest):
            raise InputError(f"{size} pixels cannot be cut into tiles of {smallest} to {largest} (multiple {multiple})")
        result.append(Span(start, stop, begin, end))
    return result


def run_exact(run: Run, image: Images, out: Images, info: ArtifactInfo, progress: Progress) -> None:
    """Enhance an H x W x 3 picture tile by tile: the same values as in one piece. Needs a network with a finite halo."""
    assert info.halo is not None
    taken = limits(info)
    rows, columns = (
        spans(image.shape[axis], info.halo, info.multiple, taken.smallest[axis + 1], taken.largest[axis + 1]) for axis in (0, 1)
    )
    # One shape after the other: a backend may have to prepare for each.
    tiles = sorted(product(rows, columns), key=lambda tile: (tile[0].size, tile[1].size))
    for done, (row, column) in enumerate(tiles):
        tile = np.ascontiguousarray(image[row.start : row.stop, column.start : column.stop])[None]
        enhanced = np.empty_like(tile)
        run(tile, enhanced)
        out[row.core_start : row.core_stop, column.core_start : column.core_stop] = enhanced[0, row.kept, column.kept]
        progress(done + 1, len(tiles))


def run_parts(
    parts: PartsSession, image: Images, out: Images, info: ArtifactInfo, progress: Progress, steady: Steady | None = None
) -> None:
    """Enhance an H x W x 3 picture part by part under one light, decided on its overview: as in one piece, within a code.

    With `steady` it is a frame of a film, in one part where it is not large, and `steady` has the last word on its light.
    """
    assert info.parts is not None
    side, grid = overview_of(image, info)
    height, width = image.shape[:2]
    most = _largest_part(height, width, side, info)
    light: Sequence[Floats] | None = parts.decide(grid)
    _check_light(light, grid, info)
    if steady is not None:
        light = steady(grid, light)
    if light is None:
        return
    if whole := most is None and height * width <= whole_pixels(info):
        rows, columns = [Span(0, height, 0, height)], [Span(0, width, 0, width)]
    else:
        # A part begins with a whole square and with a whole cell of the noise stage.
        step = math.lcm(side, info.multiple)
        rows, columns = (spans(extent, info.parts.halo, step, MINIMUM_SIZE, most) for extent in (height, width))
    tiles = sorted(product(rows, columns), key=lambda tile: (tile[0].size, tile[1].size))
    for done, (row, column) in enumerate(tiles):
        tile = np.ascontiguousarray(image[row.start : row.stop, column.start : column.stop])[None]
        inside = tuple(_squares(span, side, info.multiple) for span in (row, column))
        share = [np.ascontiguousarray(each[:, :, *inside]) if each.shape[2] > 1 else each for each in light]
        enhanced = parts.render(tile, side, share, film=whole and steady is not None)
        out[row.core_start : row.core_stop, column.core_start : column.core_stop] = enhanced[0, row.kept, column.kept]
        progress(done + 1, len(tiles))


def overview_of(image: Images, info: ArtifactInfo) -> tuple[int, Floats]:
    """The side of the squares that an artifact averages a picture over, and its overview."""
    assert info.parts is not None
    height, width = (math.ceil(extent / info.multiple) * info.multiple for extent in image.shape[:2])
    side = square_side(height, width, info.parts.points)
    return side, overview(image, side, height, width)


def _largest_part(height: int, width: int, side: int, info: ArtifactInfo) -> int | None:
    """The most pixels that a part is high and wide; None: no plan bounds it."""
    plan = info.plan.parts if info.plan else None
    if plan is None or info.parts is None:
        return None
    if not plan.smallest_side <= side <= plan.largest_side:
        wrong = "large" if side > plan.largest_side else "small"
        raise InputError(
            f"the picture is {height}x{width} (HxW), too {wrong} for the halves of this plan, whose squares are "
            f"{plan.smallest_side} to {plan.largest_side} pixels wide, not {side}; "
            f"open {info.network}.onnx, which takes any size"
        )
    step = math.lcm(side, info.multiple)
    return min(plan.extent, plan.squares * side) // step * step


def _check_light(light: Sequence[Floats], grid: Floats, info: ArtifactInfo) -> None:
    """A file may say that its light is what it is not."""
    framed = (grid.shape[2] + 2, grid.shape[3] + 2)
    for each in light:
        if each.ndim != 4 or each.shape[2:] not in ((1, 1), framed):
            raise ArtifactError(
                f"{info.network}: the light of a picture has the shape {each.shape}, expected {framed} points; export it again"
            )


def _squares(span: Span, side: int, multiple: int) -> slice:
    """The squares of a tile, with one more to each side, in a map that has a frame of one."""
    padded = math.ceil(span.size / multiple) * multiple
    first = span.start // side
    return slice(first, first + math.ceil(padded / side) + 2)


def square_side(height: int, width: int, points: int) -> int:
    """The side of an overview's squares: a multiple of 4, over 32 of 8."""
    side = 4 * math.ceil((height + width) / (4 * points))
    unit = 4 if side <= 32 else 8
    return math.ceil(side / unit) * unit


def overview(image: Images, side: int, height: int, width: int) -> Floats:
    """1 x 3 x h x w in [0, 1]: means over squares of the picture, whose edge is repeated up to a height and width and on."""
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    whole = image.shape[0] // side
    bands = np.empty((rows, image.shape[1], 3), np.uint32)
    # 16 bits hold the sum of 257 codes, and are added several times as fast as 32.
    kind = np.uint16 if side <= np.iinfo(np.uint16).max // 255 else np.uint32
    np.copyto(bands[:whole], image[: whole * side].reshape(whole, side, *image.shape[1:]).sum(axis=1, dtype=kind))
    for row in range(whole, rows):
        lines = np.minimum(np.arange(row * side, (row + 1) * side), image.shape[0] - 1)
        bands[row] = image[lines].sum(axis=0, dtype=np.uint32)
    sums = np.add.reduceat(bands, np.arange(0, image.shape[1], side), axis=1)
    last = bands[:, -1:]  # is repeated in what its square lacks, and in squares beyond
    sums[:, -1:] += last * np.uint32(sums.shape[1] * side - image.shape[1])
    beyond = (last * np.uint32(side)).repeat(columns - sums.shape[1], axis=1)
    sums = np.concatenate([sums, beyond], axis=1)
    return np.ascontiguousarray((sums / (255 * side * side)).astype(np.float32).transpose(2, 0, 1)[None])
