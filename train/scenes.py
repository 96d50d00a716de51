"""Batches of scenes: whole pictures as overviews, and a square crop of each at full resolution.

A network that decides the light on an overview and cleans pixels locally is trained on what it will see: the overview is
always that of the whole picture (or of a large part of it), and the crop is brightened by its share of the light. Half of a
batch can be pairs of a dataset, the other half photographs darkened by `train.nights`. A batch is a function of the seed
and the step alone.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.batches import compose_ahead, expose
from train.errors import DataError
from train.nights import make_night
from train.pairs import PairStore, Picture

#: Height and width of a part of a scene, or the other way round. Few sizes: a CPU's convolutions are compiled for each.
WINDOW = (320, 480)
#: By this much some batches of photographs are enlarged, as if they were of more pixels: more points, less detail in each.
ENLARGEMENT = 1.5


@dataclass(frozen=True)
class SceneCut:
    """What a batch of scenes is made of."""

    #: How many pairs, and how many darkened photographs.
    pairs: int
    photographs: int
    #: Side of the crops, in pixels; a multiple of each of `sides`.
    crop: int
    #: Half of the dark pictures of pairs are multiplied by a factor drawn log-uniformly from this range.
    exposure: tuple[float, float] = (1.0, 1.0)
    #: The side of an overview's squares, in pixels, is drawn from these: larger squares are a smaller picture's overview.
    sides: tuple[int, ...] = (4,)
    #: The share of batches whose photographs are enlarged.
    enlarged: float = 0.0
    #: Pictures are made half as large before anything else: a quarter of the work where overviews are all that counts.
    halved: bool = False


class Overviews(NamedTuple):
    """Scenes averaged over squares, N x 3 x h x w."""

    dark: Tensor
    bright: Tensor


@dataclass(frozen=True)
class Group:
    """Scenes of one size: their overviews, and crops N x 3 x H x W at `corners` (row, column of the first overview)."""

    #: Of the first overview's squares, in pixels.
    side: int
    #: Over squares of `side`, and of another of the cut's sides where it has several.
    overviews: tuple[Overviews, ...]
    low: Tensor
    high: Tensor
    corners: tuple[tuple[int, int], ...]


Scene = tuple[Picture, Picture]
Linear = NDArray[np.float32]
_Raw = tuple[int, list[Linear], tuple[tuple[int, int], ...]]


class SceneBatches:
    """Composes groups of scenes in background threads, a few steps ahead of the network."""

    def __init__(self, pairs: PairStore, photographs: PairStore | None, cut: SceneCut, seed: int, device: torch.device) -> None:
        if cut.photographs and photographs is None:
            raise DataError("the recipe wants photographs to darken; pass --photographs FOLDER")
        for side in cut.sides:
            if cut.crop % side:
                raise DataError(
                    f"a crop of {cut.crop} pixels is not made of whole squares of {side}; choose a multiple of each of sides"
                )
        self._pairs, self._photographs, self._cut, self._seed, self._device = pairs, photographs, cut, seed, device

    def iterate(self, start: int) -> Generator[tuple[Group, ...], None, None]:
        """Yield the batches of the steps from `start` on, without end."""
        workers = 12 if self._device.type == "cuda" else 1
        for raw in compose_ahead(self._compose, start, workers, ahead=2 * workers + 2):
            yield tuple(self._to_device(group) for group in raw)

    def batch(self, step: int) -> tuple[Group, ...]:
        """The batch of one step."""
        return tuple(self._to_device(group) for group in self._compose(step))

    def _compose(self, step: int) -> list[_Raw]:
        random = np.random.default_rng([self._seed, step])
        groups: list[list[Scene]] = []
        if self._cut.pairs:
            groups.append(self._draw_pairs(random))
        if self._cut.photographs:
            groups.append(self._draw_nights(random))
        return [self._cut_group(scenes, random) for scenes in groups]

    def _draw_pairs(self, random: np.random.Generator) -> list[Scene]:
        scenes: list[Scene] = []
        for index in random.choice(len(self._pairs), min(self._cut.pairs, len(self._pairs)), replace=False):
            low, high = self._pairs[int(index)]
            if low is None:
                raise DataError(f"{self._pairs.pairs[int(index)].name} has no dark picture; this recipe needs pairs")
            if random.random() < 0.5:
                low = expose(low, np.float32(np.exp(random.uniform(*np.log(self._cut.exposure)))), random)
            scenes.append((low, high))
        whole = scenes[0][0].shape[:2]
        if min(whole) < min(WINDOW) or random.random() < 0.5:  # As in use.
            scenes = _windows(scenes, random, min(low.shape[:2] for low, _ in scenes))
        else:
            scenes = _windows(scenes, random, WINDOW if whole[1] >= whole[0] else WINDOW[::-1])
        return [(_resize(low, 0.5), _resize(high, 0.5)) for low, high in scenes] if self._cut.halved else scenes

    def _draw_nights(self, random: np.random.Generator) -> list[Scene]:
        """Photographs of one orientation, darkened."""
        assert self._photographs is not None
        store, window = self._photographs, WINDOW if random.random() < 0.7 else WINDOW[::-1]
        scale = (ENLARGEMENT if random.random() < self._cut.enlarged else 1.0) * (0.5 if self._cut.halved else 1.0)
        drawn: list[Picture] = []
        for index in random.permutation(len(store)):
            picture = store[int(index)][1]
            if picture.shape[0] >= window[0] and picture.shape[1] >= window[1]:
                drawn.append(picture)
            if len(drawn) == self._cut.photographs:
                parts = [_resize(picture[_place(picture, random, window)], scale) for picture in drawn]
                return [make_night(part, random, averaged=4 if self._cut.halved else 1) for part in parts]
        raise DataError(f"fewer than {self._cut.photographs} photographs are {window[1]}x{window[0]} or larger")

    def _cut_group(self, scenes: list[Scene], random: np.random.Generator) -> _Raw:
        crop, (height, width) = self._cut.crop, scenes[0][0].shape[:2]
        if min(height, width) < crop:
            raise DataError(f"a scene is {width}x{height}, smaller than the crop of {crop}; choose a smaller crop")
        drawn = [int(each) for each in random.permutation(self._cut.sides)]
        side, sides = drawn[0], list(dict.fromkeys(drawn))[:2]
        unit = math.lcm(*self._cut.sides)
        whole = (slice(height // unit * unit), slice(width // unit * unit))
        scenes = [(low[whole], high[whole]) for low, high in scenes]
        overviews: list[list[Linear]] = []
        crops: list[list[Linear]] = []
        corners: list[tuple[int, int]] = []
        for low, high in scenes:
            pair = [low, high]
            for axis in (0, 1):
                if random.random() < (0.2, 0.5)[axis]:
                    pair = [np.flip(picture, axis) for picture in pair]
            rows, columns = (int(random.integers(0, (extent - crop) // side + 1)) for extent in pair[0].shape[:2])
            corners.append((rows, columns))
            inside = (slice(side * rows, side * rows + crop), slice(side * columns, side * columns + crop))
            overviews.append([_average(picture, each) for each in sides for picture in pair])
            crops.append([picture[inside].astype(np.float32) for picture in pair])
        parts = [np.stack(part) * np.float32(1 / 255) for part in (*zip(*overviews, strict=True), *zip(*crops, strict=True))]
        return side, parts, tuple(corners)

    def _to_device(self, raw: _Raw) -> Group:
        side, pictures, corners = raw
        *overviews, low, high = (
            torch.from_numpy(part).to(self._device, non_blocking=True).permute(0, 3, 1, 2) for part in pictures
        )
        pairs = zip(overviews[::2], overviews[1::2], strict=True)
        return Group(side, tuple(Overviews(*pair) for pair in pairs), low, high, corners)


def _average(picture: Picture, side: int) -> Linear:
    """Means over squares of pixels, in codes."""
    size = (picture.shape[1] // side, picture.shape[0] // side)
    return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def _windows(scenes: list[Scene], random: np.random.Generator, size: tuple[int, ...]) -> list[Scene]:
    """Equally large windows, of this height and width."""
    result: list[Scene] = []
    for low, high in scenes:
        inside = _place(low, random, size)
        result.append((low[inside], high[inside]))
    return result


def _place(picture: Picture, random: np.random.Generator, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a window of this height and width."""
    top, left = (int(random.integers(0, extent - part + 1)) for extent, part in zip(picture.shape, size, strict=False))
    return slice(top, top + size[0]), slice(left, left + size[1])


def _resize(picture: Picture, scale: float) -> Picture:
    if scale == 1.0:
        return picture
    kind = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=kind), np.uint8)
