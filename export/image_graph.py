"""Modules that add the conversions from and to uint8 images to a network's graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ImageGraph(nn.Module):
    """uint8 N x H x W x 3, RGB, to the same; pads to what the network needs and crops back.

    TensorRT takes uint8 only at a Cast that touches an input or output of the graph: the cast comes first and the
    transpose second, and at the end the other way round.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[1], image.shape[2]
        x = image.to(torch.float32).permute(0, 3, 1, 2) * (1 / 255)
        if (m := self.multiple) > 1:
            # (m - h % m) % m exports, (-h) % m does not.
            x = F.pad(x, (0, (m - width % m) % m, 0, (m - height % m) % m), mode="replicate")
        enhanced = self.network(x)
        if m > 1:
            enhanced = enhanced[:, :, :height, :width]
        codes = torch.round(torch.clamp(enhanced, 0.0, 1.0) * 255.0)
        return codes.permute(0, 2, 3, 1).to(torch.uint8)


class TensorGraph(nn.Module):
    """The bare network: float32 N x 3 x H x W in [0, 1], H and W multiples of what it needs, to the same shape."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image)
