"""Dawn: illumination from an overview of the whole picture, noise from the pixels around. Our own network.

A dark picture is brightened in two Retinex steps, both at full resolution: it is divided by an illumination clamped to
[1/255, 1], and noise is subtracted from the quotient.

- The illumination is decided on the overview: the picture averaged over squares of pixels, whose side follows the
  picture's size so that the overview has about 100 x 150 points whatever the picture's size (in dawn-live 70 x 105). So a
  picture gets the same light at 0.2 and at 100 megapixels. A U-Net gives each point a slope and, for each channel, an
  offset; both are enlarged bilinearly. The logarithm of the illumination is slope x guide + offset, where the guide is the
  logarithm of the pixel's own luma. Where the slope is 0 the illumination is smooth; where it is 1 it follows the picture,
  edges and all; a slope of 0.55 everywhere is a gamma curve.
- The noise is estimated in cells of 2 x 2 pixels, by a second U-Net that sees the quotient, the illumination, which says
  how much the noise was amplified, and some features of the first. It looks at a bounded neighbourhood (`HALO`).

What lies between the two, `Light`, is all that a part of a picture needs to know of the rest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.artifact.contract import Division, NoiseSubtraction
from train.networks.overview import cut_like, enlarge, frame, overview, pad_to
from train.networks.registry import NetworkSpec, PartsSpec
from train.networks.retinex import Clamp, Divide, Subtract

#: Side of a cell of the noise U-Net, in pixels, and of the squares that a picture's sides must be multiples of.
CELL, MULTIPLE = 2, 8
#: Pixels of context that the noise stage looks at, to each side.
HALO = 75
#: Height and width of an overview together are at most this.
POINTS = 300
#: Channels of the light: one slope and three offsets; and what else the noise stage is told of the overview.
CURVE, CONTEXT = 4, 8
#: The mean level at which the illumination U-Net sees every picture, and the level it is brought to before training.
SEEN, BRIGHT = 0.06, 0.46
#: Added to a luma before its logarithm, two codes; and to a mean.
SOFT, DARKEST = 1 / 128, 1 / 1024
LUMA = (0.299, 0.587, 0.114)
#: Channels of the illumination U-Net's levels, and their residual blocks.
LIGHT_WIDTHS, LIGHT_BLOCKS = (24, 32, 48, 64, 96), (1, 1, 1, 2, 2)


class Light(NamedTuple):
    """The decisions on the overview; the maps have a point for each square of pixels, and a frame that repeats the edge."""

    #: N x 4 x (h + 2) x (w + 2): a slope and three offsets.
    curve: Tensor
    #: N x 8 x (h + 2) x (w + 2).
    context: Tensor
    #: N x 1 x 1 x 1: the logarithm of the picture's mean.
    level: Tensor


class Bright(NamedTuple):
    """A picture, or a part of one, after the division, in cells of c x c pixels; and what decided on it, enlarged."""

    #: N x 3 c c x h x w.
    reflectance: Tensor
    #: The logarithm of the illumination, N x 3 c c x h x w.
    logarithm: Tensor
    #: N x 4 x h x w, N x 8 x h x w and N x 1 x 1 x 1, as in `Light`.
    curve: Tensor
    context: Tensor
    level: Tensor


class Block(nn.Module):
    """x + conv(act(conv(x))); an identity until it is trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), nn.LeakyReLU(0.1), _zeroed(_conv(width, width)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Modulate(nn.Module):
    """Scale and shift each channel by what the map's own mean says; an identity until it is trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.decide = nn.Sequential(nn.Conv2d(width, width, 1), nn.LeakyReLU(0.1), _zeroed(nn.Conv2d(width, 2 * width, 1)))

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.decide(x.mean((2, 3), keepdim=True)).chunk(2, dim=1)
        return x + (x * scale + shift)


class UNet(nn.Module):
    """Levels of `widths`, each half as large as the one above, with so many residual blocks; additive skips."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: Sequence[int], bottom: nn.Module) -> None:
        super().__init__()
        self.first = _conv(channels, widths[0])
        self.encode = nn.ModuleList(nn.Sequential(*(Block(w) for _ in range(n))) for w, n in zip(widths, blocks, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths))
        self.bottom = bottom
        self.up = nn.ModuleList(nn.Sequential(nn.Conv2d(b, 4 * a, 1), nn.PixelShuffle(2)) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(Block(w) for w in widths[:-1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.encode[0](self.first(x))
        skips: list[Tensor] = []
        for down, encode in zip(self.down, list(self.encode)[1:], strict=True):
            skips.append(x)
            x = encode(down(x))
        x = self.bottom(x)
        for up, decode, skip in reversed(list(zip(self.up, self.decode, skips, strict=True))):
            x = decode(up(x) + skip)
        return x


class Overview(nn.Module):
    """N x 3 x H x W averaged over squares, and the side of a square; height and width are at most `points` together."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points = points

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return overview(image, self.points)


class Frame(nn.Module):
    """A map with a frame of one point that repeats its edge."""

    def forward(self, grid: Tensor) -> Tensor:
        return frame(grid)


class Level(nn.Module):
    """The logarithm of a picture's mean, N x 1 x 1 x 1."""

    def forward(self, grid: Tensor) -> Tensor:
        return torch.log(grid.mean((1, 2, 3), keepdim=True) + DARKEST)


class Normalise(nn.Module):
    """The overview at a mean level of `SEEN`, its logarithm, and how bright it was: N x 7 x h x w."""

    def forward(self, grid: Tensor, level: Tensor) -> Tensor:
        # Written without Div and Sub: in the graph, those divide by illuminations and remove noise.
        seen = grid * (torch.exp(-level) * SEEN)
        logs = torch.log(seen * (255.0 / 16.0) + 1.0 / 16.0) * (4.0 / math.log(256.0))
        plane = logs[:, :1] * 0.0 + (level * 0.5 + 1.0)
        return torch.cat([seen * 4.0, logs, plane], dim=1)


class Guide(nn.Module):
    """The logarithm of each pixel's luma: cells of c x c pixels, N x 3 c c x h x w, to N x c c x h x w."""

    def __init__(self, cell: int) -> None:
        super().__init__()
        weight = torch.tensor(LUMA)[None, :, None] * torch.eye(cell**2)[:, None, :]
        self.register_buffer("luma", weight.reshape(cell**2, 3 * cell**2, 1, 1), persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        return torch.log(F.conv2d(cells, self.get_buffer("luma")) + SOFT)


class Curve(nn.Module):
    """The convolution's output as a slope in [0, 1] and an offset in [-4, 4] for each channel."""

    def forward(self, raw: Tensor) -> Tensor:
        return torch.cat([torch.clamp(raw[:, :1] * 0.5 + 0.3, 0.0, 1.0), torch.clamp(raw[:, 1:], -4.0, 4.0)], dim=1)


class Spread(nn.Module):
    """A map with a value for each cell, and for one more to each side, as one with a value for each pixel: bilinear.

    N x C x (h + 2) x (w + 2) to N x C c c x h x w.
    """

    def __init__(self, cell: int, channels: int) -> None:
        super().__init__()
        at = (torch.arange(cell) + 0.5) / cell - 0.5
        one = torch.stack([(-at).clamp(min=0.0), 1 - at.abs(), at.clamp(min=0.0)], dim=1)
        square = torch.einsum("yi,xj->yxij", one, one).reshape(cell**2, 3, 3)
        self.register_buffer(
            "weight", torch.einsum("ab,pij->apbij", torch.eye(channels), square).flatten(0, 1), persistent=False
        )

    def forward(self, cells: Tensor) -> Tensor:
        weight = self.get_buffer("weight")
        return F.conv2d(cells, weight if weight.dtype == cells.dtype else weight.to(cells.dtype))


class Illuminate(nn.Module):
    """The illumination's logarithm, N x 3 c c x h x w: slope x guide + offset, about the picture's own level.

    At its mean level a picture is brought to BRIGHT, whatever the slope, until the offsets are trained.
    """

    def forward(self, curve: Tensor, guide: Tensor, level: Tensor) -> Tensor:
        count, pixels_of_a_cell, height, width = guide.shape
        anchored = guide + -torch.log(torch.exp(level) + SOFT)
        slopes, offsets = curve[:, :pixels_of_a_cell], curve[:, pixels_of_a_cell:]
        pixels = (slopes * anchored).reshape(count, 1, pixels_of_a_cell, height, width)
        channels = (offsets + (level + -math.log(BRIGHT))).reshape(count, 3, pixels_of_a_cell, height, width)
        return (pixels + channels).flatten(1, 2)


class Exponential(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(x)


class Brightener(nn.Module, ABC):
    """All but the noise stage, which is a subclass's: decides on light, and divides by it in cells of `cell` pixels."""

    def __init__(self, cell: int, points: int, light_widths: Sequence[int], light_blocks: Sequence[int]) -> None:
        super().__init__()
        self.cell = cell
        self.overview = Overview(points)
        self.level = Level()
        self.normalise = Normalise()
        self.light = UNet(7, light_widths, light_blocks, Modulate(light_widths[-1]))
        self.light_tail = _zeroed(_conv(light_widths[0], CURVE))
        self.context_tail = nn.Conv2d(light_widths[0], CONTEXT, 1)
        self.curve = Curve()
        self.frame_curve = Frame()
        self.frame_context = Frame()
        self.spread = Spread(cell, CURVE)
        self.guide = Guide(cell)
        self.illuminate = Illuminate()
        self.exponential = Exponential()
        self.clamp = Clamp()
        self.divide = Divide()
        self.to_pixels = nn.PixelShuffle(cell)
        self.to_cells = nn.PixelUnshuffle(cell)
        self.subtract = Subtract()

    def forward(self, image: Tensor) -> Tensor:
        grid, side = self.overview(image)
        return self.to_pixels(self.clean(self.brighten(image, self.decide(grid), side)))

    def decide(self, grid: Tensor) -> Light:
        """The light of a whole picture, from its overview N x 3 x h x w of any size."""
        level = self.level(grid)
        seen = self.normalise(grid, level)
        features = cut_like(self.light(pad_to(seen, 2 ** len(self.light.down))), grid)
        curve = self.curve(self.light_tail(features).float())
        return Light(self.frame_curve(curve), self.frame_context(self.context_tail(features).float()), level)

    def brighten(self, image: Tensor, light: Light, side: Tensor | int) -> Bright:
        """Divide a picture, or a part of one whose squares are those of `light`, by its illumination."""
        curve = enlarge(light.curve, side, image, self.cell, margin=1)
        logarithm, reflectance = self._brighten(self.to_cells(image), self.spread(curve), light.level)
        context = enlarge(light.context, side, image, self.cell)
        return Bright(reflectance, logarithm, curve[:, :, 1:-1, 1:-1], context, light.level)

    def _brighten(self, cells: Tensor, curve: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        logarithm = self.illuminate(curve, self.guide(cells), level)
        return logarithm, self.divide(cells, self.clamp(self.exponential(logarithm)))

    @abstractmethod
    def clean(self, bright: Bright) -> Tensor:
        """The quotient without its noise, in cells."""

    def divide_overview(self, grid: Tensor, light: Light) -> Tensor:
        """An overview divided by its illumination: each point as a cell of equal pixels."""
        cells, curve = (each.repeat_interleave(self.cell**2, dim=1) for each in (grid, light.curve[:, :, 1:-1, 1:-1]))
        return self._brighten(cells, curve, light.level)[1][:, :: self.cell**2]

    def illumination(self, image: Tensor) -> Tensor:
        """The clamped illumination, N x 3 x H x W."""
        grid, side = self.overview(image)
        return self.to_pixels(self.clamp(self.exponential(self.brighten(image, self.decide(grid), side).logarithm)))


class Dawn(Brightener):
    """N x 3 x H x W in [0, 1], H and W multiples of 8, to the same shape; the output is not clipped."""

    def __init__(
        self,
        light_widths: Sequence[int] = LIGHT_WIDTHS,
        light_blocks: Sequence[int] = LIGHT_BLOCKS,
        noise_widths: Sequence[int] = (24, 40, 64),
        noise_blocks: Sequence[int] = (1, 2, 2),
    ) -> None:
        super().__init__(CELL, POINTS, light_widths, light_blocks)
        self.noise = UNet(3 * CELL**2 + 3 + CONTEXT, noise_widths, noise_blocks, nn.Identity())
        self.noise_tail = _zeroed(_conv(noise_widths[0], 3 * CELL**2))

    def clean(self, bright: Bright) -> Tensor:
        """The quotient without its noise, in cells."""
        amplified = bright.logarithm.unflatten(1, (3, CELL**2)).mean(2) * 0.25
        seen = torch.cat([bright.reflectance.clamp(0.0, 1.5), amplified, bright.context], dim=1)
        return self.subtract(bright.reflectance, self.noise_tail(self.noise(seen)).float())


def _conv(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1)


def _zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    """With weights and biases of 0."""
    nn.init.zeros_(convolution.weight)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution


SPEC = NetworkSpec(
    name="dawn",
    title="Dawn: illumination from an overview, noise from the pixels around",
    build=Dawn,
    parameters=1_109_600,
    multiple=MULTIPLE,
    halo=None,
    islands=(
        "overview",
        "level",
        "normalise",
        "curve",
        "frame_*",
        "spread",
        "guide",
        "illuminate",
        "exponential",
        "clamp",
        "divide",
        "subtract",
    ),
    contract=(
        Division(count=1, guided=True),
        NoiseSubtraction(count=1),
    ),
    parts=PartsSpec(overview="overview", light=("frame_curve", "frame_context", "level"), points=POINTS, halo=HALO),
    weights="dawn",
)
