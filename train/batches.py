"""Batches for training. Batch number `step` is a function of the seed and the step alone, so a run resumes exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from train.darkening import darken
from train.errors import DataError
from train.pairs import PairStore, Picture

T = TypeVar("T")

#: Mean of LOL's bright training pictures, of 1.
USUAL_MEAN = 0.46


@dataclass(frozen=True)
class Cut:
    """How a batch is cut and augmented."""

    batch: int
    #: Side of the square that the network sees, in pixels.
    crop: int
    #: A window of crop x zoom pixels is averaged down to the crop; zoom is drawn from this range.
    zoom: tuple[float, float] = (1.0, 1.0)
    #: The dark picture is multiplied by a factor drawn log-uniformly from this range, and rounded to codes again; the
    #: bright one stays.
    exposure: tuple[float, float] = (1.0, 1.0)
    flips: bool = True
    #: How far a bright picture's mean is drawn to `USUAL_MEAN` by a factor: 0 not at all, 1 wholly.
    level: float = 0.0


@dataclass(frozen=True)
class Batch:
    """N pairs, N x 3 x H x W in [0, 1]."""

    low: Tensor
    high: Tensor


class Batches:
    """Composes batches in background threads, a few steps ahead of the network."""

    def __init__(self, store: PairStore, cut: Cut, seed: int, device: torch.device) -> None:
        self._store, self._cut, self._seed, self._device = store, cut, seed, device

    def iterate(self, start: int, ahead: int = 4) -> Generator[Batch, None, None]:
        """Yield the batches of the steps from `start` on, without end."""
        workers = 4 if self._device.type == "cuda" else 1
        for raw in compose_ahead(self._compose, start, workers, ahead):
            yield self._to_device(raw)

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        return self._to_device(self._compose(step))

    def _compose(self, step: int) -> list[Tensor]:
        """Dark and bright crops in codes, and the factors on the bright ones."""
        random = np.random.default_rng([self._seed, step])
        size = min(self._cut.batch, len(self._store))
        samples = [self._sample(int(index), random) for index in random.choice(len(self._store), size, replace=False)]
        parts = [torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True)]
        return [part.pin_memory() for part in parts] if self._device.type == "cuda" else parts

    def _sample(self, index: int, random: np.random.Generator) -> tuple[Picture, Picture, np.float32]:
        """One pair's dark and bright crop, and the factor on the bright picture."""
        low, high = self._store[index]
        window = self._window(high.shape[0], high.shape[1], random, self._store.pairs[index].name)
        if low is None:
            low = darken(high, random)
        crops = [_shrink(picture[window], self._cut.crop) for picture in (low, high)]
        if self._cut.flips:
            crops = _flip(crops, random)
        gain = np.float32(np.exp(random.uniform(*np.log(self._cut.exposure))))
        level = (255 * USUAL_MEAN / max(float(high.mean()), 1.0)) ** self._cut.level if self._cut.level else 1.0
        return expose(crops[0], gain, random), crops[1], np.float32(level)

    def _window(self, height: int, width: int, random: np.random.Generator, name: str) -> tuple[slice, slice]:
        if min(height, width) < self._cut.crop:
            raise DataError(f"{name} is {width}x{height}, smaller than the crop of {self._cut.crop}; choose a smaller crop")
        side = min(int(self._cut.crop * random.uniform(*self._cut.zoom)), height, width)
        top, left = (int(random.integers(0, extent - side + 1)) for extent in (height, width))
        return slice(top, top + side), slice(left, left + side)

    def _to_device(self, raw: list[Tensor]) -> Batch:
        low, high, level = (part.to(self._device, non_blocking=True) for part in raw)
        # N x H x W x 3 seen as N x 3 x H x W is the channels-last layout that convolutions like best.
        low, high = low.permute(0, 3, 1, 2).float(), high.permute(0, 3, 1, 2).float()
        return Batch(low / 255, (high * (level.view(-1, 1, 1, 1) / 255)).clamp(max=1.0))


def compose_ahead(compose: Callable[[int], T], start: int, workers: int, ahead: int) -> Generator[T, None, None]:
    """The results of `compose` for `start`, `start` + 1 and so on, made in threads a few steps ahead."""
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        waiting: deque[Future[T]] = deque(pool.submit(compose, start + i) for i in range(ahead))
        try:
            for step in range(start + ahead, 1 << 62):
                made = waiting.popleft().result()
                waiting.append(pool.submit(compose, step))
                yield made
        finally:
            for future in waiting:
                future.cancel()


def expose(picture: Picture, gain: np.float32, random: np.random.Generator) -> Picture:
    """The picture at another exposure, in codes.

    A factor leaves gaps between codes, or merges them: a pattern that no photograph has, and from which a network can read
    the factor instead of seeing that the picture is darker. So each value is first put anywhere within its code.
    """
    if gain == 1:
        return picture
    values = picture + (random.random(picture.shape, dtype=np.float32) - np.float32(0.5))
    return np.rint(values * gain).clip(0, 255).astype(np.uint8)


def _shrink(picture: Picture, side: int) -> Picture:
    import cv2

    if picture.shape[0] == side:
        return picture
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _flip(crops: list[Picture], random: np.random.Generator) -> list[Picture]:
    horizontal, vertical, transpose = random.random(3) < 0.5
    if horizontal:
        crops = [crop[:, ::-1] for crop in crops]
    if vertical:
        crops = [crop[::-1] for crop in crops]
    if transpose:
        crops = [crop.transpose(1, 0, 2) for crop in crops]
    return [np.ascontiguousarray(crop) for crop in crops]
