"""PDN, the progressive dual network: illumination estimated twice, noise removed twice.

Huang, Hu, Yang, Li, Wang: "A Low-Exposure Image Enhancement Based on Progressive Dual Network Model",
Chinese Journal of Computers, 2021.

Readings of the paper:
- coarse frames have six convolutions and fine frames four, in both modules, each with a 3-channel output convolution;
- the second division is S / L2 (`second_division="coarse"`: R1 / L2);
- both illuminations are clamped to [1/255, 1]; their output convolutions carry no ReLU, which the clamp makes redundant;
- the noise is signed: the noise output convolutions are linear;
- R1 is clipped to [0, 1] before it is concatenated with the input as [R1, S].

`fast` is ours. Illumination is smooth: it is estimated on the picture averaged over 4 x 4 pixels, and enlarged by a
convolution that starts as bilinear interpolation. Noise differs from pixel to pixel: it is estimated at full resolution, but
with the pixels of a 2 x 2 cell as the channels of one grid point, and without strides, which would lose it. The picture is
divided, and the noise subtracted, in such cells, which is at full resolution.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from runtime.artifact.contract import Division, NoiseSubtraction
from train.networks.registry import NetworkSpec, PaperFigures
from train.networks.retinex import Clamp, Divide, Subtract, clip01

#: The fast variant's squares of pixels: of one point of the illumination's grid, and of one cell of the noise.
GRID, CELL = 4, 2


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


def _cell_noise_frame(convolutions: int) -> NoiseFrame:
    """A noise frame on cells."""
    channels = 3 * CELL**2
    width = 32
    layers = [_conv(channels, width), *(_conv(width, width) for _ in range(convolutions - 1))]
    return NoiseFrame(nn.Sequential(*layers), channels)


class IlluminationFrame(nn.Module):
    """A frame whose output is a clamped illumination in [1/255, 1]; enlarged, where that is asked for, from grid to cells."""

    def __init__(self, body: nn.Sequential, enlarged: bool = False) -> None:
        super().__init__()
        self.body = body
        self.tail = nn.Conv2d(32, 3, 3, padding=1)
        # The gradient of the clamp is 0 outside its range: start in the middle of it.
        nn.init.constant_(self.tail.bias, 0.5)  # pyright: ignore[reportArgumentType]
        self.enlarge = Enlarge() if enlarged else nn.Identity()
        self.clamp = Clamp()

    def forward(self, x: Tensor) -> Tensor:
        return self.clamp(self.enlarge(self.raw(x)))

    def raw(self, x: Tensor) -> Tensor:
        """One value for each grid point, neither enlarged nor clamped."""
        return self.tail(self.body(x))


class NoiseFrame(nn.Module):
    """A frame whose output is a signed noise map of `channels`."""

    def __init__(self, body: nn.Sequential, channels: int = 3) -> None:
        super().__init__()
        self.body = body
        self.tail = nn.Conv2d(32, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.body(x))


class Average(nn.Module):
    """N x 12 x h x w, cells, to N x 3 x h/2 x w/2: means over 4 x 4 pixels. A convolution, which runtimes do fastest."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.eye(3).repeat_interleave(CELL**2, dim=1)[:, :, None, None].repeat(1, 1, GRID // CELL, GRID // CELL)
        self.register_buffer("weight", weight / GRID**2, persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        return nn.functional.conv2d(cells, self.get_buffer("weight"), stride=GRID // CELL)


class Enlarge(nn.Module):
    """N x 3 x h x w, on the grid, to N x 12 x 2h x 2w, cells: bilinear interpolation until it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.interpolate = nn.Conv2d(3, 3 * GRID**2, 3, padding=1, padding_mode="replicate", bias=False)
        self.to_cells = nn.PixelShuffle(GRID // CELL)
        # A grid point's pixels lie at these distances from it; the share of a neighbour falls with its distance to a pixel.
        offsets = (torch.arange(GRID) + 0.5) / GRID - 0.5
        shares = (1 - (torch.arange(-1, 2) - offsets[:, None]).abs()).clamp_min(0)
        kernels = torch.einsum("ay,bx->abyx", shares, shares)
        # From (row, column) in the square of the grid point to (row, column) in the cell, then those of the cell.
        kernels = kernels.reshape(GRID // CELL, CELL, GRID // CELL, CELL, 3, 3).permute(1, 3, 0, 2, 4, 5)
        weight = torch.einsum("oi,pyx->opiyx", torch.eye(3), kernels.reshape(GRID**2, 3, 3))
        with torch.no_grad():
            self.interpolate.weight.copy_(weight.reshape(self.interpolate.weight.shape))

    def forward(self, light: Tensor) -> Tensor:
        return self.to_cells(self.interpolate(light))


class PDN(nn.Module):
    """N x 3 x H x W in [0, 1], H and W multiples of 4 (`fast`: 16), to the same shape; the output is not clipped."""

    #: True where a network also looks at the whole picture (see `train.networks.pdn_global`).
    sees_overview = False

    def __init__(self, second_division: Literal["input", "coarse"] = "input", fast: bool = False) -> None:
        super().__init__()
        if fast and second_division != "input":
            raise ValueError("the fast variant divides the input: R1 is not of its size")
        self.second_division = second_division
        self.to_cells = nn.PixelUnshuffle(CELL) if fast else nn.Identity()
        self.to_pixels = nn.PixelShuffle(CELL) if fast else nn.Identity()
        self.reduce = Average() if fast else nn.Identity()
        self.coarse_light = IlluminationFrame(_coarse_frame())
        self.coarse_divide = Divide()
        self.fine_light = IlluminationFrame(_fine_frame(6), enlarged=fast)
        self.fine_divide = Divide()
        self.coarse_noise = _cell_noise_frame(2) if fast else NoiseFrame(_coarse_frame())
        self.coarse_subtract = Subtract()
        self.fine_noise = _cell_noise_frame(1) if fast else NoiseFrame(_fine_frame(3))
        self.fine_subtract = Subtract()

    def enhancement_modules(self) -> list[nn.Module]:
        """The half that brightens, which the paper trains first."""
        return [self.coarse_light, self.fine_light]

    def denoising_modules(self) -> list[nn.Module]:
        """The half that removes noise, which the paper trains second."""
        return [self.coarse_noise, self.fine_noise]

    def brighten(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return L1, R1, L2 and R of the enhancement module; L1 and R1 of the fast variant are of its grid's size."""
        coarse_illumination, coarse, illumination, reflectance = self._brighten(image)
        return coarse_illumination, coarse, self.to_pixels(illumination), self.to_pixels(reflectance)

    def illumination(self, image: Tensor) -> Tensor:
        """The illumination that the picture is divided by, N x 3 x H x W."""
        return self.brighten(image)[2]

    def denoise(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the picture after the first and after the second subtraction."""
        coarse, fine = self._denoise(self.to_cells(noisy))
        return self.to_pixels(coarse), self.to_pixels(fine)

    def stages(self, image: Tensor) -> Stages:
        return self._stages(*self._brighten(image))

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image).enhanced

    def _brighten(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `brighten`, with L2 and R in cells."""
        cells = self.to_cells(image)
        seen = self.reduce(cells)
        coarse_illumination = self.coarse_light(seen)
        coarse = self.coarse_divide(seen, coarse_illumination)
        illumination = self.fine_light(torch.cat([clip01(coarse), seen], dim=1))
        numerator = cells if self.second_division == "input" else coarse
        return coarse_illumination, coarse, illumination, self.fine_divide(numerator, illumination)

    def _denoise(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """As `denoise`, in cells."""
        coarse = self.coarse_subtract(noisy, self.coarse_noise(noisy))
        return coarse, self.fine_subtract(coarse, self.fine_noise(coarse))

    def _stages(self, coarse_light: Tensor, coarse: Tensor, light: Tensor, reflectance: Tensor) -> Stages:
        """From what `_brighten` returned to every intermediate picture."""
        clean, enhanced = self._denoise(reflectance)
        pixels = self.to_pixels
        return Stages(coarse_light, coarse, pixels(light), pixels(reflectance), pixels(clean), pixels(enhanced))


SPEC = NetworkSpec(
    name="pdn",
    title="Progressive dual network",
    build=PDN,
    parameters=492_396,
    paper=PaperFigures(source="Huang et al., Chinese Journal of Computers 2021 (charts only, no digits)", dataset="LOL"),
    multiple=4,
    halo=24,
    islands=("*_light.tail", "*_light.clamp", "*_divide", "*_subtract"),
    contract=(Division(2), NoiseSubtraction(2)),
    weights="pdn",
)
