"""MSR-net written in SRI's layers computes what MSR-net does, but for what a division cannot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from train.loop import select_parameters
from train.networks import get_spec, weights
from train.networks.sri_from_msrnet import BRIGHT, DARK, darkest_log, graft, hinges
from train.recipes import load_recipe
from train.train import start_from


@pytest.fixture
def source() -> Any:
    """The trained MSR-net."""
    return weights.load(get_spec("msrnet")).network


@pytest.fixture
def grafted(source: Any) -> Any:
    network = weights.build_seeded(get_spec("sri"), seed=3)
    graft(source, network)  # pyright: ignore[reportArgumentType]
    return network.eval()


def scene(height: int, width: int) -> Tensor:
    """Dark shapes on a gradient with noise, no value 0."""
    generator = torch.Generator().manual_seed(1)
    image = torch.linspace(0.02, 0.2, width).expand(1, 3, height, width).clone()
    image[:, :, height // 4 : height // 2, width // 4 : width // 2] *= 0.4
    image[:, 0] *= 0.8
    image += 0.004 * torch.randn(image.shape, generator=generator)
    return (image.clamp(2 / 255, 1) * 255).round() / 255


def attainable(image: Tensor, wanted: Tensor) -> Tensor:
    """What a division of the picture by an illumination within [1/255, 1] can make of a wanted picture."""
    return torch.minimum(torch.maximum(wanted, image), 255 * image).clamp(0, 1)


@pytest.mark.parametrize("function", [lambda x: math.log1p(300 * x) / math.log(301), darkest_log(0.4 / 255)])
@pytest.mark.parametrize("bends", [DARK, BRIGHT])
def test_hinges_meet_the_function_where_they_bend(function: Any, bends: list[float]) -> None:
    factors = hinges(function, bends)
    assert len(factors) == len(bends) and all(factor >= 0 for factor in factors)
    for x in [0.0, *bends]:
        assert function(1.0) - sum(a * max(0.0, c - x) for a, c in zip(factors, bends, strict=True)) == pytest.approx(
            function(x), abs=1e-6
        )


@pytest.mark.parametrize("size", [(40, 61), (64, 48)])
def test_it_computes_what_msrnet_does(source: Any, grafted: Any, size: tuple[int, int]) -> None:
    image = scene(*size)
    with torch.no_grad():
        wanted, got = attainable(image, source(image)), grafted(image)
    assert wanted.mean() > 3 * image.mean()  # brightened at all
    difference = (got - wanted).abs()
    assert difference.mean() < 0.004 and difference.max() < 0.03


def test_bright_parts_stay_as_they_are(source: Any, grafted: Any) -> None:
    image = (scene(48, 48) * 5).clamp(0, 1)
    with torch.no_grad():
        difference = (grafted(image) - attainable(image, source(image))).abs()
    assert difference.mean() < 0.004 and difference.max() < 0.03


def test_what_is_black_stays_black(grafted: Any) -> None:
    image = scene(32, 32)
    image[:, :, 8:16, 8:16] = 0.0
    with torch.no_grad():
        assert grafted(image)[:, :, 8:16, 8:16].max() == 0


def test_training_starts_from_it(tmp_path: Path, grafted: Any) -> None:
    path = weights.default_path(get_spec("msrnet"))
    assert path is not None
    network = weights.build_seeded(get_spec("sri"), seed=3)
    assert "written in SRI's layers" in start_from(network, get_spec("sri"), path)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in grafted.state_dict().items())


def test_every_block_can_learn_from_there(grafted: Any) -> None:
    select_parameters(grafted, load_recipe("sri").stages[0])
    image = scene(48, 48)
    (grafted(image) - 0.5).square().mean().backward()
    idle = [name for name, value in grafted.named_parameters() if value.grad is None or not value.grad.any()]
    assert not idle
