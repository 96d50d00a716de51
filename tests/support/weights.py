"""Weights for tests: the trained ones where there are any, else random ones that use every part of a network.

A seeded initialisation would not do: DSN's and Dawn's blocks start as identities, and batch statistics start at 0 and 1.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from train.networks.registry import get_spec
from train.networks.weights import build_seeded, default_path, save


def randomise(network: nn.Module, seed: int = 1) -> nn.Module:
    """Give every layer something to do, in place."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0.0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
        if isinstance(layer, nn.Conv2d) and not layer.weight.any():  # born as zeros
            layer.weight.data.normal_(0.0, 0.02, generator=generator)
    return network.eval()


def weights_for(name: str, folder: Path) -> Path | None:
    """A weights file for a network; None for the project's own or for a network without weights."""
    spec = get_spec(name)
    path = default_path(spec)
    if path is None or path.exists():
        return None
    made = folder / f"{name}.safetensors"
    save(randomise(build_seeded(spec)), spec, made, {"recipe": "random weights for tests"})
    return made
