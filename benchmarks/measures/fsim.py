"""FSIMc: similarity of phase congruency, gradients and chroma.

Zhang, Zhang, Mou, Zhang: "FSIM: A Feature Similarity Index for Image Quality Assessment", IEEE Transactions on Image
Processing, 2011. Phase congruency after Kovesi: where the waves of all scales agree in phase, there is a feature.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float64]

SCALES, ORIENTATIONS = 4, 4
#: Wavelength of the finest filter in pixels; each next one is twice as long.
FINEST = 6.0
#: Bandwidth of a log-Gabor filter, and the spread of its angle in radians.
BANDWIDTH, ANGLE_SPREAD = 0.55, math.pi / ORIENTATIONS / 1.2
#: The threshold of noise: this many deviations above its mean, as estimated at the finest scale, less an empirical factor.
NOISE_DEVIATIONS, NOISE_FACTOR = 2.0, 1.7
#: Constants of the similarities of congruency, gradient and the two chroma channels, and the exponent of chroma.
T_CONGRUENCY, T_GRADIENT, T_CHROMA, CHROMA_EXPONENT = 0.85, 160.0, 200.0, 0.03
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def feature_similarity(output: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """FSIMc of two H x W x 3 RGB pictures; 1 for equal ones. Large pictures are averaged down first, as in the paper."""
    x, y = (_prepare(picture) for picture in (output, truth))
    congruencies = phase_congruency(x[..., 0]), phase_congruency(y[..., 0])
    gradients = _gradient(x[..., 0]), _gradient(y[..., 0])
    similarity = _alike(*congruencies, T_CONGRUENCY) * _alike(*gradients, T_GRADIENT)
    chroma = _alike(x[..., 1], y[..., 1], T_CHROMA) * _alike(x[..., 2], y[..., 2], T_CHROMA)
    weight = np.maximum(*congruencies)
    total = weight.sum()
    if total == 0:  # Neither picture has a feature: every pixel counts alike.
        weight, total = np.ones_like(weight), float(weight.size)
    return float((similarity * np.abs(chroma) ** CHROMA_EXPONENT * weight).sum() / total)


def phase_congruency(grey: Map) -> Map:
    """0 (no feature) to 1 at every pixel of an H x W picture in codes."""
    spectrum = np.fft.fft2(grey)
    energy, amplitude = np.zeros(grey.shape), np.zeros(grey.shape)
    for bank in _filters(*grey.shape):
        waves = np.fft.ifft2(spectrum * bank)
        total = waves.sum(axis=0)
        direction = total / (np.abs(total) + 1e-12)
        # Real part: along the mean phase; imaginary part: across it.
        turned = waves * np.conj(direction)
        along = (turned.real - np.abs(turned.imag)).sum(axis=0)
        energy += np.maximum(along - _noise_threshold(waves[0], bank), 0.0)
        amplitude += np.abs(waves).sum(axis=0)
    return energy / (amplitude + 1e-12)


def _noise_threshold(finest: NDArray[np.complex128], bank: Map) -> float:
    """The energy that noise alone reaches. White noise is taken from the median response of the finest filter."""
    power = np.median(np.abs(finest) ** 2) / math.log(2) / (bank[0] ** 2).sum()
    kernels = np.fft.ifft2(bank).real * math.sqrt(bank[0].size)
    squares = (kernels**2).sum()
    products = ((kernels.sum(axis=0) ** 2).sum() - squares) / 2
    deviation = math.sqrt(max(0.0, power * (squares + 2 * products)))
    return (deviation * math.sqrt(math.pi / 2) + NOISE_DEVIATIONS * deviation * math.sqrt(2 - math.pi / 2)) / NOISE_FACTOR


@lru_cache(maxsize=4)
def _filters(height: int, width: int) -> list[Map]:
    """Per orientation the filters of all scales, SCALES x H x W, in the order of the discrete Fourier transform."""
    fy, fx = (_frequencies(extent) for extent in (height, width))
    fy, fx = np.meshgrid(fy, fx, indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(-fy, fx)
    smooth_edge = 1 / (1 + (radius / 0.45) ** 30)
    radius[0, 0] = 1.0
    radial = []
    for scale in range(SCALES):
        ratio = np.log(radius * FINEST * 2**scale)
        ring = np.exp(-(ratio**2) / (2 * math.log(BANDWIDTH) ** 2)) * smooth_edge
        ring[0, 0] = 0.0
        radial.append(ring)
    banks = []
    for orientation in range(ORIENTATIONS):
        apart = angle - orientation * math.pi / ORIENTATIONS
        apart = np.abs(np.arctan2(np.sin(apart), np.cos(apart)))
        banks.append(np.stack(radial) * np.exp(-(apart**2) / (2 * ANGLE_SPREAD**2)))
    return banks


def _frequencies(extent: int) -> Map:
    """-0.5 to 0.5, zero first. For an odd extent both ends are included, as in the reference implementation."""
    if extent % 2 == 0:
        return np.fft.fftfreq(extent).astype(np.float64)
    return np.fft.ifftshift(np.arange(-(extent - 1) / 2, (extent - 1) / 2 + 1) / (extent - 1))


def _prepare(picture: NDArray[np.uint8]) -> Map:
    """YIQ in codes, averaged down so that the shorter side is nearest to 256 pixels."""
    step = max(1, round(min(picture.shape[:2]) / 256))
    height, width = (extent // step * step for extent in picture.shape[:2])
    blocks = picture[:height, :width].astype(np.float64).reshape(height // step, step, width // step, step, 3)
    return blocks.mean(axis=(1, 3)) @ _YIQ.T


def _gradient(grey: Map) -> Map:
    """Magnitude of Scharr's gradient; beyond its border a picture is black, as in the reference implementation."""
    from scipy.ndimage import convolve

    kernel = np.array([[3.0, 0.0, -3.0], [10.0, 0.0, -10.0], [3.0, 0.0, -3.0]]) / 16
    return np.hypot(convolve(grey, kernel, mode="constant"), convolve(grey, kernel.T, mode="constant"))


def _alike(x: Map, y: Map, constant: float) -> Map:
    return (2 * x * y + constant) / (x * x + y * y + constant)
