"""The mean of a film's enhanced frames over time, wherever nothing moves: noise averages away, which no single frame allows.

Each pixel of the mean goes a step of `1 - keep` towards the new frame where that frame shows the same, and becomes the new
frame's pixel at once where it does not. So nothing stays behind what moves, and a cut needs no care.

- Two frames show the same where their averages over 6 x 6 pixels differ by no more than noise does, for all cells of 2 x 2
  pixels within `_REACH` and all colours.
- How much noise does is measured on each frame: what most of the quieter cells differ by. It goes with the network's gain,
  the output over the input, and falls with the brightness.
- A camera that pans or shakes moves everything alike: the mean is moved by whole pixels first, found on the sums of rows
  and columns. What makes everything brighter, as a fade does, makes the mean as much brighter.

`export/calm.py` writes the same as a graph, in which the frame before and its mean are an input and an output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.images import Images

#: The share of the mean that stays where nothing moves.
KEEP = 0.8
#: Fixed point of the mean: 255 << 7 still is an int16.
_SHIFT = 7
#: Cells to each side of a pixel's own that must show the same.
REACH = 2
#: Every so many cells, differences are sampled and limits set.
STRIDE = 4
#: Noise is what this share of the samples stays below, read in steps of codes up to the most that is taken for noise.
QUIET, STEP, STEPS = 0.1, 0.25, 40
#: What differs by so many times the noise has moved, between the least and the most codes.
TIMES, LEAST, MOST = 3.2, 2.0, 14.0
#: Where more than few samples moved, what the quiet ones differ by is no longer believed to be noise, and of many not at all.
FEW, MANY = 0.06, 0.25
#: Added to the input's luma, and to the output's, in codes, where noise is predicted from them.
DARK, BRIGHT = 4.0, 10.0
#: Samples to each side over which lumas are averaged.
SMOOTH = 3
#: Rows of the picture that are worked on at a time, so that they stay in the cache.
_BAND = 64
#: A movement of the camera is looked for up to so many cells, and believed where it brings the pictures so much nearer.
_FARTHEST, _HELPS = 24, 0.95
#: A change of brightness of so many codes is followed; of less, averaged.
_NOTICED = 2

Plane = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass
class _Mean:
    """The mean of the frames so far."""

    #: In fixed point.
    exact: NDArray[np.int16]
    #: In codes, of 2 x 2 pixels.
    cells: Images


class Average:
    """The mean of the frames of one film. Not for several threads at once."""

    def __init__(self, keep: float = KEEP) -> None:
        self._keep = keep
        self._mean: _Mean | None = None

    def reset(self) -> None:
        """Forget the frames so far."""
        self._mean = None

    def add(self, dark: Images, bright: Images) -> Images:
        """The mean with one more frame in it, from the frame as it came and as it was enhanced. H x W x 3, RGB or BGR."""
        mean, cells = self._mean, _cells(bright)
        if mean is None or mean.exact.shape != bright.shape:
            self._mean = _Mean(np.left_shift(bright, _SHIFT, dtype=np.int16), cells)
            return bright
        if (by := movement(cells, mean.cells)) != (0, 0):
            exact = shifted(mean.exact, *by)
            there = _cells(np.asarray(cv2.convertScaleAbs(exact, alpha=2.0**-_SHIFT), np.uint8))
            if _apart(cells, there) < _HELPS * _apart(cells, mean.cells):
                mean.exact, mean.cells = exact, there
        if abs(by := brighter(cells, mean.cells)) >= _NOTICED:
            # White and a step more is beyond 16 bits.
            mean.exact = np.clip(mean.exact + np.int32(by << _SHIFT), 0, 255 << _SHIFT).astype(np.int16)
            mean.cells = np.clip(mean.cells.astype(np.int16) + by, 0, 255).astype(np.uint8)
        codes = self._step(mean.exact, bright, moved(dark, bright, cells, mean.cells))
        mean.cells = _cells(codes)
        return codes

    def _step(self, exact: NDArray[np.int16], bright: Images, changed: Plane) -> Images:
        """Go towards a frame, or all the way where a plane of cells says so; the mean as codes."""
        height, width = bright.shape[:2]
        codes = np.empty_like(bright)
        for top in range(0, height, _BAND):
            rows = slice(top, min(top + _BAND, height))
            new = np.left_shift(bright[rows], _SHIFT, dtype=np.int16)
            mean = exact[rows]
            cv2.addWeighted(mean, self._keep, new, 1.0 - self._keep, 0.0, mean)
            cells = changed[top // 2 : (rows.stop + 1) // 2]
            if cells.any():
                mask = cv2.resize(cells, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)[: len(mean), :width]
                cv2.copyTo(new, mask, mean)
            cv2.convertScaleAbs(mean, codes[rows], 2.0**-_SHIFT)
        return codes


def moved(dark: Images, bright: Images, cells: Images, before: Images) -> Plane:
    """255 for each cell around which a frame shows something else than the mean before it; both as cells."""
    smooth = [cv2.blur(each, (3, 3), borderType=cv2.BORDER_REPLICATE) for each in (cells, before)]
    apart = np.asarray(cv2.absdiff(*smooth), np.uint8)
    # The largest of all cells within reach and all three channels, which lie side by side in memory.
    size = 2 * REACH + 1
    lines = cv2.dilate(apart.reshape(len(apart), -1), np.ones((size, 3 * size), np.uint8))
    largest = np.asarray(lines.reshape(apart.shape)[..., 1], np.uint8, order="C")
    limits = limit(largest[::STRIDE, ::STRIDE], dark[:: 2 * STRIDE, :: 2 * STRIDE], bright[:: 2 * STRIDE, :: 2 * STRIDE])
    height, width = largest.shape
    wide = cv2.resize(limits, None, fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_NEAREST)[:height, :width]
    return np.asarray(cv2.compare(largest, wide, cv2.CMP_GT), np.uint8)


def limit(apart: Plane, dark: Images, bright: Images) -> Plane:
    """The codes up to which samples of a frame and of the mean differ by noise alone."""
    side = 2 * SMOOTH + 1
    lumas = [
        cv2.blur(_luma(np.ascontiguousarray(each)).astype(np.float32), (side, side), borderType=cv2.BORDER_REPLICATE)
        for each in (dark, bright)
    ]
    expected = np.sqrt(lumas[1] + np.float32(BRIGHT)) / (lumas[0] + np.float32(DARK))
    expected /= expected.mean()
    # Cells that equal the mean to the code say nothing: black bars.
    samples = np.sort((apart / expected)[apart > 0])
    below = np.searchsorted(samples, np.arange(1, STEPS + 1) * STEP) / max(samples.size, 1)
    noise = STEP * (1 + int((below < QUIET).sum()))
    limits = np.clip(expected * (TIMES * noise), LEAST, MOST)
    trust = 1.0 - (float((apart > limits).mean()) - FEW) / (MANY - FEW)
    return np.rint(limits * min(max(trust, 0.0), 1.0)).astype(np.uint8)


def movement(cells: Images, before: Images) -> tuple[int, int]:
    """Rows and columns, in pixels, by which the picture before seems to have moved, from both as cells."""
    lumas = [_luma(each) for each in (cells, before)]
    rows, columns = (
        _offset(*(np.asarray(cv2.reduce(each, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F), np.float32).ravel() for each in lumas))
        for axis in (1, 0)
    )
    return round(2 * rows), round(2 * columns)


def brighter(cells: Images, before: Images) -> int:
    """By how many codes all of a picture is brighter than the one before, from both as cells."""
    here, there = (each[::STRIDE, ::STRIDE].astype(np.int16) for each in (cells, before))
    return int(np.median(here - there))


def _apart(cells: Images, others: Images) -> float:
    """By how many codes two pictures differ, what is far apart counting no more than what is near."""
    return float(np.minimum(cv2.absdiff(cells[::2, ::2], others[::2, ::2]), MOST).mean())


def _offset(new: Floats, old: Floats) -> float:
    """How far, in cells, an old profile must be moved to lie over a new one."""
    new, old = np.diff(new), np.diff(old)
    farthest = min(_FARTHEST, len(new) // 4)
    length = len(new) - 2 * farthest
    inner = new[farthest : farthest + length]
    windows = np.lib.stride_tricks.sliding_window_view(old, length)  # window i: moved by farthest - i
    apart = np.abs(windows - inner).mean(axis=1)
    best = int(apart.argmin())
    if best in (0, len(apart) - 1):
        return 0.0
    left, middle, right = (float(each) for each in apart[best - 1 : best + 2])
    bend = left - 2 * middle + right
    return farthest - best - (0.5 * (left - right) / bend if bend > 0 else 0.0)


def _luma(picture: Images) -> Plane:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def shifted(picture: Any, rows: int, columns: int) -> Any:
    """A picture moved down and to the right; its edge is repeated where it leaves a gap."""
    height, width = picture.shape[:2]
    down, right = (np.clip(np.arange(size) - by, 0, size - 1) for size, by in ((height, rows), (width, columns)))
    inner = picture[down[0] : down[-1] + 1, right[0] : right[-1] + 1]
    top, left = max(0, min(rows, height - 1)), max(0, min(columns, width - 1))
    bottom, end = height - inner.shape[0] - top, width - inner.shape[1] - left
    return cv2.copyMakeBorder(inner, top, bottom, left, end, cv2.BORDER_REPLICATE)


def _cells(picture: Images) -> Images:
    """Means over 2 x 2 pixels; an odd edge is repeated."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.asarray(cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
