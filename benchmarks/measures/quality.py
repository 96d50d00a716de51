"""Measures of picture quality between an output and its truth, both H x W x 3 uint8 RGB.

Conventions, because published figures differ by them:
- PSNR: over all values of a picture, against 255; the mean over pictures is of decibels.
- SSIM: scikit-image, 7x7 uniform window, sample covariance, mean over channels. SSIM (Gaussian): 11x11 window of sigma
  1.5, population covariance, mean over channels, as in Wang et al. 2004.
- LPIPS v0.1, AlexNet. FSIM: FSIMc of Zhang et al. 2011, with colour. UQI: Wang and Bovik 2002, 8x8 uniform windows, mean
  over channels.
- CIEDE2000: mean over pixels, from sRGB through CIELAB under D65.
- Angular error: mean angle in degrees between the RGB vectors of corresponding pixels; black counts as grey.
- Entropies in bits, of the output alone: of the 256 grey levels, and summed over the three channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measures.differences import decibels
from benchmarks.measures.fsim import feature_similarity
from benchmarks.measures.lpips import distance
from runtime.errors import InputError
from train.pairs import Picture

Measure = Callable[[Picture, Picture], float]


@dataclass(frozen=True)
class Described:
    """One measure and how to read it."""

    compute: Measure
    unit: str
    #: True: more is better; False: less is; None: it says nothing alone.
    higher_is_better: bool | None
    convention: str


def checked(enhance: Callable[[Picture], Any], picture: Picture) -> Picture:
    """A network's output for a picture, which must be a picture of the same size."""
    output = np.asarray(enhance(picture))
    if output.shape != picture.shape or output.dtype != np.uint8:
        raise InputError(f"the network returned {output.dtype} {output.shape}, expected uint8 {picture.shape}")
    return output


def psnr(output: Picture, truth: Picture) -> float:
    """dB; infinite for equal pictures."""
    return decibels(float(np.mean((output.astype(np.float64) - truth.astype(np.float64)) ** 2)))


def ssim(output: Picture, truth: Picture) -> float:
    """At most 1."""
    return _skimage_ssim(output, truth)


def ssim_gaussian(output: Picture, truth: Picture) -> float:
    """At most 1."""
    return _skimage_ssim(output, truth, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def _skimage_ssim(output: Picture, truth: Picture, **options: Any) -> float:
    from skimage.metrics import structural_similarity

    value: Any = structural_similarity(output, truth, channel_axis=2, data_range=255, **options)
    return float(value)


def uqi(output: Picture, truth: Picture, window: int = 8) -> float:
    """-1 to 1. A window where both pictures are flat is judged by its means alone, and is 1 where both are black."""
    return float(np.mean([_uqi_channel(output[..., c], truth[..., c], window) for c in range(3)]))


def _uqi_channel(output: NDArray[np.uint8], truth: NDArray[np.uint8], window: int) -> float:
    x, y = output.astype(np.float64), truth.astype(np.float64)
    mx, my = _window_means(x, window), _window_means(y, window)
    vx, vy = _window_means(x * x, window) - mx * mx, _window_means(y * y, window) - my * my
    covariance = _window_means(x * y, window) - mx * my
    tiny = 1e-9
    means, variances = mx * mx + my * my, vx + vy
    luminance = np.where(means > tiny, 2 * mx * my / np.maximum(means, tiny), 1.0)
    structure = np.where(variances > tiny, 2 * covariance / np.maximum(variances, tiny), 1.0)
    return float(np.mean(luminance * structure))


def _window_means(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Means over all window x window squares that lie within the picture."""
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    total = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window] + sums[:-window, :-window]
    return total / window**2


def ciede2000(output: Picture, truth: Picture) -> float:
    """0 for equal colours; about 1 is just noticeable."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    return float(np.mean(deltaE_ciede2000(rgb2lab(output), rgb2lab(truth))))


def angular_error(output: Picture, truth: Picture) -> float:
    """0 to 90 degrees."""
    x, y = (_unit_colours(picture) for picture in (output, truth))
    # Half the chord, rather than the cosine, keeps small angles exact.
    chord = np.linalg.norm(x - y, axis=-1) / 2
    return float(np.degrees(2 * np.arcsin(np.clip(chord, 0, 1))).mean())


def _unit_colours(picture: Picture) -> NDArray[np.float64]:
    colours = picture.astype(np.float64)
    colours[(picture == 0).all(axis=-1)] = 1.0
    return colours / np.linalg.norm(colours, axis=-1, keepdims=True)


def grey_entropy(output: Picture, truth: Picture) -> float:
    """0 to 8 bits, of the output; grey is ITU-R BT.601."""
    from skimage.measure import shannon_entropy

    return float(shannon_entropy(np.rint(output.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))))


def colour_entropy(output: Picture, truth: Picture) -> float:
    """0 to 24 bits, of the output: the sum over the channels."""
    from skimage.measure import shannon_entropy

    return float(sum(shannon_entropy(output[..., channel]) for channel in range(3)))


MEASURES: dict[str, Described] = {
    "psnr": Described(psnr, "dB", True, "RGB, uint8, against 255"),
    "ssim": Described(ssim, "", True, "scikit-image, 7x7 uniform window, sample covariance, mean of channels"),
    "ssim_gaussian": Described(ssim_gaussian, "", True, "11x11 Gaussian window, sigma 1.5, mean of channels"),
    "lpips": Described(distance, "", False, "v0.1, AlexNet"),
    "fsim": Described(feature_similarity, "", True, "FSIMc, Zhang et al. 2011"),
    "uqi": Described(uqi, "", True, "8x8 uniform windows, mean of channels"),
    "ciede2000": Described(ciede2000, "", False, "mean over pixels, D65"),
    "angular_error": Described(angular_error, "degrees", False, "mean over pixels"),
    "grey_entropy": Described(grey_entropy, "bits", None, "of the output"),
    "colour_entropy": Described(colour_entropy, "bits", None, "of the output, sum of channels"),
}
