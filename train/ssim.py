"""SSIM (Wang et al. 2004) and MS-SSIM (Wang et al. 2003) of batches of pictures in [0, 1], differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW, _SIGMA = 11, 1.5
#: The constants of luminance and of contrast.
_C1, _C2 = 0.01**2, 0.03**2
#: Five scales of the window need more pixels than this to each side.
SIDE = 160
#: The exponent of each scale, the finest first.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean over batch, channels and pixels: 11x11 Gaussian window of sigma 1.5, without padding."""
    luminance, contrast = _terms(x, y)
    return (luminance * contrast).mean()


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Contrast at five scales times luminance at the coarsest; negative terms are cut at 0."""
    if min(x.shape[2:]) <= SIDE:
        raise ValueError(f"MS-SSIM needs more than {SIDE} pixels to each side, found {x.shape[2]}x{x.shape[3]}")
    product: Tensor | float = 1.0
    for scale, exponent in enumerate(_EXPONENTS):
        if scale:
            x, y = _halved(x), _halved(y)
        luminance, contrast = _terms(x, y)
        term = luminance * contrast if scale == len(_EXPONENTS) - 1 else contrast
        product = product * term.mean(dim=(2, 3)).relu() ** exponent
    return torch.as_tensor(product).mean()


def _terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast with structure, of every window."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    variances = _blurred(x * x) - mean_x.square() + _blurred(y * y) - mean_y.square()
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return luminance, (2 * covariance + _C2) / (variances + _C2)


def _blurred(x: Tensor) -> Tensor:
    """The weighted mean of each window, of each channel by itself."""
    channels = x.shape[1]
    places = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    weights = torch.exp(-(places**2) / (2 * _SIGMA**2))
    window = (weights / weights.sum()).expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(x, window.transpose(2, 3), groups=channels), window, groups=channels)


def _halved(x: Tensor) -> Tensor:
    """Means of 2x2 pixels; an odd side gets a row of zeros before it."""
    return F.avg_pool2d(x, 2, padding=[side % 2 for side in x.shape[2:]])
