"""Scenes and their noise, for films."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.images import Images

#: A frame is so many times as bright as it came.
GAIN = 4


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """A textured scene, bright."""
    random = np.random.default_rng(seed)
    made = np.full((height, width, 3), 110, np.float32)
    for size, depth in ((48, 70), (12, 35), (5, 12)):
        coarse = random.uniform(-depth, depth, (height // size + 2, width // size + 2, 3)).astype(np.float32)
        made += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(made, 10, 245).astype(np.float32)


def noisy(truth: NDArray[np.float32], seed: int, sigma: float = 5.0) -> Images:
    """A frame of it."""
    noise = np.random.default_rng([seed, 9]).normal(0, sigma, truth.shape)
    return np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
