"""Parse shapes of the command line into an optimization profile."""

from __future__ import annotations

from collections.abc import Callable

from runtime import shapes
from runtime.artifact import MINIMUM_SIZE, ArtifactInfo, Profile
from runtime.errors import InputError

#: Pictures, height, width.
Shape = tuple[int, int, int]

#: The smallest, the typical and the largest shape of an input; of one whose values decide on shapes, these values.
Range = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

#: The halves of a plan take parts of a picture that are at most so many pixels high and wide, and of at most so many squares,
#: whose sides are so many pixels. Maps of the light are enlarged by a square's side: their product bounds the memory.
LARGEST_PART, MOST_SQUARES, SIDES = 1024, 50, (8, 96)
#: Typical: 24 megapixels.
_PART, _SIDE = 800, 40

PART_RANGE: Range = ((1, MINIMUM_SIZE, MINIMUM_SIZE, 3), (1, _PART, _PART, 3), (1, LARGEST_PART, LARGEST_PART, 3))
SIDE_RANGE: Range = ((SIDES[0],), (_SIDE,), (SIDES[1],))

DEFAULT_MIN: Shape = (1, 64, 64)
DEFAULT_OPT: Shape = (1, 400, 600)
DEFAULT_MAX: Shape = (1, 1088, 1920)


def parse_shape(text: str) -> Shape:
    """ "1x400x600" -> (1, 400, 600)"""
    shape = shapes.parse(text, 3)
    if shape is None:
        raise InputError(f"{text!r} is not a shape; expected NxHxW, for example 1x400x600")
    count, height, width = shape
    if count < 1 or min(height, width) < MINIMUM_SIZE:
        raise InputError(f"{text} is too small; expected at least 1x{MINIMUM_SIZE}x{MINIMUM_SIZE}")
    return count, height, width


def make_profile(info: ArtifactInfo, smallest: Shape | None, typical: Shape | None, largest: Shape | None) -> Profile:
    """The profile of a graph's input, defaults filled in and dimensions that the graph fixes taken over.

    A graph with tensor input pads nothing, so its heights and widths have to be multiples of the network's; those of a
    default are rounded up.
    """
    wanted = {
        "min": _fill(info, smallest, DEFAULT_MIN),
        "opt": _fill(info, typical, DEFAULT_OPT),
        "max": _fill(info, largest, DEFAULT_MAX),
    }
    # A default gives way to what was asked for.
    if typical is None and smallest is not None:
        wanted["opt"] = _each(max, wanted["opt"], smallest)
    if typical is None and largest is not None:
        wanted["opt"] = _each(min, wanted["opt"], largest)
    if smallest is None:
        wanted["min"] = _each(min, wanted["min"], wanted["opt"])
    if largest is None:
        wanted["max"] = _each(max, wanted["max"], wanted["opt"])
    for low, middle, high in zip(wanted["min"], wanted["opt"], wanted["max"], strict=True):
        if not low <= middle <= high:
            raise InputError(
                f"the profile is not ordered: min {shapes.to_text(wanted['min'])}, opt {shapes.to_text(wanted['opt'])}, "
                f"max {shapes.to_text(wanted['max'])}"
            )
    return Profile(*(_as_input(info, shape) for shape in wanted.values()))


def overview_range(points: int) -> Range:
    """The overview of a picture, whose squares are at most `points` along both sides together."""
    return (1, 3, 1, 1), (1, 3, points * 2 // 5, points * 3 // 5), (1, 3, points, points)


def light_range(channels: int, everywhere: bool) -> Range:
    """A part's share of the light: one point, or one for each of its squares and a frame of one more."""
    if everywhere:
        one = (1, channels, 1, 1)
        return one, one, one
    least, typical, most = (count + 2 for count in (1, _PART // _SIDE, MOST_SQUARES))
    return (1, channels, least, least), (1, channels, typical, typical), (1, channels, most, most)


def _each(pick: Callable[[int, int], int], first: Shape, second: Shape) -> Shape:
    return pick(first[0], second[0]), pick(first[1], second[1]), pick(first[2], second[2])


def _fixed(info: ArtifactInfo) -> tuple[int | None, int | None, int | None]:
    """The dimensions that the graph fixes: pictures, height and width."""
    shape = info.input.shape
    picked = (shape[0], shape[1], shape[2]) if info.input.layout == "NHWC" else (shape[0], shape[2], shape[3])
    count, height, width = (size if isinstance(size, int) else None for size in picked)
    return count, height, width


def _fill(info: ArtifactInfo, asked: Shape | None, default: Shape) -> Shape:
    fixed = _fixed(info)
    multiple = 1 if info.image_io else info.multiple
    if asked is None:
        rounded = (default[0], *(-(-size // multiple) * multiple for size in default[1:]))
        count, height, width = (size if own is None else own for size, own in zip(rounded, fixed, strict=True))
        return count, height, width
    for size, own, what in zip(asked, fixed, ("pictures", "height", "width"), strict=True):
        if own is not None and size != own:
            raise InputError(
                f"the graph is fixed to a {what} of {own}, so {shapes.to_text(asked)} can't be built; export it dynamic"
            )
    if any(size % multiple for size in asked[1:]):
        raise InputError(f"{shapes.to_text(asked)}: {info.network} with tensor input needs multiples of {multiple}")
    return asked


def _as_input(info: ArtifactInfo, shape: Shape) -> tuple[int, ...]:
    count, height, width = shape
    return (count, height, width, 3) if info.input.layout == "NHWC" else (count, 3, height, width)
