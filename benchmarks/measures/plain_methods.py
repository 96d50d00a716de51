"""Ways to brighten a picture without a network, which every measure of photographs is compared with."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from train.pairs import Picture

_GAMMA = np.rint(255 * (np.arange(256) / 255) ** (1 / 2.2)).astype(np.uint8)


def gamma(picture: Picture) -> Picture:
    """Every code to the power of 1/2.2, of full scale."""
    return _GAMMA[picture]


def clahe(picture: Picture) -> Picture:
    """OpenCV's contrast-limited histogram equalisation of CIELAB lightness: clip limit 2, 8x8 tiles."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.uint8, copy=False)


#: By the name that `benchmarks/quality.py` takes; `input` does nothing.
METHODS: dict[str, Callable[[Picture], Picture]] = {"input": lambda picture: picture, "gamma": gamma, "clahe": clahe}
