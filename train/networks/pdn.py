"""PDN, the progressive dual network: illumination estimated twice, noise removed twice.

Huang, Hu, Yang, Li, Wang: "A Low-Exposure Image Enhancement Based on Progressive Dual Network Model",
Chinese Journal of Computers, 2021. Its scores, on LOL, are charts without digits.

Readings of the paper:
- coarse frames have six convolutions and fine frames four, in both modules, each with a 3-channel output convolution;
- the second division is S / L2 (`second_division="coarse"`: R1 / L2);
- both illuminations are clamped to [1/255, 1]; their output convolutions carry no ReLU, which the clamp makes redundant;
- the noise is signed: the noise output convolutions are linear;
- R1 is clipped to [0, 1] before it is concatenated with the input as [R1, S].
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from runtime.artifact.contract import Division, NoiseSubtraction
from train.networks.registry import NetworkSpec
from train.networks.retinex import Clamp, Divide, Subtract, clip01


class Stages(NamedTuple):
    """Every intermediate picture of PDN, N x 3 x H x W."""

    coarse_illumination: Tensor
    coarse_reflectance: Tensor
    illumination: Tensor
    reflectance: Tensor
    coarse_clean: Tensor
    enhanced: Tensor


def _conv(cin: int, cout: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2), nn.ReLU())


def _double(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(cin, cout, 3, 2, 1, output_padding=1), nn.ReLU())


def _coarse_frame() -> nn.Sequential:
    return nn.Sequential(
        _conv(3, 32), _conv(32, 64, stride=2), _conv(64, 128, stride=2), _conv(128, 128, 1), _double(128, 64), _double(64, 32)
    )


def _fine_frame(cin: int) -> nn.Sequential:
    return nn.Sequential(_conv(cin, 32), _conv(32, 64, stride=2), _conv(64, 64, 1), _double(64, 32))


class IlluminationFrame(nn.Module):
    """A frame whose output is a clamped illumination in [1/255, 1]."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body
        self.tail = nn.Conv2d(32, 3, 3, padding=1)
        # The gradient of the clamp is 0 outside its range: start in the middle of it.
        nn.init.constant_(self.tail.bias, 0.5)  # pyright: ignore[reportArgumentType]
        self.clamp = Clamp()

    def forward(self, x: Tensor) -> Tensor:
        return self.clamp(self.tail(self.body(x)))


class NoiseFrame(nn.Module):
    """A frame whose output is a signed noise map."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body
        self.tail = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.body(x))


class PDN(nn.Module):
    """N x 3 x H x W in [0, 1], H and W multiples of 4, to the same shape; the output is not clipped."""

    def __init__(self, second_division: Literal["input", "coarse"] = "input") -> None:
        super().__init__()
        self.second_division = second_division
        self.coarse_light = IlluminationFrame(_coarse_frame())
        self.coarse_divide = Divide()
        self.fine_light = IlluminationFrame(_fine_frame(6))
        self.fine_divide = Divide()
        self.coarse_noise = NoiseFrame(_coarse_frame())
        self.coarse_subtract = Subtract()
        self.fine_noise = NoiseFrame(_fine_frame(3))
        self.fine_subtract = Subtract()

    def brighten(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return L1, R1, L2 and R of the enhancement module."""
        coarse_illumination = self.coarse_light(image)
        coarse = self.coarse_divide(image, coarse_illumination)
        illumination = self.fine_light(torch.cat([clip01(coarse), image], dim=1))
        numerator = image if self.second_division == "input" else coarse
        return coarse_illumination, coarse, illumination, self.fine_divide(numerator, illumination)

    def illumination(self, image: Tensor) -> Tensor:
        """The illumination that the picture is divided by, N x 3 x H x W."""
        return self.brighten(image)[2]

    def denoise(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the picture after the first and after the second subtraction."""
        coarse = self.coarse_subtract(noisy, self.coarse_noise(noisy))
        return coarse, self.fine_subtract(coarse, self.fine_noise(coarse))

    def stages(self, image: Tensor) -> Stages:
        coarse_light, coarse, light, reflectance = self.brighten(image)
        return Stages(coarse_light, coarse, light, reflectance, *self.denoise(reflectance))

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image).enhanced


SPEC = NetworkSpec(
    name="pdn",
    title="Progressive dual network",
    build=PDN,
    parameters=492_396,
    multiple=4,
    halo=24,
    islands=("*_light.tail", "*_light.clamp", "*_divide", "*_subtract"),
    contract=(Division(2), NoiseSubtraction(2)),
    weights="pdn",
)
