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


class LightWindow:
    """The light of the last frames of one film. Not for several threads at once."""

    def __init__(self, keep: float = KEEP) -> None:
        """`keep` is the weight of a frame over that of the one after it; 0 keeps nothing of the past."""
        self._keep = keep
        #: Of each past frame, the newest last: the logarithm of its overview's luma, and its light.
        self._past: deque[tuple[Floats, tuple[Floats, ...]]] = deque(maxlen=FRAMES - 1)

    def reset(self) -> None:
        """Forget the frames so far."""
        self._past.clear()

    def add(self, overview: Floats, light: Sequence[Floats]) -> tuple[Floats, ...]:
        """The light of the newest frame, from its overview 1 x 3 x h x w and what was decided on it alone.

        Maps of the light lie over the overview's points, with or without a frame around them; its other values, 1 x 1 x 1 x
        1, are logarithms that follow the exposure.
        """
        log = np.log(np.tensordot(_LUMA, overview[0], 1) + np.float32(_SOFT))
        if self._past and (self._past[-1][0].shape != log.shape or _is_cut(log - self._past[-1][0])):
            self.reset()
        weights, exposures = [np.ones_like(log)], [0.0]
        for age, (before, _) in enumerate(reversed(self._past), 1):
            change = log - before
            exposures.append(_median(change))
            apart = cv2.blur(np.abs(change - np.float32(exposures[-1])), (5, 5)) * np.float32(1 / _SAME)
            weights.append(cv2.exp(-np.square(apart)) * np.float32(self._keep**age))
        lights = [tuple(light), *(before for _, before in reversed(self._past))]
        self._past.append((log, lights[0]))
        return tuple(_mean(each, weights, exposures) for each in zip(*lights, strict=True))


def _mean(values: Sequence[Floats], weights: Sequence[Floats], exposures: Sequence[float]) -> Floats:
    """The weighed mean of a map, or of a level, of several frames."""
    if values[0].shape[2] == 1:
        shares = np.array([each.mean() for each in weights])
        moved = [float(value[0, 0, 0, 0]) + exposure for value, exposure in zip(values, exposures, strict=True)]
        return np.full((1, 1, 1, 1), shares @ moved / shares.sum(), np.float32)
    framed = [_framed(each, values[0].shape) for each in weights]
    total = values[0] * framed[0]
    weighed = np.empty_like(total)
    for value, weight in zip(values[1:], framed[1:], strict=True):
        np.multiply(value, weight, out=weighed)
        total += weighed
    return total / sum(framed)


def _is_cut(change: Floats) -> bool:
    return float(np.mean(np.abs(change - _median(change)) > _CUT)) > _CUT_SHARE


def _median(change: Floats) -> float:
    """Of every third point along height and width, which is as good and takes a ninth of the time."""
    return float(np.median(change[::3, ::3]))


def _framed(grid: Floats, shape: tuple[int, ...]) -> Floats:
    """A map with its edge repeated until it has the height and width of `shape`, evenly to all sides."""
    frame = (shape[2] - grid.shape[0]) // 2
    return np.asarray(cv2.copyMakeBorder(grid, frame, frame, frame, frame, cv2.BORDER_REPLICATE), np.float32) if frame else grid
