"""MSR-net: multi-scale logarithms, a convolutional difference of what is bright and what is smooth, colour restoration.

Shen et al.: "MSR-net: Low-light Image Enhancement Using Deep Convolutional Network", arXiv 1711.02488.

Readings of the paper:
- v = 1, 10, 100, 300 and K = 10 convolutions of 32 channels in a cascade;
- the first 1x1 convolution has 32 channels (`log_width=3`: the literal text).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from runtime.artifact.contract import ConvolutionalDifference, Logarithm
from train.networks.registry import NetworkSpec
from train.networks.retinex import Subtract

SCALES = (1.0, 10.0, 100.0, 300.0)
WIDTH = 32
DEPTH = 10


class MultiScaleLog(nn.Module):
    """M_j = log(1 + v_j X) / log(1 + v_j) for every scale, concatenated: N x 3 to N x 12 channels, [0, 1] to [0, 1]."""

    def forward(self, image: Tensor) -> Tensor:
        # log(1 + x) rather than log1p: ONNX has no Log1p.
        return torch.cat([torch.log(1.0 + v * image) * (1.0 / math.log(1.0 + v)) for v in SCALES], dim=1)


class MSRNet(nn.Module):
    """N x 3 x H x W in [0, 1] to the same shape; any H and W; the output is not clipped."""

    def __init__(self, log_width: int = WIDTH) -> None:
        super().__init__()
        self.log = MultiScaleLog()
        self.mix = nn.Sequential(nn.Conv2d(3 * len(SCALES), log_width, 1), nn.ReLU(), nn.Conv2d(log_width, 3, 3, padding=1))
        self.cascade = nn.ModuleList(
            nn.Sequential(nn.Conv2d(WIDTH if i else 3, WIDTH, 3, padding=1), nn.ReLU()) for i in range(DEPTH)
        )
        self.smooth = nn.Conv2d(WIDTH * DEPTH, 3, 1)
        self.difference = Subtract()
        self.restore = nn.Conv2d(3, 3, 1)

    def stages(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return X2, the picture after the convolutional difference, and the enhanced picture."""
        bright = self.mix(self.log(image))
        features, x = [], bright
        for layer in self.cascade:
            x = layer(x)
            features.append(x)
        flat = self.difference(bright, self.smooth(torch.cat(features, dim=1)))
        return flat, self.restore(flat)

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)[1]


SPEC = NetworkSpec(
    name="msrnet",
    title="MSR-net",
    build=MSRNet,
    parameters=86_386,
    halo=11,
    islands=("log", "difference", "restore"),
    contract=(Logarithm(len(SCALES)), ConvolutionalDifference(1)),
    weights="msrnet",
)
