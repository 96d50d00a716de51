"""Frozen VGG-16 features for perceptual losses (Simonyan and Zisserman, CC BY 4.0; torchvision's weights).

The file `vgg16_conv1_to_conv3.npz` holds conv1_1 ... conv3_3 as NAME_weight (OIHW) and NAME_bias.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.errors import DataError

FILE = "vgg16_conv1_to_conv3.npz"
#: The layers up to relu3_3; None is a 2x2 max pooling.
LAYERS = ("conv1_1", "conv1_2", None, "conv2_1", "conv2_2", None, "conv3_1", "conv3_2", "conv3_3")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_path: Path | None = None


def find_vgg(data: Path | None = None) -> Path:
    """The weights file: in the vgg folder beside the data, in the data folder, or in $RETINEXRT_DATA/vgg."""
    roots = [data.parent / "vgg", data, data / "vgg"] if data is not None else []
    if root := os.environ.get("RETINEXRT_DATA"):
        roots.append(Path(root) / "vgg")
    for root in roots:
        if (root / FILE).is_file():
            return root / FILE
    raise DataError(f"{FILE} was not found; put it in $RETINEXRT_DATA/vgg, or choose a recipe that needs no VGG features")


def use(path: Path) -> None:
    """Take the features from this file from now on, instead of the one that `find_vgg` finds without a data folder."""
    global _path
    _path = path


@lru_cache(maxsize=2)
def _weights(path: Path, device: torch.device) -> dict[str, Tensor]:
    try:
        with np.load(path) as arrays:
            return {name: torch.from_numpy(arrays[name]).to(device) for name in arrays.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); replace it") from error


def vgg(image: Tensor) -> Tensor:
    """Features of relu3_3, N x 256 x H/4 x W/4, of an image in [0, 1]."""
    weights = _weights(_path or find_vgg(), image.device)
    x = (image - image.new_tensor(MEAN).view(1, 3, 1, 1)) / image.new_tensor(DEVIATION).view(1, 3, 1, 1)
    for layer in LAYERS:
        x = (
            F.max_pool2d(x, 2)
            if layer is None
            else F.relu(F.conv2d(x, weights[f"{layer}_weight"], weights[f"{layer}_bias"], padding=1))
        )
    return x


def perceptual(x: Tensor, y: Tensor) -> Tensor:
    """BLNet's L_per: mean squared difference of the features."""
    return F.mse_loss(vgg(x), vgg(y).detach())
