"""DSN, the deep symmetric network: frozen VGG features, eight invertible blocks, and the way back.

Zhao, Lu, Chen, Yang, Shamir: "Deep Symmetric Network for Underexposed Image Enhancement with Recurrent Attentional
Learning", ICCV 2021. It reports 21.71 dB and an SSIM of 0.834 on LOL, split into 400 and 100 pairs.

Readings of the paper:
- encoder and decoder are VGG-16's conv1_1 and conv1_2 and their adjoints, frozen, without bias, ReLU or normalisation;
- ES(z) = exp(2 sigmoid(z) - 1), in [1/e, e], as the authors trained it;
- enhancement divides and subtracts (equation 3), the reverse direction multiplies and adds (equation 4);
- the three recurrent rounds of an RRAM share their weights (`share_recurrent=False`: the authors' code, three sets);
- attention reduces 64 channels to 4; every PReLU has one slope, 0.2 at the start;
- the last convolution of every RRAM starts at zero, so the invertible part starts as the identity.

The frozen features derive from VGG-16 (Simonyan and Zisserman, CC BY 4.0). Torchvision's VGG weights make the adjoint
of the encoder amplify by about 3,366; `unit_gain=True` rescales both frozen tensors so that the encoder's norm is 1.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.artifact.contract import Coupling
from train.errors import WeightsError
from train.networks.registry import NetworkSpec
from train.networks.retinex import Divide, Multiply, Subtract

FEATURES = 64
HALF = FEATURES // 2
BLOCKS = 8
ROUNDS = 3


class GlobalMean(nn.Module):
    """N x C x H x W to N x C x 1 x 1. A sum over a whole picture overflows FP16: this stays FP32 in every graph."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)


class ChannelAttention(nn.Module):
    """The residual of one recurrent round: features weighed by what their means say."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(FEATURES, 2 * FEATURES, 3, padding=1), nn.PReLU(init=0.2), nn.Conv2d(2 * FEATURES, FEATURES, 3, padding=1)
        )
        self.mean = GlobalMean()
        self.weigh = nn.Sequential(nn.Conv2d(FEATURES, 4, 1), nn.PReLU(init=0.2), nn.Conv2d(4, FEATURES, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        return x + features * self.weigh(self.mean(features))


class RecurrentResidualAttention(nn.Module):
    """The paper's RRAM, N x 32 x H x W to the same shape."""

    def __init__(self, share_recurrent: bool) -> None:
        super().__init__()
        self.widen = nn.Sequential(nn.Conv2d(HALF, FEATURES, 3, padding=1), nn.PReLU(init=0.2))
        self.rounds = nn.ModuleList(ChannelAttention() for _ in range(1 if share_recurrent else ROUNDS))
        self.narrow = nn.Conv2d(FEATURES, HALF, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                layer.weight.data *= 0.1
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        features = self.widen(x)
        hidden, out = None, features
        for step in range(ROUNDS):
            if step:
                hidden = out if hidden is None else hidden + out
            out = self.rounds[step % len(self.rounds)](features if hidden is None else hidden + features)
        return self.narrow(out)


class ExponentialSigmoid(nn.Module):
    """ES(z) = exp(2 sigmoid(z) - 1) = exp(tanh(z / 2)), in [1/e, e]."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.exp(torch.tanh(z * 0.5))


class Join(nn.Module):
    """The two halves of the features become one, N x 64 x H x W."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.cat([first, second], dim=1)


class Add(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class InvertibleBlock(nn.Module):
    """One affine coupling of the two halves of the features; `reverse` undoes `forward` exactly but for rounding."""

    def __init__(self, share_recurrent: bool) -> None:
        super().__init__()
        self.scale = RecurrentResidualAttention(share_recurrent)
        self.update = RecurrentResidualAttention(share_recurrent)
        self.shift = RecurrentResidualAttention(share_recurrent)
        self.exponential = ExponentialSigmoid()
        self.difference = Subtract()
        self.divide = Divide()
        self.residual = Subtract()
        self.multiply = Multiply()
        self.sum = Add()
        self.restore = Add()

    def is_identity(self) -> bool:
        """True where all three layers that end a path are zero."""
        narrow = (self.scale.narrow, self.update.narrow, self.shift.narrow)
        return not any(bool(value.any()) for layer in narrow for value in layer.parameters())

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        first = self.divide(self.difference(first, self.shift(second)), self.exponential(self.scale(second)))
        return first, self.residual(second, self.update(first))

    def reverse(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        second = self.restore(second, self.update(first))
        return self.sum(self.multiply(first, self.exponential(self.scale(second))), self.shift(second)), second


class FrozenConv(nn.Module):
    """A 3x3 convolution without bias; `adjoint` is its transpose, written as a plain convolution."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cout, cin, 3, 3), requires_grad=False)
        nn.init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=1)


class AdjointConv(nn.Module):
    """The transpose of a `FrozenConv`, which keeps the weights."""

    def __init__(self, of: FrozenConv) -> None:
        super().__init__()
        self.of = (of,)  # In a tuple, so that the weights are registered once.

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.of[0].weight.transpose(0, 1).flip(2, 3), padding=1)


class DSN(nn.Module):
    """N x 3 x H x W in [0, 1] to the same shape, any H and W; the output is not clipped.

    `direction="enhance"` brightens, `"darken"` runs the same weights backwards.
    """

    def __init__(
        self,
        direction: Literal["enhance", "darken"] = "enhance",
        share_recurrent: bool = True,
        vgg: Path | None = None,
        unit_gain: bool = False,
    ) -> None:
        super().__init__()
        self.direction = direction
        self.encode1 = FrozenConv(3, FEATURES)
        self.encode2 = FrozenConv(FEATURES, FEATURES)
        self.decode_join = Join()
        self.decode2 = AdjointConv(self.encode2)
        self.decode1 = AdjointConv(self.encode1)
        self.blocks = nn.ModuleList(InvertibleBlock(share_recurrent) for _ in range(BLOCKS))
        #: So many blocks are computed: all of them, but for a training that grows the network. An untrained block is the
        #: identity.
        self.active = BLOCKS
        if vgg is not None:
            self._load_vgg(vgg)
        if vgg is None or unit_gain:  # Without VGG's weights the encoder is random: give it a gain that fits.
            self._set_unit_gain()

    def identities(self) -> tuple[str, ...]:
        """Prefixes of the parameters of blocks that change nothing, as every block is until it is trained."""
        return tuple(
            f"blocks.{n}."
            for n, block in enumerate(self.blocks)
            if block.is_identity()  # pyright: ignore[reportCallIssue]
        )

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two halves of the features, N x 32 x H x W each."""
        first, second = self.encode2(self.encode1(image)).chunk(2, dim=1)
        return first, second

    def decode(self, first: Tensor, second: Tensor) -> Tensor:
        return self.decode1(self.decode2(self.decode_join(first, second)))

    def transform(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Dark features to bright ones."""
        for block in self.blocks[: self.active]:
            first, second = block(first, second)
        return first, second

    def transform_back(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Bright features to dark ones."""
        for block in reversed(self.blocks[: self.active]):
            first, second = block.reverse(first, second)  # pyright: ignore[reportCallIssue]
        return first, second

    def enhance(self, image: Tensor) -> Tensor:
        return self.decode(*self.transform(*self.encode(image)))

    def darken(self, image: Tensor) -> Tensor:
        return self.decode(*self.transform_back(*self.encode(image)))

    def forward(self, image: Tensor) -> Tensor:
        return self.enhance(image) if self.direction == "enhance" else self.darken(image)

    @torch.no_grad()
    def _load_vgg(self, path: Path) -> None:
        try:
            with np.load(path) as arrays:
                for layer, name in ((self.encode1, "conv1_1_weight"), (self.encode2, "conv1_2_weight")):
                    layer.weight.copy_(torch.from_numpy(arrays[name]))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise WeightsError(f"{path} does not hold VGG-16's conv1_1_weight and conv1_2_weight: {error}") from error

    @torch.no_grad()
    def _set_unit_gain(self) -> None:
        """Scale both frozen tensors alike so that the encoder's largest singular value is 1 (power iteration)."""
        image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
        norm = torch.tensor(1.0)
        for _ in range(30):
            image = self.decode1(self.decode2(self.encode2(self.encode1(image))))
            norm = image.norm()
            image = image / norm
        for layer in (self.encode1, self.encode2):
            layer.weight.mul_(norm ** (-1 / 4))  # The norm is of E^T E, which holds each tensor twice.


_ISLANDS = (
    "blocks.*.exponential",
    "*.difference",
    "*.divide",
    "*.residual",
    "*.multiply",
    "*.sum",
    "*.restore",
    "*.mean",
    "decode*",
)

SPEC = NetworkSpec(
    name="dsn",
    title="Deep symmetric network",
    build=DSN,
    parameters=4_483_176,
    islands=_ISLANDS,
    contract=(Coupling(BLOCKS, "enhance"),),
    weights="dsn",
)

REVERSE = NetworkSpec(
    name="dsn-reverse",
    title="Deep symmetric network, bright to dark",
    build=partial(DSN, direction="darken"),
    parameters=4_483_176,
    islands=_ISLANDS,
    contract=(Coupling(BLOCKS, "darken"),),
    weights="dsn",
)
