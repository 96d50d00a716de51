"""The Retinex steps as modules, so that each keeps a name of its own in the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: An illumination is clamped to [1/255, 1] before anything is divided by it.
MINIMUM_ILLUMINATION = 1 / 255


class Clamp(nn.Module):
    """Clamp an illumination to [minimum, 1]."""

    def __init__(self, minimum: float = MINIMUM_ILLUMINATION) -> None:
        super().__init__()
        self.minimum = minimum

    def forward(self, illumination: Tensor) -> Tensor:
        # Both bounds are floats: the exporter refuses a float beside an int.
        return torch.clamp(illumination, self.minimum, 1.0)


class Divide(nn.Module):
    """Reflectance = image / illumination."""

    def forward(self, image: Tensor, illumination: Tensor) -> Tensor:
        return image / illumination


class Subtract(nn.Module):
    """Clean = noisy - noise."""

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        return noisy - noise


def clip01(image: Tensor) -> Tensor:
    """Clip to the range of an image."""
    return torch.clamp(image, 0.0, 1.0)
