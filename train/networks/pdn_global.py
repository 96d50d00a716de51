"""PDN with a view of the whole picture: a small head sets the exposure. Our own extension of PDN.

PDN sees some thirty pixels around each pixel and must guess how bright a scene should be. Here a head of a few thousand
parameters reads the whole dark picture, averaged over 8 x 8 pixels. Its mean sets the exposure at which the frames see
the picture, and one factor per channel scales both illuminations before they are clamped. Everything else is PDN: two
divisions of the dark picture itself, two noises subtracted. A picture that is bright enough is divided by 1.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.artifact.contract import Division, NoiseSubtraction
from train.networks.pdn import GRID, PDN, IlluminationFrame, Stages
from train.networks.registry import NetworkSpec, PaperFigures
from train.networks.retinex import clip01

#: Side of the squares that the overview averages over, in pixels.
SQUARE = 8
#: Mean level that the frames see pictures at, and what is added to a mean so that black has a logarithm.
LEVEL, DARKEST = 0.06, 1 / 1024
KNOTS = 8
WIDTH = 16
HIDDEN = 32


class ExposureHead(nn.Module):
    """The dark picture's overview, N x 3 x h x w in [0, 1] and any size, to a gain and the illuminations' factors.

    The gain, N x 1 x 1 x 1, brings the picture to the mean level of LOL's dark pictures, so that the frames see the same
    picture at every exposure. The factors, N x 3 x 1 x 1, take the gain back and correct it by [1/e, e] per channel: two
    views of the logarithm decide, averaged over the picture: hinges of each pixel's colour, which together say what a
    histogram says, and two convolutions, which see the arrangement.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hinges = nn.Conv2d(3, 3 * KNOTS, 1)
        self.arrangement = nn.Sequential(nn.Conv2d(3, WIDTH, 3, 2, 1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, 2, 1), nn.ReLU())
        self.decide = nn.Sequential(
            nn.Conv2d(3 * KNOTS + WIDTH, HIDDEN, 1), nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(HIDDEN, 3, 1)
        )
        self._start_as_histogram()
        nn.init.zeros_(self.decide[3].weight)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.decide[3].bias)  # pyright: ignore[reportArgumentType]

    def forward(self, overview: Tensor) -> tuple[Tensor, Tensor]:
        # Written without Div and Sub: in the graph, those divide by illuminations and remove noise.
        mean = overview.mean((1, 2, 3), keepdim=True) + DARKEST
        gain = torch.exp(-torch.log(mean)) * LEVEL
        # The logarithm of 1 + code, shifted and scaled so that black is -2 and white 2.
        logs = torch.log(overview * gain * (255.0 / 16.0) + 1.0 / 16.0) * (4.0 / math.log(256.0))
        seen = torch.cat(
            [F.relu(self.hinges(logs)).mean((2, 3), keepdim=True), self.arrangement(logs).mean((2, 3), keepdim=True)], 1
        )
        return gain, torch.exp(torch.tanh(self.decide(seen))) * mean * (1.0 / LEVEL)

    @torch.no_grad()
    def _start_as_histogram(self) -> None:
        """Hinge k of a channel starts to rise at the k-th of evenly spaced logarithms."""
        self.hinges.weight.zero_()
        assert self.hinges.bias is not None
        for channel in range(3):
            for knot in range(KNOTS):
                self.hinges.weight[channel * KNOTS + knot, channel] = 1.0
                self.hinges.bias[channel * KNOTS + knot] = 2.0 - 4.0 * knot / KNOTS


class Scale(nn.Module):
    """Map x factor."""

    def forward(self, x: Tensor, factor: Tensor) -> Tensor:
        return x * factor


class PDNGlobal(PDN):
    """N x 3 x H x W in [0, 1], H and W multiples of 4 (`fast`: 16), to the same shape; the output is not clipped.

    `overview`, the whole picture averaged down, is given in training, where `image` is only a crop.
    """

    sees_overview = True

    def __init__(self, second_division: Literal["input", "coarse"] = "input", fast: bool = False) -> None:
        super().__init__(second_division, fast)
        self.exposure = ExposureHead()
        self.overview = nn.AvgPool2d(SQUARE // GRID if fast else SQUARE)
        self.normalise = Scale()
        self.coarse_scale = Scale()
        self.fine_scale = Scale()

    def brighten(self, image: Tensor, overview: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return L1, R1, L2 and R of the enhancement module; L1 and R1 of the fast variant are of its grid's size."""
        coarse_illumination, coarse, illumination, reflectance = self._brighten(image, overview)
        return coarse_illumination, coarse, self.to_pixels(illumination), self.to_pixels(reflectance)

    def stages(self, image: Tensor, overview: Tensor | None = None) -> Stages:
        return self._stages(*self._brighten(image, overview))

    def _brighten(self, image: Tensor, overview: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        cells = self.to_cells(image)
        reduced = self.reduce(cells)
        gain, factor = self.exposure(self.overview(reduced) if overview is None else overview)
        seen = self.normalise(reduced, gain)
        coarse_illumination = _scaled(self.coarse_light, seen, self.coarse_scale, factor)
        coarse = self.coarse_divide(reduced, coarse_illumination)
        illumination = _scaled(self.fine_light, torch.cat([clip01(coarse), seen], dim=1), self.fine_scale, factor)
        numerator = cells if self.second_division == "input" else coarse
        return coarse_illumination, coarse, illumination, self.fine_divide(numerator, illumination)


def _scaled(frame: IlluminationFrame, x: Tensor, scale: Scale, factor: Tensor) -> Tensor:
    return frame.clamp(frame.enlarge(scale(frame.raw(x), factor)))


SPEC = NetworkSpec(
    name="pdn-global",
    title="Progressive dual network with a global exposure head",
    build=PDNGlobal,
    parameters=492_396 + 4_275,
    paper=PaperFigures(source="our own extension of PDN (Huang et al., 2021)"),
    multiple=4,
    halo=None,
    islands=("*_light.tail", "*_light.clamp", "*_divide", "*_subtract", "*_scale", "normalise", "overview", "exposure*"),
    contract=(Division(2), NoiseSubtraction(2)),
    weights="pdn-global",
)
