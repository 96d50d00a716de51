"""Dawn for films and cameras: the same light, and a noise stage of a few convolutions on cells of 4 x 4 pixels.

Noise is taken away as by a wavelet filter that is learned. A 1 x 1 convolution turns the 48 values of a cell into 48
patterns (at first the cosines of JPEG, for each channel); gates, which convolutions over the neighbourhood open, say how
much of each pattern is noise; and another 1 x 1 convolution turns the patterns back. So a cell's detail need not pass
through the narrow convolutions, which only decide about it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from train.networks import dawn
from train.networks.dawn import CONTEXT, CURVE, LIGHT_BLOCKS, LIGHT_WIDTHS, Block, Bright, Brightener

#: Side of a cell, in pixels.
CELL = 4
#: Height and width of an overview together are at most this. At 480x640 dawn's has four times as many points, and deciding on
#: them would take a good part of a frame's time.
POINTS = 210
#: Pixels of context that the noise stage looks at, to each side.
HALO = 47


class Limit(nn.Module):
    """Clamp a reflectance to [0, 1.5]: lamps are far beyond white."""

    def forward(self, reflectance: Tensor) -> Tensor:
        return reflectance.clamp(0.0, 1.5)


class Gates(nn.Module):
    """Which of a cell's 48 patterns are noise, and what else to take away: two times N x 48 x h x w."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        fine, coarse = widths
        self.look = nn.Conv2d(3 * CELL**2, fine, 1)
        self.told = nn.Conv2d(CURVE + CONTEXT, fine, 1)
        self.exposed = nn.Conv2d(1, fine, 1, bias=False)
        self.act = nn.LeakyReLU(0.1)
        self.down = nn.Conv2d(fine, coarse, 2, 2)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(blocks)))
        self.up = nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2))
        self.fine = Block(fine)
        self.gates = nn.Conv2d(fine, 3 * CELL**2, 1)
        self.rest = nn.Conv2d(fine, 3 * CELL**2, 1)
        for tail, bias in ((self.gates, -3.0), (self.rest, 0.0)):
            nn.init.zeros_(tail.weight)
            nn.init.constant_(tail.bias, bias)  # pyright: ignore[reportArgumentType]

    def forward(self, cells: Tensor, told: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        x = self.act(self.look(cells) + self.told(told) + self.exposed(level))
        x = self.act(self.fine(x + self.up(self.coarse(self.down(x)))))
        return torch.sigmoid(self.gates(x)), self.rest(x)


class DawnLive(Brightener):
    """N x 3 x H x W in [0, 1], H and W multiples of 8, to the same shape; the output is not clipped."""

    def __init__(
        self,
        light_widths: Sequence[int] = LIGHT_WIDTHS,
        light_blocks: Sequence[int] = LIGHT_BLOCKS,
        noise_widths: Sequence[int] = (24, 40),
        noise_blocks: int = 2,
    ) -> None:
        super().__init__(CELL, POINTS, light_widths, light_blocks)
        self.limit = Limit()
        self.gates = Gates(noise_widths, noise_blocks)
        self.to_patterns = nn.Conv2d(3 * CELL**2, 3 * CELL**2, 1, bias=False)
        self.noise_tail = nn.Conv2d(3 * CELL**2, 3 * CELL**2, 1, bias=False)
        patterns = torch.block_diag(*[_cosines(CELL)] * 3)
        with torch.no_grad():
            self.to_patterns.weight.copy_(patterns[:, :, None, None])
            self.noise_tail.weight.copy_(patterns.T[:, :, None, None])

    def clean(self, bright: Bright) -> Tensor:
        """The quotient without its noise, in cells."""
        seen = self.limit(bright.reflectance)
        gates, rest = self.gates(seen, torch.cat([bright.curve, bright.context], dim=1), bright.level)
        return self.subtract(seen, self.noise_tail(gates * self.to_patterns(seen) + rest).float())


def _cosines(side: int) -> Tensor:
    """The orthonormal two-dimensional cosine transform of side x side values, as a matrix."""
    at = torch.arange(side, dtype=torch.float64)
    one = torch.cos(math.pi / side * (at[None] + 0.5) * at[:, None]) * math.sqrt(2 / side)
    one[0] /= math.sqrt(2)
    return torch.kron(one, one).float()


assert dawn.SPEC.parts is not None
SPEC = replace(
    dawn.SPEC,
    name="dawn-live",
    title="Dawn for films: the same light, noise gated in cells of 4 x 4",
    build=DawnLive,
    parameters=902_812,
    islands=(*dawn.SPEC.islands, "limit"),
    parts=replace(dawn.SPEC.parts, points=POINTS, halo=HALO),
    weights="dawn-live",
)
