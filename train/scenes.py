"""Batches of scenes: whole pictures as overviews, and a square crop of each at full resolution.

A network that decides the light on an overview and cleans pixels locally is trained on what it will see: the overview is
always that of the whole picture (or of a large part of it), and the crop is brightened by its share of the light. Half of a
batch can be pairs of a dataset, the other half photographs darkened by `train.nights`. A batch is a function of the seed
and the step alone.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Group:
    """Scenes of one size: overviews N x 3 x h x w, crops N x 3 x H x W at `corners` (row, column of the overview)."""

    #: Of the overview's squares, in pixels.
    side: int
    dark_overview: Tensor
    bright_overview: Tensor
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
            return _windows(scenes, random, min(low.shape[:2] for low, _ in scenes))
        return _windows(scenes, random, WINDOW if whole[1] >= whole[0] else WINDOW[::-1])

    def _draw_nights(self, random: np.random.Generator) -> list[Scene]:
        """Photographs of one orientation, darkened."""
        assert self._photographs is not None
        store, window = self._photographs, WINDOW if random.random() < 0.7 else WINDOW[::-1]
        drawn: list[Picture] = []
        for index in random.permutation(len(store)):
            picture = store[int(index)][1]
            if picture.shape[0] >= window[0] and picture.shape[1] >= window[1]:
                drawn.append(picture)
            if len(drawn) == self._cut.photographs:
                return _windows([make_night(picture, random) for picture in drawn], random, window)
        raise DataError(f"fewer than {self._cut.photographs} photographs are {window[1]}x{window[0]} or larger")

    def _cut_group(self, scenes: list[Scene], random: np.random.Generator) -> _Raw:
        crop, (height, width) = self._cut.crop, scenes[0][0].shape[:2]
        if min(height, width) < crop:
            raise DataError(f"a scene is {width}x{height}, smaller than the crop of {crop}; choose a smaller crop")
        side = int(random.choice(self._cut.sides))
        if crop % side:
            raise DataError(
                f"a crop of {crop} pixels is not made of whole squares of {side}; choose a multiple of each of sides"
            )
        whole = (slice(height // side * side), slice(width // side * side))
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
            overviews.append([_average(picture, side) for picture in pair])
            crops.append([picture[inside].astype(np.float32) for picture in pair])
        parts = [np.stack(part) * np.float32(1 / 255) for part in (*zip(*overviews, strict=True), *zip(*crops, strict=True))]
        return side, parts, tuple(corners)

    def _to_device(self, raw: _Raw) -> Group:
        side, parts, corners = raw
        dark, bright, low, high = (
            torch.from_numpy(part).to(self._device, non_blocking=True).permute(0, 3, 1, 2) for part in parts
        )
        return Group(side, dark, bright, low, high, corners)


def _average(picture: Picture, side: int) -> Linear:
    """Means over squares of pixels, in codes."""
    size = (picture.shape[1] // side, picture.shape[0] // side)
    return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def _windows(scenes: list[Scene], random: np.random.Generator, size: tuple[int, ...]) -> list[Scene]:
    """Equally large windows, of this height and width."""
    height, width = size
    result: list[Scene] = []
    for low, high in scenes:
        top, left = (
            int(random.integers(0, extent - part + 1)) for extent, part in zip(low.shape, (height, width), strict=False)
        )
        inside = (slice(top, top + height), slice(left, left + width))
        result.append((low[inside], high[inside]))
    return result
