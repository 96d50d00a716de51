"""The Retinex steps as modules, so that each keeps a name of its own in the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from runtime.artifact.contract import Division


class Clamp(nn.Module):
    """Clamp an illumination to [1/255, 1], as the contract says, before anything is divided by it."""

    def forward(self, illumination: Tensor) -> Tensor:
        # Both bounds are floats: the exporter refuses a float beside an int.
        return torch.clamp(illumination, Division.minimum, Division.maximum)


class Divide(nn.Module):
    """Reflectance = image / illumination."""

    def forward(self, image: Tensor, illumination: Tensor) -> Tensor:
        return image / illumination


class Multiply(nn.Module):
    """Image = reflectance x illumination."""

    def forward(self, reflectance: Tensor, illumination: Tensor) -> Tensor:
        return reflectance * illumination


class Subtract(nn.Module):
    """Clean = noisy - noise."""

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        return noisy - noise


def clip01(image: Tensor) -> Tensor:
    """Clip to the range of an image."""
    return torch.clamp(image, 0.0, 1.0)
