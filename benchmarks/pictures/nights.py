"""Dark pictures and films with a known truth, made from photographs: the same on every run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from train.nights import backlight, darken_plainly
from train.pairs import Pair, Picture, find_photographs

#: The shares of the light that are left.
LIGHTS = (0.02, 0.08, 0.25)
#: Standard deviation of read noise and variance per unit of light of shot noise, of a full scale in linear light.
NOISES = {"low": (2e-4, 3e-5), "high": (2e-3, 5e-4)}
#: How strongly light follows a backlit scene's own brightness.
BACKLIGHT = 1.5
#: Megapixels of one picture made at several sizes; results are compared at the first.
MEGAPIXELS = (0.24, 2.0, 12.0)

_FRAMES, _JITTER, _PAN = 6, 0.1, 3


@dataclass(frozen=True)
class Night:
    """One kind of dark picture; `light` is None where the picture is backlit and `noise` where it has none added."""

    light: float | None
    noise: str | None

    @property
    def name(self) -> str:
        return "backlit" if self.light is None else f"{self.light:g} {self.noise}"

    def of(self, photograph: Picture, seed: int) -> Picture:
        """The photograph in this night."""
        if self.light is None or self.noise is None:
            return backlight(photograph, BACKLIGHT)
        return darken_plainly(photograph, self.light, *NOISES[self.noise], np.random.default_rng([seed, 1]))


#: Every kind that is measured.
NIGHTS = (*(Night(light, noise) for noise in NOISES for light in LIGHTS), Night(None, None))


def kept_photographs(folder: Path, first: int | None) -> list[Pair]:
    """Every second of the photographs that training does not see; of these the first ones, if asked."""
    return find_photographs(folder, "val")[::2][:first]


def still_film(photograph: Picture) -> Iterator[Picture]:
    """One scene at 0.08 of its light, in which only the strong noise of the sensor changes."""
    for frame in range(_FRAMES):
        yield darken_plainly(photograph, 0.08, *NOISES["high"], np.random.default_rng([frame, 2]))


def jittering_film(photograph: Picture) -> Iterator[Picture]:
    """One scene at 0.08 of its light, give or take a tenth from frame to frame, with weak noise."""
    for frame in range(_FRAMES):
        light = 0.08 * math.exp(_JITTER * (-1) ** frame)
        yield darken_plainly(photograph, light, *NOISES["low"], np.random.default_rng([frame, 3]))


def panning_film(photograph: Picture) -> Iterator[Picture]:
    """A window of three quarters of the width that moves to the right by `_PAN` pixels a frame, with weak noise."""
    width = photograph.shape[1] * 3 // 4
    for frame in range(_FRAMES):
        window = np.ascontiguousarray(photograph[:, frame * _PAN : frame * _PAN + width])
        yield darken_plainly(window, 0.08, *NOISES["low"], np.random.default_rng([frame, 4]))


#: Each film and how many columns its scene moves to the left from frame to frame.
FILMS = {"still": (still_film, 0), "exposure": (jittering_film, 0), "pan": (panning_film, _PAN)}


def night_of_size(photograph: Picture, megapixels: float, seed: int) -> Picture:
    """The photograph enlarged smoothly to this many megapixels, at 0.08 of its light, with weak noise of that size."""
    height, width = photograph.shape[:2]
    scale = math.sqrt(megapixels * 1e6 / (height * width))
    size = (round(width * scale), round(height * scale))
    large = cv2.resize(photograph, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
    return darken_plainly(large, 0.08, *NOISES["low"], np.random.default_rng([seed, 5]))
