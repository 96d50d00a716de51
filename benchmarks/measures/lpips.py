"""LPIPS v0.1 on AlexNet: distances between unit-length features, weighed per channel, averaged over each layer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pictures.parity_set import data_folder
from runtime.errors import InputError
from train.pairs import Picture

#: Stride and padding of the five convolutions; a 3x3 max pooling of stride 2 stands before the second and the third.
_GEOMETRY = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def weights_file() -> Path | None:
    """The published weights, if the folder of RETINEXRT_DATA has them."""
    folder = data_folder()
    path = None if folder is None else folder / "vgg" / "lpips_alex.npz"
    return path if path is not None and path.is_file() else None


@lru_cache(maxsize=1)
def _weights() -> dict[str, NDArray[Any]]:
    path = weights_file()
    if path is None:
        raise InputError("LPIPS needs vgg/lpips_alex.npz in the folder that RETINEXRT_DATA names")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def distance(output: Picture, truth: Picture, weights: Mapping[str, NDArray[Any]] | None = None) -> float:
    """0 for equal H x W x 3 RGB pictures; less is more alike. `weights`: arrays; None: the published ones."""
    import torch
    from torch.nn import functional as F

    weights = _weights() if weights is None else weights
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
