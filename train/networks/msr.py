"""Classical multi-scale Retinex as a graph: no weights, nothing to train.

MSR (Jobson, Rahman, Woodell, 1997) is the mean over three Gaussians of log I - log(G * I); MSRCR multiplies it with a
colour restoration. Both end in a linear stretch of mean +- k standard deviations to [0, 1]. BLNet's paper reports 13.17 dB and
an SSIM of 0.462 of MSRCR on LOL.

Readings of the literature:
- I = 255 x + 1, natural logarithm; scales of 15, 80 and 250 pixels with equal weights; alpha = 125, beta = 1;
- the logarithm of the blurred picture is taken (the arithmetic form, which is what implementations do);
- borders are mirrored with the edge pixel repeated. There a Gaussian is a product in the cosine basis, so the three
  blurs cost a few small matrix products whatever their size; frequencies that the narrowest Gaussian weakens below
  1e-3 are left out.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from runtime.artifact.contract import LogDifference
from train.networks.registry import NetworkSpec

SIGMAS = (15.0, 80.0, 250.0)
ALPHA = 125.0


def _cosine_basis(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the low rows of the cosine basis, K x size, and their angular frequencies, K.

    Times sqrt(2 / size) it is orthonormal. A square root of a size would be frozen at export, so the caller scales.
    """
    count = (size * 79 + 999) // 1000 + 1  # 1 + ceil(size * sqrt(2 ln 1000) / (15 pi))
    frequency = torch.arange(count, dtype=torch.float32, device=device) * (math.pi / size)
    position = torch.arange(size, dtype=torch.float32, device=device) + 0.5
    rows = torch.cos(frequency[:, None] * position[None, :])
    return torch.cat([rows[:1] * math.sqrt(0.5), rows[1:]], dim=0), frequency


class MultiScaleRetinex(nn.Module):
    """N x 3 x H x W in [0, 1] to the same shape; the output is stretched but not clipped."""

    def __init__(self, color_restoration: bool = False, spread: float = 2.0) -> None:
        super().__init__()
        self.color_restoration = color_restoration
        self.spread = spread

    def retinex(self, intensity: Tensor) -> Tensor:
        """Return the multi-scale Retinex, in natural-log units, of an intensity in [1, 256]."""
        height, width = intensity.shape[2:]
        rows, row_frequency = _cosine_basis(height, intensity.device)
        columns, column_frequency = _cosine_basis(width, intensity.device)
        spectrum = rows @ intensity @ columns.T * (2.0 / height) * (2.0 / width)
        log_intensity = torch.log(intensity)
        total = torch.zeros_like(intensity)
        for sigma in SIGMAS:
            row_gain = torch.exp(row_frequency.square() * (-0.5 * sigma * sigma))
            column_gain = torch.exp(column_frequency.square() * (-0.5 * sigma * sigma))
            blurred = rows.T @ (spectrum * row_gain[:, None] * column_gain[None, :]) @ columns
            # The truncated basis can ring slightly below the smallest intensity.
            total = total + (log_intensity - torch.log(torch.clamp(blurred, min=1.0)))
        return total / len(SIGMAS)

    def forward(self, image: Tensor) -> Tensor:
        intensity = image * 255.0 + 1.0
        value = self.retinex(intensity)
        if self.color_restoration:
            value = value * (torch.log(ALPHA * intensity) - torch.log(intensity.sum(dim=1, keepdim=True)))
        mean = value.mean(dim=(1, 2, 3), keepdim=True)
        deviation = (value - mean).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        # Of a flat picture only rounding errors are left, some 1e-7 of them: they stay below a code of 8 bits.
        return (value - mean) / (2.0 * self.spread * deviation + 1e-4) + 0.5


SPEC = NetworkSpec(
    name="msr",
    title="Multi-scale Retinex",
    build=MultiScaleRetinex,
    parameters=0,
    islands=("*",),
    contract=(LogDifference(len(SIGMAS)),),
)

MSRCR = NetworkSpec(
    name="msrcr",
    title="Multi-scale Retinex with colour restoration",
    build=partial(MultiScaleRetinex, color_restoration=True, spread=1.2),
    parameters=0,
    islands=("*",),
    contract=(LogDifference(len(SIGMAS)),),
)
