"""Differences of 8-bit pictures, in codes.

Polygraphy's comparison functions are not used here: its PSNR takes the largest value found for the peak instead of 255,
and neither a histogram that can be pooled over pictures nor the place of the worst pixel comes out of them. They do
compare the layers inside a network, see `benchmarks.measures.by_layer`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.images import Images


def decibels(squared_error: float) -> float:
    """PSNR against 255 of a mean squared error in codes; infinite for none."""
    return 10.0 * math.log10(255.0**2 / squared_error) if squared_error else math.inf


@dataclass(frozen=True)
class WorstPixel:
    """Where two pictures differ most, and what stands there (RGB)."""

    picture: int
    y: int
    x: int
    image: tuple[int, ...]
    expected: tuple[int, ...]
    found: tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """Found minus expected, over all samples of one or more pictures."""

    #: code -> number of samples; complete, so that everything else follows from it.
    histogram: dict[int, int]
    worst: WorstPixel | None = None

    @property
    def samples(self) -> int:
        return sum(self.histogram.values())

    @property
    def max_codes(self) -> int:
        return max(abs(code) for code in self.histogram)

    @property
    def mean_codes(self) -> float:
        """Mean absolute difference."""
        return sum(abs(code) * count for code, count in self.histogram.items()) / self.samples

    @property
    def p999_codes(self) -> int:
        """The smallest number of codes that 99.9 % of all samples stay within."""
        return self.quantile_codes(0.999)

    @property
    def psnr(self) -> float:
        """In dB, peak 255. Of identical pictures: as if one sample were off by one code, so that it stays finite."""
        squared = sum(code * code * count for code, count in self.histogram.items())
        return decibels(max(squared, 1) / self.samples)

    def figures(self) -> dict[str, Any]:
        """Everything for a record but the worst pixel."""
        return {
            "max_codes": self.max_codes,
            "p999_codes": self.p999_codes,
            "mean_codes": round(self.mean_codes, 6),
            "psnr": round(self.psnr, 2),
            "samples": self.samples,
            "histogram": {str(code): count for code, count in sorted(self.histogram.items())},
        }

    def quantile_codes(self, share: float) -> int:
        """The smallest number of codes that this share of all samples stays within."""
        sizes: Counter[int] = Counter()
        for code, count in self.histogram.items():
            sizes[abs(code)] += count
        reached, needed = 0, math.ceil(share * self.samples)
        for size in sorted(sizes):
            reached += sizes[size]
            if reached >= needed:
                return size
        return self.max_codes


def compare(image: Images, expected: Images, found: Images) -> Difference:
    """Compare two results for `image`; all N x H x W x 3."""
    if expected.shape != found.shape:
        raise ValueError(f"shapes differ: {expected.shape} and {found.shape}")
    signed = found.astype(np.int16) - expected.astype(np.int16)
    codes, counts = np.unique(signed, return_counts=True)
    histogram = {int(code): int(count) for code, count in zip(codes, counts, strict=True)}
    picture, y, x, _ = (int(index) for index in np.unravel_index(int(np.abs(signed).argmax()), signed.shape))
    worst = WorstPixel(picture, y, x, *(tuple(int(v) for v in of[picture, y, x]) for of in (image, expected, found)))
    return Difference(histogram, worst if signed.any() else None)


def pool(differences: Iterable[Difference]) -> Difference:
    """All samples of several comparisons as one; the worst pixel is left behind, since its picture's name is."""
    total: Counter[int] = Counter()
    for difference in differences:
        total.update(difference.histogram)
    return Difference(dict(sorted(total.items())))
