"""Strips of pictures for the eye: input, illumination, output, truth, one row per validation picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.files import write_atomically
from train.networks import NetworkSpec
from train.networks.overview import pad_to
from train.pairs import PairStore
from train.validation import run_padded, to_tensor, validation_pair

ROWS = 4
#: Longest side of one picture in a strip, in pixels.
SIDE = 300


def write_strips(network: nn.Module, store: PairStore, spec: NetworkSpec, device: torch.device, path: Path) -> None:
    """Write a PNG of up to four rows, evenly spread over the store."""
    import cv2

    indices = np.unique(np.linspace(0, len(store) - 1, ROWS).astype(int))
    widest = max((row := [_strip(network, store, int(i), spec, device) for i in indices]), key=lambda strip: strip.shape[1])
    padded = [np.pad(strip, ((0, 0), (0, widest.shape[1] - strip.shape[1]), (0, 0))) for strip in row]
    done, encoded = cv2.imencode(".png", cv2.cvtColor(np.concatenate(padded), cv2.COLOR_RGB2BGR))
    assert done
    write_atomically(path, encoded.tobytes())


def illumination(network: Any, image: Tensor) -> Tensor | None:
    """The final illumination map of a network that has one, N x 1 or 3 x H x W."""
    return network.illumination(image) if hasattr(network, "illumination") else None


def _strip(network: nn.Module, store: PairStore, index: int, spec: NetworkSpec, device: torch.device) -> NDArray[np.uint8]:
    low, high = validation_pair(store, index)
    image = to_tensor(low, device)
    with torch.inference_mode():
        height, width = image.shape[2:]
        light = illumination(network, pad_to(image, spec.multiple))
        parts = [image, run_padded(network, image, spec.multiple), to_tensor(high, device)]
        if light is not None:
            parts.insert(1, light[..., :height, :width].expand(-1, 3, -1, -1))
        scale = min(1.0, SIDE / max(height, width))
        row = [F.interpolate(part, scale_factor=scale, mode="area").clamp(0.0, 1.0) for part in parts]
    strip = torch.cat(row, dim=3)[0].permute(1, 2, 0).cpu().numpy()
    return np.rint(strip * 255).astype(np.uint8)
