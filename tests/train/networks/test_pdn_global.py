"""The exposure head: small, blind to exposure, and PDN apart from it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from train.networks import get_spec, weights
from train.networks.pdn_global import LEVEL, ExposureHead


@pytest.fixture(scope="module")
def network() -> Any:
    """Seeded, with a head that has decided something."""
    built: Any = weights.build_seeded(get_spec("pdn-global"))
    with torch.no_grad():
        built.exposure.decide[3].weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    return built


def picture(seed: int = 0, size: int = 64) -> torch.Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_the_head_is_a_few_thousand_parameters() -> None:
    grown, plain = get_spec("pdn-global"), get_spec("pdn")
    assert grown.parameters - plain.parameters == sum(p.numel() for p in ExposureHead().parameters()) == 4_275


def test_the_gain_brings_every_picture_to_the_same_level() -> None:
    head = ExposureHead().eval()
    for level in (0.02, 0.3):
        gain, factor = head(torch.full((1, 3, 7, 9), level))
        assert (gain * level).item() == pytest.approx(LEVEL, rel=0.06)
        # An untrained head only takes the gain back.
        assert (gain * factor).flatten().tolist() == pytest.approx([1.0] * 3, rel=1e-5)


@torch.no_grad()
def test_the_reflectance_hardly_depends_on_the_exposure(network: Any) -> None:
    image = picture()
    full, half = (network.brighten(image * exposure)[3].mean().item() for exposure in (1.0, 0.5))
    assert half == pytest.approx(full, rel=0.03)


@torch.no_grad()
def test_a_bright_picture_is_never_darkened_by_a_division(network: Any) -> None:
    image = picture() * 9
    _, coarse, light, reflectance = network.brighten(image)
    assert light.max() <= 1.0
    assert bool((coarse >= image).all()) and bool((reflectance >= image).all())


@torch.no_grad()
def test_black_stays_finite(network: Any) -> None:
    assert torch.isfinite(network(torch.zeros(1, 3, 16, 16))).all()


@torch.no_grad()
def test_the_overview_of_a_whole_picture_is_its_own(network: Any) -> None:
    image = picture(size=48)
    given = network.stages(image, torch.nn.functional.avg_pool2d(image, 8)).enhanced
    assert torch.equal(given, network(image))
    assert not torch.equal(network.stages(image, picture(5, 6)).enhanced, given)


@torch.no_grad()
def test_pictures_of_a_batch_do_not_mix(network: Any) -> None:
    first, second = picture(1), picture(2) * 3
    together = network(torch.cat([first, second]))
    assert torch.allclose(together[:1], network(first), atol=1e-5)
    assert torch.allclose(together[1:], network(second), atol=1e-5)
