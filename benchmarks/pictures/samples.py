"""Freely licensed photographs, darkened: the same on every machine, without a download."""

from __future__ import annotations

import cv2
import numpy as np

from runtime.errors import BackendError
from runtime.images import Images
from train.darkening import darken

#: Freely licensed photographs that scikit-image carries, and whose they are.
SAMPLES = {
    "coffee": "Rachel Michetti, CC0",
    "chelsea": "Stefan van der Walt, CC0",
    "astronaut": "NASA, public domain",
    "rocket": "SpaceX, CC0",
}
LONGEST_SIDE = 640


def sample_photographs() -> list[tuple[str, Images]]:
    """Well-lit photographs, darkened with sensor noise; the same on every machine."""
    try:
        from skimage import data
    except ImportError as error:
        raise BackendError("the sample photographs come with scikit-image: pip install 'retinexrt[quality]'") from error
    found: list[tuple[str, Images]] = []
    for seed, (name, credit) in enumerate(SAMPLES.items()):
        photograph = np.ascontiguousarray(getattr(data, name)()[..., :3])
        scale = LONGEST_SIDE / max(photograph.shape)
        if scale < 1:
            photograph = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append(
            (f"{name} ({credit}), darkened with noise", darken(photograph.astype(np.uint8), np.random.default_rng(seed)))
        )
    return found
