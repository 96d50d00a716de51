"""Dawn for films and cameras: the same light, a simpler illumination, and a noise stage of a few convolutions on cells.

At 2 megapixels a network of this size spends its time on memory, so this one passes over the picture as seldom as can be:

- The illumination is a brightness for each channel, times share x root + (1 - share). The root is that of the pixel's own
  mean over the whole picture's: where the share is 1 that is a gamma of 2, where it is 0 the illumination is smooth. There
  is no logarithm or exponential at full resolution.
- Share and brightness are the same for `BAND` rows, so that they are enlarged to a fourth of the picture only.
- The noise stage looks at cells of 4 x 4 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from runtime.artifact.contract import Division, NoiseSubtraction
from train.networks.dawn import BRIGHT, CONTEXT, SOFT, Block, Decider, Light
from train.networks.overview import POINTS, enlarge
from train.networks.registry import NetworkSpec, PaperFigures, PartsSpec
from train.networks.retinex import Clamp, Divide, Subtract

#: Side of the noise stage's cells, in pixels, and of the squares that a picture's sides must be multiples of.
CELL, MULTIPLE = 4, 8
#: Rows that share their brightness.
BAND = 4
#: Pixels of context that the noise stage looks at, to each side.
HALO = 47


class Bright(NamedTuple):
    """A picture, or a part of one, after the division."""

    #: In bands, N x 3 x H / BAND x BAND x W.
    reflectance: Tensor
    #: N x 8 x h x w, in cells.
    context: Tensor


class Root(nn.Module):
    """The square root of each pixel's mean, over that of the whole picture, N x 1 x H x W."""

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        return torch.sqrt(image.mean(1, keepdim=True) + SOFT) * torch.exp(level * -0.5)


class Brightness(nn.Module):
    """A share in [0, 1], and a brightness for each channel, from the slope and the offsets of Dawn's curve."""

    def forward(self, curve: Tensor, level: Tensor) -> Tensor:
        brightness = torch.exp(curve[:, 1:] + (level + -math.log(BRIGHT)))
        return torch.cat([torch.clamp(curve[:, :1] * 2.0, 0.0, 1.0), brightness], dim=1)


class Illuminate(nn.Module):
    """(share x (root - 1) + 1) x brightness."""

    def forward(self, root: Tensor, maps: Tensor) -> Tensor:
        return (maps[:, :1] * (root + -1.0) + 1.0) * maps[:, 1:]


class ToBands(nn.Module):
    """N x C x H x W as N x C x H / BAND x BAND x W."""

    def forward(self, image: Tensor) -> Tensor:
        return image.reshape(*image.shape[:2], -1, BAND, image.shape[3])


class FromBands(nn.Module):
    """The opposite of `ToBands`."""

    def forward(self, bands: Tensor) -> Tensor:
        return bands.flatten(2, 3)


class Noise(nn.Module):
    """Convolutions on cells, two of them on cells twice as large."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        fine, coarse = widths
        self.look = nn.Conv2d(3, fine, CELL, CELL)
        self.told = nn.Conv2d(CONTEXT, fine, 1)
        self.down = nn.Conv2d(fine, coarse, 2, 2)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(blocks)))
        self.up = nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2))
        self.fine = Block(fine)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, reflectance: Tensor, context: Tensor) -> Tensor:
        x = self.act(self.look(reflectance) + self.told(context))
        return self.act(self.fine(x + self.up(self.coarse(self.down(x)))))


class DawnLive(Decider):
    """N x 3 x H x W in [0, 1], H and W multiples of 8, to the same shape; the output is not clipped."""

    def __init__(
        self,
        light_widths: Sequence[int] = (24, 32, 48, 64, 96),
        light_blocks: Sequence[int] = (1, 1, 1, 2, 2),
        noise_widths: Sequence[int] = (24, 40),
        noise_blocks: int = 2,
    ) -> None:
        super().__init__(CELL, light_widths, light_blocks)
        self.root = Root()
        self.brightness = Brightness()
        self.illuminate = Illuminate()
        self.clamp = Clamp()
        self.divide = Divide()
        self.noise = Noise(noise_widths, noise_blocks)
        self.noise_tail = nn.Conv2d(noise_widths[0], 3 * CELL**2, 1)
        nn.init.zeros_(self.noise_tail.weight)
        nn.init.zeros_(self.noise_tail.bias)  # pyright: ignore[reportArgumentType]
        self.to_picture = nn.PixelShuffle(CELL)
        self.to_bands = ToBands()
        self.to_pixels = FromBands()
        self.subtract = Subtract()

    def forward(self, image: Tensor) -> Tensor:
        grid, side = self.overview(image)
        return self.to_pixels(self.clean(self.brighten(image, self.decide(grid), side)))

    def brighten(self, image: Tensor, light: Light, side: Tensor | int) -> Bright:
        """Divide a picture, or a part of one whose squares are those of `light`, by its illumination."""
        reflectance = self.divide(self.to_bands(image), self._illumination(image, light, side))
        return Bright(reflectance, enlarge(light.context, side, image, CELL))

    def _illumination(self, image: Tensor, light: Light, side: Tensor | int) -> Tensor:
        """In bands."""
        maps = enlarge(self.brightness(light.curve, light.level), side, image, BAND, 1).unsqueeze(3)
        return self.clamp(self.illuminate(self.to_bands(self.root(image, light.level)), maps))

    def clean(self, bright: Bright) -> Tensor:
        """The quotient without its noise, in bands."""
        noise = self.noise_tail(self.noise(self.to_pixels(bright.reflectance), bright.context))
        return self.subtract(bright.reflectance, self.to_bands(self.to_picture(noise.float())))

    def divide_overview(self, grid: Tensor, light: Light) -> Tensor:
        """An overview divided by its illumination."""
        maps = self.brightness(light.curve[:, :, 1:-1, 1:-1], light.level)
        return self.divide(grid, self.clamp(self.illuminate(self.root(grid, light.level), maps)))

    def illumination(self, image: Tensor) -> Tensor:
        """The clamped illumination, N x 3 x H x W."""
        grid, side = self.overview(image)
        return self.to_pixels(self._illumination(image, self.decide(grid), side))


SPEC = NetworkSpec(
    name="dawn-live",
    title="Dawn for films: the same light, noise in cells of 4 x 4",
    build=DawnLive,
    parameters=896_884,
    paper=PaperFigures(source="ours"),
    multiple=MULTIPLE,
    halo=None,
    islands=(
        "overview",
        "level",
        "normalise",
        "curve",
        "frame_*",
        "root",
        "brightness",
        "illuminate",
        "clamp",
        "divide",
        "to_picture",
        "to_bands",
        "to_pixels",
        "subtract",
    ),
    contract=(
        Division(count=1, guided=True),
        NoiseSubtraction(count=1),
    ),
    parts=PartsSpec(overview="overview", light=("frame_curve", "frame_context", "level"), points=POINTS, unit=CELL, halo=HALO),
    weights="dawn-live",
)
