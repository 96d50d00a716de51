"""Strength and gate: how strongly a picture is enhanced, and whether it is dark enough to need it.

Both are arithmetic on the host and not inputs of the graph: every artifact, old or foreign, then has them; a strength of
0 is the input to the byte and 1 the network's output to the byte on every backend; and they cost about a millisecond at
400x600, next to nothing beside the network on a CPU.

Strength. A Retinex network divides the picture S by an illumination L and returns E = S / L. A weaker illumination
L^s gives S / L^s = S^(1-s) * E^s: the geometric mean of input and output, which needs nothing but the two pictures. One
code is added before and taken off after, which holds L above 1/256, as the networks' own clamp does, and keeps black
from staying black until s = 1. Networks without an illumination get the arithmetic mean.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from runtime.artifact import ArtifactInfo
from runtime.images import Images

#: Up to the first exposure the gate is open (the whole strength), from the second on it is shut (the input). Chosen on
#: LOL: nearly all of its dark pictures lie below the first, of its bright ones above the second; and the way between is
#: long enough for films, where the share may not fall so fast that a brightening scene would darken visibly.
GATE_OPEN, GATE_SHUT = 21.0, 73.0

#: About how many pixels the exposure is measured on.
_SAMPLES = 16384

#: Values blended at a time: the working memory stays in the cache, whatever the picture's size.
_STRIP = 65536

_LOG = np.log1p(np.arange(256, dtype=np.float64))


def has_illumination(info: ArtifactInfo) -> bool:
    """Whether the network divides by an illumination (or multiplies with one), by the contract of its graph."""
    return any(rule.has_illumination for rule in info.contract)


def exposure(image: Images) -> float:
    """Exposure of an H x W x 3 RGB picture in [0, 255]: the geometric mean of luma + 1, less 1, on a regular subsample.

    A mean over pixels moves as smoothly as the picture does, where a percentile can jump; and the geometric one is ruled
    by the surroundings and not by a lamp among them.
    """
    height, width = image.shape[:2]
    step = max(1, math.isqrt(height * width // _SAMPLES))
    sample = np.ascontiguousarray(image[step // 2 :: step, step // 2 :: step])
    luma = cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY)
    histogram = np.bincount(luma.ravel(), minlength=256)
    return float(np.expm1(histogram @ _LOG / luma.size))


def gate(level: float) -> float:
    """Share of the strength, in [0, 1], that a picture of this exposure gets: a smooth step."""
    position = min(max((level - GATE_OPEN) / (GATE_SHUT - GATE_OPEN), 0.0), 1.0)
    return 1.0 - position * position * (3.0 - 2.0 * position)


def blend(source: Images, enhanced: Images, strength: float, geometric: bool) -> None:
    """Weaken `enhanced`, H x W x 3, in place: `source` at strength 0, unchanged at 1."""
    if strength >= 1.0:
        return
    if strength <= 0.0:
        np.copyto(enhanced, source)
        return
    # Tables in double precision: the same on every machine, and in C++.
    codes = np.arange(256, dtype=np.float64)
    if geometric:
        below, above, combine, offset = (codes + 1) ** (1 - strength), (codes + 1) ** strength, cv2.multiply, -1.0
    else:
        below, above, combine, offset = codes * (1 - strength), codes * strength, cv2.add, 0.0
    below, above = below.astype(np.float32), above.astype(np.float32)
    rows = max(1, _STRIP // (source.shape[1] * 3))
    for top in range(0, len(source), rows):
        dark, bright = source[top : top + rows], enhanced[top : top + rows]
        mixed = combine(cv2.LUT(dark, below), cv2.LUT(bright, above))
        cv2.convertScaleAbs(mixed, dst=bright, alpha=1.0, beta=offset)
