"""Losses against values worked out by hand, and their gradients against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from train import losses
from train.ssim import SIDE

torch.manual_seed(0)


def flat(*values: float, size: int = 16) -> Tensor:
    """1 x C x size x size, one value per channel."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1).expand(1, len(values), size, size).clone()


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 0.8 + 0.1


def test_differences() -> None:
    x, y = flat(0.5, 0.5, 0.5), flat(0.2, 0.5, 0.9)
    assert losses.l1(x, y).item() == pytest.approx(0.7 / 3)
    assert losses.l2(x, y).item() == pytest.approx((0.09 + 0.16) / 3)
    assert losses.frobenius(x, y).item() == pytest.approx((0.09 + 0.16) / 3)
    # DSN sums over a picture: 256 pixels, and averages over the batch.
    assert losses.summed_l2(x.repeat(2, 1, 1, 1), y.repeat(2, 1, 1, 1)).item() == pytest.approx(256 * 0.25)


def test_mean_colour_sees_nothing_but_means() -> None:
    x, y = flat(0.5, 0.5, 0.5), flat(0.2, 0.5, 0.9)
    assert losses.mean_colour(x, y).item() == pytest.approx(0.7 / 3)
    picture = random(2, 3, 16, 16)
    assert losses.mean_colour(picture, picture.flip(2, 3)).item() == pytest.approx(0.0, abs=1e-12)
    # One picture too bright and one too dark are two errors, not none.
    off = picture + torch.tensor([0.1, -0.1], dtype=torch.float64).view(2, 1, 1, 1)
    assert losses.mean_colour(off, picture).item() == pytest.approx(0.1)


def test_constraints_of_the_illumination() -> None:
    low, high, light = flat(0.1, 0.1, 0.1), flat(0.5, 0.6, 0.4), flat(0.2, 0.25, 0.25)
    # forward: |0.5 - 0.5|, |0.4 - 0.6|, |0.4 - 0.4|; backward: |0.1 - 0.1|, |0.15 - 0.1|, |0.1 - 0.1|
    assert losses.forward_constraint(light, low, high).item() == pytest.approx(0.2 / 3)
    assert losses.backward_constraint(light, low, high).item() == pytest.approx(0.05 / 3)


def test_structure_of_flat_pictures() -> None:
    # Only the luminance term is left.
    c1 = 0.01**2
    expected = 1 - (2 * 0.3 * 0.6 + c1) / (0.3**2 + 0.6**2 + c1)
    assert losses.structure(flat(0.3, 0.3, 0.3), flat(0.6, 0.6, 0.6)).item() == pytest.approx(expected, abs=1e-5)


def test_multi_scale_structure() -> None:
    x = torch.rand(1, 3, 176, 176, generator=torch.Generator().manual_seed(1))
    assert losses.multi_scale_structure(x, x).item() == pytest.approx(0, abs=1e-5)
    assert losses.multi_scale_structure(1 - x, x).item() > 0.5
    with pytest.raises(ValueError, match="more than 160 pixels to each side, found 176x160"):
        losses.multi_scale_structure(x[..., :SIDE], x[..., :SIDE])


def test_multi_scale_structure_is_that_of_others() -> None:
    """Of this pair, of odd and even sides, pytorch-msssim 1.0.0 finds 0.964297354 and 0.975255728."""
    random = np.random.default_rng(0)
    x, other = (torch.from_numpy(random.random((2, 3, 177, 190), dtype=np.float32)) for _ in range(2))
    y = 0.8 * x + 0.1 * other
    assert losses.structure(x, y).item() == pytest.approx(1 - 0.964297354, abs=1e-6)
    assert losses.multi_scale_structure(x, y).item() == pytest.approx(1 - 0.975255728, abs=1e-6)


def test_noise_terms_vanish_for_the_true_noise() -> None:
    clean = torch.rand(1, 3, 176, 176, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25
    noise = torch.rand(1, 3, 176, 176, generator=torch.Generator().manual_seed(2)) * 0.2 - 0.1
    for term in (losses.noise_removal, losses.noise_addition):
        assert term(noise, clean + noise, clean).item() == pytest.approx(0, abs=1e-4)
        assert term(torch.zeros_like(noise), clean + noise, clean).item() > 0.01


def test_colour_angle() -> None:
    assert losses.colour_angle(flat(1, 0, 0), flat(0, 1, 0)).item() == pytest.approx(1)
    assert losses.colour_angle(flat(0.5, 0, 0), flat(0.7, 0.7, 0)).item() == pytest.approx(1 - math.sqrt(0.5))
    assert losses.colour_angle(flat(0.1, 0.2, 0.3), flat(0.2, 0.4, 0.6)).item() == pytest.approx(0, abs=1e-9)


def ramp(slope: float, size: int = 8) -> Tensor:
    """Rises by `slope` per pixel along the width."""
    return (slope * torch.arange(size, dtype=torch.float64)).view(1, 1, 1, size).expand(1, 3, size, size).clone()


def test_gradients_of_ramps() -> None:
    assert losses.gradient_difference(ramp(0.1), ramp(0.03)).item() == pytest.approx(0.07)
    assert losses.total_variation(ramp(0.1)).item() == pytest.approx(0.01)
    assert losses.gradient_difference(ramp(0.1), ramp(0.1) + 0.5).item() == pytest.approx(0)


def test_smoothness_spares_edges_of_the_reflectance() -> None:
    light = ramp(0.1)[:, :1]
    flat_scene = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64)
    assert losses.smooth_illumination(light, flat_scene).item() == pytest.approx(0.1)
    # The grey reflectance rises by 0.05 everywhere: exp(-10 * 0.05).
    assert losses.smooth_illumination(light, ramp(0.05)).item() == pytest.approx(0.1 * math.exp(-0.5))


def test_cross_reconstruction() -> None:
    reflectances = flat(0.5, 0.5, 0.5), flat(0.8, 0.8, 0.8)
    lights = flat(0.2), flat(1.0)
    images = flat(0.1, 0.1, 0.1), flat(0.5, 0.5, 0.5)
    # (low, low) 0, (low, high) 0, (high, low) |0.16 - 0.1|, (high, high) |0.8 - 0.5|
    found = losses.cross_reconstruction(reflectances, lights, images).item()
    assert found == pytest.approx(0.001 * 0.06 + 0.3)


def test_quantisation_rounds_forward_and_passes_gradients() -> None:
    x = torch.tensor([-0.2, 0.5, 0.3333, 1.7], requires_grad=True)
    y = losses.quantise(x)
    assert torch.equal(y.detach() * 255, torch.tensor([0.0, 128.0, 85.0, 255.0]))
    (y * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_poisson_noise_has_the_variance_of_its_photons() -> None:
    torch.manual_seed(0)
    image = torch.full((1, 3, 200, 200), 0.5)
    noisy = losses.add_poisson_noise(image, 50.0, 50.0)
    assert noisy.mean().item() == pytest.approx(0.5, abs=0.002)
    assert noisy.var().item() == pytest.approx(0.5 / 50, rel=0.02)


@pytest.mark.parametrize(
    "term",
    [
        losses.l2,
        losses.summed_l2,
        losses.structure,
        losses.colour_angle,
        lambda x, y: losses.total_variation(x),
        lambda x, y: losses.forward_constraint(x, y, 1 - y),
        lambda x, y: losses.backward_constraint(x, y, 1 - y),
        lambda x, y: losses.smooth_illumination(x[:, :1], y),
        lambda x, y: losses.cross_reconstruction((x, y), (x[:, :1], y[:, :1]), (y, 1 - y)),
        lambda x, y: losses.gradient_difference(x, y),
    ],
)
def test_gradients_agree_with_finite_differences(term: Callable[[Tensor, Tensor], Tensor]) -> None:
    x, y = random(1, 3, 12, 12).requires_grad_(), random(2, 3, 12, 12)[1:]
    assert gradcheck(lambda x: term(x, y), (x,), eps=1e-6, atol=1e-5, fast_mode=True)
