"""Films that show before and after: side by side, or with an edge that wipes from one to the other."""

from __future__ import annotations

import math

import numpy as np

from runtime.images import Images
from runtime.media.film_options import Comparison

#: Seconds in which the edge goes across the picture and back.
_PERIOD = 8.0
_EDGE = 2


def compare(before: Images, after: Images, seconds: float, comparison: Comparison | None) -> Images:
    """One picture of a frame before and after, `seconds` into the film; None: after alone."""
    if comparison is None:
        return after
    if comparison == "side-by-side":
        return np.concatenate([before, after], axis=1)
    at = round(before.shape[1] * (0.5 - 0.5 * math.cos(2 * math.pi * seconds / _PERIOD)))
    made = before.copy()
    made[:, :at] = after[:, :at]
    made[:, max(0, at - _EDGE) : at] = 255
    return made
