"""Synthetic dark photographs: less light, sensor noise and a colour shift, from a normal photograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAMMA = 2.2


def darken(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return a dark version of an H x W x 3 photograph, as 8-bit codes.

    In linear light: exposure divided by 5 to 40 (log-uniform), channels off balance by up to 15 %, shot noise of 2,000 to
    20,000 photons at white, and read noise of up to 0.002.
    """
    linear = (image.astype(np.float32) / 255) ** GAMMA
    exposure = np.exp(random.uniform(np.log(1 / 40), np.log(1 / 5)))
    balance = random.uniform(0.85, 1.15, size=3).astype(np.float32)
    dark = linear * np.float32(exposure) * balance
    photons = np.exp(random.uniform(np.log(2_000), np.log(20_000)))
    noisy = random.poisson(dark * photons) / photons + random.normal(0, random.uniform(0, 0.002), size=dark.shape)
    return np.rint(255 * np.clip(noisy, 0, 1) ** (1 / GAMMA)).astype(np.uint8)
