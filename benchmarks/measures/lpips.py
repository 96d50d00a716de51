"""LPIPS v0.1 on AlexNet: distances between unit-length features, weighed per channel, averaged over each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Stride and padding of the five convolutions; a 3x3 max pooling of stride 2 stands before the second and the third.
_GEOMETRY = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def distance(output: NDArray[np.uint8], truth: NDArray[np.uint8], weights: Mapping[str, NDArray[Any]]) -> float:
    """The distance between two H x W x 3 uint8 RGB pictures, with the arrays of the published weights."""
    import torch
    from torch.nn import functional as F

    with torch.inference_mode():
        pair = torch.from_numpy(np.stack([output, truth])).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = (pair - torch.tensor(_SHIFT).view(1, 3, 1, 1)) / torch.tensor(_SCALE).view(1, 3, 1, 1)
        total = 0.0
        for layer, (stride, padding) in enumerate(_GEOMETRY):
            if layer in (1, 2):
                x = F.max_pool2d(x, 3, 2)
            kernel, bias = (torch.from_numpy(weights[f"conv{layer + 1}_{part}"]) for part in ("weight", "bias"))
            x = F.relu(F.conv2d(x, kernel, bias, stride, padding))
            unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
            weight = torch.from_numpy(weights[f"lpips_lin{layer}"]).view(-1, 1, 1)
            total += float(((unit[0] - unit[1]).square() * weight).sum(dim=0).mean())
    return total
