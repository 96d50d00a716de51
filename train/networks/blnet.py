"""BLNet: one U-Net splits a picture into reflectance and illumination, a second one brightens the illumination.

Wei et al.: "BLNet: A Fast Deep Learning Framework for Low-Light Image Enhancement with Noise Removal and Color
Restoration", arXiv 2106.15953. It reports 20.14 dB and an SSIM of 0.792 on LOL.

Readings of the paper:
- five levels of 32 to 512 channels, one 3x3 convolution each, LeakyReLU 0.2, max pooling, 2x2 transposed convolutions;
- the decomposition's head has four channels: R and I;
- the second U-Net takes R and I together, and a sigmoid bounds its illumination;
- the module for noise and colour bias (NCBC) is a frozen four-layer network of the losses, absent from this file's graph.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from runtime.artifact.contract import Product
from train.networks.registry import NetworkSpec
from train.networks.retinex import Multiply

LEVELS = 5


class Stages(NamedTuple):
    """Reflectance (N x 3), illumination (N x 1), brightened illumination (N x 1) and their product (N x 3)."""

    reflectance: Tensor
    illumination: Tensor
    bright_illumination: Tensor
    enhanced: Tensor


def _conv(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.LeakyReLU(0.2))


class UNet(nn.Module):
    """N x cin x H x W, H and W multiples of 16, to N x cout x H x W in [0, 1]."""

    def __init__(self, cin: int, cout: int, base: int) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(LEVELS)]
        self.encoder = nn.ModuleList(_conv(i, o) for i, o in pairwise([cin, *widths]))
        self.pool = nn.MaxPool2d(2)
        downward = widths[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, 2) for i, o in pairwise(downward))
        self.decoder = nn.ModuleList(_conv(2 * o, o) for o in downward[1:])
        self.head = nn.Conv2d(base, cout, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, layer in enumerate(self.encoder):
            x = layer(self.pool(x) if level else x)
            skips.append(x)
        for up, layer, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            x = layer(torch.cat([up(x), skip], dim=1))
        return self.sigmoid(self.head(x))


class SplitMaps(nn.Module):
    """Four maps to reflectance, N x 3, and illumination, N x 1."""

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps[:, :3], maps[:, 3:]


class BLNet(nn.Module):
    """N x 3 x H x W in [0, 1], H and W multiples of 16, to the same shape and range."""

    def __init__(self, base: int = 32) -> None:
        super().__init__()
        self.decomposition = UNet(3, 4, base)
        # Dark pictures are some ten times darker than what the usual initialisation expects; colours drown in the biases.
        self.decomposition.encoder[0][0].weight.data *= 8.0  # pyright: ignore[reportIndexIssue]
        self.split = SplitMaps()
        self.enhancement = UNet(4, 1, base)
        self.product = Multiply()

    def decompose(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reflectance, N x 3, and the illumination, N x 1."""
        return self.split(self.decomposition(image))

    def stages(self, image: Tensor) -> Stages:
        reflectance, illumination = self.decompose(image)
        bright = self.enhancement(torch.cat([reflectance, illumination], dim=1))
        return Stages(reflectance, illumination, bright, self.product(reflectance, bright))

    def illumination(self, image: Tensor) -> Tensor:
        """The brightened illumination, N x 1 x H x W."""
        return self.stages(image).bright_illumination

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image).enhanced


SPEC = NetworkSpec(
    name="blnet",
    title="BLNet",
    build=BLNet,
    parameters=7_665_605,
    multiple=16,
    halo=128,
    islands=("*.head", "*.sigmoid", "split", "product"),
    contract=(Product(1),),
    weights="blnet",
    weight_bits=8,
)
