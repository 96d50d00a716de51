"""SRI: a residual network of 26 convolutions estimates the illumination, trained by synthetic-real interaction.

The paper (ICDH 2020), of which we had only slides, reports 23.20 dB and an SSIM of 0.872 on a dataset that it does not name.

Readings of it:
- batch normalisation after each of the 25 hidden 3x3 convolutions, a 1x1 output convolution, 64 channels: this
  gives 891,459 parameters, the paper's 0.8915 M;
- the illumination has three channels, a sigmoid and a clamp to [1/255, 1];
- the enhanced picture is clipped to [0, 1].
"""

from __future__ import annotations

from torch import Tensor, nn

from runtime.artifact.contract import Division
from train.networks.registry import NetworkSpec
from train.networks.retinex import Clamp, Divide, clip01

WIDTH = 64
BLOCKS = 12


class ResidualBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.BatchNorm2d(WIDTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SRI(nn.Module):
    """N x 3 x H x W in [0, 1] to the same shape and range; any H and W."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU())
        self.blocks = nn.Sequential(*(ResidualBlock() for _ in range(BLOCKS)))
        self.tail = nn.Conv2d(WIDTH, 3, 1)
        # A dark picture's illumination: the sigmoid of -2 is 0.12.
        nn.init.constant_(self.tail.bias, -2.0)  # pyright: ignore[reportArgumentType]
        self.sigmoid = nn.Sigmoid()
        self.clamp = Clamp()
        self.divide = Divide()

    def illumination(self, image: Tensor) -> Tensor:
        """N x 3 x H x W in [1/255, 1]."""
        return self.clamp(self.sigmoid(self.tail(self.blocks(self.head(image)))))

    def stages(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the illumination and the unclipped reflectance."""
        illumination = self.illumination(image)
        return illumination, self.divide(image, illumination)

    def forward(self, image: Tensor) -> Tensor:
        return clip01(self.stages(image)[1])


SPEC = NetworkSpec(
    name="sri",
    title="Synthetic-real interaction",
    build=SRI,
    parameters=891_459,
    halo=25,
    islands=("tail", "sigmoid", "clamp", "divide"),
    contract=(Division(1),),
    weights="sri",
)
