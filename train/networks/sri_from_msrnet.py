"""Initial weights of SRI from a trained MSR-net: train.py sri --init train/weights/msrnet.safetensors.

SRI is ten times as expensive to train. Both look through stacked 3x3 convolutions, and SRI's layers are wide enough to compute
what MSR-net does. Three parts of MSR-net need a translation:
- logarithms: SRI has none. A concave function is a sum of hinges: f(1) - sum a_k max(0, c_k - x), a_k >= 0. The head holds the
  hinges of every colour; all terms have one sign, so that nothing cancels in 16 bits.
- the cascade: one residual block per convolution adds its output to, and takes the one before from, the same channels.
- the division: sigmoid(log L - log(Y - L)) = L / Y, the illumination that makes Y of L.

A division cannot brighten a value of 0: it stays 0. Batch normalisation becomes the identity: freeze its statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from train.networks.msrnet import DEPTH, SCALES, MSRNet
from train.networks.msrnet import WIDTH as NARROW
from train.networks.sri import SRI
from train.networks.sri import WIDTH as WIDE

#: Where the hinges of the picture and of the brightened picture bend. Between two of them a logarithm is off by 1.5 % and
#: by 0.5 % at most.
DARK = [255 ** (k / 16 - 1) for k in range(17)]
BRIGHT = [50 ** (k / 20 - 1) for k in range(21)]

# The 64 channels between the blocks. The head fills them with hinges: those at 1 first, which tell the picture itself, and
# 13 channels empty. The first block replaces most by what the others work on.
WHITE = slice(0, 3)
LOGARITHM = slice(51, 54)
RESULT = slice(54, 57)
MIXED = slice(57, 60)
FEATURES = [*range(60, 64), *range(3, 31)]
#: The logarithm's channels hold it with this added, so that they are as often above as below 0.
CENTRE = 3.0


def hinges(function: Callable[[float], float], bends: list[float]) -> list[float]:
    """Factors a_k with f(x) = f(1) - sum a_k max(0, c_k - x) at 0 and at every bend c_k; the last bend is 1."""
    points = [0.0, *bends]
    values = [function(point) for point in points]
    slopes = [(values[k + 1] - values[k]) / (points[k + 1] - points[k]) for k in range(len(bends))]
    return [slope - after for slope, after in zip(slopes, [*slopes[1:], 0.0], strict=True)]


def darkest_log(least: float) -> Callable[[float], float]:
    """The logarithm, bounded below."""
    return lambda x: math.log(max(x, least))


@torch.no_grad()
def graft(source: MSRNet, target: SRI) -> None:
    """Make `target` compute what `source` does, as far as a division can."""
    for module in target.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.running_var.fill_(1 - module.eps)  # pyright: ignore[reportOptionalMemberAccess]
    convolutions: list[Any] = [module for module in target.modules() if isinstance(module, nn.Conv2d)]
    head, *inner, tail = convolutions
    blocks = list(zip(inner[::2], inner[1::2], strict=True))
    for _, second in blocks:  # What a block has no use for stays as it was born in the first, and adds nothing.
        _clear(second)
    _hinge_head(head)
    _mix(source, *blocks[0])
    for index in range(DEPTH):
        _cascade(source, index, *blocks[1 + index])
    _invert(*blocks[-1], tail)


def _channel(hinge: int, colour: int) -> int:
    """The head's channel of a hinge: the brightest one's three colours come first."""
    return 3 * (len(DARK) - 1 - hinge) + colour


def _hinge_head(head: nn.Conv2d) -> None:
    _clear(head)
    for k, bend in enumerate(DARK):
        for colour in range(3):
            channel = _channel(k, colour)
            head.weight[channel, colour, 1, 1] = -1.0
            _bias(head)[channel] = bend


def _mix(source: MSRNet, first: nn.Conv2d, second: nn.Conv2d) -> None:
    """Logarithms of the head's hinges, mixed; beside them log L, and room is made."""
    mixing, mixed = source.mix[0], source.mix[2]
    assert isinstance(mixing, nn.Conv2d) and isinstance(mixed, nn.Conv2d)
    narrow = mixing.out_channels
    _clear(first)
    # f(1) is 1 for every scale: M = 1 - hinges.
    scales = torch.tensor([hinges(lambda x, v=v: math.log1p(v * x) / math.log1p(v), DARK) for v in SCALES])
    dark = hinges(darkest_log(0.4 / 255), DARK)
    for k in range(len(DARK)):
        for colour in range(3):
            rows = mixing.weight[:, colour::3, 0, 0]  # the twelve inputs are all colours of one scale, then of the next
            first.weight[:narrow, _channel(k, colour), 1, 1] = -(rows @ scales[:, k])
            first.weight[narrow + colour, _channel(k, colour), 1, 1] = dark[k]
    _bias(first)[:narrow] = _bias(mixing) + mixing.weight.sum(dim=(1, 2, 3))
    second.weight[LOGARITHM, range(narrow, narrow + 3), 1, 1] = -torch.eye(3)
    _bias(second)[LOGARITHM] = CENTRE
    restore = source.restore.weight[:, :, 0, 0]
    second.weight[MIXED, :narrow] = mixed.weight
    _bias(second)[MIXED] = _bias(mixed)
    second.weight[RESULT, :narrow] = torch.einsum("om,mnhw->onhw", restore, mixed.weight)
    _bias(second)[RESULT] = restore @ (_bias(mixed) - _bias(source.smooth)) + _bias(source.restore)
    for hidden, channel in enumerate(FEATURES[4:], start=narrow + 3):
        first.weight[hidden, channel, 1, 1] = 1.0
        second.weight[channel, hidden, 1, 1] = -1.0


def _cascade(source: MSRNet, index: int, first: nn.Conv2d, second: nn.Conv2d) -> None:
    """One convolution of the cascade; its share of the difference goes to the result at once."""
    layer = source.cascade[index][0]  # pyright: ignore[reportIndexIssue]
    inputs = range(WIDE)[MIXED] if index == 0 else FEATURES
    first.weight[:NARROW] = 0.0
    first.weight[:NARROW, list(inputs)] = layer.weight
    _bias(first)[:NARROW] = layer.bias
    second.weight[FEATURES, range(NARROW), 1, 1] = 1.0
    if index > 0:  # In the first, half of the block has nothing to do yet.
        first.weight[NARROW:] = 0.0
        first.weight[range(NARROW, 2 * NARROW), FEATURES, 1, 1] = 1.0
        _bias(first)[NARROW:] = 0.0
        second.weight[FEATURES, range(NARROW, 2 * NARROW), 1, 1] = -1.0
    smooth = source.smooth.weight[:, index * NARROW : (index + 1) * NARROW, 0, 0]
    second.weight[RESULT, :NARROW, 1, 1] = -(source.restore.weight[:, :, 0, 0] @ smooth)


def _invert(first: nn.Conv2d, second: nn.Conv2d, tail: nn.Conv2d) -> None:
    """log L - log(Y - L), by hinges of Y - L."""
    bright = hinges(darkest_log(0.01), BRIGHT)
    for k, bend in enumerate(BRIGHT):
        for colour in range(3):
            hidden = 3 * k + colour
            first.weight[hidden] = 0.0
            first.weight[hidden, range(WIDE)[RESULT][colour], 1, 1] = -1.0
            first.weight[hidden, range(WIDE)[WHITE][colour], 1, 1] = -1.0  # the hinge 1 - L
            _bias(first)[hidden] = 1 + bend
            second.weight[range(WIDE)[LOGARITHM][colour], hidden, 1, 1] = bright[k]
    _clear(tail)
    tail.weight[range(3), range(WIDE)[LOGARITHM], 0, 0] = 1.0
    _bias(tail).fill_(-CENTRE)


def _clear(convolution: nn.Conv2d) -> None:
    convolution.weight.zero_()
    _bias(convolution).zero_()


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias
