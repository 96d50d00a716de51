"""The light of a film: what is decided on a frame's overview, averaged over the last few frames.

A network that decides the light frame by frame decides anew on the noise of each. The mean of the last `FRAMES` decisions
does not, and depends on nothing before them, so that a film can be done in segments that overlap by as many frames.

- The mean is exponential and of logarithms, as the light's values are. The newest frame is part of it from the first on.
- What the exposure did between two frames is the median, over the overview, of the change of its logarithm. A past level is
  moved by it, so that a camera that changes its exposure is followed at once, frame by frame.
- Where else the overview changed, a past frame counts less or not at all: nothing of a lamp that moved stays behind.
- After a cut, where most of the overview changed, nothing of the past is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from runtime.tiling import Floats

#: Frames that a light is averaged over, the newest included.
FRAMES = 8
#: The weight of a frame is this times that of the one after it.
KEEP = 0.8
#: Added to a luma in [0, 1] before its logarithm.
_SOFT = 1 / 512
#: A point counts by exp(-(change / this)^2), the change being that of the luma's logarithm beside the exposure's.
_SAME = 0.12
#: It is a cut if of the points so many change by so much.
_CUT, _CUT_SHARE = 0.2, 0.5
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class _Seen:
    """A frame of the past: the logarithm of its overview's luma, and its light."""

    log: Floats
    light: tuple[Floats, ...]


class LightWindow:
    """The light of the last frames of one film. Not for several threads at once."""

    def __init__(self, keep: float = KEEP) -> None:
        """`keep` is the weight of a frame over that of the one after it; 0 keeps nothing of the past."""
        self._keep = keep
        self._past: deque[_Seen] = deque(maxlen=FRAMES - 1)

    def reset(self) -> None:
        """Forget the frames so far."""
        self._past.clear()

    def add(self, overview: Floats, light: Sequence[Floats]) -> tuple[Floats, ...]:
        """The light of the newest frame, from its overview 1 x 3 x h x w and what was decided on it alone.

        Maps of the light lie over the overview's points, with or without a frame around them; its other values, 1 x 1 x 1 x
        1, are logarithms that follow the exposure.
        """
        new = _Seen(np.log(np.tensordot(_LUMA, overview[0], 1) + np.float32(_SOFT)), tuple(light))
        if self._past and (self._past[-1].log.shape != new.log.shape or _is_cut(new.log - self._past[-1].log)):
            self.reset()
        sums = [each.astype(np.float32) for each in new.light]
        total = np.ones_like(new.log)
        level_total = 1.0
        weight = 1.0
        for seen in reversed(self._past):
            weight *= self._keep
            change = new.log - seen.log
            exposure = float(np.median(change))
            apart = cv2.blur(np.abs(change - exposure), (5, 5)) / _SAME
            alike = (weight * np.exp(-np.square(apart))).astype(np.float32)
            share = float(alike.mean())
            total += alike
            level_total += share
            for index, value in enumerate(seen.light):
                if value.shape[2] > 1:
                    sums[index] += _framed(alike, value.shape) * value
                else:
                    sums[index] += share * (value + exposure)
        self._past.append(new)
        return tuple(
            (each / (_framed(total, each.shape) if each.shape[2] > 1 else level_total)).astype(np.float32) for each in sums
        )


def _is_cut(change: Floats) -> bool:
    return float(np.mean(np.abs(change - np.median(change)) > _CUT)) > _CUT_SHARE


def _framed(grid: Floats, shape: tuple[int, ...]) -> Floats:
    """A map with its edge repeated until it has the height and width of `shape`, evenly to all sides."""
    frame = (shape[2] - grid.shape[0]) // 2
    return np.pad(grid, frame, "edge") if frame else grid
