"""The terms that the papers' losses are made of. Images are N x 3 x H x W, nominally in [0, 1]; every term is a scalar.

Sums over pixels, where a paper writes them, are taken as means, so that a weight means the same at every size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from train.ssim import ms_ssim, ssim


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(x, y)


def l2(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference."""
    return F.mse_loss(x, y)


def mean_colour(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference between the pictures' mean colours: how far a whole crop is too dark or too bright."""
    return F.l1_loss(x.mean(dim=(2, 3)), y.mean(dim=(2, 3)))


def displayed(x: Tensor, slope: float) -> Tensor:
    """An unclipped result as a screen shows it: beyond [0, 1] a difference counts for `slope` of itself."""
    return x.clamp(0.0, 1.0) * (1 - slope) + x * slope


def chroma(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of R - G and B - G, the colours without their brightness."""
    return l1(x[:, ::2] - x[:, 1:2], y[:, ::2] - y[:, 1:2])


def summed_l2(x: Tensor, y: Tensor) -> Tensor:
    """Squared differences summed over a picture, averaged over the batch (DSN, equations 12 to 14)."""
    return (x - y).square().sum(dim=(1, 2, 3)).mean()


def structure(x: Tensor, y: Tensor) -> Tensor:
    """1 - SSIM: 11x11 Gaussian window of sigma 1.5, without padding, mean over channels."""
    return 1 - ssim(x, y)


def multi_scale_structure(x: Tensor, y: Tensor) -> Tensor:
    """1 - MS-SSIM over five scales; negative scale terms are cut at 0. Needs more than 160 pixels to each side."""
    return 1 - ms_ssim(x, y)


def forward_constraint(illumination: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """PDN, equation 10: mean |y - S / L|."""
    return l1(low / illumination, high)


def backward_constraint(illumination: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """PDN, equation 12: mean |y L - S|, which weighs dark pixels by how much they're amplified."""
    return l1(high * illumination, low)


def noise_removal(noise: Tensor, noisy: Tensor, clean: Tensor) -> Tensor:
    """PDN, equation 13: 1 - MS-SSIM(y, y_n - f(y_n))."""
    return multi_scale_structure(noisy - noise, clean)


def noise_addition(noise: Tensor, noisy: Tensor, clean: Tensor) -> Tensor:
    """PDN, equation 14: 1 - MS-SSIM(y_n, y + f(y_n))."""
    return multi_scale_structure(clean + noise, noisy)


def colour_angle(x: Tensor, y: Tensor) -> Tensor:
    """Mean of 1 - cosine between the RGB vectors of each pixel; 0 where both point the same way."""
    return (1 - F.cosine_similarity(x, y, dim=1, eps=1e-4)).mean()


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Forward differences along the width and along the height."""
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def gradient_difference(x: Tensor, y: Tensor) -> Tensor:
    """BLNet's L_grad: mean |dx - dy|, both directions added."""
    (xh, xv), (yh, yv) = gradients(x), gradients(y)
    return l1(xh, yh) + l1(xv, yv)


def total_variation(x: Tensor) -> Tensor:
    """BLNet's L_TV: mean squared forward differences, both directions added."""
    horizontal, vertical = gradients(x)
    return horizontal.square().mean() + vertical.square().mean()


def smooth_illumination(illumination: Tensor, reflectance: Tensor, sharpness: float = 10.0) -> Tensor:
    """BLNet's L_smooth: mean |dI| exp(-sharpness |d grey(R)|), both directions added.

    The illumination may change where the reflectance does. The gradients of R are averaged over 3x3 pixels.
    """
    weights = reflectance.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = (reflectance * weights).sum(dim=1, keepdim=True)
    total = illumination.new_zeros(())
    for di, dr in zip(gradients(illumination), gradients(grey), strict=True):
        edge = F.avg_pool2d(dr.abs(), 3, stride=1, padding=1, count_include_pad=False)
        total = total + (di.abs() * torch.exp(-sharpness * edge)).mean()
    return total


def cross_reconstruction(
    reflectances: tuple[Tensor, Tensor],
    illuminations: tuple[Tensor, Tensor],
    images: tuple[Tensor, Tensor],
    cross: float = 0.001,
) -> Tensor:
    """BLNet's L_rc over all pairs (i, j) of low and high: lambda_ij mean |R_i I_j - S_j|, lambda_ij = `cross` for i != j."""
    total = images[0].new_zeros(())
    for i, reflectance in enumerate(reflectances):
        for j, (illumination, image) in enumerate(zip(illuminations, images, strict=True)):
            total = total + (1.0 if i == j else cross) * l1(reflectance * illumination, image)
    return total


def frobenius(x: Tensor, y: Tensor) -> Tensor:
    """MSR-net: the squared Frobenius norm of the difference over the number of values."""
    return l2(x, y)


class QuantiseTo8Bit(torch.autograd.Function):
    """Round to 8-bit codes; the gradient passes straight through (DSN's backward direction)."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.round(x.clamp(0.0, 1.0) * 255.0) / 255.0

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad


def quantise(x: Tensor) -> Tensor:
    """Clip to [0, 1] and round to 8-bit codes, with a straight-through gradient."""
    result: Tensor = QuantiseTo8Bit.apply(x)  # pyright: ignore[reportAssignmentType]
    return result


def add_poisson_noise(image: Tensor, low: float = 30.0, high: float = 200.0) -> Tensor:
    """Shot noise for PDN's denoiser: per picture a peak of `low` to `high` photons at white, drawn uniformly."""
    peak = torch.empty(image.shape[0], 1, 1, 1, device=image.device).uniform_(low, high)
    return torch.poisson(image * peak) / peak
