"""Nights made from photographs taken in good light: a dark picture and what it should become.

Light is taken away in linear light, the sensor's noise is added, and the result is rounded to codes as a camera would. A
night is drawn from everything that makes one: little light or very little, light that falls unevenly, a source of light
behind the subject, lamps in the picture, the colour of the light, noise in grains of several sizes, JPEG. Some pictures
are left as they are, so that a network learns to leave alone what needs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.pairs import Picture

Linear = NDArray[np.float32]

#: The share of a full scale that is left of the light, drawn log-uniformly.
FACTORS = (0.01, 0.5)
#: Standard deviations of read noise, and variances per unit of light of shot noise, of a full scale; log-uniform.
READ, SHOT = (1e-4, 2.5e-3), (1e-5, 8e-4)


@dataclass(frozen=True)
class Shares:
    """How many pictures of 1 get what."""

    plain: float = 0.17
    #: Light that falls unevenly, and light from behind, among those that are darkened.
    uneven: float = 0.3
    backlit: float = 0.3
    lamps: float = 0.15
    #: A colour of the light that belongs to the scene and stays.
    tinted: float = 0.25
    coarse_noise: float = 0.5
    jpeg: float = 0.3


def make_night(
    photograph: Picture, random: np.random.Generator, shares: Shares = Shares(), averaged: int = 1
) -> tuple[Picture, Picture]:
    """A dark picture and its truth, both of the photograph's size, as 8-bit codes.

    `averaged`: how many of the sensor's pixels one of the photograph's stands for; they have as much less noise.
    """
    if random.random() < shares.plain:
        return _jpeg(photograph, random) if random.random() < shares.jpeg else photograph, photograph
    gamma = random.uniform(2.0, 2.4)
    scene = _decode(photograph, gamma)
    if random.random() < shares.tinted:
        scene = np.minimum(scene * _tint(random, 0.35), 1.0)
    kind = random.random()
    if kind < shares.backlit:
        light = _light_from_behind(scene, random)
    elif kind < shares.backlit + shares.uneven:
        light = _uneven_light(scene.shape[:2], random)
    else:
        light = np.float32(math.exp(random.uniform(*np.log(FACTORS))))
    dark = scene * light * _tint(random, 0.06)
    if random.random() < shares.lamps:
        lamps = _lamps(scene.shape[:2], random)
        dark, scene = dark + lamps, np.maximum(scene, lamps)
    grain = random.random() < shares.coarse_noise
    codes = _encode(_expose_sensor(dark, random, grain, averaged), gamma)
    if random.random() < shares.jpeg:
        codes = _jpeg(codes, random)
    return codes, _encode(scene, gamma)


def darken_plainly(
    photograph: Picture, factor: float, read: float, shot: float, random: np.random.Generator, gamma: float = 2.2
) -> Picture:
    """A photograph at `factor` of its light, with sensor noise: a fixed night, to measure on."""
    dark = _decode(photograph, gamma) * np.float32(factor)
    noise = random.standard_normal(dark.shape, dtype=np.float32) * np.sqrt(dark * np.float32(shot) + np.float32(read**2))
    return _encode(dark + noise, gamma)


def backlight(photograph: Picture, strength: float, gamma: float = 2.2) -> Picture:
    """A photograph whose bright parts keep their light and whose dark ones lose it, as against the sky."""
    scene = _decode(photograph, gamma)
    return _encode(scene * _follow(scene, strength, 0.5), gamma)


def _decode(codes: Picture, gamma: float) -> Linear:
    return ((np.arange(256) / 255) ** gamma).astype(np.float32)[codes]


def _encode(linear: Linear, gamma: float) -> Picture:
    return np.rint(255 * cv2.pow(np.clip(linear, 0, 1), 1 / gamma)).astype(np.uint8)


def _tint(random: np.random.Generator, strength: float) -> Linear:
    """A factor per channel, 1 at most for the largest; red and blue mostly go opposite ways, as colours of light do."""
    warmth, green = random.uniform(-strength, strength), random.uniform(-strength, strength) * 0.3
    factors = np.exp(np.array([warmth, green, -warmth], np.float32))
    return (factors / factors.max()).astype(np.float32)


def _smooth(shape: tuple[int, int], points: int, random: np.random.Generator) -> Linear:
    """A smooth map of values from 0 to 1."""
    coarse = random.random((points, points), dtype=np.float32)
    field = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    low, high = float(field.min()), float(field.max())
    return ((field - low) / max(high - low, 1e-3)).astype(np.float32)


def _uneven_light(shape: tuple[int, int], random: np.random.Generator) -> Linear:
    """H x W x 1: light between a fraction of a factor and the factor."""
    factor = math.exp(random.uniform(math.log(0.02), math.log(0.6)))
    depth = math.exp(random.uniform(math.log(2.0), math.log(16.0)))
    field = _smooth(shape, int(random.integers(2, 6)), random)
    return (np.float32(factor) * np.exp((field - 1) * np.float32(math.log(depth))))[:, :, None].astype(np.float32)


def _light_from_behind(scene: Linear, random: np.random.Generator) -> Linear:
    """H x W x 1: bright parts keep most of their light, dark ones lose it."""
    top = random.uniform(0.25, 1.0)
    return _follow(scene, random.uniform(0.6, 2.6), random.uniform(0.05, 1.0)) * np.float32(top)


def _follow(scene: Linear, strength: float, spread: float) -> Linear:
    """Light that follows the scene's own brightness, seen through a blur of up to a tenth of the picture."""
    luma = scene.mean(axis=2)
    sigma = max(1.0, spread * 0.05 * max(luma.shape))
    smooth = cv2.GaussianBlur(luma, (0, 0), sigma)
    share = np.clip(smooth / max(float(np.quantile(smooth[::4, ::4], 0.97)), 1e-3), 0.02, 1.0)
    return (share ** np.float32(strength))[:, :, None].astype(np.float32)


def _lamps(shape: tuple[int, int], random: np.random.Generator) -> Linear:
    """H x W x 3: one to four lamps that clip, with a glow around each."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    light = np.zeros((*shape, 3), np.float32)
    for _ in range(int(random.integers(1, 5))):
        row, column = random.uniform(0, shape[0]), random.uniform(0, shape[1])
        radius, stretch = math.exp(random.uniform(math.log(1.5), math.log(14.0))), random.uniform(0.5, 2.0)
        distance = np.sqrt((rows - row) ** 2 * stretch + (columns - column) ** 2 / stretch).astype(np.float32) / radius
        disc = np.float32(random.uniform(0.6, 3.0)) / (1 + np.exp(np.minimum((distance - 1) * np.float32(radius * 2), 40)))
        glow = np.float32(random.uniform(0.01, 0.15)) * np.exp(-distance * np.float32(random.uniform(0.2, 0.8)))
        light += (disc + glow)[:, :, None] * _tint(random, 0.5)
    return np.minimum(light, 1.0)


def _expose_sensor(light: Linear, random: np.random.Generator, coarse: bool, averaged: int) -> Linear:
    """Shot and read noise; `coarse`: in grains, as demosaicing and small sensors leave it."""
    read, shot = (math.exp(random.uniform(*np.log(limits))) for limits in (READ, SHOT))
    noise = random.standard_normal(light.shape, dtype=np.float32)
    if coarse:
        sigma = random.uniform(0.4, 1.1)
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
        # A blur takes away most of the noise's strength; grains are as strong as single pixels.
        noise *= np.float32(1 / max(float(noise[::3, ::3].std()), 1e-3)) * np.float32(random.uniform(0.5, 1.0))
    return light + noise * np.sqrt((light * np.float32(shot) + np.float32(read**2)) / np.float32(averaged))


def _jpeg(codes: Picture, random: np.random.Generator) -> Picture:
    done, data = cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(65, 98))])
    assert done
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return decoded.astype(np.uint8, copy=False)
